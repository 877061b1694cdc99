#include "sim/lessons.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "sim/chance.h"
#include "sim/portions.h"

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

// Cumulated shares of the nodes, drawn from a symmetric Dirichlet distribution, times a constant.
std::vector<double> draw_shares(size_t nodes, double alpha, Rng& rng) {
  std::vector<double> until;
  for (size_t node = 0; node < nodes; ++node)
    until.push_back((until.empty() ? 0 : until.back()) + gamma(rng, alpha));
  return until;
}

// Whose share the i-th of `count` pieces falls into.
size_t node_of(const std::vector<double>& until, size_t i, size_t count) {
  const double at = until.back() * (static_cast<double>(i) + 0.5) / static_cast<double>(count);
  return static_cast<size_t>(std::lower_bound(until.begin(), until.end() - 1, at) - until.begin());
}

void deal_dirichlet(const std::vector<Stock>& stocks, double alpha, Rng& rng, Lessons& lessons) {
  for (size_t task = 0; task < stocks.size(); ++task) {
    const std::vector<double> until = draw_shares(lessons.nodes.size(), alpha, rng);
    const std::vector<size_t> order = shuffled(stocks[task].size(), rng);
    for (size_t i = 0; i < order.size(); ++i)
      give(stocks[task], task, order[i], lessons.nodes[node_of(until, i, order.size())]);
  }
}

// Source: McMahan et al., "Communication-efficient learning of deep networks from decentralized
// data" (2017), section 3: there 200 shards of 300 images, two for each client.
void deal_shards(const std::vector<Stock>& stocks, uint32_t each, Rng& rng, Lessons& lessons) {
  const std::vector<Piece> pieces = sorted_pieces(stocks, rng);
  const std::vector<size_t> order = shuffled(lessons.nodes.size() * each, rng);
  for (size_t i = 0; i < order.size(); ++i) {
    const size_t begin = order[i] * pieces.size() / order.size();
    const size_t end = (order[i] + 1) * pieces.size() / order.size();
    for (size_t at = begin; at < end; ++at)
      give(stocks[pieces[at].task], pieces[at].task, pieces[at].index, lessons.nodes[i / each]);
  }
}

// Everyone has the same mixture, but not as much of it.
void deal_quantity(const std::vector<Stock>& stocks, double alpha, Rng& rng, Lessons& lessons) {
  std::vector<Piece> pieces = sorted_pieces(stocks, rng);
  shuffle(pieces, rng);
  const std::vector<double> until = draw_shares(lessons.nodes.size(), alpha, rng);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    give(stocks[piece.task], piece.task, piece.index,
         lessons.nodes[node_of(until, i, pieces.size())]);
  }
}

void deal(const std::vector<Stock>& stocks, const Scenario::Deal& how, Rng& rng, Lessons& lessons) {
  if (how.partition == "iid") {
    deal_iid(stocks, rng, lessons);
  } else if (how.partition == "dirichlet") {
    deal_dirichlet(stocks, how.alpha, rng, lessons);
  } else if (how.partition == "shards") {
    deal_shards(stocks, how.shards, rng, lessons);
  } else if (how.partition == "quantity") {
    deal_quantity(stocks, how.alpha, rng, lessons);
  } else {
    deal_natural(stocks, rng, lessons);
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
  if (scenario.deal.pieces_max > 0) {
    const auto portions = draw_portions(*stocks, scenario, seed);
    if (!portions) return Unexpected{portions.error()};
    for (size_t node = 0; node < portions->size(); ++node) {
      for (const Piece& piece : (*portions)[node])
        give((*stocks)[piece.task], piece.task, piece.index, lessons.nodes[node]);
    }
    return lessons;
  }
  Rng rng = rng_for(seed, Purpose::deal);
  deal(*stocks, scenario.deal, rng, lessons);
  fill_the_empty(*stocks, rng, lessons);
  return lessons;
}

std::string partition_table(const Lessons& lessons) {
  constexpr size_t rows_max = 32, columns_max = 16;
  const size_t rows = std::min(lessons.nodes.size(), rows_max);
  const size_t columns = std::min(lessons.tasks.size(), columns_max);
  std::string text = "node       all";
  char cell[32];
  for (size_t task = 0; task < columns; ++task) {
    std::snprintf(cell, sizeof cell, " %8.8s", lessons.tasks[task].c_str());
    text += cell;
  }
  text += '\n';
  for (size_t node = 0; node < rows; ++node) {
    const std::vector<size_t>& pieces = lessons.nodes[node].pieces;
    std::snprintf(cell, sizeof cell, "%-5zu %8zu", node,
                  std::accumulate(pieces.begin(), pieces.end(), size_t{0}));
    text += cell;
    for (size_t task = 0; task < columns; ++task) {
      std::snprintf(cell, sizeof cell, " %8zu", pieces[task]);
      text += cell;
    }
    text += '\n';
  }
  if (lessons.nodes.size() > rows)
    text += "... " + std::to_string(lessons.nodes.size() - rows) + " more nodes\n";
  if (lessons.tasks.size() > columns)
    text += "... " + std::to_string(lessons.tasks.size() - columns) + " more tasks\n";
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
