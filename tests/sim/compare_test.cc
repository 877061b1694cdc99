// Two runs side by side, from the files that they left.
#include "sim/compare.h"

#include <doctest/doctest.h>

#include "sim/launcher.h"
#include "sim/outcome.h"
#include "tests/sim/folder.h"

namespace starling::sim {
namespace {

// Two nodes, two tasks; the swarm reaches `quality` everywhere.
Outcome outcome_of(const std::string& scenario, double quality) {
  Outcome outcome;
  outcome.scenario = scenario;
  outcome.nodes = 2;
  outcome.trace = "ab12";
  outcome.is_complete = true;
  outcome.tasks = {"de", "f<r"};
  outcome.own = {{1, 0}, {0, 1}};
  outcome.is_hostile = {0, 0};
  outcome.sent_bytes_per_node = 1.5e6;
  outcome.sometimes["crashes"] = 3;
  outcome.standings.push_back({.name = "swarm",
                               .matrix = {{quality, quality}, {quality, 0}},
                               .points = {{0, 0}, {10, quality}},
                               .is_complete = true});
  outcome.qualities["swarm"] = {quality * 3 / 4, quality, -1};
  return outcome;
}

std::string trouble(const std::string& path) {
  const auto run = read_past_run(path);
  if (run) return "";
  CHECK(run.error().code == ExitCode::bad_data);
  return run.error().message;
}

Output compared(std::vector<std::string> words) {
  Signals signals;
  words.insert(words.begin(), {STARLING_SIM_PROGRAM, "compare"});
  return run(words, std::chrono::seconds(60), signals);
}

}  // namespace

TEST_CASE("two reports come out on one page with what the second has more") {
  Folder folder;
  REQUIRE(write_outcome(outcome_of("calm", 0.4), folder / "a").has_value());
  Outcome later = outcome_of("stormy", 0.6);
  later.standings.push_back({.name = "alone", .matrix = {{0.1, 0.1}, {0.1, 0.1}}, .points = {}});
  later.qualities["alone"] = {0.1, 0.1, 0.1};
  later.checkers["weights_finite"] = {.checks = 4, .failures = 1, .first = "node 1"};
  REQUIRE(write_outcome(later, folder / "b").has_value());
  const Output said = compared({folder / "a/report.json", folder / "b", "--out", folder / "both"});
  INFO(said.text, said.errors);
  CHECK(said.exit.code == 0);
  CHECK(said.text.find("failed checks") != std::string::npos);
  CHECK(said.text.find("30.0 %  45.0 %  +15.0 %") != std::string::npos);
  const std::string page = read_file(folder / "both/compare.html");
  for (const char* part : {"calm", "stormy", "weights_finite", "<td>40.0 %</td><td>60.0 %</td>",
                           "<th>f&lt;r</th><td>20.0 %</td><td>30.0 %</td><td>+10.0 %</td>",
                           "<th>alone</th><td>-</td><td>10.0 %</td><td>-</td>",
                           "<th>crashes</th><td>3</td><td>3</td>", "<polyline", "B swarm"})
    CHECK_MESSAGE(page.find(part) != std::string::npos, part);
  CHECK(page.find("<script") == std::string::npos);
  CHECK(page.ends_with("</html>\n"));
}

TEST_CASE("runs without a model are compared by what they cost") {
  Folder folder;
  Outcome outcome = outcome_of("protocol", 0);
  outcome.standings.clear();
  REQUIRE(write_outcome(outcome, folder / "a").has_value());
  const auto a = read_past_run(folder / "a"), b = read_past_run(folder / "a");
  REQUIRE(a.has_value());
  const auto both = compare(*a, *b);
  REQUIRE(both.has_value());
  CHECK(to_text(*both).find("1.500") != std::string::npos);
  CHECK(to_html(*both).find("What was learned") == std::string::npos);
}

TEST_CASE("what is no report, or cannot be compared, is named and ends with 65") {
  Folder folder;
  CHECK(trouble(folder / "none.json").find("none.json: No such file") != std::string::npos);
  CHECK(trouble(folder.write("no.json", "{\"scenario\": ")).find("is no report of starling sim") !=
        std::string::npos);
  CHECK(trouble(folder.write("other.json", "{\"kind\": \"text\"}"))
            .find("is no report of starling sim run") != std::string::npos);
  CHECK(trouble(folder.write("deep.json", std::string(100000, '['))).find("is no report") !=
        std::string::npos);
  REQUIRE(write_outcome(outcome_of("a", 0.5), folder / "a").has_value());
  Outcome text = outcome_of("b", 2);
  text.is_text = true;
  REQUIRE(write_outcome(text, folder / "b").has_value());
  const Output said = compared({folder / "a", folder / "b", "--out", folder / "both"});
  CHECK(said.exit.code == 65);
  CHECK(said.errors.find("exact_match and ") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder / "both"));
  CHECK(compared({folder / "a", folder / "a", "--out", folder / "no.json/x"}).exit.code == 73);
  folder.write("a/series.csv", "series,second\nswarm,what\n");
  CHECK(trouble(folder / "a").find("series.csv:2: is no row of a series") != std::string::npos);
}

}  // namespace starling::sim
