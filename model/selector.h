#pragma once
// Which MLP regions are awake. Per layer a slow mean of the normed MLP input (time constant
// context_tau tokens, no gradient) is compared every `chunk` tokens with the swarm's mean mu and
// variance var; the selector scores
//   n = clamp((slow - mu) / sqrt(var + 1e-4), +-4);  p = sigmoid(Ws n);  choose by p + bias
// and a chosen region's output is scaled by 2p, an always awake one's by 1.
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

double slow_keep(const Shape& shape);  // exp(-1/tau)
uint64_t awake_set(const Shape& shape);

template <Real R>
void contrast_of(const LayerView<const R>& layer, const R* slow, R slow_weight, R* contrast);
// p (regions) for one contrast; 0.5 for who is always awake, so that 2p is 1.
template <Real R>
void probabilities(const Shape& shape, const LayerView<const R>& layer, const R* contrast, R* p);
// The always awake regions and the best `selected_count` of the allowed others; ties go to the
// lower index.
template <Real R>
uint64_t choose(const Shape& shape, const R* p, const R* bias, uint64_t allowed);
template <Real R>
void count_choice(const LayerView<const R>& layer, const R* slow, R slow_weight, uint64_t wanted,
                  SelectionStatistics& statistics);

// The smallest set of selectable regions that covers 90 % of `usage` (regions), from selected_count
// to working_set_max.
inline constexpr uint32_t working_set_max = 4;
inline constexpr double working_set_share = 0.9;
uint64_t working_set(const Shape& shape, std::span<const double> usage);

}  // namespace starling::model
