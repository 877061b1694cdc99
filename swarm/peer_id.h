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
  friend auto operator<=>(const PeerId&, const PeerId&) = default;
};

PeerId peer_id_of(const PublicKey& key);
std::string to_string(const PeerId& id);                     // the full form with check characters
std::string short_string(const PeerId& id);                  // its first group, for tables and logs
std::optional<PeerId> parse_peer_id(std::string_view text);  // checks the check characters

}  // namespace starling::swarm
