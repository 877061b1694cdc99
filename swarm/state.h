#pragma once
// The protocol core, sans IO: `handle` takes one input at an instant and appends outputs;
// `next_deadline` says when it wants to be woken. It holds no dense vector: deltas pass through it
// as signed frames, the base lives with the learner. One thread owns it. Who drives it (node/driver
// or sim/world) it never knows.
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "model/rng.h"
#include "swarm/budget.h"
#include "swarm/config.h"
#include "swarm/event.h"

namespace starling::swarm {

enum class MemberState : uint8_t { alive, suspect, left, failed, revoked };
std::string_view member_state_name(MemberState state);

// A row of `starling members`.
struct MemberView {
  PeerId id;
  std::string name;
  std::string address;
  MemberState state = MemberState::alive;
  bool is_self = false;
  bool is_linked = false;
  double rtt_ms = -1;  // -1: not measured
  double score = 0;
  std::map<DropReason, uint64_t> refused;  // of what it sent, since our start
  std::string software;
  uint64_t step = 0;
  float bits_per_byte = 0;
  int64_t last_delta_age_ms = -1;  // since its last delta arrived; -1: none
  uint64_t deltas = 0;             // of it that we hold
  std::string lost_reason;         // why the link went, when it is down
  Digest base_hash{};
  uint64_t base_count = 0;
  std::vector<PeerId> accused_by;
  uint64_t voices_against = 0;  // of them that are independent (admissions.h)
};

struct Counters {
  uint64_t accepted = 0;  // deltas of others
  uint64_t refused = 0;   // frames and deltas, all reasons but duplicate
  uint64_t duplicates = 0;
  uint64_t published = 0;
  std::array<uint64_t, 32> refused_by_reason{};  // index: DropReason
};
Counters difference(const Counters& later, const Counters& earlier);

// What the learner needs to publish. Cheap to copy.
struct SwarmView {
  uint32_t active_origins = 1;  // N, with the own node
  uint32_t members = 1;         // known, not left
  uint32_t neighbours = 0;      // links that are up
  double reference_norm = 0;    // 0: not enough deltas yet
  uint64_t deltas = 0;          // in the version vector
  uint64_t median_step = 0;     // of the neighbours; 0: there is none
  // What the budget leaves for the own deltas: bytes of payload for each second since the last one.
  // 0: no bound.
  uint64_t own_bytes_per_s = 0;
  Restraint restraint = Restraint::none;  // other than none: nothing is to be published now
};

struct StateOptions {
  Config config;
  SwarmId swarm{};
  std::array<uint8_t, 16> fingerprint{};
  MemberRecord self;  // signed; its epoch is this boot's
  std::string software;
  // Signs the own record anew, when others doubt that we live; none: nobody is contradicted.
  std::function<MemberRecord(MemberRecord)> sign;
  // What the Hello offers. Narrower or wider only where versions meet on purpose.
  uint32_t version_min = protocol_version_min;
  uint32_t version_max = protocol_version_max;
};

class State {
 public:
  State(const StateOptions& options, Rng rng, Instant now);
  ~State();

  void handle(Input input, Instant now, std::vector<Output>& outbox);
  Instant next_deadline() const;
  // Of the last outputs, what went out: before the next handle().
  void charge_sent(uint64_t bytes, Instant now);

  SwarmView view(Instant now) const;
  std::vector<MemberView> members(Instant now) const;
  std::map<PeerId, double> scores(Instant now) const;  // of whoever has had a fault
  const Counters& counters() const;
  BudgetView budget(Instant now) const;
  std::vector<MemberRecord> records() const;  // of all members it knows, the own one first
  const VersionVector& have() const;
  bool is_member(const PublicKey& key) const;
  const Admissions& admissions() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace starling::swarm
