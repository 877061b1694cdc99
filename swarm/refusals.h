#pragma once
// What was refused of each peer: how often for which reason, and when that is to be told. The first
// of a kind is told at once, those that follow are told together, once a minute: a flood fills no
// log and hides nobody else's fault.
#include <cstddef>
#include <cstdint>
#include <map>

#include "swarm/envelope.h"
#include "swarm/instant.h"
#include "swarm/peer_id.h"

namespace starling::swarm {

inline constexpr int64_t refusals_told_interval_ms = 60000;  // of one peer and reason
inline constexpr size_t refusing_peers_max = 1024;  // of more, who was silent longest goes

class Refusals {
 public:
  // How many of this kind are to be told now, this one among them; 0: none yet.
  uint64_t add(const PeerId& peer, DropReason reason, Instant now);
  std::map<DropReason, uint64_t> of(const PeerId& peer) const;

 private:
  struct Kind {
    uint64_t count = 0, told = 0;
    Instant told_at{INT64_MIN / 2};
  };
  struct Entry {
    std::map<DropReason, Kind> kinds;
    Instant last_at;
  };
  std::map<PeerId, Entry> entries_;
};

}  // namespace starling::swarm
