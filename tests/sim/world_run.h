#pragma once
// A short run of the simulated world, for tests.
#include <doctest/doctest.h>

#include "sim/world.h"

namespace starling::sim {

// A world with what it needs to live.
struct Run {
  explicit Run(const std::string& yaml, uint64_t seed = 1, uint32_t threads = 1)
      : Run(*parse_scenario(yaml, "test.yaml"), seed, threads) {}
  Run(const Scenario& with, uint64_t seed, uint32_t threads)
      : scenario(with),
        lessons(*deal_lessons(scenario, seed)),
        course(make_course(scenario)),
        world(scenario, course, lessons, {.seed = seed, .threads = threads}) {
    world.run([] { return true; });
  }
  uint64_t happened(std::string_view what) const {
    const auto found = world.sometimes.find(what);
    return found == world.sometimes.end() ? 0 : found->second;
  }
  void check_all() const {
    for (const auto& [name, outcome] : world.checker.outcomes())
      CHECK_MESSAGE(outcome.failures == 0, "seed ", world.seed, ", ", name, ": ", outcome.first);
  }
  Scenario scenario;
  Lessons lessons;
  Course course;
  World world;
};

inline const std::string synthetic = "learn: {kind: synthetic, steps: 200, step_ms: 1000}\n";
inline const std::string micro =
    "learn: {kind: skills, model: micro, steps: 40, questions: 4, rows: 2, length: 64}\n";

}  // namespace starling::sim
