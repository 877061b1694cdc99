// How pieces are dealt to nodes.
#include "sim/lessons.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace starling::sim {
namespace {

Lessons dealt(uint32_t nodes, const std::string& deal, uint64_t seed = 1) {
  const auto scenario = parse_scenario(
      "run: {nodes: " + std::to_string(nodes) + "}\ndeal: {" + deal + "}\n", "test.yaml");
  REQUIRE(scenario.has_value());
  return *deal_lessons(*scenario, seed);
}

size_t amount(const Lessons::Own& own) {
  return std::accumulate(own.pieces.begin(), own.pieces.end(), size_t{0});
}

// Of the tasks that a node has pieces of.
std::vector<size_t> variety(const Lessons& lessons) {
  std::vector<size_t> counts;
  for (const Lessons::Own& own : lessons.nodes) {
    counts.push_back(static_cast<size_t>(
        std::count_if(own.pieces.begin(), own.pieces.end(), [](size_t n) { return n > 0; })));
  }
  return counts;
}

}  // namespace

TEST_CASE("pieces are dealt whole, each to one node, however they are dealt") {
  for (const char* partition : {"natural", "iid", "dirichlet", "shards", "quantity"}) {
    for (const uint32_t nodes : {3u, 20u}) {
      const Scenario scenario =
          *parse_scenario("run: {nodes: " + std::to_string(nodes) +
                              "}\ndeal: {partition: " + partition + ", alpha: 0.5}\n",
                          "test.yaml");
      const Lessons lessons = *deal_lessons(scenario, 1);
      std::vector<size_t> pieces(lessons.tasks.size(), 0);
      size_t pairs = 0, dealt = 0;
      for (const Lessons::Own& own : lessons.nodes) {
        CHECK_FALSE(own.pairs.empty());
        pairs += own.pairs.size();
        for (size_t task = 0; task < pieces.size(); ++task) {
          pieces[task] += own.pieces[task];
          dealt += own.pieces[task];
        }
      }
      CHECK(pairs == dealt);
      CHECK(pieces[0] >= 324);  // one more where a node would have had nothing
      CHECK(pieces[7] >= 20000);
    }
  }
}

TEST_CASE("shards give every node as much, of few tasks") {
  for (const uint32_t shards : {1u, 2u, 5u}) {
    const Lessons lessons = dealt(10, "partition: shards, shards: " + std::to_string(shards));
    size_t least = amount(lessons.nodes[0]), most = least;
    for (const Lessons::Own& own : lessons.nodes) {
      least = std::min(least, amount(own));
      most = std::max(most, amount(own));
    }
    CHECK(most - least <= shards);
  }
  const Lessons one = dealt(40, "partition: shards, shards: 1");
  for (const size_t count : variety(one)) CHECK(count <= 4);  // the small tasks come together
  const Lessons dirichlet = dealt(40, "partition: dirichlet, alpha: 1");
  const auto sum = [](const std::vector<size_t>& counts) {
    return std::accumulate(counts.begin(), counts.end(), size_t{0});
  };
  CHECK(2 * sum(variety(one)) < sum(variety(dirichlet)));
  CHECK(variety(one) != variety(dealt(40, "partition: shards, shards: 1", 2)));
}

TEST_CASE("quantity gives every node the same mixture, to some much and to some little") {
  const Lessons uneven = dealt(10, "partition: quantity, alpha: 0.5");
  const Lessons even = dealt(10, "partition: quantity, alpha: 100");
  const auto spread = [](const Lessons& lessons) {
    std::vector<size_t> amounts;
    for (const Lessons::Own& own : lessons.nodes) amounts.push_back(amount(own));
    const auto [least, most] = std::minmax_element(amounts.begin(), amounts.end());
    return static_cast<double>(*most) / static_cast<double>(*least);
  };
  CHECK(spread(uneven) > 5);
  CHECK(spread(even) < 2);
  for (const Lessons::Own& own : uneven.nodes) {
    if (amount(own) < 1000) continue;
    const double share = static_cast<double>(own.pieces[7]) / static_cast<double>(amount(own));
    CHECK(share == doctest::Approx(20000.0 / (20000 + 2 * 14061 + 1622)).epsilon(0.15));
  }
}

TEST_CASE("with pieces_max a new node brings its own and takes from nobody") {
  const auto words_of = [](const Lessons::Own& own) {
    std::vector<std::string> prompts;
    for (const model::Pair& pair : own.pairs) prompts.push_back(pair.prompt);
    return prompts;
  };
  for (const std::string partition : {"natural", "iid", "dirichlet", "shards", "quantity"}) {
    INFO(partition);
    const std::string how = "partition: " + partition + ", alpha: 0.5, pieces_max: 30";
    const Lessons few = dealt(3, how), many = dealt(20, how);
    for (size_t node = 0; node < 3; ++node)
      CHECK(words_of(few.nodes[node]) == words_of(many.nodes[node]));
    std::set<std::string> seen;
    size_t dealt_out = 0;
    for (const Lessons::Own& own : many.nodes) {
      CHECK(own.pairs.size() == amount(own));
      CHECK(amount(own) >= 1);
      CHECK(amount(own) <= 30);
      if (partition != "quantity") CHECK(amount(own) == 30);
      dealt_out += amount(own);
      for (const std::string& prompt : words_of(own)) seen.insert(prompt);
    }
    CHECK(seen.size() == dealt_out);  // nothing twice
  }
  // By tasks: as many as there are, then over again.
  const Lessons natural = dealt(10, "partition: natural, pieces_max: 30");
  CHECK(natural.is_own(3, 3));
  CHECK(natural.is_own(9, 1));
  CHECK(variety(natural) == std::vector<size_t>(10, 1));
  for (const size_t count : variety(dealt(20, "partition: shards, shards: 2, pieces_max: 30")))
    CHECK(count <= 4);
}

TEST_CASE("too few pieces for what each is to have are refused") {
  const auto problem = [](const std::string& nodes, const std::string& deal) {
    const auto scenario =
        parse_scenario("run: {nodes: " + nodes + "}\ndeal: {" + deal + "}\n", "test.yaml");
    if (!scenario) return scenario.error().message;
    const auto lessons = deal_lessons(*scenario, 1);
    return lessons ? std::string() : lessons.error().message;
  };
  // 324 of the smallest task.
  CHECK(problem("8", "pieces_max: 320") == "");
  CHECK(problem("9", "pieces_max: 320") ==
        "deal.pieces_max: with 320 pieces for each node there are enough for 8 nodes of 9; take "
        "fewer of either, or more data");
  for (const std::string partition : {"iid", "dirichlet", "shards"}) {
    CHECK(problem("4", "partition: " + partition + ", pieces_max: 10000") == "");
    CHECK(problem("5", "partition: " + partition + ", pieces_max: 10000").find("enough for 4") !=
          std::string::npos);
  }
  CHECK(problem("2", "partition: shards, shards: 5, pieces_max: 4").find("deal.shards") !=
        std::string::npos);
}

TEST_CASE("the table of who has what says all, and how much of it is not shown") {
  const std::string few = partition_table(dealt(2, "partition: natural"));
  CHECK(few.starts_with("node       all       de       fr"));
  CHECK(std::count(few.begin(), few.end(), '\n') == 3);
  CHECK(partition_table(dealt(40, "partition: iid")).ends_with("... 8 more nodes\n"));
}

}  // namespace starling::sim
