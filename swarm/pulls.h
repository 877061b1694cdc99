#pragma once
// Which missing deltas are asked of whom: oldest first in every stream, spread over the peers that
// tell of them, a bounded number at a time; an unanswered one is asked of someone else, and after
// all were asked, later again.
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "swarm/config.h"
#include "swarm/instant.h"
#include "swarm/version_vector.h"

namespace starling::swarm {

inline constexpr size_t wants_max = 1024;  // missing deltas that we keep account of
inline constexpr int64_t pull_retry_min_ms =
    1000;  // pause before all are asked again: a line that loses frames did not refuse. Doubles.
inline constexpr int64_t pull_retry_max_ms =
    60000;  // longest pause before a delta is asked for again
inline constexpr int64_t push_grace_ms =
    500;  // its origin is our neighbour: it is probably on its way

// A peer that we are linked with and the deltas it says it has. Requires: what it points to
// outlives the call.
// `ahead`: the streams of which it has more than we have; none: they are to be looked for.
// `is_spared`: it is asked only where nobody else can be.
struct PullSource {
  PeerId peer;
  const VersionVector* have;
  const std::vector<Stream>* ahead = nullptr;
  bool is_spared = false;
};

class Pulls {
 public:
  explicit Pulls(const Config& config) : config_(config) {}

  // What to ask now, per peer. `is_wanted` refuses streams and keys that would not be taken.
  // Sources in order of id. `in_flight_max`: what the budget allows, if that is less than the
  // configuration does.
  using Asks = std::map<PeerId, std::vector<DeltaKey>>;
  Asks plan(const VersionVector& mine, const std::vector<PullSource>& sources,
            const std::function<bool(const DeltaKey&)>& is_wanted, Instant now,
            uint64_t in_flight_max = UINT64_MAX);
  bool is_asked(const DeltaKey& key) const;  // now or a while ago
  void arrived(const DeltaKey& key);
  void put_off(const DeltaKey& key, Instant now);  // it came and could not be taken now
  void lost(const PeerId& peer, Instant now);      // the link is gone: others are asked at once
  // `peer` answered with a snapshot: it is not asked again for any of those that are folded into
  // it.
  void not_served(const PeerId& peer, const VersionVector& folded, Instant now);
  struct Unanswered {
    PeerId peer;  // who was asked
    DeltaKey key;
    Instant asked_at;
    friend bool operator==(const Unanswered&, const Unanswered&) = default;
  };
  struct Expired {
    bool has_work = false;  // something timed out or may be asked again: for plan()
    std::vector<Unanswered> unanswered;
    friend bool operator==(const Expired&, const Expired&) = default;
  };
  Expired expire(Instant now);
  // Some key of `folded` was asked of every one of `sources` that tells of it, in vain.
  bool is_exhausted(const VersionVector& folded, const std::vector<PullSource>& sources) const;

  Instant next() const;
  size_t in_flight() const;

 private:
  struct Want {
    std::optional<PeerId> asked;  // of whom, since it is in flight
    Instant due;                  // asked: when we give up; else: not to be asked before
    std::vector<PeerId> tried;
    uint32_t rounds = 0;  // times that everyone had been tried
  };
  void admit(const VersionVector& mine, const std::vector<PullSource>& sources,
             const std::function<bool(const DeltaKey&)>& is_wanted, Instant now);
  bool make_room();
  void rest(Want& want, Instant now);
  void set_due(Want& want, Instant due);
  std::map<DeltaKey, Want>::iterator forget(std::map<DeltaKey, Want>::iterator at);

  Config config_;
  std::map<DeltaKey, Want> wants_;
  std::map<Instant, size_t> dues_;  // how many of them are due when
  Instant expired_at_{INT64_MIN};
};

}  // namespace starling::swarm
