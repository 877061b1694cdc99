#pragma once
// One node's part in the sum: base b, error memory e, and which deltas b holds. The weights x
// belong to the trainer and are passed in; everything here happens between two training steps, on
// the thread that owns x.
//   publish: d = (x - b) + .9 e over shared regions; v = what is sent of it; e = the rest;
//            b += v; x = b
//   accept:  b += v; x += v
// What the base holds of each delta follows the judgement (judgement.h): in full, in part, or not.
// A node may doubt an origin that the swarm believes: then b, and so its hash, stays what the log
// says, and x follows b without what was suspended of that origin (`target`). Local, reversible,
// and no part of what is published.
// Private regions take no part: d leaves them out, and what others send for them changes b but not
// x. See README.md, "A delta".
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "swarm/base.h"
#include "swarm/event.h"
#include "swarm/judgement.h"
#include "swarm/region_shares.h"
#include "swarm/state.h"

namespace starling::swarm {

struct PublishOptions {
  double budget_fraction = 0.25;  // k is at most this, and at most 1 / N
  double outer = 2;               // s = min(1, outer / N), less when deltas come late
  bool adapts_to_lateness = true;
  uint64_t payload_bytes_max = 0;  // 0: no budget
  uint32_t steps = 0;              // local steps behind this delta
};

// How much one origin has moved one region, as far as its deltas count in the base.
struct Influence {
  uint64_t deltas = 0;
  double squares = 0;  // sum of squared L2 norms, each as it counts
  int64_t last_s = 0;  // Unix seconds, by the own clock
};

// A change of mind about an origin.
struct Ruling {
  PeerId origin;
  Standing standing;
  size_t deltas = 0;  // of it that came into the base or left it
};

struct Judged {
  std::vector<Ruling> rulings;
  size_t deltas = 0;                // that count otherwise than before
  std::vector<DeltaKey> oversized;  // held for their norm since the last time
};

// What is left of `outer` when the deltas of others come `lateness` exchanges late: all of it up to
// three quarters of one, then 0.75 / lateness (README.md, "Lateness").
double lateness_factor(double lateness);

class Exchange {
 public:
  // Requires: `table` outlives this; genesis fits it; `is_private` is empty or has one flag a
  // region.
  Exchange(const model::RegionTable& table, std::span<const float> genesis,
           std::vector<uint8_t> is_private, const JudgementRules& rules = {});

  // From now on what own deltas say of a region is scaled by who uses it (region_shares.h).
  void weigh_regions() { shares_.emplace(*table_); }

  // Nothing when no shared parameter changed. `header` comes with swarm, epoch, seq, fingerprint
  // and samples set.
  std::optional<Publish> publish(std::span<float> x, std::span<const uint64_t> region_tokens,
                                 const SwarmView& view, const PublishOptions& options,
                                 const FrameHeader& header, const Signer& signer, int64_t now_s);
  // What publish() does to b, of a delta that it gave before to the same b: for who runs again what
  // has been. x and the error memory stay as they are.
  void publish_again(const DeltaKey& key, const DeltaSummary& summary, ByteView payload,
                     int64_t now_s);
  // False when b holds the delta already. Requires: the payload passed inspect_delta.
  bool accept(const DeltaKey& key, const DeltaSummary& summary, ByteView payload,
              std::span<float> x, int64_t now_s);

  // Brings the judgement up to date and the base with it: once an exchange, and before the base's
  // hash is told to others. Deltas that `payloads` cannot give stay as they are and are counted.
  Judged judge(const PayloadSource& payloads, std::span<float> x);
  // An origin that was revoked, or lost its place: what b and x hold of it is taken out to the last
  // bit, and nothing of it counts from now on. `kept`: deltas that `payloads` cannot give any more
  // stay in b.
  struct Expelled {
    size_t withdrawn = 0, kept = 0;
  };
  Expelled expel(const PeerId& origin, const PayloadSource& payloads, std::span<float> x);
  // One that has its place back: its deltas count as if it had never lost it, those that `payloads`
  // can give. How many that are.
  size_t reinstate(const PeerId& origin, const PayloadSource& payloads, std::span<float> x);
  uint64_t unreadable() const { return unreadable_; }

  // What b holds of an origin's last 48 deltas, whatever intervals they state: in shared regions,
  // fixed point. Empty: nothing, or none of it could be read.
  struct Recent {
    std::vector<int32_t> sum;
    std::map<Stream, uint64_t> since;  // the first number of each stream that is in the sum
  };
  Recent recent_of(const PeerId& origin, const PayloadSource& payloads) const;
  // Takes that out of x, and leaves out what comes of the origin from now on.
  void suspend(const PeerId& origin, const Recent& recent, std::span<float> x);
  std::vector<float> with_suspended(std::span<const float> x) const;  // x as if nobody were
  void release_suspended(std::span<float> x);
  std::set<PeerId> suspended() const;
  const std::map<Stream, uint64_t>& suspended_since() const { return suspended_since_; }
  std::span<const int32_t> withheld() const;  // empty: nobody is suspended
  // What own progress is measured from: b without what is suspended.
  float target(size_t index) const;

  // The base without the deltas that are still open, for a newcomer, who pulls and judges those
  // itself. Nothing: one of them could not be read.
  struct Settled {
    std::vector<int32_t> values;
    VersionVector applied;
    Bytes judgement;
    Digest hash{};
  };
  std::optional<Settled> settled(const PayloadSource& payloads) const;

  // Replaces b by a snapshot's and keeps the own unsent progress: x = b' + (x - target). Error
  // memory stays, suspensions end.
  void replace_base(std::vector<int32_t> values, const VersionVector& applied, Judgement judgement,
                    std::span<float> x);
  // Drops the error memory and the own progress since the last publication: x = b where shared.
  void forget_unsent(std::span<float> x);
  // Gives the weights what they learned and could not send: x += e, e = 0. It is in the next delta
  // again.
  void adopt_unsent(std::span<float> x);
  // As saved in a checkpoint. Requires: sizes fit the table.
  void restore(std::vector<int32_t> values, std::vector<float> error, const VersionVector& applied,
               Judgement judgement);
  void restore_suspended(std::map<Stream, uint64_t> since, std::vector<int32_t> withheld);
  void restore_influence(std::map<std::pair<model::RegionId, PeerId>, Influence> influence);

  // How many exchanges late the deltas of others come. Of each origin a running mean of how far the
  // intervals it states are behind what this node and a tenth of all have reached, by how far they
  // go on from one delta to the next (less than one where all wait for each other); of all that
  // were heard within the horizon the median, so that a few that lie, or are slow, do not decide. 0
  // as long as nobody was heard, as after a start.
  double lateness() const;
  const Base& base() const { return base_; }
  std::span<const float> error() const { return error_; }
  const VersionVector& applied() const { return applied_; }  // counted in the base, or held apart
  const Judgement& judgement() const { return judgement_; }
  const std::map<std::pair<model::RegionId, PeerId>, Influence>& influence() const {
    return influence_;
  }

 private:
  bool is_suspended(const PeerId& origin) const;
  bool is_withheld(const DeltaKey& key) const;
  void apply(const DeltaKey& key, ByteView payload, uint32_t before, uint32_t after,
             std::span<float> x);
  template <typename F>
  void for_shared(F f) const;
  // What a delta's part in the base changes of its origin's influence.
  void weigh(const PeerId& origin, const DeltaSummary& summary, uint32_t before, uint32_t after,
             std::optional<int64_t> now_s = std::nullopt);
  void weigh_again(const PeerId& origin, ByteView payload, uint32_t before, uint32_t after);
  void note_lateness(const PeerId& origin, uint64_t interval);
  uint64_t front() const;

  const model::RegionTable* table_;
  std::vector<uint8_t> is_private_;
  Base base_;
  std::vector<float> error_;
  VersionVector applied_;
  Judgement judgement_;
  std::map<Stream, uint64_t> suspended_since_;  // of every stream of who is suspended
  std::optional<Base> withheld_;                // what b holds of them and x does not
  std::vector<DeltaKey> oversized_;
  uint64_t own_interval_ = 0;  // of the last own delta in this run
  struct Delay {
    double behind = 0;   // intervals
    double advance = 1;  // intervals a delta
    uint64_t newest = 0;
  };
  std::map<PeerId, Delay> delays_;  // of origins that the judgement knows
  std::optional<RegionShares> shares_;
  uint64_t unreadable_ = 0;
  // At most regions x members entries.
  std::map<std::pair<model::RegionId, PeerId>, Influence> influence_;
};

}  // namespace starling::swarm
