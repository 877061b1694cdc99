// The byte budget: its bookkeeping, one State that has to keep to it, and a swarm of them.
#include "tests/swarm/state_desk.h"
#include "tests/swarm/state_world.h"

namespace starling::swarm::state_test {
namespace {

constexpr Instant start{1000000};

// ---- Bookkeeping

TEST_CASE("bytes flow in evenly, and not more than a second of them is saved up") {
  ByteBucket bucket(1000, start);
  CHECK(bucket.left(start) == 1000);
  CHECK(bucket.left(start.after(60000)) == 1000);
  bucket.spend(1000, start);
  CHECK(bucket.left(start) == 0);
  CHECK(bucket.ready_at(start) == start.after(1));
  CHECK(bucket.left(start.after(250)) == 250);
  bucket.spend(3000, start.after(250));
  CHECK(bucket.left(start.after(250)) == -2750);
  CHECK(bucket.ready_at(start.after(250)) == start.after(250 + 2751));
  CHECK(bucket.left(bucket.ready_at(start.after(250))) > 0);
}

TEST_CASE("debt is bounded, neither a long sleep nor an absurd rate overflows, and 0 is no limit") {
  ByteBucket bucket(1000, start);
  for (int i = 0; i < 1000; ++i) bucket.spend(UINT64_MAX, start);
  CHECK(bucket.ready_at(start).ms - start.ms == debt_max_s * 1000 + 1);
  CHECK(bucket.left(Instant{INT64_MAX / 2}) == 1000);
  ByteBucket absurd(UINT64_MAX, start);
  absurd.spend(UINT64_MAX, start);
  CHECK(absurd.left(Instant{INT64_MAX / 2}) == static_cast<int64_t>(bytes_per_s_max));
  ByteBucket endless(0, start);
  endless.spend(UINT64_MAX, start);
  CHECK(endless.left(start) == INT64_MAX);
  CHECK(endless.ready_at(start) == start);
}

TEST_CASE("the last minute forgets what is older than a minute") {
  LastMinute minute;
  minute.add(5, start);
  minute.add(7, start.after(30000));
  CHECK(minute.sum(start.after(30000)) == 12);
  CHECK(minute.sum(start.after(65000)) == 7);
  minute.add(1, start.after(600000));
  CHECK(minute.sum(start.after(600000)) == 1);
}

TEST_CASE("a day's bytes count both ways, and anew when the clock on the wall says that it ends") {
  Budget budget({.day_bytes = 10000}, start);
  budget.restore({.sent_bytes = 4000, .received_bytes = 3000});
  budget.follow({.day_left_ms = 5000}, start);
  budget.charge_sent(1000, start);
  CHECK(budget.may_send(0, start));
  budget.charge_received(2000, start);
  CHECK(budget.restraint() == Restraint::day_used);
  CHECK_FALSE(budget.may_send(0, start));
  CHECK(budget.coming_max(1, start) == 0);
  CHECK_FALSE(budget.advance(start.after(4999)));
  CHECK(budget.advance(start.after(5000)));
  CHECK(budget.restraint() == Restraint::none);
  CHECK(budget.view(start.after(5000)).today == DayCount{});
  CHECK(budget.day_ends_at() == start.after(5000 + day_ms));
  CHECK_FALSE(budget.advance(start.after(5000 + 3 * day_ms)));  // nothing had waited for it
  CHECK(budget.day_ends_at() == start.after(5000 + 4 * day_ms));
}

TEST_CASE("own deltas get what control leaves, shared by those who need them; a quarter at least") {
  Budget budget({.up_bytes_per_s = 8000}, start);
  CHECK(budget.own_bytes_per_s(0, start) == 8000);
  CHECK(budget.own_bytes_per_s(4, start) == 2000);
  const Instant later = start.after(60000);
  budget.charge_sent(240000, later.after(-30000));  // 4000 a second over the minute
  CHECK(budget.own_bytes_per_s(4, later) == 1000);
  budget.delta_sent(120000, later.after(-30000));  // half of that were deltas
  CHECK(budget.own_bytes_per_s(4, later) == 1500);
  budget.charge_sent(2400000, later);
  CHECK(budget.own_bytes_per_s(4, later) == 500);
  CHECK(Budget({}, start).own_bytes_per_s(4, start) == 0);  // no bound
  Budget daily({.day_bytes = 20000000}, start);
  daily.restore({.sent_bytes = 1000000, .received_bytes = 1000000});
  daily.follow({.day_left_ms = 1000000}, start);  // half of 18 MB in 1000 s
  CHECK(daily.own_bytes_per_s(3, start) == 3000);
}

// ---- One State

Config limited(const BudgetLimits& limits) {
  Config config;
  config.budget = limits;
  return config;
}

std::vector<Output> publish(Desk& desk, uint64_t seq, size_t size) {
  ReceivedDelta own = desk.delta(desk.self, desk.self, seq);
  own.frame = std::make_shared<const Bytes>(Bytes(size));
  return desk.put(Publish{own.header, own.summary, own.frame});
}

std::vector<Output> arrive(Desk& desk, const Peer& origin, uint64_t seq, size_t size) {
  ReceivedDelta delta = desk.delta(origin, origin, seq);
  delta.frame = std::make_shared<const Bytes>(Bytes(size));
  return desk.put(std::move(delta));
}

size_t asked(const std::vector<Output>& outputs, const Peer& peer) {
  size_t count = 0;
  for (const Pull& pull : sent_to<Pull>(outputs, peer.id)) count += pull.keys.size();
  return count;
}

TEST_CASE("an own delta goes to as many as the budget allows; the others ask and get it later") {
  Desk desk(limited({.up_bytes_per_s = 1000}));
  Peer ada(10), bob(11), cyd(12);
  for (Peer* peer : {&ada, &bob, &cyd}) desk.link(*peer);
  const auto pushed = all_of<SendFrame>(publish(desk, 1, 700));
  REQUIRE(pushed.size() == 2);
  desk.state->charge_sent(1400, desk.now);
  Peer* missed = nullptr;
  for (Peer* peer : {&ada, &bob, &cyd}) {
    if (peer->id != pushed[0].to && peer->id != pushed[1].to) missed = peer;
  }
  CHECK(sent_to<Witness>(desk.pass(desk.config.digest_delay_ms), missed->id).size() == 1);
  CHECK(all_of<SendStored>(desk.say(*missed, Pull{{Desk::key_of(desk.self, 1)}})).empty());
  CHECK(all_of<SendStored>(desk.pass(200)).empty());  // 400 in debt, 150 ms ago
  const auto late = all_of<SendStored>(desk.pass(200));
  REQUIRE(late.size() == 1);
  CHECK(late[0].to == missed->id);
}

TEST_CASE("who was first to get an own delta is not the first the next time") {
  Desk desk(limited({.up_bytes_per_s = 1000}));
  Peer ada(10), bob(11), cyd(12);
  for (Peer* peer : {&ada, &bob, &cyd}) desk.link(*peer);
  std::set<PeerId> first;
  for (uint64_t seq = 1; seq <= 3; ++seq) {
    const auto pushed = all_of<SendFrame>(publish(desk, seq, 1000));
    REQUIRE(pushed.size() == 1);
    first.insert(pushed[0].to);
  }
  CHECK(first.size() == 3);
}

TEST_CASE("what is asked twice is answered once, and what its asker gave up is not answered") {
  Desk desk(limited({.up_bytes_per_s = 1000}));
  Peer ada(10), bob(11);
  desk.link(ada);
  publish(desk, 1, 100);
  publish(desk, 2, 100);
  desk.link(bob);
  desk.pass(1000);
  desk.state->charge_sent(3000, desk.now);
  for (int i = 0; i < 3; ++i) desk.say(bob, Pull{{Desk::key_of(desk.self, 1)}});
  CHECK(all_of<SendStored>(desk.pass(2500)).size() == 1);
  desk.state->charge_sent(8000, desk.now);
  desk.say(bob, Pull{{Desk::key_of(desk.self, 2)}});
  CHECK(all_of<SendStored>(desk.pass(20000)).empty());
}

TEST_CASE("heartbeats go on however deep the debt, at most twice as rare") {
  for (const uint64_t debt : {0, 1000000}) {
    Desk desk(limited({.up_bytes_per_s = 1000}));
    Peer ada(10);
    desk.link(ada);
    desk.state->charge_sent(debt, desk.now);
    desk.pass(5000);
    const size_t count = sent_to<Heartbeat>(desk.pass(20000), ada.id).size();
    CHECK(count >= (debt > 0 ? 4 : 9));
    CHECK(count <= (debt > 0 ? 6 : 11));
  }
}

TEST_CASE("as many deltas are asked for as the budget can take, and none while it is in debt") {
  Desk desk(limited({.down_bytes_per_s = 1000}));
  Peer ada(10), bob(11);
  const auto greeting = sent_to<Hello>(desk.link(ada), ada.id);
  CHECK((greeting.at(0).features & feature_pulls_only) != 0);
  desk.say(ada, Members{{desk.record_of(bob)}});
  desk.tell(ada, vector_of({bob.id, 1}, 5));
  CHECK(asked(desk.pass(1000), ada) == 1);  // of a size not known yet
  ReceivedDelta delta = desk.delta(ada, bob, 1);
  delta.frame = std::make_shared<const Bytes>(Bytes(3000));
  desk.put(delta);
  CHECK(asked(desk.pass(1900), ada) == 0);
  CHECK(asked(desk.pass(200), ada) == 1);
}

TEST_CASE("small deltas are asked for several at a time") {
  Desk desk(limited({.down_bytes_per_s = 1000}));
  Peer ada(10), bob(11);
  desk.link(ada);
  for (uint64_t seq = 1; seq <= 60; ++seq) {
    arrive(desk, ada, seq, 100);
    desk.pass(200);
  }
  desk.say(ada, Members{{desk.record_of(bob)}});
  desk.tell(ada, vector_of({bob.id, 1}, 60));
  const size_t count = asked(desk.pass(300), ada);
  CHECK(count >= 5);
  CHECK(count <= 12);
}

TEST_CASE("in a quiet hour no delta is pushed, asked for or served, and afterwards all of it is") {
  Desk desk(limited({.has_quiet_hours = true}));
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.say(ada, Members{{desk.record_of(bob)}});
  desk.put(Calendar{.is_quiet = true});
  CHECK(desk.state->view(desk.now).restraint == Restraint::quiet_hours);
  auto quiet = desk.publish(1);
  for (Output& output : desk.tell(ada, vector_of({bob.id, 1}, 2))) quiet.push_back(output);
  for (Output& output : desk.say(ada, Pull{{Desk::key_of(desk.self, 1)}})) quiet.push_back(output);
  for (Output& output : desk.pass(20000)) quiet.push_back(output);
  CHECK(all_of<SendFrame>(quiet).empty());
  CHECK(all_of<SendStored>(quiet).empty());
  CHECK(asked(quiet, ada) == 0);
  CHECK(sent_to<Heartbeat>(quiet, ada.id).size() >= 4);
  auto loud = desk.put(Calendar{.is_quiet = false});
  for (Output& output : desk.pass(200)) loud.push_back(output);
  CHECK(asked(loud, ada) == 2);
  CHECK(all_of<SendStored>(desk.say(ada, Pull{{Desk::key_of(desk.self, 1)}})).size() == 1);
}

TEST_CASE("when the day's bytes are used up deltas wait for the next day, unasked") {
  Desk desk(limited({.day_bytes = 100000}));
  Peer ada(10), bob(11);
  Recovered recovered;
  recovered.today = {.sent_bytes = 60000, .received_bytes = 30000};
  desk.put(recovered);
  desk.put(Calendar{.day_left_ms = 8000});
  desk.link(ada);
  desk.say(ada, Members{{desk.record_of(bob)}});
  desk.state->charge_sent(10000, desk.now);
  desk.tell(ada, vector_of({bob.id, 1}, 2));
  CHECK(desk.state->budget(desk.now).restraint == Restraint::day_used);
  CHECK(asked(desk.pass(7000), ada) == 0);
  CHECK(asked(desk.pass(1500), ada) == 2);
  CHECK(desk.state->budget(desk.now).today.sent_bytes == 0);
}

TEST_CASE("chunks of a snapshot are served as the budget allows") {
  Desk desk(limited({.up_bytes_per_s = 100000}));
  Peer ada(10);
  desk.link(ada);
  SnapshotOffer offer;
  offer.size = 3 * chunk_size_max;
  offer.have = vector_of({desk.self.id, desk.self.epoch}, 1);
  desk.publish(1);
  desk.put(SnapshotAvailable{offer});
  CHECK(all_of<SendChunk>(desk.say(ada, ChunkRequest{offer.file_hash, 0})).size() == 1);
  desk.state->charge_sent(chunk_size_max, desk.now);
  CHECK(all_of<SendChunk>(desk.say(ada, ChunkRequest{offer.file_hash, 1})).empty());
  CHECK(all_of<SendChunk>(desk.pass(1500)).empty());
  CHECK(all_of<SendChunk>(desk.pass(500)).size() == 1);
}

TEST_CASE("who wants only what it asks for is not pushed to") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.up(bob);
  Hello hello = desk.hello_of(bob);
  hello.features = feature_pulls_only;
  desk.say(bob, hello);
  const auto pushed = all_of<SendFrame>(desk.publish(1));
  REQUIRE(pushed.size() == 1);
  CHECK(pushed[0].to == ada.id);
  CHECK(sent_to<Witness>(desk.pass(desk.config.digest_delay_ms), bob.id).size() == 1);
}

// ---- A swarm

uint64_t most_within(const std::vector<std::pair<Instant, uint64_t>>& moved, int64_t window_ms) {
  uint64_t sum = 0, most = 0;
  size_t first = 0;
  for (const auto& [at, bytes] : moved) {
    sum += bytes;
    while (at.ms - moved[first].first.ms >= window_ms) sum -= moved[first++].second;
    most = std::max(most, sum);
  }
  return most;
}

TEST_CASE("a swarm with little to send keeps within it, both ways, and comes to the same log") {
  constexpr uint64_t rate = 4096, delta_size = 2000;
  constexpr int64_t window_s = 20;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    CAPTURE(seed);
    World world(seed);
    world.delta_size = delta_size;
    world.fill(6, limited({.up_bytes_per_s = rate, .down_bytes_per_s = rate}));
    REQUIRE(world.run_until([&] { return world.is_meshed(); }, 20000));
    for (const auto& node : world.nodes) node->sent.clear();
    for (const auto& node : world.nodes) node->received.clear();
    for (int i = 0; i < 8; ++i) {
      for (const auto& node : world.nodes) node->publish();
      world.run_for(1500);
    }
    CHECK(world.run_until([&] { return world.is_converged(); }, 120000));
    for (const auto& node : world.nodes) {
      // A second's worth may be saved up, the last delta goes out on the last byte, and control
      // that comes then goes into debt.
      const uint64_t allowed = rate * (window_s + 2) + delta_size;
      CHECK(most_within(node->sent, window_s * 1000) <= allowed);
      CHECK(most_within(node->received, window_s * 1000) <= allowed + delta_size);
      const Counters& counters = node->state->counters();
      CHECK(static_cast<double>(counters.accepted + counters.duplicates) <=
            1.3 * static_cast<double>(counters.accepted));
      CHECK(counters.refused == 0);
    }
  }
}

}  // namespace
}  // namespace starling::swarm::state_test
