#include "swarm/version_vector.h"

#include <algorithm>
#include <bit>

namespace starling::swarm {
namespace {

// The offsets below are differences, never sums: a hostile vector may sit at the end of 64 bits.
bool has(const Seen& seen, uint64_t seq) {
  if (seq <= seen.contiguous) return true;
  const uint64_t beyond = seq - seen.contiguous;  // 1: the first gap
  return beyond >= 2 && beyond - 2 < 64 && (seen.bitmap >> (beyond - 2) & 1) != 0;
}

VersionVector::Insert put(Seen& seen, uint64_t seq) {
  if (has(seen, seq)) return VersionVector::Insert::duplicate;
  const uint64_t beyond = seq - seen.contiguous;
  if (beyond > 1) {
    if (beyond - 2 >= 64) return VersionVector::Insert::too_far;
    seen.bitmap |= uint64_t{1} << (beyond - 2);
    return VersionVector::Insert::added;
  }
  bool next_is_there = true;  // the gap closes, and with it whatever the bitmap holds next to it
  while (next_is_there) {
    ++seen.contiguous;
    next_is_there = (seen.bitmap & 1) != 0;
    seen.bitmap >>= 1;
  }
  return VersionVector::Insert::added;
}

}  // namespace

std::vector<uint64_t> missing_numbers(const Seen& mine, const Seen& theirs, size_t count_max) {
  std::vector<uint64_t> missing;
  uint64_t seq = mine.contiguous;
  while (seq < theirs.contiguous && missing.size() < count_max) {
    ++seq;
    if (!has(mine, seq)) missing.push_back(seq);
  }
  for (uint64_t i = 0; i < 64 && missing.size() < count_max; ++i) {
    if ((theirs.bitmap >> i & 1) == 0) continue;
    const uint64_t beyond = theirs.contiguous + 2 + i;
    if (beyond < theirs.contiguous) break;  // past 64 bits: nobody counts that far
    if (!has(mine, beyond)) missing.push_back(beyond);
  }
  return missing;
}

VersionVector::Insert VersionVector::insert(const DeltaKey& key) {
  const auto found = streams_.find(key.stream);
  if (found != streams_.end()) return put(found->second, key.seq);
  Seen seen;
  const Insert result = put(seen, key.seq);
  if (result == Insert::added) streams_[key.stream] = seen;
  return result;
}

bool VersionVector::contains(const DeltaKey& key) const {
  const auto found = streams_.find(key.stream);
  return found != streams_.end() && has(found->second, key.seq);
}

std::vector<DeltaKey> VersionVector::missing_from(const VersionVector& other, size_t count_max,
                                                  size_t of_each_max) const {
  std::vector<DeltaKey> missing;
  auto at = streams_.begin();
  for (const auto& [stream, theirs] : other.streams_) {
    if (missing.size() >= count_max) break;
    while (at != streams_.end() && at->first < stream) ++at;
    const bool is_known = at != streams_.end() && at->first == stream;
    const Seen mine = is_known ? at->second : Seen{};
    if (mine == theirs) continue;
    const size_t wanted = std::min(count_max - missing.size(), of_each_max);
    for (const uint64_t seq : missing_numbers(mine, theirs, wanted)) {
      missing.push_back({stream, seq});
    }
  }
  return missing;
}

uint64_t VersionVector::delta_count() const {
  uint64_t count = 0;
  for (const auto& [stream, seen] : streams_) {
    count += seen.contiguous + static_cast<uint64_t>(std::popcount(seen.bitmap));
  }
  return count;
}

void VersionVector::merge(const VersionVector& other) {
  for (const auto& [stream, theirs] : other.streams_) {
    Seen& mine = streams_[stream];
    Seen fewer = theirs;
    if (mine.contiguous < theirs.contiguous) std::swap(mine, fewer);
    // `fewer` ends no later than 65 beyond the larger contiguous count, so that every bit of it
    // fits.
    for (uint64_t i = 0; i < 64; ++i) {
      if ((fewer.bitmap >> i & 1) != 0) put(mine, fewer.contiguous + 2 + i);
    }
  }
}

}  // namespace starling::swarm
