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
    CHECK(world.run_until([&] { return world.is_converged(); }, 120000));
    check_each_delivered_once(world);
  }
}

}  // namespace
}  // namespace starling::swarm::state_test
