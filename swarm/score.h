#pragma once
// What we think of each peer: 0 at first, lowered by its faults, drifting back to 0 by a tenth a
// minute. A peer that falls below the floor is refused for ten minutes. Source: gossipsub v1.1 peer
// scores, simplified; figures are guesses.
#include <cstdint>
#include <map>

#include "swarm/envelope.h"
#include "swarm/instant.h"
#include "swarm/peer_id.h"

namespace starling::swarm {

inline constexpr double score_floor = -50;
inline constexpr int64_t refusal_ms = 600000;
inline constexpr size_t scores_max = 1024;  // the best of those over it are forgotten

// Points that one fault of this kind costs.
int penalty_of(DropReason reason);

class Scores {
 public:
  // True when this fault made the peer fall below the floor: it is refused from now on, for
  // refusal_ms.
  bool lower(const PeerId& peer, int penalty, Instant now);
  double at(const PeerId& peer, Instant now) const;
  std::map<PeerId, double> all(Instant now) const;  // of whoever has had a fault
  // Until when the peer is refused; not after `now`: it is welcome.
  Instant refused_until(const PeerId& peer) const;

 private:
  struct Entry {
    double score = 0;
    Instant decayed_at;  // whole minutes only are counted, so that no power function is needed
    Instant refused_until;
  };
  static Entry decayed(Entry entry, Instant now);
  void make_room(Instant now);

  std::map<PeerId, Entry> entries_;
};

}  // namespace starling::swarm
