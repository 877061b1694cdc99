#pragma once
// The whole network: embedding, layers of recurrence and region MLP, final norm, tied head. Forward
// and backward are pairs of free functions on one flat parameter vector and one flat gradient of
// the same layout.
#include <cstdint>
#include <span>
#include <vector>

#include "model/activations.h"
#include "model/region_mlp.h"
#include "model/stream_state.h"

namespace starling::model {

// What a window reads besides symbols.
template <Real R>
struct Given {
  std::span<const R> vectors;  // (count, D) the inputs of the positions that hold symbol_given,
                               // in their order; they enter the residual stream as they are
  std::span<const uint8_t> starts;  // per position: 1 where another sequence starts, before which
                                    // nothing is remembered; empty: nowhere
};

// Reads `symbols` (rows, length), moves the states (one a row) on, leaves the residual stream in
// activations.out. Requires: window within activations.window_max; every symbol below `vocabulary`
// or symbol_given.
template <Real R>
void network_forward(const Shape& shape, const R* parameters, std::span<const uint16_t> symbols,
                     Window window, std::span<StreamState<R>> states, const Routing& routing,
                     Activations<R>& activations, const Given<R>& given = {});

// What is predicted: `at` positions of the window, what follows each, and the weight of its loss.
template <Real R>
struct Predictions {
  std::vector<uint32_t> at;
  std::vector<uint16_t> targets;
  std::vector<R> weights;
  void clear() { at.clear(), targets.clear(), weights.clear(); }
};

// Sum of weight * cross-entropy in nats. The gradient of activations.out is left in activations.dx;
// dparameters is added to (head and final norm).
template <Real R>
double loss_backward(const Shape& shape, const R* parameters, Window window,
                     const Predictions<R>& predictions, R* dparameters,
                     Activations<R>& activations);

// From activations.dx down to the embedding; dparameters is added to. `dvectors` receives the
// gradient of the given vectors, where it is not null.
template <Real R>
void network_backward(const Shape& shape, const R* parameters, std::span<const uint16_t> symbols,
                      Window window, R* dparameters, Activations<R>& activations,
                      R* dvectors = nullptr);

// Logits (count, vocabulary) in activations.logits for up to head_rows positions.
template <Real R>
void head_forward(const Shape& shape, const R* parameters, std::span<const uint32_t> at,
                  Activations<R>& activations);

}  // namespace starling::model
