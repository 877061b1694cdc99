// What it costs to bring every delta to everybody over lines that lose, double, delay and reorder.
#include <doctest/doctest.h>

#include "swarm/score.h"
#include "tests/swarm/state_world.h"

namespace starling::swarm::state_test {
namespace {

constexpr size_t members = 12;
constexpr size_t deltas_each = 10;
constexpr int64_t round_ms = 10000;  // each publishes once

struct Cost {
  double bytes = 0;  // sent for each byte that had to be, control included
  double bodies = 0;
  int64_t rounds = 0;  // until everybody had everything, after the last was published
};

Cost cost_of(uint64_t seed, const Faults& faults) {
  World world(seed, faults);
  world.delta_size = 32u << 10;
  world.fill(members);
  world.run_for(60000);
  const auto sent = [&] {
    uint64_t bytes = 0;
    for (const auto& node : world.nodes) bytes += node->state->budget(world.now).today.sent_bytes;
    return bytes;
  };
  const uint64_t before = sent();
  for (size_t i = 0; i < deltas_each; ++i) {
    for (const auto& node : world.nodes) node->publish();
    world.run_for(round_ms);
  }
  Cost cost;
  for (; !world.is_converged() && cost.rounds < 60; ++cost.rounds) world.run_for(round_ms);
  REQUIRE(world.is_converged());
  uint64_t bodies = 0, accepted = 0;
  for (const auto& node : world.nodes) {
    bodies += node->bodies;
    accepted += node->state->counters().accepted;
    for (const auto& [key, times] : node->deliveries) CHECK(times == 1);
    for (const auto& [peer, score] : node->state->scores(world.now)) CHECK(score > score_floor / 2);
  }
  CHECK(accepted == members * (members - 1) * deltas_each);
  cost.bytes = static_cast<double>(sent() - before) /
               static_cast<double>(accepted * world.delta_size);
  cost.bodies = static_cast<double>(bodies) / static_cast<double>(accepted);
  return cost;
}

Faults weather(double loss, int64_t delay_max_ms) {
  return {.loss = loss,
          .duplication = 0.1,
          .delay_min_ms = 1,
          .delay_max_ms = delay_max_ms,
          .is_ordered = false};
}

TEST_CASE("loss, duplicates and disorder cost at most twice the bytes, and ten rounds") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    for (const int64_t delay_max_ms : {30, 800, 2000}) {
      CAPTURE(seed);
      CAPTURE(delay_max_ms);
      const Cost some = cost_of(seed, weather(0.1, delay_max_ms));
      CHECK(some.bytes <= 1.5);
      CHECK(some.rounds <= 3);
      const Cost much = cost_of(seed, weather(0.3, delay_max_ms));
      CHECK(much.bytes <= 2);
      CHECK(much.rounds <= 10);
    }
  }
}

// A pull that is not answered within five seconds goes to the next neighbour, so more comes twice.
TEST_CASE("over lines that delay by up to ten seconds nobody is blamed for it") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    const Cost late = cost_of(seed, weather(0, 10000));
    CHECK(late.bytes <= 2.5);
    CHECK(late.rounds <= 3);
    const Cost lost = cost_of(seed, weather(0.3, 10000));
    CHECK(lost.bytes <= 2.5);
    CHECK(lost.rounds <= 10);
  }
}

}  // namespace
}  // namespace starling::swarm::state_test
