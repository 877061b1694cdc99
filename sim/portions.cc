#include "sim/portions.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/chance.h"

namespace starling::sim {
namespace {

// Pieces that are nobody's yet, in the order in which they go.
class Pile {
 public:
  explicit Pile(std::vector<Piece> pieces) : pieces_(std::move(pieces)) {}
  size_t left() const { return pieces_.size() - given_; }
  // Fewer where there are no more.
  void give(size_t count, std::vector<Piece>& to) {
    for (count = std::min(count, left()); count > 0; --count) to.push_back(pieces_[given_++]);
  }

 private:
  std::vector<Piece> pieces_;
  size_t given_ = 0;
};

std::vector<Pile> pile_of_each_task(const std::vector<Stock>& stocks, bool is_text_in_order,
                                    Rng& rng) {
  std::vector<std::vector<Piece>> of(stocks.size());
  for (const Piece& piece : sorted_pieces(stocks, rng)) of[piece.task].push_back(piece);
  std::vector<Pile> piles;
  for (std::vector<Piece>& pieces : of) {
    if (!is_text_in_order) shuffle(pieces, rng);
    piles.emplace_back(std::move(pieces));
  }
  return piles;
}

// The place of a task that still has pieces, as likely as it weighs.
size_t draw_task(const std::vector<Pile>& piles, const std::vector<double>& weights, Rng& rng) {
  double sum = 0;
  for (size_t task = 0; task < piles.size(); ++task)
    sum += piles[task].left() > 0 ? weights[task] : 0;
  const double at = rng.unit() * sum;
  size_t last = piles.size();
  double until = 0;
  for (size_t task = 0; task < piles.size(); ++task) {
    if (piles[task].left() == 0) continue;
    last = task;
    until += weights[task];
    if (at < until) break;
  }
  return last;
}

// How a scenario deals, node after node.
class Dealer {
 public:
  Dealer(const std::vector<Stock>& stocks, const Scenario::Deal& how, uint64_t seed)
      : how_(how), seed_(seed), rng_(rng_for(seed, Purpose::deal)) {
    if (how.partition == "natural" || how.partition == "dirichlet") {
      piles_ = pile_of_each_task(stocks, how.partition == "natural", rng_);
      return;
    }
    std::vector<Piece> pieces = sorted_pieces(stocks, rng_);
    if (how.partition == "shards") {
      pieces = cut(pieces);
    } else {
      shuffle(pieces, rng_);
    }
    piles_.emplace_back(std::move(pieces));
  }

  // Nothing where it would be less than what the node is to have.
  std::optional<std::vector<Piece>> portion(size_t node) {
    std::vector<Piece> own;
    // What a node draws for itself moves nobody else's.
    Rng rng = rng_for(seed_, Purpose::deal, node + 1);
    size_t wanted = how_.pieces_max;
    if (how_.partition == "dirichlet") {
      draw_mixture(wanted, rng, own);
    } else if (how_.partition == "natural") {
      piles_[node % piles_.size()].give(wanted, own);
    } else {
      if (how_.partition == "shards") wanted = shard_size() * how_.shards;
      if (how_.partition == "quantity") wanted = amount(rng);
      piles_[0].give(wanted, own);
    }
    if (own.size() < wanted) return std::nullopt;
    return own;
  }

 private:
  size_t shard_size() const { return how_.pieces_max / how_.shards; }

  // Whole shards in any order; a rest that makes none is left out.
  std::vector<Piece> cut(const std::vector<Piece>& pieces) {
    std::vector<size_t> order(pieces.size() / shard_size());
    std::iota(order.begin(), order.end(), size_t{0});
    shuffle(order, rng_);
    std::vector<Piece> shuffled;
    for (const size_t shard : order) {
      const auto begin = pieces.begin() + static_cast<std::ptrdiff_t>(shard * shard_size());
      shuffled.insert(shuffled.end(), begin, begin + static_cast<std::ptrdiff_t>(shard_size()));
    }
    return shuffled;
  }

  size_t amount(Rng& rng) const {
    const double share = std::min(1.0, gamma(rng, how_.alpha) / how_.alpha);
    return std::max<size_t>(1, static_cast<size_t>(std::lround(share * how_.pieces_max)));
  }

  void draw_mixture(size_t count, Rng& rng, std::vector<Piece>& own) {
    std::vector<double> weights;
    for (size_t task = 0; task < piles_.size(); ++task) weights.push_back(gamma(rng, how_.alpha));
    for (; count > 0; --count) {
      const size_t task = draw_task(piles_, weights, rng);
      if (task < piles_.size()) piles_[task].give(1, own);
    }
  }

  const Scenario::Deal& how_;  // outlives this
  uint64_t seed_;
  Rng rng_;
  std::vector<Pile> piles_;  // of each task, or one of all
};

}  // namespace

std::vector<Piece> sorted_pieces(const std::vector<Stock>& stocks, Rng& rng) {
  std::vector<Piece> pieces;
  for (size_t task = 0; task < stocks.size(); ++task) {
    std::vector<size_t> order(stocks[task].size());
    std::iota(order.begin(), order.end(), size_t{0});
    shuffle(order, rng);
    if (!stocks[task].texts.empty()) std::sort(order.begin(), order.end());
    for (const size_t index : order) pieces.push_back({task, index});
  }
  return pieces;
}

Result<std::vector<std::vector<Piece>>, Failure> draw_portions(const std::vector<Stock>& stocks,
                                                               const Scenario& scenario,
                                                               uint64_t seed) {
  assert(scenario.deal.pieces_max > 0);
  Dealer dealer(stocks, scenario.deal, seed);
  std::vector<std::vector<Piece>> portions;
  for (size_t node = 0; node < scenario.run.nodes; ++node) {
    auto portion = dealer.portion(node);
    if (!portion) {
      return Unexpected{Failure{
          ExitCode::bad_data,
          "deal.pieces_max: with " + std::to_string(scenario.deal.pieces_max) +
              " pieces for each node there are enough for " + std::to_string(node) + " nodes of " +
              std::to_string(scenario.run.nodes) + "; take fewer of either, or more data"}};
    }
    portions.push_back(std::move(*portion));
  }
  return portions;
}

}  // namespace starling::sim
