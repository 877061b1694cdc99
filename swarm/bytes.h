#pragma once
// Byte strings as the swarm passes them, and the fixed-size values found in them.
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace starling::swarm {

using Bytes = std::vector<uint8_t>;
using ByteView = std::span<const uint8_t>;
using SharedBytes =
    std::shared_ptr<const Bytes>;           // an immutable frame, shared by queue, log and links
using Digest = std::array<uint8_t, 32>;     // BLAKE2b-256
using ShortHash = std::array<uint8_t, 16>;  // the first half of one
using PublicKey = std::array<uint8_t, 32>;  // Ed25519
using Signature = std::array<uint8_t, 64>;  // Ed25519

Digest blake2b(ByteView bytes);  // swarm/envelope.cc
ShortHash short_hash(const Digest& digest);

}  // namespace starling::swarm
