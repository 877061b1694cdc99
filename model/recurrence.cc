#include "model/recurrence.h"

#include <algorithm>

#include "model/kernels.h"

namespace starling::model {
namespace {

// u | p of each position, written without gaps, to u | p | z with z = 0, in place. The last
// position comes first, for it moves into room that nothing else needs.
template <Real R>
void spread_gates(R* rows, size_t count, size_t channels) {
  for (size_t n = count; n-- > 0;) {
    std::copy_backward(rows + n * 2 * channels, rows + (n + 1) * 2 * channels,
                       rows + n * 3 * channels + 2 * channels);
    std::fill_n(rows + n * 3 * channels + 2 * channels, channels, R(0));
  }
}

// The other way round; z is dropped.
template <Real R>
void join_gates(R* rows, size_t count, size_t channels) {
  for (size_t n = 1; n < count; ++n)
    std::copy_n(rows + n * 3 * channels, 2 * channels, rows + n * 2 * channels);
}

}  // namespace

template <Real R>
void recurrence_forward(const LayerView<const R>& weights, Window window, size_t channels,
                        size_t layer, std::span<StreamState<R>> states,
                        Activations<R>& activations) {
  const LayerActivations<R>& kept = activations.layers[layer];
  const size_t N = window.positions(), D = weights.width, E = channels;
  kernels::norm_forward(kept.x, weights.norm1, activations.normed, kept.inverse1, N, D);
  kernels::multiply_nt(activations.normed, weights.wupz, kept.upz,
                       {.rows = N, .columns = weights.gates * E, .depth = D}, false);
  if (weights.gates == 2) spread_gates(kept.upz, N, E);
  for (const Run& run : activations.runs) {
    R* state = states[run.row].scan(layer);
    if (run.starts) std::fill_n(state, 4 * E, R(0));
    if (run.is_first) std::copy_n(state, 4 * E, kept.state + run.row * 4 * E);
    const size_t at = run.first * E;
    kernels::scan_forward(kept.upz + 3 * at, {weights.fb, weights.cw, weights.cb}, state,
                          kept.h + at, activations.mixed + at,
                          {.length = run.length, .channels = E});
  }
  drop(activations.dropout, mixing_site(layer), activations.mixed, N * E);
  if (kept.middle != kept.x) std::copy_n(kept.x, N * D, kept.middle);
  kernels::multiply_nt(activations.mixed, weights.wo, kept.middle,
                       {.rows = N, .columns = D, .depth = E}, true);
}

template <Real R>
void recurrence_backward(const LayerView<const R>& weights, const LayerView<R>& gradient,
                         Window window, size_t channels, size_t layer,
                         Activations<R>& activations) {
  const LayerActivations<R>& kept = activations.layers[layer];
  const size_t N = window.positions(), D = weights.width, E = channels;
  kernels::multiply_nn(activations.dx, weights.wo, activations.dmixed,
                       {.rows = N, .columns = E, .depth = D}, false);
  drop(activations.dropout, mixing_site(layer), activations.dmixed, N * E);
  for (const Run& run : activations.runs) {
    const size_t at = run.first * E;
    const R* before = run.is_first ? kept.state + run.row * 4 * E : activations.zeros;
    kernels::scan_backward(kept.upz + 3 * at, ScanWeights<R>{weights.fb, weights.cw, weights.cb},
                           before, kept.h + at, activations.dmixed + at, activations.dupz + 3 * at,
                           activations.mixed + at,
                           ScanGradients<R>{gradient.fb, gradient.cw, gradient.cb},
                           {.length = run.length, .channels = E});
  }
  drop(activations.dropout, mixing_site(layer), activations.mixed, N * E);
  kernels::multiply_tn(activations.dx, activations.mixed, gradient.wo,
                       {.rows = D, .columns = E, .depth = N}, true);
  if (weights.gates == 2) join_gates(activations.dupz, N, E);
  const size_t rows = weights.gates * E;
  kernels::norm_forward(kept.x, weights.norm1, activations.normed, kept.inverse1, N, D);
  kernels::multiply_tn(activations.dupz, activations.normed, gradient.wupz,
                       {.rows = rows, .columns = D, .depth = N}, true);
  kernels::multiply_nn(activations.dupz, weights.wupz, activations.dnormed,
                       {.rows = N, .columns = D, .depth = rows}, false);
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
