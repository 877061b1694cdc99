#include "sim/lessons.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "sim/chance.h"
#include "sim/stocks.h"

namespace starling::sim {
namespace {

void give(const Stock& stock, size_t task, size_t piece, Lessons::Own& own) {
  if (stock.texts.empty()) {
    own.pairs.push_back(stock.pairs[piece]);
  } else {
    own.text += stock.texts[piece];
  }
  ++own.pieces[task];
}

std::vector<size_t> shuffled(size_t count, Rng& rng) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  shuffle(order, rng);
  return order;
}

// With as many nodes as tasks or fewer, a node has whole tasks; with more, node i has a part of
// task i mod tasks.
void deal_natural(const std::vector<Stock>& stocks, Rng& rng, Lessons& lessons) {
  const size_t nodes = lessons.nodes.size(), tasks = stocks.size();
  for (size_t task = 0; task < tasks; ++task) {
    std::vector<size_t> takers;
    if (nodes <= tasks) {
      takers.push_back(task * nodes / tasks);
    } else {
      for (size_t node = task; node < nodes; node += tasks) takers.push_back(node);
    }
    const bool is_text = !stocks[task].texts.empty();
    std::vector<size_t> order = shuffled(stocks[task].size(), rng);
    if (is_text) std::sort(order.begin(), order.end());
    for (size_t i = 0; i < order.size(); ++i) {
      const size_t taker = takers[i * takers.size() / order.size()];
      give(stocks[task], task, order[i], lessons.nodes[taker]);
    }
  }
}

void deal_iid(const std::vector<Stock>& stocks, Rng& rng, Lessons& lessons) {
  size_t next = 0;
  for (size_t task = 0; task < stocks.size(); ++task) {
    for (const size_t piece : shuffled(stocks[task].size(), rng))
      give(stocks[task], task, piece, lessons.nodes[next++ % lessons.nodes.size()]);
  }
}

void deal_dirichlet(const std::vector<Stock>& stocks, double alpha, Rng& rng, Lessons& lessons) {
  for (size_t task = 0; task < stocks.size(); ++task) {
    std::vector<double> until;  // cumulated shares
    for (size_t node = 0; node < lessons.nodes.size(); ++node)
      until.push_back((until.empty() ? 0 : until.back()) + gamma(rng, alpha));
    const std::vector<size_t> order = shuffled(stocks[task].size(), rng);
    for (size_t i = 0; i < order.size(); ++i) {
      const double at =
          until.back() * (static_cast<double>(i) + 0.5) / static_cast<double>(order.size());
      const auto taker = std::lower_bound(until.begin(), until.end() - 1, at);
      give(stocks[task], task, order[i], lessons.nodes[static_cast<size_t>(taker - until.begin())]);
    }
  }
}

// Who got nothing is given one piece: a node that cannot learn would tell nothing.
void fill_the_empty(const std::vector<Stock>& stocks, Rng& rng, Lessons& lessons) {
  for (Lessons::Own& own : lessons.nodes) {
    if (!own.pairs.empty() || !own.text.empty()) continue;
    const size_t task = rng.below(stocks.size());
    give(stocks[task], task, rng.below(stocks[task].size()), own);
  }
}

}  // namespace

Result<Lessons, Failure> deal_lessons(const Scenario& scenario, uint64_t seed) {
  Lessons lessons;
  if (scenario.learn.kind == "synthetic") {
    lessons.nodes.resize(scenario.run.nodes);
    return lessons;
  }
  auto stocks = make_stocks(scenario, seed);
  if (!stocks) return Unexpected{stocks.error()};
  for (Stock& stock : *stocks) {
    lessons.tasks.push_back(stock.task);
    lessons.tests.push_back(std::move(stock.test));
    lessons.is_text = !stock.texts.empty();
  }
  lessons.nodes.resize(scenario.run.nodes, {{}, "", std::vector<size_t>(stocks->size(), 0)});
  Rng rng = rng_for(seed, Purpose::deal);
  if (scenario.deal.partition == "iid") {
    deal_iid(*stocks, rng, lessons);
  } else if (scenario.deal.partition == "dirichlet") {
    deal_dirichlet(*stocks, scenario.deal.alpha, rng, lessons);
  } else {
    deal_natural(*stocks, rng, lessons);
  }
  fill_the_empty(*stocks, rng, lessons);
  return lessons;
}

std::string partition_table(const Lessons& lessons) {
  constexpr size_t rows_max = 32;
  std::string text = "node ";
  char cell[32];
  for (const std::string& task : lessons.tasks) {
    std::snprintf(cell, sizeof cell, " %8.8s", task.c_str());
    text += cell;
  }
  text += '\n';
  for (size_t node = 0; node < std::min(lessons.nodes.size(), rows_max); ++node) {
    std::snprintf(cell, sizeof cell, "%-5zu", node);
    text += cell;
    for (const size_t pieces : lessons.nodes[node].pieces) {
      std::snprintf(cell, sizeof cell, " %8zu", pieces);
      text += cell;
    }
    text += '\n';
  }
  if (lessons.nodes.size() > rows_max)
    text += "... " + std::to_string(lessons.nodes.size() - rows_max) + " more\n";
  return text;
}

void flip_labels(Lessons::Own& own) {
  if (own.pairs.size() > 1) {
    const std::string first = own.pairs.front().answer;
    for (size_t i = 0; i + 1 < own.pairs.size(); ++i) own.pairs[i].answer = own.pairs[i + 1].answer;
    own.pairs.back().answer = first;
  }
  std::reverse(own.text.begin(), own.text.end());
}

}  // namespace starling::sim
