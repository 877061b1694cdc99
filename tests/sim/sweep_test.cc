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

TEST_CASE("what was never reached is told apart from what was") {
  const Spread some = spread_of({2, not_reached, 4});
  CHECK(some.mean == doctest::Approx(3));
  CHECK(some.deviation == doctest::Approx(std::sqrt(2.0)));
  CHECK(some.count == 3);
  CHECK(some.never == 1);
  CHECK(spread_of({not_reached}).never == 1);
}

TEST_CASE("how soon the swarm is near to fedavg is read off between two probes") {
  Outcome outcome;
  outcome.steps_per_exchange = 10;
  CHECK_FALSE(exchanges_to_fedavg(outcome).has_value());
  outcome.standings = {{.name = "swarm", .matrix = {}, .points = {{0, 0}, {100, 0.4}, {200, 0.8}}},
                       {.name = "fedavg", .matrix = {}, .points = {{0, 0}, {200, 0.6}}}};
  // 0.57 is wanted: at step 142.5.
  CHECK(*exchanges_to_fedavg(outcome) == doctest::Approx(14.25));
  outcome.standings[1].points.back().quality = 0.9;
  CHECK(*exchanges_to_fedavg(outcome) == not_reached);
  outcome.standings[1].points.back().quality = 0;  // it has learned nothing
  CHECK_FALSE(exchanges_to_fedavg(outcome).has_value());
  // Bits per byte: 2.1 is wanted.
  outcome.is_text = true;
  outcome.standings[0].points = {{0, 8}, {100, 3}, {200, 1}};
  outcome.standings[1].points.back().quality = 2;
  CHECK(*exchanges_to_fedavg(outcome) == doctest::Approx(14.5));
  outcome.standings[0].points = {{50, 2}};
  CHECK(*exchanges_to_fedavg(outcome) == doctest::Approx(5));
}

TEST_CASE("the page of a sweep draws each figure over each key that has numbers") {
  Sweep sweep{.scenario = "growth",
              .variations = {{"run.nodes", {"1", "2", "16"}}},
              .seeds = {1, 2},
              .rows = {}};
  for (const double quality : {0.2, 0.4, 0.8}) {
    const std::string& nodes = sweep.variations[0].values[sweep.rows.size()];
    sweep.rows.push_back({.setting = {nodes},
                          .figures = {{"swarm", {quality, quality + 0.1}}, {"fedavg", {0.5, 0.5}}},
                          .runs = 2});
  }
  sweep.rows[2].figures[exchanges_figure] = {not_reached, 7};
  const auto count = [](const std::string& page, const std::string& what) {
    size_t found = 0;
    for (size_t at = 0; (at = page.find(what, at)) != std::string::npos; ++at) ++found;
    return found;
  };
  const std::string page = to_html(sweep);
  CHECK(page.find("quality over run.nodes") != std::string::npos);
  CHECK(count(page, "<circle") == 6);           // two figures, three values
  CHECK(count(page, "class=\"spread\"") == 3);  // fedavg has none
  CHECK(count(page, ">swarm</text>") == 1);
  CHECK(page.find("7.0 +- 0.0, never in 1 of 2") != std::string::npos);
  // From 1 to 16 on doublings: 2 lies a quarter of the way.
  CHECK(page.find("<circle cx=\"211.0\"") != std::string::npos);
  // Fed with a second key there is a picture of each figure, with a curve for each of its values.
  sweep.variations.push_back({"deal.partition", {"iid", "natural"}});
  const std::vector<SweepRow> rows = std::exchange(sweep.rows, {});
  for (SweepRow row : rows) {
    row.setting.push_back("iid");
    sweep.rows.push_back(row);
    row.setting.back() = "natural";
    sweep.rows.push_back(row);
  }
  const std::string both = to_html(sweep);
  CHECK(count(both, ">deal.partition iid</text>") == 3);  // swarm, fedavg, exchanges
  CHECK(count(both, "over deal.partition") == 0);         // no numbers
  CHECK(both.find("aria-label=\"fedavg over run.nodes\"") != std::string::npos);
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
  CHECK(read_file(folder / "out/sweep.html").find("MB a node over run.nodes") != std::string::npos);
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
  const Output missing = sim({"sweep", "SCENARIO", "--vary", "run.nodes=2,3", "--vary",
                              "learn.kind=text", "--vary", "learn.texts=" + (folder / "none")},
                             folder);
  CHECK(missing.exit.code == 78);
  CHECK(missing.text.empty());
  CHECK(missing.errors == "starling sim: learn.texts: " + (folder / "none") +
                              ": No such file or directory; correct the path or put it there\n");
  folder.write("small.yaml", "learn:\n  kind: table\n  table: none\n");
  const Output named = sim({"sweep", "SCENARIO", "--vary", "run.nodes=2"}, folder);
  CHECK(named.exit.code == 78);
  CHECK(named.errors.find("small.yaml:3: learn.table: ") != std::string::npos);
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

}  // namespace starling::sim
