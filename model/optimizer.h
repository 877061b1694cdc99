#pragma once
// Lazy AdamW by region: a region that no token woke in a step gets no update at all, neither of its
// moments nor by weight decay, so that it stays bit for bit what it was. Bias correction counts the
// steps of each region by itself.
#include <cstdint>
#include <span>
#include <vector>

#include "model/parameters.h"
#include "model/trainer.h"

namespace starling::model {

struct OptimizerState {
  std::vector<float> m, v;             // like the parameters; empty before the first step
  std::vector<uint64_t> region_steps;  // in RegionTable order
};

// Of all tensors that learn by gradient; infinite or NaN when one of them is.
double gradient_norm(std::span<const Tensor> tensors, std::span<const float> gradient);

// Updates the regions with awake[region] != 0. `gradient_scale` clips.
void optimizer_step(std::span<const Tensor> tensors, std::span<const uint8_t> awake,
                    std::span<const float> gradient, const TrainerOptions& options,
                    float learning_rate, float gradient_scale, std::span<float> x,
                    OptimizerState& state);

}  // namespace starling::model
