#include "model/selector.h"

#include <cmath>
#include <cstddef>

#include "model/kernels.h"

namespace starling::model {

void SelectionStatistics::add(const SelectionStatistics& other) {
  choices += other.choices;
  for (size_t r = 0; r < wanted.size(); ++r) wanted[r] += other.wanted[r];
  for (size_t i = 0; i < slow_sum.size(); ++i) {
    slow_sum[i] += other.slow_sum[i];
    slow_squares[i] += other.slow_squares[i];
  }
}

void SelectionStatistics::clear() {
  choices = 0;
  std::fill(wanted.begin(), wanted.end(), 0);
  std::fill(slow_sum.begin(), slow_sum.end(), 0.0);
  std::fill(slow_squares.begin(), slow_squares.end(), 0.0);
}

double slow_keep(const Shape& shape) { return std::exp(-1.0 / shape.context_tau); }

uint64_t awake_set(const Shape& shape) {
  const uint32_t awake = awake_count(shape);
  return awake == 64 ? ~uint64_t{0} : (uint64_t{1} << awake) - 1;
}

template <Real R>
void contrast_of(const LayerView<const R>& layer, const R* slow, R slow_weight, R* contrast) {
  const R scale = R(1) / std::max(slow_weight, static_cast<R>(slow_weight_min));
  const R limit = static_cast<R>(contrast_limit);
  for (size_t i = 0; i < layer.width; ++i) {
    const R spread = std::sqrt(std::max(layer.var[i], R(0)) + static_cast<R>(contrast_epsilon));
    contrast[i] = std::clamp((slow[i] * scale - layer.mu[i]) / spread, -limit, limit);
  }
}

template <Real R>
void probabilities(const Shape& shape, const LayerView<const R>& layer, const R* contrast, R* p) {
  const uint32_t awake = awake_count(shape);
  for (uint32_t r = 0; r < shape.regions; ++r) {
    const double score = r < awake ? 0.0 : kernels::dot(layer.selector(r), contrast, layer.width);
    p[r] = reference::sigmoid(static_cast<R>(score));
  }
}

template <Real R>
uint64_t choose(const Shape& shape, const R* p, const R* bias, Candidates candidates) {
  uint64_t chosen = awake_set(shape);
  const uint32_t awake = awake_count(shape);
  const auto score = [&](uint32_t r) {
    const R held = (candidates.awake >> r & 1) != 0 ? static_cast<R>(shape.hysteresis) : R(0);
    return p[r] + bias[r] + held;
  };
  for (uint32_t n = selected_count(shape); n > 0; --n) {
    uint32_t best = shape.regions;
    for (uint32_t r = awake; r < shape.regions; ++r) {
      if ((chosen >> r & 1) != 0 || (candidates.allowed >> r & 1) == 0) continue;
      if (best == shape.regions || score(r) > score(best)) best = r;
    }
    if (best < shape.regions) chosen |= uint64_t{1} << best;
  }
  return chosen;
}

void count_choice(uint64_t wanted, SelectionStatistics& statistics) {
  ++statistics.choices;
  for (size_t r = 0; r < statistics.wanted.size(); ++r) statistics.wanted[r] += wanted >> r & 1;
}

template <Real R>
void count_context(const LayerView<const R>& layer, const R* slow, R slow_weight,
                   SelectionStatistics& statistics) {
  const R scale = R(1) / std::max(slow_weight, static_cast<R>(slow_weight_min));
  for (size_t i = 0; i < layer.width; ++i) {
    const double value = static_cast<double>(slow[i] * scale);
    const double distance = value - static_cast<double>(layer.mu[i]);
    statistics.slow_sum[i] += value;
    statistics.slow_squares[i] += distance * distance;
  }
}

uint64_t working_set(const Shape& shape, std::span<const double> usage, uint64_t hosted) {
  const uint32_t awake = awake_count(shape);
  double total = 0, covered = 0;
  for (uint32_t r = awake; r < shape.regions; ++r)
    if ((hosted >> r & 1) != 0) total += usage[r];
  uint64_t set = awake_set(shape);
  const uint32_t largest = std::max(working_set_max, selected_count(shape));
  for (uint32_t n = 0; n < largest; ++n) {
    if (n >= selected_count(shape) && covered >= working_set_share * total) break;
    uint32_t best = shape.regions;
    for (uint32_t r = awake; r < shape.regions; ++r)
      if ((set >> r & 1) == 0 && (hosted >> r & 1) != 0 &&
          (best == shape.regions || usage[r] > usage[best]))
        best = r;
    if (best == shape.regions) break;
    set |= uint64_t{1} << best;
    covered += usage[best];
  }
  return set;
}

template void contrast_of(const LayerView<const float>&, const float*, float, float*);
template void contrast_of(const LayerView<const double>&, const double*, double, double*);
template void probabilities(const Shape&, const LayerView<const float>&, const float*, float*);
template void probabilities(const Shape&, const LayerView<const double>&, const double*, double*);
template uint64_t choose(const Shape&, const float*, const float*, Candidates);
template uint64_t choose(const Shape&, const double*, const double*, Candidates);
template void count_context(const LayerView<const float>&, const float*, float,
                            SelectionStatistics&);
template void count_context(const LayerView<const double>&, const double*, double,
                            SelectionStatistics&);

}  // namespace starling::model
