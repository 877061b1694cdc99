#pragma once
// When links of a run broke, why, and whose: counts, so that it stays small however many they are.
#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

namespace starling::sim {

// Names of causes live as long as the program:
//   loss       the stream gave up after too many lost packets
//   partition  the two were parted; one way: one of them heard nothing of the other
//   pause      one of them stood still, which the other noticed or it did itself when it woke
//   silence    one heard nothing of the other for too long, and none of these was the case
//   crash      one of them crashed; departure: it went away, be it with a word or without
//   attack     a hostile one cut it
//   protocol   a node closed it as the protocol has it: no room, another link is better,
//   misbehaviour
class BreakCounts {
 public:
  static constexpr size_t spans_max = 64;

  void add(double second, std::string_view cause, uint32_t node, uint32_t other);
  // How long each span of time is: doubled whenever there would be too many of them.
  double span_s() const { return span_s_; }
  // Of each cause that there was a count for each span, from the begin of the run on.
  const std::map<std::string_view, std::vector<uint64_t>>& by_cause() const { return by_cause_; }
  // Of each node up to the last one that lost any, the links that it lost.
  const std::vector<uint64_t>& by_node() const { return by_node_; }

 private:
  double span_s_ = 1;
  std::map<std::string_view, std::vector<uint64_t>> by_cause_;
  std::vector<uint64_t> by_node_;
};

}  // namespace starling::sim
