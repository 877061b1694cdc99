// Beacons: the one form they have, what of a datagram is refused and why, and whose are listened
// to.
#include <doctest/doctest.h>

#include "swarm/beacon.h"
#include "tests/swarm/wire_fixture.h"

namespace starling::swarm::wire_test {
namespace {

const SwarmId swarm = filled<16>(9);
const BeaconSalt salt = filled<24>(0x5a);

Beacon beacon_with(uint64_t epoch, uint64_t number, const std::string& address) {
  Beacon beacon;
  beacon.epoch = epoch;
  beacon.number = number;
  beacon.address = address;
  return beacon;
}

Bytes some_datagram() {
  return seal_beacon(beacon_with(300, 7, "192.0.2.7:7411"), swarm, Keys(2).signer(), salt);
}

TEST_CASE("a beacon comes back as it was sealed, byte for byte as it was committed") {
  const Bytes datagram = some_datagram();
  CHECK(hex(datagram) == golden("beacon", datagram));
  const auto beacon = unseal_beacon(datagram, swarm);
  REQUIRE(beacon);
  CHECK(beacon->origin == Keys(2).public_key);
  CHECK(beacon->epoch == 300);
  CHECK(beacon->number == 7);
  CHECK(beacon->address == "192.0.2.7:7411");
  CHECK(is_signed(*beacon, swarm));
}

TEST_CASE("a stranger finds neither the swarm nor the member nor the address in a beacon") {
  const Bytes datagram = some_datagram();
  const std::string seen(datagram.begin(), datagram.end());
  const auto shows = [&](ByteView bytes) {
    return seen.find(std::string(bytes.begin(), bytes.end())) != std::string::npos;
  };
  CHECK(shows(salt));
  CHECK_FALSE(shows(ByteView(swarm).first(4)));
  CHECK_FALSE(shows(ByteView(Keys(2).public_key).first(4)));
  CHECK_FALSE(shows(bytes_of("192.0.2")));
}

TEST_CASE("every truncation of a beacon is refused, and so is a byte too many") {
  const Bytes datagram = some_datagram();
  for (size_t size = 0; size < datagram.size(); ++size)
    CHECK_FALSE(unseal_beacon(ByteView(datagram).first(size), swarm));
  CHECK(unseal_beacon(ByteView(datagram).first(0), swarm).error() == DropReason::truncated);
  CHECK(unseal_beacon(ByteView(datagram).first(40), swarm).error() == DropReason::truncated);
  CHECK_FALSE(unseal_beacon(joined({datagram, {0}}), swarm));
}

TEST_CASE("a beacon with any byte changed is no beacon of this swarm") {
  const Bytes datagram = some_datagram();
  for (size_t i = 0; i < datagram.size(); ++i) {
    Bytes wrong = datagram;
    wrong[i] ^= 0x10;
    const auto beacon = unseal_beacon(wrong, swarm);
    REQUIRE_FALSE(beacon);
    CHECK(beacon.error() == (i == 0 ? DropReason::bad_version : DropReason::wrong_swarm));
  }
  CHECK(unseal_beacon(datagram, filled<16>(8)).error() == DropReason::wrong_swarm);
}

TEST_CASE(
    "the largest beacon fits its bound, which fits any network, and a larger one is refused") {
  const std::string longest(beacon_address_size_max, '1');
  const Bytes datagram = seal_beacon(beacon_with(1, 1, longest), swarm, Keys(2).signer(), salt);
  CHECK(datagram.size() == beacon_size_max);
  CHECK(beacon_size_max < 500);
  CHECK(unseal_beacon(datagram, swarm));
  Bytes larger = joined({datagram, {0}});
  CHECK(unseal_beacon(larger, swarm).error() == DropReason::oversized);
}

TEST_CASE("a beacon that its origin did not sign, or for another swarm, is not signed") {
  auto beacon = unseal_beacon(some_datagram(), swarm);
  REQUIRE(beacon);
  CHECK_FALSE(is_signed(*beacon, filled<16>(8)));
  Beacon moved = *beacon;
  moved.address = "192.0.2.8:7411";
  CHECK_FALSE(is_signed(moved, swarm));
  Beacon other = *beacon;
  other.origin = Keys(3).public_key;
  CHECK_FALSE(is_signed(other, swarm));
}

// ---- Listening

class Ear {
 public:
  Result<Heard, DropReason> hear(uint64_t epoch, uint64_t number,
                                 const std::string& address = "192.0.2.7:7411",
                                 uint8_t origin = 2) {
    return ear.hear(
        seal_beacon(beacon_with(epoch, number, address), swarm, Keys(origin).signer(), salt),
        "192.0.2.7", now);
  }
  Instant now{1000};
  BeaconEar ear{swarm, Keys(1).public_key, now};
};

TEST_CASE("who is heard is named with its address; the own beacon is not") {
  Ear ear;
  const auto heard = ear.hear(5, 1);
  REQUIRE(heard);
  CHECK(heard->peer == peer_id_of(Keys(2).public_key));
  CHECK(heard->address == "192.0.2.7:7411");
  CHECK(ear.hear(5, 1, "192.0.2.7:7411", 1).error() == DropReason::duplicate);
}

TEST_CASE("a beacon counts once, in any order, and none of an earlier boot") {
  Ear ear;
  CHECK(ear.hear(5, 3));
  CHECK(ear.hear(5, 3).error() == DropReason::replayed);
  CHECK(ear.hear(5, 2));
  CHECK(ear.hear(5, 2).error() == DropReason::replayed);
  CHECK(ear.hear(4, 9).error() == DropReason::replayed);
  CHECK(ear.hear(6, 1));
  CHECK(ear.hear(5, 4).error() == DropReason::replayed);
}

TEST_CASE("a beacon counts only if it comes from the host that it names") {
  Ear ear;
  uint64_t number = 0;
  for (const char* address :
       {"192.0.2.8:7411", "192.0.2.70:7411", "192.0.2.7", "192.0.2.7:", "192.0.2.7:0",
        "192.0.2.7:65536", "192.0.2.7:07411", "192.0.2.7:74x", "192.0.2.7:+1", ""}) {
    CAPTURE(address);
    CHECK(ear.hear(5, ++number, address).error() == DropReason::unexpected);
  }
  CHECK(ear.hear(5, ++number, "192.0.2.7:65535"));
}

TEST_CASE("a forged beacon does not spend the number of a true one") {
  Ear ear;
  const Beacon beacon = beacon_with(5, 1, "192.0.2.7:7411");
  const Keys member(2);
  const Bytes good = seal_beacon(beacon, swarm, member.signer(), salt);
  // Somebody who knows the swarm, and signs in the name of another: its seed, the other's key.
  std::array<uint8_t, 64> mixed = Keys(3).secret;
  std::copy(member.public_key.begin(), member.public_key.end(), mixed.begin() + 32);
  const Bytes forged = seal_beacon(beacon, swarm, Signer(mixed.data()), salt);
  CHECK(ear.ear.hear(forged, "192.0.2.7", ear.now).error() == DropReason::bad_signature);
  CHECK(ear.ear.hear(good, "192.0.2.7", ear.now));
}

TEST_CASE("a flood is cut before anything is unsealed, and told when to look again") {
  Ear ear;
  const Bytes noise(100, 1);
  size_t looked_at = 0;
  while (ear.ear.hear(noise, "192.0.2.7", ear.now).error() != DropReason::rate_limited) ++looked_at;
  CHECK(looked_at == static_cast<size_t>(beacon_rate.burst));
  const Instant ready = ear.ear.ready_at(ear.now);
  CHECK(ready > ear.now);
  CHECK(ready <= ear.now.after(10));
  ear.now = ready;
  CHECK(ear.hear(5, 1));
}

TEST_CASE("one who knows the swarm cannot have more signatures checked than the limit") {
  Ear ear;
  int64_t checked = 0;
  for (int64_t i = 0; i < 2 * beacon_check_rate.burst; ++i) {
    const auto heard = ear.hear(5, static_cast<uint64_t>(i) + 1);
    checked += heard ? 1 : 0;
    if (!heard) CHECK(heard.error() == DropReason::rate_limited);
  }
  CHECK(checked == beacon_check_rate.burst);
}

TEST_CASE("the numbers of so many origins are remembered, those heard last") {
  Ear ear;
  const auto signer_of = [](size_t i) {
    std::array<uint8_t, 32> seed{};
    seed[0] = static_cast<uint8_t>(i);
    seed[1] = static_cast<uint8_t>(i >> 8);
    seed[2] = 1;
    PublicKey key{};
    std::array<uint8_t, 64> secret{};
    crypto_sign_seed_keypair(key.data(), secret.data(), seed.data());
    return secret;
  };
  const auto hear = [&](size_t i) {
    ear.now = ear.now.after(1000);
    const auto secret = signer_of(i);
    return ear.ear.hear(
        seal_beacon(beacon_with(5, 1, "192.0.2.7:7411"), swarm, Signer(secret.data()), salt),
        "192.0.2.7", ear.now);
  };
  for (size_t i = 0; i <= beacon_origins_max; ++i) REQUIRE(hear(i));
  CHECK(hear(1).error() == DropReason::replayed);
  CHECK(hear(0));  // made room for the last one
}

}  // namespace
}  // namespace starling::swarm::wire_test
