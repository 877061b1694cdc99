// What the swarm is compared with.
#include "sim/baselines.h"

#include <doctest/doctest.h>

#include <cmath>

#include "sim/mixing.h"

namespace starling::sim {
namespace {

// Two nodes of different texts, so that a score says more than right or wrong.
Lessons two_texts() {
  Lessons lessons;
  lessons.is_text = true;
  for (const std::string line : {"one two three four\n", "ABC DEF GHI\n"}) {
    Lessons::Own& own = lessons.nodes.emplace_back();
    for (int i = 0; i < 100; ++i) own.text += line;
    own.pieces = {lessons.nodes.size() == 1 ? 1u : 0u, lessons.nodes.size() == 2 ? 1u : 0u};
    lessons.tests.push_back({{}, own.text.substr(0, 300)});
    lessons.tasks.push_back(line);
  }
  return lessons;
}

Standing standing_of(const std::string& name, const std::string& learn = "") {
  const auto scenario = parse_scenario(
      "learn: {model: micro, steps: 40, rows: 2, length: 64" + learn + "}\nrun: {nodes: 2}\n",
      "test.yaml");
  REQUIRE(scenario.has_value());
  return run_baseline(name, make_course(*scenario), two_texts(),
                      {.seed = 1, .threads = 1, .watch = [](double) { return true; }});
}

// Each row of `weights` as a full one.
std::vector<std::vector<double>> whole(const std::vector<std::vector<Share>>& weights) {
  std::vector<std::vector<double>> rows(weights.size(), std::vector<double>(weights.size(), 0));
  for (size_t node = 0; node < weights.size(); ++node) {
    for (const Share& share : weights[node]) rows[node][share.node] += share.weight;
  }
  return rows;
}

}  // namespace

TEST_CASE("baselines make the same steps, with one model or one for each node") {
  for (const char* name : {"alone", "fedavg", "fedavg_momentum", "dpsgd", "centralised"}) {
    CAPTURE(name);
    const Standing standing = standing_of(name);
    CHECK(standing.is_complete);
    const bool has_many = standing.name == "alone" || standing.name == "dpsgd";
    CHECK(standing.matrix.size() == (has_many ? 2 : 1));
    CHECK(standing.points.back().steps == doctest::Approx(40));
    CHECK(standing.points.back().quality < standing.points.front().quality);
    CHECK(standing.points.back().second == doctest::Approx(4));
  }
}

TEST_CASE("what a baseline would send is counted where it would send anything") {
  const auto parameters = static_cast<double>(
      make_course(*parse_scenario("learn: {model: micro}\n", "")).genesis.size());
  // Four rounds, all weights in full precision; of two nodes each has one neighbour.
  for (const char* name : {"fedavg", "fedavg_momentum", "dpsgd"}) {
    CAPTURE(name);
    const Standing standing = standing_of(name);
    CHECK(standing.points.front().sent_bytes == 0);
    CHECK(standing.points.back().sent_bytes == doctest::Approx(4 * 4 * parameters));
  }
  for (const char* name : {"alone", "centralised"})
    CHECK(standing_of(name).points.back().sent_bytes < 0);
  CHECK(standing_of("alone", ", probes: 2").points.size() == 3);
  CHECK(standing_of("alone", ", probes: 4").points.size() == 5);
}

TEST_CASE("two neighbours that average are a server, and so is one of rate 1 without momentum") {
  const Standing server = standing_of("fedavg"), alone = standing_of("alone");
  const Standing neighbours = standing_of("dpsgd");
  const Standing plain = standing_of("fedavg_momentum", ", server_rate: 1, server_momentum: 0");
  const Standing pushed = standing_of("fedavg_momentum");
  for (size_t task = 0; task < 2; ++task) {
    const double expected = server.matrix[0][task];
    for (const auto& row : neighbours.matrix) CHECK(row[task] == doctest::Approx(expected));
    CHECK(plain.matrix[0][task] == doctest::Approx(expected));
    CHECK(std::abs(pushed.matrix[0][task] - expected) > 1e-3);
    CHECK(alone.matrix[1 - task][task] > expected);  // what the other knows
  }
}

TEST_CASE("a server with momentum goes on in the direction that it had") {
  const std::vector<float> start = {1, 0};
  Server server(start, {.rate = 0.5, .momentum = 0.5});
  server.step(std::vector<double>{0, 0});  // d 1, v 1, x 1 - 0.5 (1 + 0.5)
  CHECK(server.x()[0] == doctest::Approx(0.25));
  CHECK(server.x()[1] == 0);
  server.step(std::vector<double>{0.25, 0});  // d 0, v 0.5, x 0.25 - 0.5 (0 + 0.25)
  CHECK(server.x()[0] == doctest::Approx(0.125));
}

TEST_CASE("a regular graph has no loops, hangs together and gives everyone as many neighbours") {
  for (const auto& [nodes, neighbours] :
       std::vector<std::pair<uint32_t, uint32_t>>{{10, 2}, {10, 3}, {50, 4}, {64, 7}, {9, 3}}) {
    CAPTURE(nodes);
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      Rng rng(seed);
      const Graph graph = regular_graph(nodes, neighbours, rng);
      size_t ends = 0;
      for (uint32_t node = 0; node < nodes; ++node) {
        ends += graph[node].size();
        CHECK(std::adjacent_find(graph[node].begin(), graph[node].end()) == graph[node].end());
        for (const uint32_t other : graph[node]) {
          CHECK(other != node);
          CHECK(std::count(graph[other].begin(), graph[other].end(), node) == 1);
        }
      }
      CHECK(ends == nodes * neighbours - (nodes * neighbours) % 2);
      // Heard of by everyone, as averaging goes on: connected.
      std::vector<double> heard(nodes, 0);
      heard[0] = 1;
      const auto weights = whole(metropolis_weights(graph));
      for (uint32_t round = 0; round < nodes; ++round) {
        std::vector<double> next(nodes, 0);
        for (uint32_t i = 0; i < nodes; ++i) {
          for (uint32_t j = 0; j < nodes; ++j) next[i] += weights[i][j] * heard[j];
        }
        heard = next;
      }
      for (const double value : heard) CHECK(value > 0);
    }
  }
  Rng rng(1), again(1), other(2);
  const Graph graph = regular_graph(50, 4, rng);
  CHECK(graph == regular_graph(50, 4, again));
  CHECK(graph != regular_graph(50, 4, other));
  CHECK(regular_graph(6, 2, rng)[0] == std::vector<uint32_t>{1, 5});
  CHECK(regular_graph(1, 2, rng)[0].empty());
}

TEST_CASE("averaging among neighbours keeps the mean: rows and columns sum to one") {
  const Graph uneven = {{1, 2, 3}, {0}, {0, 3}, {0, 2}};
  const auto weights = whole(metropolis_weights(uneven));
  for (size_t i = 0; i < 4; ++i) {
    double row = 0, column = 0;
    for (size_t j = 0; j < 4; ++j) {
      CHECK(weights[i][j] >= 0);
      row += weights[i][j];
      column += weights[j][i];
    }
    CHECK(row == doctest::Approx(1));
    CHECK(column == doctest::Approx(1));
  }
  CHECK(weights[2][3] == doctest::Approx(1.0 / 3));
  CHECK(weights[1][1] == doctest::Approx(0.75));
}

}  // namespace starling::sim
