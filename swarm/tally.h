#pragma once
// How many of a bag of numbers are at or above one: for bags of few different numbers, so that
// nobody has to go through all members to count them.
#include <cassert>
#include <cstdint>
#include <map>

namespace starling::swarm {

class Tally {
 public:
  void add(uint64_t number) { ++counts_[number]; }
  // Requires: it is there.
  void remove(uint64_t number) {
    const auto found = counts_.find(number);
    assert(found != counts_.end());
    if (--found->second == 0) counts_.erase(found);
  }
  uint64_t at_least(uint64_t number) const {
    uint64_t count = 0;
    for (auto at = counts_.rbegin(); at != counts_.rend() && at->first >= number; ++at)
      count += at->second;
    return count;
  }
  // The number that `rank` others are at or above. Requires: more than `rank` were added.
  uint64_t from_top(uint64_t rank) const {
    auto at = counts_.rbegin();
    for (; at->second <= rank; ++at) rank -= at->second;
    return at->first;
  }
  uint64_t lowest() const { return counts_.empty() ? 0 : counts_.begin()->first; }  // 0: none
  void clear() { counts_.clear(); }

 private:
  std::map<uint64_t, uint64_t> counts_;
};

}  // namespace starling::swarm
