// What a member did wrong is counted against it and told, and a flood of it is told once a minute.
#include "swarm/refusals.h"
#include "tests/swarm/state_desk.h"

namespace starling::swarm::state_test {
namespace {

PeerId peer_of(uint32_t number) {
  PeerId id;
  for (size_t i = 0; i < 4; ++i) id.bytes[i] = static_cast<uint8_t>(number >> (8 * i));
  return id;
}

TEST_CASE("the first refusal is told at once, those of the next minute together") {
  Refusals refusals;
  const PeerId ada = peer_of(1), bob = peer_of(2);
  CHECK(refusals.add(ada, DropReason::replayed, Instant{0}) == 1);
  for (int64_t ms = 1; ms < 60000; ms += 1000)
    CHECK(refusals.add(ada, DropReason::replayed, Instant{ms}) == 0);
  CHECK(refusals.add(ada, DropReason::rate_limited, Instant{500}) == 1);  // another kind
  CHECK(refusals.add(bob, DropReason::replayed, Instant{500}) == 1);      // another peer
  CHECK(refusals.add(ada, DropReason::replayed, Instant{60000}) == 61);
  CHECK(refusals.add(ada, DropReason::replayed, Instant{60001}) == 0);
  CHECK(refusals.of(ada) == std::map<DropReason, uint64_t>{{DropReason::replayed, 63},
                                                           {DropReason::rate_limited, 1}});
  CHECK(refusals.of(peer_of(3)).empty());
}

TEST_CASE("of more peers than there is room for the one that was silent longest is forgotten") {
  Refusals refusals;
  for (uint32_t i = 0; i < refusing_peers_max; ++i)
    refusals.add(peer_of(i), DropReason::replayed, Instant{1 + i});
  refusals.add(peer_of(0), DropReason::replayed, Instant{5000});
  refusals.add(peer_of(9999), DropReason::replayed, Instant{5001});
  CHECK(refusals.of(peer_of(0)).size() == 1);
  CHECK(refusals.of(peer_of(1)).empty());
  CHECK(refusals.of(peer_of(2)).size() == 1);
  CHECK(refusals.of(peer_of(9999)).size() == 1);
}

TEST_CASE("a flood of messages is counted whole and told once a minute") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.link(bob);
  std::vector<Notice> told;
  const auto flood = [&](int frames) {
    for (int i = 0; i < frames; ++i) {
      for (const Notice& notice : notices_of(desk.tell(ada, {}), Notice::Kind::peer_fault))
        told.push_back(notice);
    }
  };
  flood(300);
  REQUIRE(told.size() == 1);
  CHECK(told[0].peer == ada.id);
  CHECK(told[0].reason == "rate_limited");
  CHECK(told[0].count == 1);
  const uint64_t refused = desk.refused(DropReason::rate_limited);
  CHECK(refused > 150);
  desk.pass(30000);
  flood(300);
  CHECK(told.size() == 1);
  desk.pass(31000);
  flood(300);
  REQUIRE(told.size() == 2);
  CHECK(told[1].count > refused);  // all that came since
  CHECK(desk.view_of(ada).refused ==
        std::map<DropReason, uint64_t>{
            {DropReason::rate_limited, desk.refused(DropReason::rate_limited)}});
  CHECK(desk.view_of(bob).refused.empty());
}

TEST_CASE("replays, floods of deltas, and a broken promise are told as what they are") {
  Config config;
  config.deltas_per_minute_max = 10;
  Desk desk(config);
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.link(bob);
  const auto header = desk.control_header(ada);
  desk.put(ReceivedMessage{ada.id, header, Heartbeat{}});
  const auto again = desk.put(ReceivedMessage{ada.id, header, Heartbeat{}});
  REQUIRE(notices_of(again, Notice::Kind::peer_fault).size() == 1);
  CHECK(notices_of(again, Notice::Kind::peer_fault)[0].reason == "replayed");

  size_t told = 0;
  for (uint64_t seq = 1; seq <= 40; ++seq) {
    for (const Notice& notice : notices_of(desk.push(ada, seq), Notice::Kind::peer_fault)) {
      CHECK(notice.reason == "rate_limited");
      ++told;
    }
  }
  CHECK(told == 1);
  CHECK(desk.view_of(ada).refused ==
        std::map<DropReason, uint64_t>{{DropReason::replayed, 1}, {DropReason::rate_limited, 30}});
}

TEST_CASE("what is no fault is counted and not told") {
  Desk desk;
  Peer ada(10), stranger(30);
  desk.link(ada);
  CHECK(notices_of(desk.push(ada, 1000), Notice::Kind::peer_fault).empty());
  CHECK(notices_of(desk.put(desk.delta(ada, stranger, 1)), Notice::Kind::peer_fault).empty());
  CHECK(desk.view_of(ada).refused ==
        std::map<DropReason, uint64_t>{{DropReason::not_a_member, 1},
                                       {DropReason::too_far_ahead, 1}});
}

TEST_CASE("deltas of one that was shut out, sent on and on, are told once a minute") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.link(bob);
  desk.put(Ban{ada.id});
  size_t told = 0;
  for (uint64_t seq = 1; seq <= 50; ++seq) {
    told += notices_of(desk.put(desk.delta(bob, ada, seq)), Notice::Kind::delta_refused).size();
  }
  CHECK(told == 1);
  for (int i = 0; i < 4; ++i) {
    desk.pass(15000);
    desk.tell(bob, {});
  }
  const auto later = desk.put(desk.delta(bob, ada, 51));
  REQUIRE(notices_of(later, Notice::Kind::delta_refused).size() == 1);
  CHECK(notices_of(later, Notice::Kind::delta_refused)[0].count == 50);
}

TEST_CASE("a fault that costs a delta its place is told of the delta, not of its bearer as well") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  const auto outputs = desk.push(ada, 1, -1.0);
  CHECK(notices_of(outputs, Notice::Kind::delta_refused).size() == 1);
  CHECK(notices_of(outputs, Notice::Kind::peer_fault).empty());
  CHECK(desk.view_of(ada).refused == std::map<DropReason, uint64_t>{{DropReason::bad_norm, 1}});
}

}  // namespace
}  // namespace starling::swarm::state_test
