// Greedy, temperature and nucleus sampling. Source of the nucleus: Holtzman et al., "The curious
// case of neural text degeneration" (2020).
#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "model/session.h"

namespace starling::model {
namespace {

constexpr size_t candidates_max = byte_symbols + 1;

bool is_candidate(size_t symbol) { return symbol < byte_symbols || symbol == symbol_end; }

struct Candidate {
  uint16_t symbol;
  double probability;
};

}  // namespace

uint16_t sample(std::span<const float> logits, const SamplerOptions& options, Rng& rng) {
  assert(logits.size() == vocabulary);
  uint16_t best = 0;
  for (uint16_t symbol = 0; symbol < vocabulary; ++symbol)
    if (is_candidate(symbol) && logits[symbol] > logits[best]) best = symbol;
  if (!(options.temperature > 0)) return best;

  std::array<Candidate, candidates_max> candidates{};
  size_t count = 0;
  double total = 0;
  for (uint16_t symbol = 0; symbol < vocabulary; ++symbol) {
    if (!is_candidate(symbol)) continue;
    const double distance = static_cast<double>(logits[symbol]) - static_cast<double>(logits[best]);
    const double weight = std::exp(distance / static_cast<double>(options.temperature));
    candidates[count++] = {symbol, weight};
    total += weight;
  }
  // Most probable first; equal ones by symbol, so that the order is the same everywhere.
  std::sort(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(count),
            [](const Candidate& a, const Candidate& b) {
              return a.probability != b.probability ? a.probability > b.probability
                                                    : a.symbol < b.symbol;
            });
  double nucleus = 0;
  size_t kept = 0;
  while (kept < count && (kept == 0 || nucleus < static_cast<double>(options.top_p) * total))
    nucleus += candidates[kept++].probability;
  double place = rng.unit() * nucleus;
  for (size_t i = 0; i + 1 < kept; ++i) {
    if (place < candidates[i].probability) return candidates[i].symbol;
    place -= candidates[i].probability;
  }
  return candidates[kept - 1].symbol;
}

}  // namespace starling::model
