#pragma once
// The gated MLP in regions: x_out = middle + sum over awake regions r of scale_r W2_r (value_r *
// silu(gate_r)), where value and gate are the two halves of W1_r norm(middle). Regions that sleep
// in a segment are not computed, forward or backward. The always awake ones are computed as one
// wide region.
#include <cstddef>
#include <span>

#include "model/activations.h"
#include "model/selector.h"
#include "model/stream_state.h"

namespace starling::model {

struct Routing {
  std::span<const uint64_t> allowed = {};  // per layer, the regions that may be chosen; empty: all
  std::span<SelectionStatistics> statistics = {};  // per layer; empty: nothing is counted
  bool frozen = false;  // choices and contrasts of the previous pass stay (gradient checks)
};

// Reads layers[layer].middle and activations.segments, writes `out` (N, D; may be .middle itself).
template <Real R>
void region_mlp_forward(const Shape& shape, const LayerView<const R>& weights, Window window,
                        size_t layer, std::span<StreamState<R>> states, const Routing& routing,
                        Activations<R>& activations, R* out);
// activations.dx is the gradient of the output on entry and of .middle on return; `gradient` is
// added to.
template <Real R>
void region_mlp_backward(const Shape& shape, const LayerView<const R>& weights,
                         const LayerView<R>& gradient, Window window, size_t layer,
                         Activations<R>& activations);

}  // namespace starling::model
