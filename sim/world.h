#pragma once
// The simulated world: devices and links in virtual time, one queue of events, one seed. It is the
// second driver of swarm/state.h beside the node's. Everything that happens goes into the trace in
// order; the slices of learning that are under way at one instant are computed in parallel, each
// touching its own device alone, so the trace does not depend on the number of threads.
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <variant>
#include <vector>

#include "sim/agenda.h"
#include "sim/break_counts.h"
#include "sim/checker.h"
#include "sim/device.h"
#include "sim/journal.h"
#include "sim/link_table.h"
#include "sim/network.h"
#include "sim/ranks.h"
#include "sim/trace.h"

namespace starling::sim {

// A frame on its way. Control frames travel as encoded messages with their header: a link is
// authenticated as a whole, so they are not sealed one by one. Deltas travel sealed.
struct Parcel {
  bool is_delta = false;
  std::string_view kind = "delta";  // of the message; a name that lives as long as the program
  swarm::FrameHeader header;        // of a control frame
  swarm::SharedBytes bytes;
};

enum class FaultKind : uint8_t {
  crash,
  restart,
  pause,
  clog,
  set_back,
  split,
  heal,
  depart,
  arrive,
  duty,
  churn_up,
  churn_down,
  quiet
};

struct Arrival {
  uint32_t from, to;
  uint64_t generation;  // of the link
  Parcel parcel;
};
struct LinkBreaks {
  uint32_t from, to;
  uint64_t generation;
  std::string_view cause;  // break_counts.h
};
struct LinkGone {
  uint32_t node;
  uint64_t boot;
  swarm::PeerId peer;
  std::string reason;
};
struct DialEnds {
  uint32_t node;
  uint64_t boot;
  std::string address;
  std::optional<swarm::PeerId> expected;
};
struct WakeUp {
  uint32_t node;
  uint64_t token;
};
struct SliceEnds {
  uint32_t node;
  uint64_t boot;
};
struct AnnounceDue {
  uint32_t node;
  uint64_t boot;
};
struct ChunkWritten {
  uint32_t node;
  uint64_t boot;
  swarm::Digest file;
  uint32_t index;
};
struct SnapshotReady {
  uint32_t node;
  uint64_t boot;
  swarm::SnapshotOffer offer;
};
struct IntrigueDue {  // of a hostile node, again and again
  uint32_t node;
  uint64_t boot;
};
struct FaultDue {
  FaultKind kind;
  uint32_t node;
  uint64_t boot;
};
struct Tick {};

using Happening =
    std::variant<Arrival, LinkBreaks, LinkGone, DialEnds, WakeUp, SliceEnds, AnnounceDue,
                 ChunkWritten, SnapshotReady, IntrigueDue, FaultDue, Tick>;

// One row of the series.
struct Moment {
  double second = 0;      // virtual
  double steps = 0;       // mean over honest nodes that are up
  double loss = 0;        // likewise; 0: synthetic
  double quality = -1;    // mean over tasks and probed nodes; -1: not asked at this moment
  double sent_bytes = 0;  // mean over nodes
  uint32_t up = 0;
  uint32_t bases = 0;  // different ones among honest nodes that are up
};

// Frames of one kind, and their bytes.
struct Traffic {
  uint64_t frames = 0, bytes = 0;
};

// One that really happened.
struct FaultSeen {
  double second = 0;  // virtual
  std::string_view kind;
  std::optional<uint32_t> node;  // none: of all of them
};
inline constexpr size_t faults_seen_max = 4096;

struct WorldOptions {
  uint64_t seed = 1;
  uint32_t threads = 1;
  double until_s = 0;  // virtual: it stops there, in the midst of what goes on; 0: at its own end
  Journal* journal = nullptr;    // of checkpoints; outlives the world; none: there are none
  const Ranks* ranks = nullptr;  // outlives the world; none: this process is alone
};

class World {
 public:
  // Requires: `scenario`, `course` and `lessons` outlive this.
  World(const Scenario& scenario, const Course& course, const Lessons& lessons,
        const WorldOptions& options);

  // Until all agree after learning and faults, or the bound is over, or the time that it was given,
  // or `watch` (called every tick) says stop, or the journal cannot go on. True: nobody stopped it.
  bool run(const std::function<bool()>& watch);

  // ---- for devices
  void at(Micros when, Happening happening);
  void transmit(uint32_t from, const swarm::PeerId& to, Parcel parcel);
  void dial(uint32_t from, const std::string& address,
            const std::optional<swarm::PeerId>& expected);
  // `cause`: see break_counts.h.
  void cut(uint32_t node, const swarm::PeerId& peer, const std::string& reason,
           std::string_view cause);
  void cut_all(uint32_t node, const std::string& reason, std::string_view cause);
  // As the protocol of `node` wants it.
  void close(uint32_t node, const swarm::PeerId& peer, const std::string& reason);
  void identify(const swarm::PeerId& id, uint32_t node) { nodes_of_ids_[id] = node; }
  uint32_t node_of(const swarm::PeerId& id) const { return nodes_of_ids_.at(id); }
  std::vector<swarm::PeerId> linked_to(uint32_t node) const;
  bool are_linked(uint32_t a, uint32_t b) const { return links_.contains(a, b); }
  uint32_t component_count() const;
  bool is_shut_out(uint32_t node) const;  // as an honest node knows
  bool may_learn() const { return !is_settling(); }
  bool is_honest(uint32_t node) const { return !devices[node]->is_hostile(); }

  const Scenario* scenario;
  const Course* course;
  const Lessons* lessons;
  uint64_t seed;
  Keys root;
  swarm::SwarmId swarm{};
  swarm::Config config;
  Micros now = 0;
  Sometimes sometimes;
  Network network;
  Checker checker;
  std::vector<std::unique_ptr<Device>> devices;
  std::vector<Moment> moments;
  uint64_t events = 0;
  std::map<std::string_view, Traffic> traffic;  // sent by all, by kind of message
  std::vector<FaultSeen> faults_seen;           // the first of them, in order
  uint64_t faults_not_kept = 0;
  BreakCounts breaks;                 // of links
  std::set<swarm::PeerId> were_held;  // by any honest node, at any time
  struct Ringleader {
    Keys keys;
    swarm::Membership membership;
  };
  std::optional<Ringleader> ringleader;  // of sybils: the one whom the swarm has invited
  std::optional<uint32_t> victim;        // whom an eclipse is about

  bool is_settling() const { return settles_from_ >= 0; }
  // Where it stands, 0..1, on the way to its own end.
  double progress() const;
  std::string trace() { return trace_.hex(); }
  std::string trace_so_far() const { return Trace(trace_).hex(); }
  Journal* journal() const { return journal_; }
  bool is_replaying() const { return journal_ != nullptr && journal_->is_replaying(); }
  const Ranks& ranks() const { return *ranks_; }
  // Otherwise its learner is absent.
  bool learns_here(uint32_t node) const { return !is_replaying() && ranks_->owns(node); }
  // Mean over tasks of the first honest nodes that are up.
  double probe_quality();

 private:
  void set_up_devices();
  void equip_devices();
  void set_up_hostile();
  void choose_victim();
  void invite_sybils();
  void watch_victim();
  void plan_faults();
  void plan_churn();
  void next_fault(FaultKind kind, uint32_t node, double mean_s);
  void look_at_the_hours(Device& device);
  bool is_on_duty(const Device& device) const;
  void go_away(Device& device);
  void strike(FaultKind kind, Device& device);
  void crash(Device& device, bool loses_disk);
  std::string_view cause_of_close(uint32_t node, uint32_t other, std::string_view reason) const;
  bool is_early() const { return now < micros_of_s(scenario->faults.from_s); }
  void saw(std::string_view kind, std::optional<uint32_t> node = std::nullopt);
  void perform(Happening what);
  void record(const Happening& what);
  void happen(const Arrival& arrival);
  void happen(const LinkBreaks& breaks);
  void happen(const DialEnds& dial);
  void happen(const SliceEnds& ends);
  void happen(const FaultDue& fault);
  void happen(const Tick&);
  void split();
  void mend_everything();
  void compute_slices();
  std::vector<Gain> gains_of(std::span<Device* const> learned);
  void stop_here();
  void observe();
  bool is_agreed() const;
  swarm::Input opened(const Arrival& arrival);
  bool is_stale(uint32_t node, uint64_t boot) const { return devices[node]->boots != boot; }

  Agenda<Happening> agenda_;
  LinkTable links_;
  uint64_t generations_ = 0;
  std::map<swarm::PeerId, uint32_t> nodes_of_ids_;
  std::map<std::string, uint32_t> nodes_of_addresses_;
  // What any receiver's checks say of a sealed frame, worked out once: same bytes, same answer.
  std::map<const swarm::Bytes*, std::pair<swarm::SharedBytes, swarm::Input>> judged_;
  Rng fault_rng_;
  Trace trace_;
  Micros settles_from_ = -1;
  bool is_quiet_ = false;
  bool is_over_ = false;
  bool is_stopped_ = false;
  Micros until_;
  uint32_t threads_;
  Journal* journal_;
  const Ranks* ranks_;
  double next_probe_ = 0;
  std::function<bool()> watch_;
};

}  // namespace starling::sim
