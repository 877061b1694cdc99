#include "model/optimizer.h"

#include <cassert>
#include <cmath>

#include "model/kernels.h"

namespace starling::model {

double gradient_norm(std::span<const Tensor> tensors, std::span<const float> gradient) {
  double sum = 0;
  for (const Tensor& tensor : tensors)
    if (tensor.learning != Learning::none)
      sum += kernels::sum_of_squares(gradient.data() + tensor.offset, tensor.count);
  return std::sqrt(sum);
}

void optimizer_step(std::span<const Tensor> tensors, std::span<const uint8_t> awake,
                    std::span<const float> gradient, const TrainerOptions& options,
                    float learning_rate, float gradient_scale, std::span<float> x,
                    OptimizerState& state) {
  assert(state.m.size() == x.size() && state.v.size() == x.size());
  for (size_t region = 0; region < awake.size(); ++region)
    state.region_steps[region] += awake[region] != 0 ? 1 : 0;
  for (const Tensor& tensor : tensors) {
    if (tensor.learning == Learning::none || awake[tensor.region] == 0) continue;
    const auto steps = static_cast<double>(state.region_steps[tensor.region]);
    const auto correction = [steps](float beta) {
      return static_cast<float>(1 / (1 - std::pow(static_cast<double>(beta), steps)));
    };
    const AdamRates rates{.gradient_scale = gradient_scale,
                          .learning_rate = learning_rate,
                          .beta1 = options.beta1,
                          .beta2 = options.beta2,
                          .decay = tensor.learning == Learning::matrix ? options.weight_decay : 0,
                          .correction1 = correction(options.beta1),
                          .correction2 = correction(options.beta2)};
    kernels::adam(x.data() + tensor.offset, gradient.data() + tensor.offset,
                  state.m.data() + tensor.offset, state.v.data() + tensor.offset, tensor.count,
                  rates);
  }
}

}  // namespace starling::model
