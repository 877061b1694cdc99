#include "sim/break_counts.h"

#include <algorithm>
#include <utility>

namespace starling::sim {
namespace {

void merge_pairs(std::vector<uint64_t>& counts) {
  for (size_t i = 0; i < counts.size(); ++i) {
    const uint64_t count = std::exchange(counts[i], 0);
    counts[i / 2] += count;
  }
  counts.resize((counts.size() + 1) / 2);
}

}  // namespace

void BreakCounts::add(double second, std::string_view cause, uint32_t node, uint32_t other) {
  while (second >= span_s_ * static_cast<double>(spans_max)) {
    span_s_ *= 2;
    for (auto& [name, counts] : by_cause_) merge_pairs(counts);
  }
  const auto span = static_cast<size_t>(second / span_s_);
  std::vector<uint64_t>& counts = by_cause_[cause];
  counts.resize(std::max(counts.size(), span + 1));
  ++counts[span];
  by_node_.resize(std::max<size_t>(by_node_.size(), std::max(node, other) + size_t{1}));
  ++by_node_[node];
  ++by_node_[other];
}

}  // namespace starling::sim
