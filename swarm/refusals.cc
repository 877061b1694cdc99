#include "swarm/refusals.h"

#include <algorithm>

namespace starling::swarm {

uint64_t Refusals::add(const PeerId& peer, DropReason reason, Instant now) {
  if (entries_.size() >= refusing_peers_max && !entries_.contains(peer)) {
    entries_.erase(std::min_element(
        entries_.begin(), entries_.end(),
        [](const auto& a, const auto& b) { return a.second.last_at < b.second.last_at; }));
  }
  Entry& entry = entries_[peer];
  entry.last_at = now;
  Kind& kind = entry.kinds[reason];
  ++kind.count;
  if (now < kind.told_at.after(refusals_told_interval_ms)) return 0;
  const uint64_t untold = kind.count - kind.told;
  kind.told = kind.count;
  kind.told_at = now;
  return untold;
}

std::map<DropReason, uint64_t> Refusals::of(const PeerId& peer) const {
  std::map<DropReason, uint64_t> counts;
  const auto found = entries_.find(peer);
  if (found == entries_.end()) return counts;
  for (const auto& [reason, kind] : found->second.kinds) counts[reason] = kind.count;
  return counts;
}

}  // namespace starling::swarm
