#pragma once
// A tiny world for several States: virtual time, one seed, links that delay, lose, duplicate and
// reorder frames, partitions, crashes and restarts from a disk that outlives them. Messages go
// through the codec; signatures of frames are left to the wire tests, so that thousands of runs
// stay cheap.
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "swarm/codec.h"
#include "swarm/state.h"
#include "tests/swarm/wire_fixture.h"

namespace starling::swarm::state_test {

struct Faults {
  double loss = 0;  // share of frames
  double duplication = 0;
  int64_t delay_min_ms = 5;
  int64_t delay_max_ms = 30;
  bool is_ordered = true;  // as a stream; else frames overtake each other
};

// A delta as the log on disk keeps it.
struct Filed {
  FrameHeader header;
  DeltaSummary summary;
  SharedBytes frame;
};

class World;

// One device: its disk and identity outlive its runs.
class Node {
 public:
  Node(World& world, size_t index, Config config);

  void start();  // boots with what the disk holds
  void crash();  // links reset, nothing said
  void pause();  // nothing runs, and what comes waits
  void resume();
  void input(Input event);
  Filed publish(double norm = 1);  // the next own delta
  bool is_up() const { return state != nullptr; }
  MemberRecord record() const;
  const MemberView* row(const std::vector<MemberView>& rows, const PeerId& peer) const;
  std::string lost_reason(const Node& other) const;
  MemberState state_of(const Node& other) const;
  size_t count(Notice::Kind kind) const;
  std::string last_reason(Notice::Kind kind) const;

  World& world;
  size_t index;
  Config config;
  wire_test::Keys keys;
  PeerId id;
  std::string address;
  std::vector<std::string> seeds;
  std::vector<std::string> advertised;
  std::array<uint8_t, 16> fingerprint{};
  uint32_t version_min = protocol_version_min, version_max = protocol_version_max;
  std::optional<Membership> membership;  // none: admitted by the root
  std::unique_ptr<State> state;

  // The disk.
  std::shared_ptr<const Admissions> admissions;
  uint64_t epoch = 0;
  std::map<DeltaKey, Filed> filed;
  std::vector<DeltaKey> order;
  std::vector<MemberRecord> saved_members;
  VersionVector applied;  // of the learner's base
  uint64_t base = 0;      // a sum that every delta moves in its own way
  std::map<DeltaKey, int> deliveries;
  std::map<Digest, Bytes> files;  // snapshots served, and being fetched

  // What it did since its first boot.
  std::vector<Notice> notices;
  std::vector<Drop> drops;
  size_t proofs_wanted = 0;
  std::vector<Close> closes;
  std::vector<Open> opens;
  uint64_t frames_sent = 0, chunks_saved = 0;
  uint64_t bodies = 0;  // deltas that came over links, whatever became of them
  std::vector<std::pair<Instant, uint64_t>> sent, received;  // when, and bytes
  std::vector<Notice::Kind> kinds;
  uint64_t published = 0, control_seq = 0;
  std::optional<std::vector<Input>> waiting;  // while it is paused

  static uint64_t worth(const DeltaKey& key);
  // Of all it has; offered from now on. `forged`: the base in it is off by so much.
  SnapshotOffer make_snapshot(uint64_t forged = 0);
  void forget(uint64_t count);  // retention: the oldest frames go

 private:
  void perform(std::vector<Output>& outbox);
  void apply(const DeltaKey& key);
  void report_base();
  friend class World;
  void perform_one(const Output& output);
  void transmit(const PeerId& to, Input frame, size_t size);
  void send_delta(const PeerId& to, const Filed& delta);
  void send_chunk(const SendChunk& send);
  void save_chunk(const SaveChunk& save);
  void install(const SnapshotOffer& offer);
  uint64_t wake_token_ = 0;
  Instant last_deadline_ = never;
};

class World {
 public:
  explicit World(uint64_t seed, Faults faults = {});

  Node& add(Config config = Config());  // not started; knows nobody
  // `count` nodes that know the first as seed, started.
  void fill(size_t count, const Config& config = Config());
  void run_for(int64_t ms);
  // Runs until `done` holds; false after `limit_ms`.
  bool run_until(const std::function<bool()>& done, int64_t limit_ms);

  bool is_converged() const;  // all nodes that are up have equal vectors, of all that was published
  bool is_meshed() const;     // all are linked with all
  void set_blocked(const std::set<size_t>& side, bool is_blocked);  // between the side and the rest
  void forbid(size_t a, size_t b) {
    forbidden_.insert(std::minmax(a, b));
  }  // no link between the two
  bool are_linked(const PeerId& a, const PeerId& b) const {
    return links_.contains(std::minmax(a, b));
  }

  Instant now{1000000};
  uint64_t seed;
  Faults faults;
  Rng rng;
  wire_test::Keys root;
  SwarmId swarm;
  std::vector<std::unique_ptr<Node>> nodes;
  std::map<DeltaKey, Filed> published;
  // What each snapshot file says; a real node reads it there.
  std::map<Digest, std::pair<SnapshotOffer, uint64_t>> snapshots;
  std::vector<std::pair<PeerId, Input>> recorded;  // everything received, when `is_recording`
  bool is_recording = false;
  size_t delta_size = 16;        // bytes of a frame
  std::set<size_t> withholding;  // nodes that pass on nothing about who may be a member
  std::set<size_t> stingy;       // nodes that send no delta, whatever they say they have

  void at(int64_t delay_ms, std::function<void()> action);
  void dial(Node& from, const std::string& address, std::optional<PeerId> expected);
  void transmit(Node& from, const PeerId& to, Input frame);
  void cut(const PeerId& a, const PeerId& b, const std::string& reason);
  Node* find(const PeerId& id);

 private:
  bool is_blocked(size_t a, size_t b) const;
  std::map<std::pair<int64_t, uint64_t>, std::function<void()>> agenda_;
  uint64_t agenda_count_ = 0;
  struct Wire {
    uint64_t generation = 0;
    Instant last_arrival_a{0}, last_arrival_b{0};  // keeps a stream in order
  };
  std::map<std::pair<PeerId, PeerId>, Wire> links_;
  uint64_t generations_ = 0;
  std::set<std::pair<size_t, size_t>> forbidden_;
  std::set<size_t> side_;
  bool is_split_ = false;
};

}  // namespace starling::swarm::state_test
