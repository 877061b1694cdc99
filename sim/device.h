#pragma once
// One simulated device: an identity, a disk that outlives crashes, and while it is up a State and a
// learner. It interprets the protocol's outputs as the node's driver does, into a virtual network.
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sim/learner.h"
#include "sim/network.h"
#include "sim/run_checkpoint.h"
#include "swarm/exchange.h"
#include "swarm/shelves.h"
#include "swarm/state.h"

namespace starling::sim {

class World;

inline constexpr int64_t first_second = 1'700'000'000;  // of the true time when a run begins

struct Keys {
  swarm::PublicKey public_key{};
  std::array<uint8_t, 64> secret{};
  explicit Keys(uint64_t seed);
  swarm::Signer signer() const { return swarm::Signer(secret.data()); }
};

struct Disk {
  struct Entry {
    swarm::DeltaKey key;
    swarm::SharedBytes frame;
  };
  uint64_t epoch = 0;
  std::deque<Entry> log;                      // in the order they came
  swarm::Shelves<swarm::SharedBytes> frames;  // of the log
  std::vector<swarm::SharedRecord> members;
  std::shared_ptr<const swarm::Admissions> admissions;  // nobody is revoked here as yet
  std::optional<Learner::Checkpoint> checkpoint;
  std::deque<std::pair<swarm::SnapshotOffer, swarm::Bytes>> snapshots;  // offered; at most three
  std::pair<swarm::Digest, swarm::Bytes> incoming;                      // being fetched
};

inline constexpr Micros disk_delay = micros_of_ms(15);  // an fsync

class Device {
 public:
  Device(World& world, uint32_t index);

  void boot();
  void crash(bool loses_disk, std::string_view cause);  // break_counts.h
  void input(swarm::Input event);
  void wake(uint64_t token);  // of the wake-up that has come
  uint64_t payload_bytes_max(const swarm::SwarmView& view) const;
  void publish();
  void learned();   // a slice of learning is over
  void announce();  // judges, and tells the protocol what the base has come to
  void chunk_written(const swarm::Digest& file, uint32_t index);
  void install(const swarm::SnapshotOffer& offer);
  void intrigue();  // of a hostile one: what it does again and again
  // Of checkpoints of the run (device_learning.cc), where its trainer is. `appear` is false when
  // what is given does not fit what is here.
  void tell_presence(RunCheckpoint::Node& node) const;
  bool appear(const RunCheckpoint::Node& node);
  // Begins a slice when it has none and may learn.
  void go_on();

  // By an invite, as the clock of the day allows; a sybil by one of the ringleader's places.
  void join();
  const Keys& keys() const { return *keys_; }
  const swarm::Membership& membership() const { return membership_; }

  bool is_up() const { return state_ != nullptr; }
  bool is_finished() const;
  bool is_hostile() const { return tamper.has_value(); }
  const swarm::State& state() const { return *state_; }
  void charge(size_t bytes);  // that it has sent
  const Learner& learner() const { return *learner_; }
  const swarm::Admissions* admissions() const { return disk_.admissions.get(); }
  Learner& learner() { return *learner_; }
  const swarm::PeerId& id() const { return id_; }
  const Disk& disk() const { return disk_; }

  World* world;
  uint32_t index;
  std::string address;
  double slowness = 1;
  Equipment equipment;
  Micros paused_until = 0;
  uint64_t boots = 0;  // counts what a stale event must not reach
  bool may_be_away = false;
  bool has_hours = false;    // is up in some hours of the day only
  double hours_shifted = 0;  // from those of the scenario
  // Its clocks. Of the machine since it runs: may be fast or slow, is never set.
  swarm::Instant instant() const;
  // Of the day, in Unix seconds: may be far off, and be set back.
  int64_t clock_s() const;
  int64_t drift_ppm = 0;     // of both
  double clock_error_s = 0;  // of the second
  struct Slice {
    uint32_t steps = 0;
    Stage stage;
    bool is_computed = false;
  };
  std::optional<Slice> slice;
  uint64_t sent_bytes = 0, received_bytes = 0, frames_sent = 0;
  uint64_t sent_control_bytes = 0;
  std::optional<Tamper> tamper;  // a hostile node
  bool is_ringleader = false;    // may invite, and does so
  uint32_t sybil_place = 0;      // at the ringleader, from 1 on; 0: not one of its identities
  Micros first_boot = 0;

  swarm::MemberRecord record() const;

 private:
  void become_somebody();  // a fresh identity and an empty disk
  uint64_t next_epoch() const;
  void wake_at(swarm::Instant deadline);
  void sleep_until_due();
  void replay_log();
  void perform(swarm::Output output);
  Lessons::Own own_lessons() const;
  uint64_t lesson_seed() const;
  std::optional<swarm::Publish> publication(const swarm::SwarmView& view,
                                            const swarm::FrameHeader& header);
  void expel();
  void prove(const swarm::Prove& request);
  void send(const swarm::PeerId& to, swarm::Message message);
  void send_delta(const swarm::PeerId& to, const swarm::DeltaKey& key,
                  const swarm::SharedBytes& frame, bool is_asked);
  void send_chunk(const swarm::SendChunk& request);
  void store(const swarm::Store& store);
  void deliver(swarm::Deliver delivery);
  void apply(const swarm::Deliver& delivery);
  void save_chunk(const swarm::SaveChunk& chunk);
  // Why not, empty if it did; and whose fault that is.
  std::pair<std::string, swarm::SnapshotInstalled::Fault> take_over(
      const swarm::SnapshotOffer& offer);
  void fold_log();
  void offer_snapshot(const swarm::Exchange::Settled& settled);
  std::optional<swarm::Bytes> payload(const swarm::DeltaKey& key) const;
  void judge();
  // Of a hostile one (device_hostile.cc).
  Lessons::Own twisted(Lessons::Own own) const;
  void count_deeds(uint64_t pushes_before);
  void show_second_face(const swarm::DeltaKey& key, const swarm::Publish& publication);
  bool is_silent_about(const swarm::PeerId& to, const swarm::PeerId& origin);
  bool clings_to(const swarm::PeerId& peer) const;
  bool twist(const swarm::PeerId& to, swarm::Message& message);
  void twist_eclipse(const swarm::PeerId& to, swarm::Message& message);
  std::vector<swarm::PeerId> colluders() const;
  void replay_frames();
  void base_changed();

  // One wake-up is under way at a time, for the deadline or before it: most events leave the
  // deadline where it was, or put it off.
  uint64_t wake_token_ = 0;
  std::optional<swarm::Instant> wakes_at_;  // by the own clock; none: nothing is under way
  std::unique_ptr<swarm::State> state_;
  std::vector<swarm::Output> spare_outbox_;  // empty; its room is used again
  std::unique_ptr<Learner> learner_;
  std::optional<Keys> keys_;
  swarm::PeerId id_;
  uint64_t identities_ = 0;
  swarm::Membership membership_;
  Disk disk_;
  uint64_t control_seq_ = 0, published_ = 0;
  Micros published_at_ = 0;  // or when it came up
  bool is_announcing_ = false;
  bool is_news_due_ = false;       // of the base, once the slice is over
  bool is_expulsion_due_ = false;  // likewise
  Micros saved_at_ = 0;
  swarm::SharedBytes last_own_frame_;
  std::pair<swarm::DeltaKey, swarm::SharedBytes> second_face_;  // equivocation: for half the peers
  std::vector<std::variant<swarm::Deliver, swarm::SnapshotOffer>> inbox_;  // until the slice ends
};

}  // namespace starling::sim
