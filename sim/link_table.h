#pragma once
// The links that are up between simulated nodes, found from either end: each node has few, so its
// own list is searched and not one of all.
#include <cstdint>
#include <vector>

#include "sim/network.h"
#include "swarm/sorted_map.h"

namespace starling::sim {

struct Link {
  uint64_t generation = 0;
  Way ways[2];  // from the lower index, from the higher
};

class LinkTable {
 public:
  explicit LinkTable(size_t nodes) : ends_(nodes) {}

  // Null: there is none. Until the next add().
  Link* find(uint32_t a, uint32_t b) {
    const auto found = ends_[a].find(b);
    return found == ends_[a].end() ? nullptr : &links_[found->second];
  }
  bool contains(uint32_t a, uint32_t b) const { return ends_[a].contains(b); }
  // Requires: there is none yet, and they are two.
  Link& add(uint32_t a, uint32_t b) {
    if (free_.empty()) {
      free_.push_back(static_cast<uint32_t>(links_.size()));
      links_.emplace_back();
    }
    const uint32_t place = free_.back();
    free_.pop_back();
    ends_[a][b] = ends_[b][a] = place;
    return links_[place] = Link();
  }
  bool erase(uint32_t a, uint32_t b) {
    const auto found = ends_[a].find(b);
    if (found == ends_[a].end()) return false;
    free_.push_back(found->second);
    ends_[a].erase(found);
    ends_[b].erase(ends_[b].find(a));
    return true;
  }
  // The other ends of its links, in ascending order, with their places here.
  const swarm::SortedMap<uint32_t, uint32_t>& of(uint32_t node) const { return ends_[node]; }

 private:
  std::vector<swarm::SortedMap<uint32_t, uint32_t>> ends_;
  std::vector<Link> links_;
  std::vector<uint32_t> free_;
};

}  // namespace starling::sim
