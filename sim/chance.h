#pragma once
// Everything that is drawn in a simulated run comes from one seed, through one generator for each
// purpose: what one part draws does not move what another gets.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "model/rng.h"

namespace starling::sim {

enum class Purpose : uint64_t {
  keys = 1,
  state,
  latency,
  network,
  faults,
  deal,
  lessons,
  learner,
  attack,
  devices,
  scenario,
  graph,
  one_way,
  clocks,
  invites,
  duty,
  equipment,
};

inline Rng rng_for(uint64_t seed, Purpose purpose, uint64_t index = 0) {
  Rng first(seed);
  Rng second(first.next() ^ (static_cast<uint64_t>(purpose) << 48) ^ index);
  return Rng(second.next());
}

// Mean `mean`, the time between events that do not know of each other.
inline double exponential(Rng& rng, double mean) { return -mean * std::log(1 - rng.unit()); }

inline double normal(Rng& rng) {
  const double radius = std::sqrt(-2 * std::log(1 - rng.unit()));
  return radius * std::cos(2 * std::numbers::pi * rng.unit());
}

// Source: Marsaglia and Tsang, "A simple method for generating gamma variables" (2000).
inline double gamma(Rng& rng, double shape) {
  if (shape < 1) return gamma(rng, shape + 1) * std::pow(1 - rng.unit(), 1 / shape);
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = normal(rng), v = std::pow(1 + c * x, 3);
    if (v > 0 && std::log(1 - rng.unit()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

template <typename T>
void shuffle(T& list, Rng& rng) {
  for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[rng.below(i)]);
}

// Flags for a share of `count` nodes, at least one when there is a share; never for the first node,
// whose address everyone knows.
inline std::vector<uint8_t> pick(double share, size_t count, Rng& rng) {
  std::vector<uint8_t> flags(count, 0);
  if (share <= 0 || count < 2) return flags;
  std::vector<size_t> order(count - 1);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i + 1;
  shuffle(order, rng);
  const auto wanted = static_cast<size_t>(std::lround(share * static_cast<double>(count)));
  for (size_t i = 0; i < std::min(std::max<size_t>(1, wanted), order.size()); ++i)
    flags[order[i]] = 1;
  return flags;
}

}  // namespace starling::sim
