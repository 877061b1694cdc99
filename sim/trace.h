#pragma once
// The hash of a run: BLAKE2b chained over its events in order. Two runs with one hash have seen the
// same events with the same content at the same instants.
#include <array>
#include <span>
#include <string>

#include "swarm/bytes.h"

namespace starling::sim {

class Trace {
 public:
  void absorb(uint64_t number) {
    std::array<uint8_t, 8> bytes;
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(number >> (8 * i));
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    if (buffer_.size() >= block_size) fold();
  }
  void absorb(swarm::ByteView bytes) {
    absorb(bytes.size());
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    if (buffer_.size() >= block_size) fold();
  }
  // Of all that was absorbed so far. What follows is chained to it, so that when it was asked for
  // counts too; who only looks asks a copy.
  std::string hex() {
    fold();
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const uint8_t byte : std::span(chain_).first(16)) {
      text += digits[byte >> 4];
      text += digits[byte & 15];
    }
    return text;
  }

 private:
  static constexpr size_t block_size = 1 << 16;
  void fold() {
    if (buffer_.empty()) return;
    buffer_.insert(buffer_.end(), chain_.begin(), chain_.end());
    chain_ = swarm::blake2b(buffer_);
    buffer_.clear();
  }
  swarm::Digest chain_{};
  swarm::Bytes buffer_;
};

}  // namespace starling::sim
