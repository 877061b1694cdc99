// Random scenarios, and what is left of one that fails.
#include "sim/fuzz.h"

#include <doctest/doctest.h>

#include <set>

#include "sim/launcher.h"
#include "tests/sim/folder.h"

namespace starling::sim {
namespace {

// Crashes for three minutes, and nothing else that goes wrong.
Scenario lasting() {
  Scenario scenario = random_scenario(3);
  scenario.hostile = {};
  scenario.learn.steps = 200;
  scenario.faults = {};
  scenario.faults.until_s = 180;
  scenario.faults.crash_per_hour = 60;
  return scenario;
}

}  // namespace

TEST_CASE("what fails is shrunk to what it needs to fail") {
  Scenario scenario = random_scenario(3);
  scenario.run.nodes = 10;
  scenario.network.loss = 0.03;
  scenario.network.drop = 0.05;
  size_t tries = 0;
  const Scenario small = shrink(scenario, 200, [&](const Scenario& each) {
    ++tries;
    return each.network.drop > 0 && each.run.nodes >= 3;
  });
  CHECK(small.run.nodes == 3);
  CHECK(small.network.drop == 0.05);
  CHECK(small.network.loss == 0);
  CHECK(small.faults.crash_per_hour == 0);
  CHECK(small.devices.clock_offset_s == 0);
  CHECK(small.faults.session_s == Scenario().faults.session_s);
  CHECK(small.hostile.share == 0);
  CHECK(small.faults.until_s - small.faults.from_s < 2.5);  // of no use here
  CHECK(tries <= 200);
  tries = 0;
  shrink(scenario, 5, [&](const Scenario&) { return ++tries, true; });
  CHECK(tries == 5);
}

TEST_CASE("the time in which things go wrong is narrowed down to when they must") {
  const auto is_needed = [](const Scenario& each) {
    return each.faults.crash_per_hour > 0 && each.faults.from_s <= 37 && each.faults.until_s > 41 &&
           each.learn.steps > 60;
  };
  const Scenario small = shrink(lasting(), 200, is_needed);
  CHECK(is_needed(small));
  CHECK(small.faults.from_s > 34);
  CHECK(small.faults.until_s < 44);
  const auto again = parse_scenario(to_yaml(small), "again.yaml");
  REQUIRE(again.has_value());
  CHECK(again->faults.from_s == small.faults.from_s);
}

TEST_CASE("so is the time of a partition") {
  Scenario scenario = lasting();
  scenario.faults.partition_share = 0.5;
  scenario.faults.partition_from_s = 20;
  scenario.faults.partition_to_s = 150;
  const auto is_needed = [](const Scenario& each) {
    return each.faults.partition_share > 0 && each.faults.partition_from_s <= 60 &&
           each.faults.partition_to_s > 65 && each.learn.steps > 150;
  };
  const Scenario small = shrink(scenario, 200, is_needed);
  CHECK(is_needed(small));
  CHECK(small.faults.partition_from_s > 57);
  CHECK(small.faults.partition_to_s < 69);
  CHECK(small.faults.until_s < 72);
  CHECK(small.faults.from_s > 54);
  CHECK(contradiction(small).empty());
}

TEST_CASE("every attack that means something without a learner is drawn, and no other") {
  std::set<std::string> drawn;
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    const Scenario::Hostile hostile = random_scenario(seed).hostile;
    drawn.insert(hostile.attack);
    CHECK(hostile.strength > 0);
    CHECK(hostile.strength <= 10);
  }
  CHECK(drawn == std::set<std::string>{"none", "sign_flip", "scale", "gaussian", "free_rider",
                                       "alie", "inner_product", "replay", "equivocate",
                                       "selective_drop", "announce", "dissensus", "eclipse",
                                       "sybil_join"});
}

TEST_CASE("random scenarios run and hold") {
  Folder folder;
  Signals signals;
  const Output said = run({STARLING_SIM_PROGRAM, "fuzz", "--seeds", "2", "--out", folder / "out"},
                          std::chrono::seconds(120), signals);
  INFO(said.text, said.errors);
  CHECK(said.exit.code == 0);
  CHECK(said.text == "2 random scenarios, seeds from 1: every check held\n");
}

}  // namespace starling::sim
