// What a run's report says and draws.
#include "sim/outcome.h"

#include <doctest/doctest.h>

namespace starling::sim {
namespace {

size_t count(const std::string& page, const std::string& what) {
  size_t found = 0;
  for (size_t at = 0; (at = page.find(what, at)) != std::string::npos; ++at) ++found;
  return found;
}

// The picture of that name, without the rest of the page.
std::string picture(const std::string& page, const std::string& label) {
  const size_t begin = page.find("aria-label=\"" + label + "\"");
  REQUIRE(begin != std::string::npos);
  return page.substr(begin, page.find("</svg>", begin) - begin);
}

Outcome outcome_of(uint32_t nodes) {
  Outcome outcome;
  outcome.scenario = "test";
  outcome.nodes = nodes;
  outcome.virtual_seconds = 100;
  outcome.is_hostile.assign(nodes, 0);
  outcome.is_up.assign(nodes, 1);
  return outcome;
}

}  // namespace

TEST_CASE("every link is a line, every node a dot, in the colour of what it is") {
  Outcome outcome = outcome_of(4);
  outcome.links = {{0, 1}, {0, 2}, {2, 3}};
  outcome.is_hostile[1] = 1;
  outcome.is_up[3] = 0;
  const std::string drawn = picture(to_html(outcome), "links at the end");
  CHECK(count(drawn, "class=\"link\"") == 3);
  CHECK(count(drawn, "class=\"node\"") == 4);
  CHECK(count(drawn, "node 1, hostile") == 1);
  CHECK(count(drawn, "node 3, not up") == 1);
  // From the top to the right, as nodes are a quarter of a turn apart.
  CHECK(drawn.find("x1=\"270.0\" y1=\"30.0\" x2=\"510.0\" y2=\"270.0\"") != std::string::npos);
  const std::string many = to_html(outcome_of(300));
  CHECK(count(picture(many, "links at the end"), "class=\"node\"") == 256);
  CHECK(many.find("The first 256 nodes of 300.") != std::string::npos);
}

TEST_CASE("faults have a row for each kind and a mark at their time") {
  Outcome outcome = outcome_of(3);
  CHECK(to_html(outcome).find("No node and no line was made to fail") != std::string::npos);
  outcome.faults_seen = {
      {10, "crash", 2}, {15, "restart", 2}, {50, "partition", std::nullopt}, {60, "crash", 0}};
  outcome.faults_not_kept = 7;
  const std::string page = to_html(outcome), drawn = picture(page, "faults over time");
  CHECK(count(drawn, "class=\"fault\"") == 4);
  CHECK(count(drawn, ">crash</text>") == 1);
  CHECK(count(drawn, "<title>crash, node 2, 10.0 s</title>") == 1);
  // Half of the time is the middle: 130 + 620 / 2, a point to the left.
  CHECK(drawn.find("class=\"fault\" x=\"439.0\" y=\"53.0\"") != std::string::npos);
  CHECK(page.find("7 later ones are not shown") != std::string::npos);
}

TEST_CASE("counts of broken links keep their sum while their spans grow") {
  BreakCounts breaks;
  for (int second = 0; second < 1000; ++second) breaks.add(second + 0.5, "loss", 0, 2);
  breaks.add(999, "crash", 1, 2);
  CHECK(breaks.span_s() == 16);
  const std::vector<uint64_t>& loss = breaks.by_cause().at("loss");
  REQUIRE(loss.size() == 63);
  for (size_t span = 0; span < 62; ++span) CHECK(loss[span] == 16);
  CHECK(loss[62] == 8);
  CHECK(breaks.by_cause().at("crash")[62] == 1);
  CHECK(breaks.by_node() == std::vector<uint64_t>{1000, 1, 1001});
}

TEST_CASE("broken links have a row for each cause and a cell where there were any") {
  Outcome outcome = outcome_of(3);
  CHECK(to_html(outcome).find("No link broke.") != std::string::npos);
  for (const double second : {10.0, 11.0, 90.0}) outcome.breaks.add(second, "loss", 0, 1);
  outcome.breaks.add(50, "pause", 1, 2);
  const std::string page = to_html(outcome), drawn = picture(page, "links that broke");
  CHECK(count(drawn, "class=\"broken\"") == 3);
  CHECK(count(drawn, ">loss</text>") == 1);
  CHECK(count(drawn, "<title>loss, 10 to 12 s: 2</title>") == 1);
  CHECK(count(drawn, "<title>pause, 50 to 52 s: 1</title>") == 1);
  // A tenth of the time: 130 + 620 / 10.
  CHECK(drawn.find("class=\"broken\" x=\"192.0\" y=\"13.0\" width=\"12.4\"") != std::string::npos);
  CHECK(page.find("Node 1 lost the most: 4.") != std::string::npos);
}

TEST_CASE("bytes are told by kind of message, the most first") {
  Outcome outcome = outcome_of(2);
  outcome.traffic = {{"delta", {.frames = 3, .bytes = 9000}},
                     {"chunk", {.frames = 1, .bytes = 1000}}};
  const std::string page = to_html(outcome);
  const size_t delta = page.find("<th>delta</th><td>3</td><td>9.0</td><td>90.0 %</td>");
  const size_t chunk = page.find("<th>chunk</th><td>1</td><td>1.0</td><td>10.0 %</td>");
  REQUIRE(delta != std::string::npos);
  REQUIRE(chunk != std::string::npos);
  CHECK(delta < chunk);
}

TEST_CASE("quality is drawn over steps, over time, and over bytes of whoever sends some") {
  Outcome outcome = outcome_of(2);
  outcome.tasks = {"de"};
  outcome.own = {{1}, {0}};
  outcome.standings = {
      {.name = "swarm", .matrix = {{0.5}, {0.5}}, .points = {{0, 0, 0, 0}, {40, 0.5, 8, 2000}}},
      {.name = "fedavg", .matrix = {{0.4}}, .points = {{0, 0, 0, 0}, {40, 0.4, 4, 8000}}},
      {.name = "alone", .matrix = {{0.3}, {0.3}}, .points = {{0, 0, 0}, {40, 0.3, 4}}}};
  for (const Standing& standing : outcome.standings) outcome.qualities[standing.name] = {};
  outcome.regions = {"mlp.0.0", "mlp.0.1"};
  outcome.region_usage = {{1, 0.25}, {1, 0.5}};
  const std::string page = to_html(outcome);
  const std::string steps = picture(page, "quality over steps"),
                    time = picture(page, "quality over virtual time"),
                    bytes = picture(page, "quality over bytes");
  for (const std::string& drawn : {steps, time}) {
    for (const char* name : {">swarm<", ">fedavg<", ">alone<"}) CHECK(count(drawn, name) == 1);
  }
  CHECK(count(bytes, ">swarm<") == 1);
  CHECK(count(bytes, ">fedavg<") == 1);
  CHECK(count(bytes, ">alone<") == 0);
  // The swarm's last point: at the end of the steps and of the time, a quarter of the bytes.
  CHECK(steps.find(" 676.0,120.0 ") != std::string::npos);
  CHECK(time.find(" 676.0,120.0 ") != std::string::npos);
  CHECK(bytes.find(" 211.0,120.0 ") != std::string::npos);
  const std::string usage = picture(page, "region usage");
  CHECK(count(usage, "class=\"usage\"") == 4);
  CHECK(usage.find("fill-opacity=\"0.280\"><title>node 0, mlp.0.1: 25 %</title>") !=
        std::string::npos);
  const std::string csv = to_csv(outcome);
  CHECK(csv.find("fedavg,,40.0,,0.4000,8000,,\n") != std::string::npos);
  CHECK(csv.find("alone,,40.0,,0.3000,,,\n") != std::string::npos);
}

}  // namespace starling::sim
