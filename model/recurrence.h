#pragma once
// The sequence mixing block: middle = x + Wo (silu(u) h), with u | p | z = Wupz norm(x) and h the
// gated scan of MCSD (multi-channel slope and decay). Source: "MCSD", arXiv 2406.12230, with
// input-dependent gates; see reference.h for the formulas of the scan and its derivative. With
// Decay::fixed there is no z: the gate f is sigmoid(fb), the channel's predefined time constant,
// which does not learn, so that both sections are fixed exponential means; the convolution and the
// gate of the output stay.
#include <cstddef>
#include <span>

#include "model/activations.h"
#include "model/stream_state.h"

namespace starling::model {

// Reads layers[layer].x, writes .middle and what the backward pass needs; moves the states on by
// the window.
template <Real R>
void recurrence_forward(const LayerView<const R>& weights, Window window, size_t channels,
                        size_t layer, std::span<StreamState<R>> states,
                        Activations<R>& activations);
// activations.dx is the gradient of .middle on entry and of .x on return; `gradient` is added to.
template <Real R>
void recurrence_backward(const LayerView<const R>& weights, const LayerView<R>& gradient,
                         Window window, size_t channels, size_t layer, Activations<R>& activations);

}  // namespace starling::model
