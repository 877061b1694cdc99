#pragma once
// Which MLP regions are awake. Selection::context: per layer a slow mean of the normed MLP input
// (time constant context_tau tokens, no gradient) is compared every `chunk` tokens with the swarm's
// mean mu and variance var; the selector scores
//   n = clamp((slow - mu) / sqrt(var + 1e-4), +-4);  p = sigmoid(Ws n);  choose by p + bias
// and a chosen region's output is scaled by 2p, an always awake one's by 1. Selection::token: n is
// each token's normed MLP input itself, through which the gradient of p flows; mu and var stay.
// In both, a region that is awake until now is chosen by p + bias + hysteresis, also where what is
// counted for the balance is concerned.
#include <cstdint>
#include <span>
#include <vector>

#include "model/parameters.h"

namespace starling::model {

inline constexpr double contrast_limit = 4;
inline constexpr double contrast_epsilon = 1e-4;
inline constexpr double slow_weight_min =
    1e-3;  // below it nothing has been heard: the slow mean counts as zero

// Sums over one exchange interval, of one layer.
struct SelectionStatistics {
  uint64_t choices = 0;              // chunks begun
  std::vector<uint64_t> wanted;      // (regions) how often each was among the unrestricted choice
  std::vector<double> slow_sum;      // (D)
  std::vector<double> slow_squares;  // (D) of (slow - mu), with mu as it was

  explicit SelectionStatistics(const Shape& shape)
      : wanted(shape.regions), slow_sum(shape.width), slow_squares(shape.width) {}
  void add(const SelectionStatistics& other);
  void clear();
};

// Tokens from one choice to the next.
inline uint32_t choice_length(const Shape& shape) {
  return shape.selection == Selection::token ? 1 : shape.chunk;
}
double slow_keep(const Shape& shape);  // exp(-1/tau)
uint64_t awake_set(const Shape& shape);

template <Real R>
void contrast_of(const LayerView<const R>& layer, const R* slow, R slow_weight, R* contrast);
// p (regions) for one contrast; 0.5 for who is always awake, so that 2p is 1.
template <Real R>
void probabilities(const Shape& shape, const LayerView<const R>& layer, const R* contrast, R* p);
// What a choice is made among.
struct Candidates {
  uint64_t allowed = ~uint64_t{0};
  uint64_t awake = 0;  // until now
};
// The always awake regions and the best `selected_count` of the allowed others; ties go to the
// lower index.
template <Real R>
uint64_t choose(const Shape& shape, const R* p, const R* bias, Candidates candidates);
void count_choice(uint64_t wanted, SelectionStatistics& statistics);
// Counts what the choice was made by, for mu and var.
template <Real R>
void count_context(const LayerView<const R>& layer, const R* slow, R slow_weight,
                   SelectionStatistics& statistics);

// The smallest set of selectable regions out of `hosted` that covers 90 % of their `usage`
// (regions), from selected_count to working_set_max; fewer where fewer are hosted.
inline constexpr uint32_t working_set_max = 4;
inline constexpr double working_set_share = 0.9;
uint64_t working_set(const Shape& shape, std::span<const double> usage,
                     uint64_t hosted = ~uint64_t{0});

}  // namespace starling::model
