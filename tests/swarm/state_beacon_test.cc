// What a beacon that was heard leads to.
#include "tests/swarm/state_desk.h"

namespace starling::swarm::state_test {
namespace {

constexpr const char* place = "192.0.2.30:7411";

std::vector<Open> hear(Desk& desk, const Peer& peer) {
  return all_of<Open>(desk.put(Heard{peer.id, place}));
}

TEST_CASE("whose beacon is heard is dialled there, and nobody else is taken for it") {
  Desk desk;
  const Peer ada(3);
  const auto opens = hear(desk, ada);
  REQUIRE(opens.size() == 1);
  CHECK(opens[0].address == place);
  CHECK(opens[0].expected == ada.id);
  CHECK_FALSE(desk.state->is_member(ada.keys.public_key));  // it is a hint, no more
}

TEST_CASE("neither oneself, nor a neighbour, nor who is shut out is dialled for a beacon") {
  Desk desk;
  Peer ada(3);
  const Peer bob(4), eve(5);
  CHECK(hear(desk, desk.self).empty());
  desk.link(ada, {"192.0.2.9:7411"});
  CHECK(hear(desk, ada).empty());
  desk.put(Ban{bob.id});
  CHECK(hear(desk, bob).empty());
  desk.put(Revoke{revoke(RevokedKind::node, eve.id.bytes, desk.root.signer())});
  CHECK(hear(desk, eve).empty());
}

TEST_CASE("a member that moved is found by its beacon while there are few links") {
  Desk desk;
  Peer ada(3);
  desk.link(ada, {"192.0.2.9:7411"});
  desk.put(LinkDown{ada.id, "connection lost"});
  desk.pass(60000);
  desk.put(DialFailed{"192.0.2.9:7411", "no route to host"});
  const auto opens = hear(desk, ada);
  REQUIRE(opens.size() == 1);
  CHECK(opens[0].address == place);
  // That nobody answers at the address of a beacon says nothing of the member.
  const std::string reason = desk.view_of(ada).lost_reason;
  desk.put(DialFailed{place, "connection refused"});
  CHECK(desk.view_of(ada).lost_reason == reason);
}

// Of `strangers` beacons how many are dialled with as many links as the bound allows.
size_t dialled_when_full(uint8_t strangers) {
  Config config;
  config.active_view_max = 4;
  Desk desk(config);
  std::vector<Peer> crowd;
  for (uint8_t i = 0; i < 16; ++i) crowd.emplace_back(static_cast<uint8_t>(100 + i));
  for (Peer& peer : crowd) desk.link(peer, {"192.0.2.9:" + std::to_string(1 + peer.id.bytes[0])});
  for (const Peer& peer : crowd) CHECK(hear(desk, peer).empty());  // known: nothing new
  size_t dialled = 0;
  for (uint8_t i = 0; i < strangers; ++i) {
    const Peer stranger(static_cast<uint8_t>(200 + i));
    for (const Open& open : hear(desk, stranger)) dialled += open.expected == stranger.id ? 1 : 0;
    desk.put(DialFailed{place, "connection refused"});
  }
  return dialled;
}

TEST_CASE("with links enough only strangers are dialled, and by some of those who hear them") {
  const size_t dialled = dialled_when_full(50);
  CHECK(dialled > 2);
  CHECK(dialled < 30);
}

}  // namespace
}  // namespace starling::swarm::state_test
