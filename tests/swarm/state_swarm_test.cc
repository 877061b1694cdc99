// Stories of several States in one made-up world. Every case prints its seed when it fails.
#include <doctest/doctest.h>

#include "tests/swarm/state_world.h"

namespace starling::swarm::state_test {
namespace {

// Every node publishes `each` deltas over `span_ms`, at instants drawn from the world's seed.
void chatter(World& world, size_t each, int64_t span_ms) {
  for (const auto& node : world.nodes) {
    for (size_t i = 0; i < each; ++i) {
      const auto delay = static_cast<int64_t>(world.rng.below(static_cast<uint64_t>(span_ms)));
      world.at(delay, [&node = *node] {
        if (node.is_up()) node.publish();
      });
    }
  }
}

void check_each_delivered_once(const World& world) {
  for (const auto& node : world.nodes) {
    if (!node->is_up()) continue;
    CHECK(node->deliveries.size() == world.published.size());
    for (const auto& [key, times] : node->deliveries) CHECK(times == 1);
  }
}

TEST_CASE(
    "a swarm of 2 to 8 nodes that know one seed links all with all and comes to the same log") {
  for (size_t count = 2; count <= 8; ++count) {
    const uint64_t seed = 1000 + count;
    CAPTURE(seed);
    World world(seed);
    world.fill(count);
    CHECK(world.run_until([&] { return world.is_meshed(); }, 20000));
    chatter(world, 10, 5000);
    world.run_for(5000);
    CHECK(world.run_until([&] { return world.is_converged(); }, 10000));
    check_each_delivered_once(world);
    for (const auto& node : world.nodes) {
      CHECK(node->state->counters().refused == 0);
      CHECK(node->state->view(world.now).active_origins == count);
    }
  }
}

TEST_CASE("loss of a third of all frames, duplicates and reordering only make agreement later") {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    World world(seed, {.loss = 0.3,
                       .duplication = 0.1,
                       .delay_min_ms = 1,
                       .delay_max_ms = 200,
                       .is_ordered = false});
    world.fill(2 + seed % 5);
    world.run_for(10000);
    chatter(world, 20, 20000);
    world.run_for(20000);
    CHECK(world.run_until([&] { return world.is_converged(); }, 240000));
    check_each_delivered_once(world);
  }
}

TEST_CASE("a swarm that was parted goes on in both halves, and their logs add up when it heals") {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    World world(seed);
    world.fill(6);
    REQUIRE(world.run_until([&] { return world.is_meshed(); }, 20000));
    world.set_blocked({0, 1, 2}, true);
    chatter(world, 20, 60000);
    world.run_for(70000);
    CHECK_FALSE(world.is_converged());
    CHECK(world.nodes[0]->state_of(*world.nodes[5]) == MemberState::failed);
    CHECK(world.nodes[0]->state_of(*world.nodes[1]) == MemberState::alive);
    CHECK(world.nodes[0]->count(Notice::Kind::peer_lost) == 3);
    CHECK(world.nodes[0]->state->have() == world.nodes[2]->state->have());
    world.set_blocked({}, false);
    CHECK(world.run_until([&] { return world.is_converged(); }, 60000));
    CHECK(world.run_until([&] { return world.is_meshed(); }, 60000));
    check_each_delivered_once(world);
    CHECK(world.nodes[0]->count(Notice::Kind::peer_joined) == 8);
  }
}

TEST_CASE("a node that crashed and came back from its disk has caught up within fifteen seconds") {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    World world(seed);
    world.fill(4);
    world.run_for(5000);
    chatter(world, 30, 30000);
    world.run_for(10000);
    Node& node = *world.nodes[seed % 4];
    node.crash();
    world.run_for(15000);
    node.start();
    world.run_for(15000);
    CHECK(world.is_converged());
    check_each_delivered_once(world);
    node.publish();  // a new boot, a new stream
    CHECK(world.run_until([&] { return world.is_converged(); }, 2000));
  }
}

TEST_CASE("a node that lost its disk gets its own old deltas back from the swarm") {
  World world(3);
  world.fill(3);
  world.run_for(5000);
  chatter(world, 10, 5000);
  world.run_for(8000);
  Node& node = *world.nodes[1];
  node.crash();
  node.filed.clear();
  node.order.clear();
  node.applied = VersionVector();
  node.base = 0;
  node.deliveries.clear();
  node.start();
  CHECK(world.run_until([&] { return world.is_converged(); }, 15000));
  check_each_delivered_once(world);
}

TEST_CASE("who joins late pulls the whole log, from several peers at once") {
  World world(5);
  world.fill(4);
  world.run_for(5000);
  chatter(world, 100, 60000);
  world.run_for(65000);
  Node& late = world.add();
  late.seeds = {world.nodes[0]->address};
  late.start();
  CHECK(world.run_until([&] { return world.is_converged(); }, 20000));
  check_each_delivered_once(world);
  for (const auto& node : world.nodes) CHECK(node->state->counters().refused == 0);
}

TEST_CASE("deltas too large to be pushed are pulled by all, nobody gets one twice") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    World world(seed);
    world.delta_size = 100000;
    world.fill(6);
    REQUIRE(world.run_until([&] { return world.is_meshed(); }, 20000));
    chatter(world, 5, 20000);
    world.run_for(20000);
    CHECK(world.run_until([&] { return world.is_converged(); }, 5000));
    check_each_delivered_once(world);
    for (const auto& node : world.nodes) CHECK(node->state->counters().duplicates == 0);
    // All links are fast: who hears of one from its origin has it before others could tell of it.
    const Filed delta = world.nodes[0]->publish();
    const Instant before = world.now;
    CHECK(world.run_until([&] { return world.is_converged(); }, 1000));
    CHECK(world.now.ms - before.ms < 300);
  }
}

TEST_CASE("in a chain, where each reaches its neighbours only, every delta reaches the far end") {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    CAPTURE(seed);
    World world(seed);
    constexpr size_t count = 6;
    for (size_t a = 0; a < count; ++a) {
      for (size_t b = a + 2; b < count; ++b) world.forbid(a, b);
    }
    for (size_t i = 0; i < count; ++i) {
      Node& node = world.add();
      if (i > 0) node.seeds = {world.nodes[i - 1]->address};
      node.start();
    }
    world.run_for(10000);
    chatter(world, 10, 20000);
    world.run_for(20000);
    CHECK(world.run_until([&] { return world.is_converged(); }, 20000));
    check_each_delivered_once(world);
    Node& first = *world.nodes.front();
    CHECK(first.state->view(world.now).members == count);
    CHECK(first.state->view(world.now).neighbours == 1);
    CHECK(first.state->view(world.now).active_origins == count);  // heard through others
    CHECK(first.lost_reason(*world.nodes.back()).find("connection refused") != std::string::npos);
  }
}

TEST_CASE(
    "nodes of protocol N and N + 1 are one swarm; one that speaks N + 2 only says why it is not") {
  World world(23);
  for (int i = 0; i < 5; ++i) world.add();
  for (const auto& node : world.nodes) {
    if (node->index > 0) node->seeds = {world.nodes[0]->address};
    if (node->index % 2 == 1) node->version_max = protocol_version_max + 1;
  }
  Node& late = *world.nodes[4];
  late.version_min = late.version_max = protocol_version_max + 2;
  for (const auto& node : world.nodes) node->start();
  world.run_for(5000);
  for (size_t i = 0; i < 4; ++i) {
    world.nodes[i]->publish();
    CHECK(world.nodes[i]->state->view(world.now).neighbours == 3);
  }
  const auto has_all = [&](size_t node) {
    return world.nodes[node]->state->have().delta_count() == world.published.size();
  };
  CHECK(
      world.run_until([&] { return has_all(0) && has_all(1) && has_all(2) && has_all(3); }, 5000));
  CHECK(late.state->view(world.now).neighbours == 0);
  // Whichever side says it first.
  CHECK(world.nodes[0]->lost_reason(late).find("no common protocol version") != std::string::npos);
  const size_t dials = late.opens.size();
  world.run_for(120000);
  CHECK(late.opens.size() > dials);  // it stays known, and is tried again: it may be updated
}

TEST_CASE("all know one seed: when it is gone, they still find each other") {
  World world(9);
  world.fill(5);
  REQUIRE(world.run_until([&] { return world.is_meshed(); }, 20000));
  world.nodes[0]->crash();
  Node& back = *world.nodes[3];
  back.crash();
  back.seeds.clear();
  back.start();  // from the members its disk remembers
  CHECK(world.run_until([&] { return back.state->view(world.now).neighbours == 3; }, 60000));
}

// Deltas that came over links for each that was new, after `each` of forty nodes' own.
double bodies_for_each_new(uint64_t seed, const Faults& faults, size_t each) {
  World world(seed, faults);
  world.fill(40);
  world.run_for(60000);
  chatter(world, each, 30000);
  world.run_for(30000);
  for (int second = 0; second < 120 && !world.is_converged(); ++second) world.run_for(1000);
  CHECK(world.is_converged());
  check_each_delivered_once(world);
  uint64_t bodies = 0, accepted = 0;
  for (const auto& node : world.nodes) {
    bodies += node->bodies;
    accepted += node->state->counters().accepted;
  }
  CHECK(accepted == 40 * 39 * each);
  return static_cast<double>(bodies) / static_cast<double>(accepted);
}

TEST_CASE("of forty nodes that all publish, each is sent hardly more deltas than it lacks") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    CHECK(bodies_for_each_new(seed, {}, 5) <= 1.3);
    const Faults slow{.loss = 0.02, .delay_min_ms = 50, .delay_max_ms = 800, .is_ordered = false};
    CHECK(bodies_for_each_new(seed, slow, 5) <= 1.3);
  }
}

TEST_CASE("replaying every frame that was ever received changes nothing") {
  World world(11);
  world.is_recording = true;
  world.fill(3);
  world.run_for(5000);
  chatter(world, 20, 10000);
  world.run_for(20000);
  REQUIRE(world.is_converged());
  world.is_recording = false;
  std::vector<VersionVector> vectors;
  std::vector<std::map<DeltaKey, int>> deliveries;
  for (const auto& node : world.nodes) {
    vectors.push_back(node->state->have());
    deliveries.push_back(node->deliveries);
  }
  size_t deltas = 0;
  const auto replay = [&](const std::pair<PeerId, Input>& frame) {
    deltas += std::holds_alternative<ReceivedDelta>(frame.second) ? 1 : 0;
    world.find(frame.first)->input(frame.second);
    world.run_for(20);
  };
  for (auto at = world.recorded.begin(); at != world.recorded.end(); ++at) replay(*at);
  for (auto at = world.recorded.rbegin(); at != world.recorded.rend(); ++at) replay(*at);
  CHECK(deltas >= 2 * 3 * 40);
  for (size_t i = 0; i < world.nodes.size(); ++i) {
    CHECK(world.nodes[i]->state->have() == vectors[i]);
    CHECK(world.nodes[i]->deliveries == deliveries[i]);
    CHECK(world.nodes[i]->count(Notice::Kind::equivocation) == 0);
  }
  CHECK(world.is_converged());
}

TEST_CASE(
    "two deltas with one number: whoever sees both says so, and nobody applies a second one") {
  World world(13);
  world.fill(3);
  REQUIRE(world.run_until([&] { return world.is_meshed(); }, 20000));
  Node& liar = *world.nodes[2];
  const Filed delta = liar.publish();
  world.run_for(3000);
  Filed other = delta;
  other.header.payload_hash.fill(0xee);
  for (size_t i = 0; i < 2; ++i) {
    world.nodes[i]->input(ReceivedDelta{liar.id, other.header, other.summary, other.frame});
    CHECK(world.nodes[i]->count(Notice::Kind::equivocation) == 1);
    CHECK(world.nodes[i]->state->counters().refused == 1);
  }
  world.run_for(3000);
  CHECK(world.is_converged());
  check_each_delivered_once(world);
}

TEST_CASE("a newcomer takes a snapshot for what the logs forgot, and the tail from the logs") {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    World world(seed, {.loss = seed % 2 == 0 ? 0.1 : 0.0});
    world.fill(3);
    world.run_for(8000);
    chatter(world, 100, 60000);
    world.run_for(90000);
    REQUIRE(world.is_converged());
    for (const auto& node : world.nodes) {
      if (node->index != 2) node->make_snapshot();
      node->forget(200);
    }
    chatter(world, 10, 10000);
    world.run_for(20000);
    Node& late = world.add();
    late.seeds = {world.nodes[0]->address};
    late.start();
    late.publish();  // it has something to say already
    CHECK(world.run_until([&] { return world.is_converged(); }, 90000));
    for (const auto& [key, times] : late.deliveries) CHECK(times == 1);
    CHECK(late.count(Notice::Kind::diverged) == 0);
    CHECK(late.deliveries.size() < world.published.size());  // the rest came with the file
  }
}

TEST_CASE("the sender of a snapshot vanishes half way: the newcomer goes on where it was") {
  World world(17, {.delay_min_ms = 200, .delay_max_ms = 300});
  world.fill(2);
  world.run_for(8000);
  chatter(world, 100, 30000);
  world.run_for(40000);
  REQUIRE(world.is_converged());
  world.nodes[0]->make_snapshot();
  for (const auto& node : world.nodes) node->forget(300);
  Node& late = world.add();
  late.seeds = {world.nodes[0]->address, world.nodes[1]->address};
  late.start();
  // Half of the file: some chunk is saved, the snapshot is not installed.
  REQUIRE(world.run_until([&] { return !late.files.empty(); }, 30000));
  world.nodes[0]->crash();
  world.run_for(10000);
  CHECK(late.state->have().delta_count() < 200);
  world.nodes[0]->start();
  world.nodes[0]->input(SnapshotAvailable{world.snapshots.begin()->second.first});
  CHECK(world.run_until([&] { return world.is_converged(); }, 60000));
  CHECK(late.chunks_saved == 3);  // none was fetched twice
}

TEST_CASE("a swarm of four at rest sends a bounded trickle") {
  World world(19);
  world.fill(4);
  world.run_for(30000);
  uint64_t before = 0, after = 0;
  for (const auto& node : world.nodes) before += node->frames_sent;
  world.run_for(60000);
  for (const auto& node : world.nodes) after += node->frames_sent;
  // 12 directed links, a heartbeat each two seconds, members now and then.
  CHECK(after - before <= 12 * (60 / 2 + 8));
  CHECK(after - before >= 12 * 25);
}

TEST_CASE("the same seed gives the same run") {
  const auto run = [](uint64_t seed) {
    World world(seed, {.loss = 0.2, .duplication = 0.1, .delay_max_ms = 100, .is_ordered = false});
    world.fill(4);
    chatter(world, 10, 20000);
    world.run_for(30000);
    std::vector<uint64_t> sent;
    for (const auto& node : world.nodes) sent.push_back(node->frames_sent);
    return sent;
  };
  CHECK(run(21) == run(21));
  CHECK(run(21) != run(22));
}

}  // namespace
}  // namespace starling::swarm::state_test
