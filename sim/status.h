#pragma once
// What `starling status --json` and `starling eval --json` print, as far as the launcher needs it.
#include <cstdint>
#include <optional>
#include <string>

namespace starling::sim {

struct NodeStatus {
  std::string state;
  uint64_t parameters = 0, step = 0;
  double loss = 0;  // bits per predicted position; 0: none yet
  uint64_t members = 0, neighbours = 0, sent_bytes = 0, received_bytes = 0, accepted = 0, held = 0;
  std::string base_hash;
  uint64_t deltas = 0;
  double bits_per_parameter = 0;
  bool is_finished = false;
};

// Nothing when the text is no such object. Numbers may be quoted, as protobuf's JSON quotes 64-bit
// ones.
std::optional<NodeStatus> parse_status(const std::string& json);
// The number behind a key of a flat object; nothing when it is not there.
std::optional<double> parse_number(const std::string& json, const std::string& key);

}  // namespace starling::sim
