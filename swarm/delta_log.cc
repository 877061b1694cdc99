#include "swarm/delta_log.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace starling::swarm {

DeltaLog::Standing DeltaLog::standing(const DeltaKey& key, const ShortHash& hash) const {
  if (have_.contains(key)) {
    // A delta that is folded into a snapshot left no hash behind: it can only be taken for the same
    // one.
    const Entry* const found = entries_.find(key);
    const bool is_other = found != nullptr && found->hash != hash;
    return is_other ? Standing::equivocation : Standing::duplicate;
  }
  const auto& streams = have_.streams();
  const auto stream = streams.find(key.stream);
  if (stream != streams.end()) {
    const uint64_t beyond = key.seq - stream->second.contiguous;
    return beyond - 1 > 64 ? Standing::too_far : Standing::fresh;
  }
  if (key.seq > 65) return Standing::too_far;
  const auto first = streams.lower_bound({key.stream.origin, 0});
  const auto last = streams.upper_bound({key.stream.origin, UINT64_MAX});
  const auto of_origin = static_cast<size_t>(std::distance(first, last));
  const bool is_full = streams.size() >= streams_max || of_origin >= streams_per_origin_max;
  return is_full ? Standing::no_room : Standing::fresh;
}

std::optional<ShortHash> DeltaLog::hash_of(const DeltaKey& key) const {
  const Entry* const found = entries_.find(key);
  return found == nullptr ? std::nullopt : std::optional(found->hash);
}

void DeltaLog::remember(const DeltaKey& key, const Entry& entry) {
  if (!entries_.put(key, entry)) return;
  order_.push_back({++arrivals_, key});
  while (order_.size() > log_entries_max) {
    entries_.erase(order_.front().key);
    order_.pop_front();
  }
}

void DeltaLog::add(const DeltaKey& key, const Entry& entry) {
  const VersionVector::Insert result = have_.insert(key);
  assert(result == VersionVector::Insert::added);
  static_cast<void>(result);
  ++changes_;
  remember(key, entry);
}

void DeltaLog::restore(const DeltaKey& key, const Entry& entry) {
  if (have_.insert(key) == VersionVector::Insert::too_far) return;
  ++changes_;
  remember(key, entry);
}

void DeltaLog::merge(const VersionVector& have) {
  have_.merge(have);
  ++changes_;
}

void DeltaLog::forget(std::span<const DeltaKey> keys) {
  for (const DeltaKey& key : keys) entries_.erase(key);
  if (order_.size() <= 2 * entries_.size() + 64) return;
  std::erase_if(order_, [this](const Arrival& old) { return !entries_.contains(old.key); });
}

std::vector<DeltaKey> DeltaLog::arrived(uint64_t after, uint64_t until) const {
  std::vector<DeltaKey> keys;
  auto at = std::upper_bound(order_.begin(), order_.end(), after,
                             [](uint64_t number, const Arrival& a) { return number < a.number; });
  for (; at != order_.end() && at->number <= until; ++at) {
    if (entries_.contains(at->key)) keys.push_back(at->key);
  }
  return keys;
}

uint32_t DeltaLog::size_of(const DeltaKey& key) const {
  const Entry* const found = entries_.find(key);
  return found == nullptr ? 0 : found->size;
}

uint64_t DeltaLog::count_of(const PeerId& origin) const {
  const auto& streams = have_.streams();
  uint64_t count = 0;
  for (auto at = streams.lower_bound({origin, 0}); at != streams.end(); ++at) {
    if (at->first.origin != origin) break;
    count += at->second.contiguous + static_cast<uint64_t>(std::popcount(at->second.bitmap));
  }
  return count;
}

}  // namespace starling::swarm
