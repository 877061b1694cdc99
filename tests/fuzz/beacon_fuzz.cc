// First byte 0: a datagram as it comes. 1: what is inside of one, sealed here, because no mutation
// would ever guess a seal. What is read from it says the same bytes again.
#include <sodium.h>

#include <algorithm>

#include "swarm/beacon.h"
#include "swarm/wire.h"

namespace {
using namespace starling::swarm;

const SwarmId swarm{1, 2, 3};

Bytes sealed(ByteView body) {
  constexpr std::string_view domain = "starling-beacon-v1";
  Digest key{};
  crypto_generichash(key.data(), key.size(), reinterpret_cast<const uint8_t*>(domain.data()),
                     domain.size(), swarm.data(), swarm.size());
  constexpr size_t head_size = 25;
  Bytes datagram(head_size + body.size() + crypto_aead_xchacha20poly1305_ietf_ABYTES, 7);
  datagram[0] = 1;
  crypto_aead_xchacha20poly1305_ietf_encrypt(datagram.data() + head_size, nullptr, body.data(),
                                             body.size(), datagram.data(), 1, nullptr,
                                             datagram.data() + 1, key.data());
  return datagram;
}

Bytes body_of(const Beacon& beacon) {
  Writer writer;
  writer.raw(beacon.origin);
  writer.u64(beacon.epoch);
  writer.u64(beacon.number);
  writer.text(beacon.address, beacon_address_size_max);
  writer.raw(beacon.signature);
  return writer.take();
}

void listen(ByteView datagram) {
  BeaconEar ear(swarm, PublicKey{}, Instant{0});
  const auto first = ear.hear(datagram, "192.0.2.7", Instant{0});
  const auto second = ear.hear(datagram, "192.0.2.7", Instant{1});
  assert(!second && (!first || second.error() == DropReason::replayed));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  const ByteView input(bytes + 1, size - 1);
  const Bytes datagram = bytes[0] == 1 ? sealed(input) : Bytes(input.begin(), input.end());
  listen(datagram);
  const auto beacon = unseal_beacon(datagram, swarm);
  if (!beacon || bytes[0] != 1) return 0;
  const Bytes again = body_of(*beacon);
  assert(std::equal(again.begin(), again.end(), input.begin(), input.end()));
  return 0;
}
