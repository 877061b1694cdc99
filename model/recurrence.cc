#include "model/recurrence.h"

#include <algorithm>

#include "model/kernels.h"

namespace starling::model {

template <Real R>
void recurrence_forward(const LayerView<const R>& weights, Window window, size_t channels,
                        size_t layer, std::span<StreamState<R>> states,
                        Activations<R>& activations) {
  const LayerActivations<R>& kept = activations.layers[layer];
  const size_t N = window.positions(), T = window.length, D = weights.width, E = channels;
  kernels::norm_forward(kept.x, weights.norm1, activations.normed, kept.inverse1, N, D);
  kernels::multiply_nt(activations.normed, weights.wupz, kept.upz,
                       {.rows = N, .columns = 3 * E, .depth = D}, false);
  for (size_t row = 0; row < window.rows; ++row) {
    R* state = states[row].scan(layer);
    std::copy_n(state, 4 * E, kept.state + row * 4 * E);
    kernels::scan_forward(kept.upz + row * T * 3 * E, {weights.fb, weights.cw, weights.cb}, state,
                          kept.h + row * T * E, activations.mixed + row * T * E,
                          {.length = T, .channels = E});
  }
  if (kept.middle != kept.x) std::copy_n(kept.x, N * D, kept.middle);
  kernels::multiply_nt(activations.mixed, weights.wo, kept.middle,
                       {.rows = N, .columns = D, .depth = E}, true);
}

template <Real R>
void recurrence_backward(const LayerView<const R>& weights, const LayerView<R>& gradient,
                         Window window, size_t channels, size_t layer,
                         Activations<R>& activations) {
  const LayerActivations<R>& kept = activations.layers[layer];
  const size_t N = window.positions(), T = window.length, D = weights.width, E = channels;
  kernels::multiply_nn(activations.dx, weights.wo, activations.dmixed,
                       {.rows = N, .columns = E, .depth = D}, false);
  for (size_t row = 0; row < window.rows; ++row) {
    const size_t at = row * T * E;
    kernels::scan_backward(kept.upz + 3 * at, ScanWeights<R>{weights.fb, weights.cw, weights.cb},
                           kept.state + row * 4 * E, kept.h + at, activations.dmixed + at,
                           activations.dupz + 3 * at, activations.mixed + at,
                           ScanGradients<R>{gradient.fb, gradient.cw, gradient.cb},
                           {.length = T, .channels = E});
  }
  kernels::multiply_tn(activations.dx, activations.mixed, gradient.wo,
                       {.rows = D, .columns = E, .depth = N}, true);
  kernels::norm_forward(kept.x, weights.norm1, activations.normed, kept.inverse1, N, D);
  kernels::multiply_tn(activations.dupz, activations.normed, gradient.wupz,
                       {.rows = 3 * E, .columns = D, .depth = N}, true);
  kernels::multiply_nn(activations.dupz, weights.wupz, activations.dnormed,
                       {.rows = N, .columns = D, .depth = 3 * E}, false);
  kernels::norm_backward(kept.x, weights.norm1, kept.inverse1, activations.dnormed, activations.dx,
                         gradient.norm1, N, D);
}

template void recurrence_forward(const LayerView<const float>&, Window, size_t, size_t,
                                 std::span<StreamState<float>>, Activations<float>&);
template void recurrence_forward(const LayerView<const double>&, Window, size_t, size_t,
                                 std::span<StreamState<double>>, Activations<double>&);
template void recurrence_backward(const LayerView<const float>&, const LayerView<float>&, Window,
                                  size_t, size_t, Activations<float>&);
template void recurrence_backward(const LayerView<const double>&, const LayerView<double>&, Window,
                                  size_t, size_t, Activations<double>&);

}  // namespace starling::model
