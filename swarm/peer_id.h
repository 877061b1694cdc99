#pragma once
// Who a node is: its Ed25519 public key, and the short id that people read.
// id = first 20 bytes of BLAKE2b-256("starling-id-v1" || public key), base32 in groups with check
// characters.
#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "swarm/bytes.h"

namespace starling::swarm {

struct PeerId {
  std::array<uint8_t, 20> bytes{};
  // As the bytes compare one by one. Maps ask this more often than anything else, and the first
  // eight bytes of two ids, which are hashes, nearly always tell.
  friend std::strong_ordering operator<=>(const PeerId& a, const PeerId& b) {
    if (const auto order = a.word(0) <=> b.word(0); order != 0) return order;
    if (const auto order = a.word(8) <=> b.word(8); order != 0) return order;
    return a.word(12) <=> b.word(12);  // overlaps what is equal
  }
  friend bool operator==(const PeerId& a, const PeerId& b) {
    return a.word(0) == b.word(0) && a.word(8) == b.word(8) && a.word(12) == b.word(12);
  }

 private:
  // Eight bytes from `first` on, big endian: one load and a swap.
  uint64_t word(size_t first) const {
    const auto at = [&](size_t i) { return uint64_t{bytes[first + i]}; };
    return at(0) << 56 | at(1) << 48 | at(2) << 40 | at(3) << 32 | at(4) << 24 | at(5) << 16 |
           at(6) << 8 | at(7);
  }
};

PeerId peer_id_of(const PublicKey& key);
std::string to_string(const PeerId& id);                     // the full form with check characters
std::string short_string(const PeerId& id);                  // its first group, for tables and logs
std::optional<PeerId> parse_peer_id(std::string_view text);  // checks the check characters

}  // namespace starling::swarm
