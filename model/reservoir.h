#pragma once
// What to keep of more samples than there is room for: a fair size for each source, and of one
// source a choice in which all that ever came is equally likely.
#include <algorithm>
#include <cassert>
#include <cstdint>
#include <vector>

#include "model/rng.h"

namespace starling::model {

// Calls keep(i), in order, for the `wanted` of `count` items with the lowest priorities; items
// without one draw it first. `priorities` is left with those that were kept.
template <typename Keep>
void keep_lowest(uint64_t count, uint64_t wanted, std::vector<uint64_t>& priorities, Rng& rng,
                 const Keep& keep) {
  assert(wanted > 0 && wanted <= count);
  while (priorities.size() < count) priorities.push_back(rng.next());
  std::vector<uint64_t> sorted = priorities;
  const auto last = sorted.begin() + static_cast<std::ptrdiff_t>(wanted - 1);
  std::nth_element(sorted.begin(), last, sorted.end());
  size_t kept = 0;
  for (uint64_t i = 0; i < count && kept < wanted; ++i) {
    if (priorities[i] > *last) continue;
    priorities[kept++] = priorities[i];
    keep(i);
  }
  priorities.resize(kept);
}

// The largest size at which all sources, cut to it, fit into `total`.
inline uint64_t fair_size(std::vector<uint64_t> sizes, uint64_t total) {
  std::sort(sizes.begin(), sizes.end());
  for (size_t i = 0; i < sizes.size(); ++i) {
    const uint64_t share = total / (sizes.size() - i);
    if (sizes[i] > share) return share;
    total -= sizes[i];
  }
  return sizes.empty() ? 0 : sizes.back();
}

}  // namespace starling::model
