#include "sim/sweep.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/fuzz.h"
#include "tests/sim/folder.h"

namespace starling::sim {
namespace {

constexpr const char* tiny_synthetic =
    "run: {nodes: 3}\nlearn: {kind: synthetic, steps: 40, step_ms: 500}\n";

Output sim(std::vector<std::string> words, const Folder& folder) {
  Signals signals;
  words.insert(words.begin(), STARLING_SIM_PROGRAM);
  for (std::string& word : words) {
    if (word == "SCENARIO") word = folder / "small.yaml";
  }
  return run(words, std::chrono::seconds(120), signals);
}

}  // namespace

TEST_CASE("a variation is a key with values, seeds are a range or a list") {
  const auto variation = variation_of("network.loss=0,0.02");
  REQUIRE(variation);
  CHECK(variation->key == "network.loss");
  CHECK(variation->values == std::vector<std::string>{"0", "0.02"});
  CHECK_FALSE(variation_of("network.loss"));
  CHECK_FALSE(variation_of("=3"));
  CHECK(seeds_of("2..4") == std::vector<uint64_t>{2, 3, 4});
  CHECK(seeds_of("7,1") == std::vector<uint64_t>{7, 1});
  CHECK(seeds_of("18446744073709551615..18446744073709551615")->size() == 1);
  for (const char* wrong : {"", "a", "1..", "4..2", "1,,2", "-1", "1..5000"})
    CHECK_FALSE(seeds_of(wrong));
}

TEST_CASE("all combinations are made, and one that cannot be is refused before anything runs") {
  const Scenario scenario;
  const auto cases =
      cases_of(scenario, {{"run.nodes", {"2", "3"}}, {"deal.partition", {"iid", "natural"}}});
  REQUIRE(cases.has_value());
  REQUIRE(cases->size() == 4);
  CHECK((*cases)[1].setting == Setting{"2", "natural"});
  CHECK((*cases)[2].scenario.run.nodes == 3);
  CHECK((*cases)[2].scenario.deal.partition == "iid");
  CHECK(cases_of(scenario, {{"network.los", {"0"}}}).error() ==
        "network.los: unknown key; did you mean network.loss?");
  CHECK(cases_of(scenario, {{"network.loss", {"2"}}}).error() ==
        "network.loss: must be from 0 to 0.5 but is 2");
  CHECK(cases_of(scenario, {{"hostile.share", {"0.2"}}}).error() ==
        "hostile: needs both an attack and a share");
}

TEST_CASE("mean and deviation are those of a sample") {
  const Spread spread = spread_of({1, 2, 3, 6});
  CHECK(spread.mean == doctest::Approx(3));
  CHECK(spread.deviation == doctest::Approx(std::sqrt(14.0 / 3)));
  CHECK(spread_of({5}).deviation == 0);
  CHECK(spread_of({}).count == 0);
}

TEST_CASE("a sweep runs every seed of every combination and leaves its figures") {
  Folder folder;
  folder.write("small.yaml", tiny_synthetic);
  const Output said = sim(
      {"sweep", "SCENARIO", "--vary", "run.nodes=2,4", "--seeds", "1..2", "--out", folder / "out"},
      folder);
  INFO(said.errors);
  CHECK(said.exit.code == 0);
  CHECK(said.text.find("0 of 2") != std::string::npos);
  const auto report = nlohmann::json::parse(read_file(folder / "out/sweep.json"));
  CHECK(report["seeds"] == std::vector<uint64_t>{1, 2});
  REQUIRE(report["rows"].size() == 2);
  const auto& few = report["rows"][0]["figures"]["MB a node"];
  const auto& many = report["rows"][1]["figures"]["MB a node"];
  CHECK(report["rows"][1]["setting"]["run.nodes"] == "4");
  CHECK(few["values"].size() == 2);
  CHECK(many["mean"].get<double>() > few["mean"].get<double>());
}

TEST_CASE("a sweep says what it cannot read") {
  Folder folder;
  folder.write("small.yaml", tiny_synthetic);
  CHECK(sim({"sweep", "SCENARIO", "--vary", "loss"}, folder).exit.code == 2);
  CHECK(sim({"sweep", "SCENARIO", "--vary", "network.loss=0", "--seeds", "x"}, folder).exit.code ==
        2);
  const Output said = sim({"sweep", "SCENARIO", "--vary", "network.lost=0"}, folder);
  CHECK(said.exit.code == 78);
  CHECK(said.errors.find("did you mean network.loss?") != std::string::npos);
}

TEST_CASE("a scenario is written so that it reads back the same") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Scenario scenario = random_scenario(seed);
    REQUIRE(contradiction(scenario).empty());
    const auto again = parse_scenario(to_yaml(scenario), "again.yaml");
    REQUIRE(again.has_value());
    REQUIRE(to_yaml(*again) == to_yaml(scenario));
  }
  Scenario scenario;
  scenario.learn.kind = "text";
  scenario.learn.texts = {"a \"b\\.txt", "c"};
  scenario.learn.baselines = {};
  CHECK(parse_scenario(to_yaml(scenario), "again.yaml")->learn.texts == scenario.learn.texts);
  CHECK(parse_scenario(to_yaml(scenario), "again.yaml")->learn.baselines.empty());
  CHECK(to_yaml(Scenario()).empty());
}

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
  CHECK(small.hostile.share == 0);
  CHECK(tries <= 200);
  tries = 0;
  shrink(scenario, 5, [&](const Scenario&) { return ++tries, true; });
  CHECK(tries == 5);
}

TEST_CASE("random scenarios run and hold") {
  Folder folder;
  const Output said = sim({"fuzz", "--seeds", "2", "--out", folder / "out"}, folder);
  INFO(said.text, said.errors);
  CHECK(said.exit.code == 0);
  CHECK(said.text == "2 random scenarios, seeds from 1: every check held\n");
}

}  // namespace starling::sim
