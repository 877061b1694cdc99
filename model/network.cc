#include "model/network.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "model/kernels.h"
#include "model/recurrence.h"

namespace starling::model {
namespace {

template <Real R>
R input_scale(const Shape& shape) {
  return std::sqrt(static_cast<R>(shape.width));
}

bool starts_at(std::span<const uint8_t> starts, size_t position) {
  return !starts.empty() && starts[position] != 0;
}

// Cuts each row where a sequence starts.
template <Real R>
void cut_runs(Window window, std::span<const uint8_t> starts, Activations<R>& activations) {
  activations.runs.clear();
  for (uint32_t row = 0; row < window.rows; ++row)
    for (uint32_t t = 0; t < window.length;) {
      const uint32_t first = row * window.length + t;
      uint32_t length = 1;
      while (t + length < window.length && !starts_at(starts, first + length)) ++length;
      activations.runs.push_back({row, first, length, starts_at(starts, first), t == 0});
      t += length;
    }
}

// Cuts each run where a choice is due, and moves what all layers share of the states.
template <Real R>
void cut_segments(const Shape& shape, std::span<StreamState<R>> states,
                  Activations<R>& activations) {
  activations.segments.clear();
  const R keep = static_cast<R>(slow_keep(shape));
  const uint32_t chunk = choice_length(shape);
  for (const Run& run : activations.runs) {
    StreamState<R>& state = states[run.row];
    if (run.starts) state.slow_weight = 0, state.chunk_position = 0;
    for (uint32_t t = 0; t < run.length;) {
      const uint32_t length = std::min(run.length - t, chunk - state.chunk_position);
      activations.segments.push_back({run.row, run.first + t, length, state.chunk_position == 0,
                                      run.starts && t == 0,
                                      static_cast<double>(state.slow_weight)});
      for (uint32_t i = 0; i < length; ++i)
        state.slow_weight = keep * state.slow_weight + (R(1) - keep);
      state.chunk_position = (state.chunk_position + length) % chunk;
      t += length;
    }
  }
}

// The symbols' embeddings and the given vectors.
template <Real R>
void read_inputs(const Shape& shape, const R* parameters, std::span<const uint16_t> symbols,
                 std::span<const R> vectors, R* x) {
  const size_t D = shape.width;
  const R scale = input_scale<R>(shape);
  const R* vector = vectors.data();
  for (size_t n = 0; n < symbols.size(); ++n) {
    if (symbols[n] == symbol_given) {
      assert(vector + D <= vectors.data() + vectors.size());
      std::copy_n(vector, D, x + n * D);
      vector += D;
      continue;
    }
    const R* from = Layout(shape).embedding(parameters) + symbols[n] * D;
    for (size_t i = 0; i < D; ++i) x[n * D + i] = scale * from[i];
  }
  assert(vector == vectors.data() + vectors.size());
}

// Final norm of the positions' rows into activations.head.
template <Real R>
void gather_head(const Shape& shape, const R* parameters, std::span<const uint32_t> at,
                 Activations<R>& activations) {
  assert(at.size() <= head_rows);
  const size_t D = shape.width;
  for (size_t i = 0; i < at.size(); ++i)
    kernels::norm_forward(activations.out + at[i] * D, Layout(shape).final_norm(parameters),
                          activations.head + i * D, activations.inverse_final + at[i], 1, D);
}

}  // namespace

template <Real R>
void network_forward(const Shape& shape, const R* parameters, std::span<const uint16_t> symbols,
                     Window window, std::span<StreamState<R>> states, const Routing& routing,
                     Activations<R>& activations, const Given<R>& given) {
  assert(window.positions() <= activations.window_max.positions());
  assert(window.rows <= activations.window_max.rows);
  assert(symbols.size() == window.positions() && states.size() == window.rows);
  const Layout layout(shape);
  assert(given.starts.empty() || given.starts.size() == window.positions());
  read_inputs(shape, parameters, symbols, given.vectors, activations.layers.front().x);
  cut_runs(window, given.starts, activations);
  cut_segments(shape, states, activations);
  assert(activations.segments.size() <= segments_max(shape, activations.window_max));
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    const auto weights = layout.layer(parameters, layer);
    recurrence_forward(weights, window, shape.channels, layer, states, activations);
    R* out = layer + 1 < shape.layers ? activations.layers[layer + 1].x : activations.out;
    region_mlp_forward(shape, weights, window, layer, states, routing, activations, out);
  }
}

template <Real R>
void head_forward(const Shape& shape, const R* parameters, std::span<const uint32_t> at,
                  Activations<R>& activations) {
  gather_head(shape, parameters, at, activations);
  kernels::multiply_nt(activations.head, Layout(shape).embedding(parameters), activations.logits,
                       {.rows = at.size(), .columns = vocabulary, .depth = shape.width}, false);
}

template <Real R>
double loss_backward(const Shape& shape, const R* parameters, Window window,
                     const Predictions<R>& predictions, R* dparameters,
                     Activations<R>& activations) {
  const Layout layout(shape);
  const size_t D = shape.width;
  double loss = 0;
  std::fill_n(activations.dx, window.positions() * D, R(0));
  for (size_t first = 0; first < predictions.at.size(); first += head_rows) {
    const size_t count = std::min<size_t>(head_rows, predictions.at.size() - first);
    const std::span<const uint32_t> at(predictions.at.data() + first, count);
    head_forward(shape, parameters, at, activations);
    loss += kernels::cross_entropy(activations.logits, predictions.targets.data() + first,
                                   predictions.weights.data() + first, count, vocabulary);
    kernels::multiply_nn(activations.logits, layout.embedding(parameters), activations.dhead,
                         {.rows = count, .columns = D, .depth = vocabulary}, false);
    kernels::multiply_tn(activations.logits, activations.head, layout.embedding(dparameters),
                         {.rows = vocabulary, .columns = D, .depth = count}, true);
    for (size_t i = 0; i < count; ++i)
      kernels::norm_backward(activations.out + at[i] * D, layout.final_norm(parameters),
                             activations.inverse_final + at[i], activations.dhead + i * D,
                             activations.dx + at[i] * D, layout.final_norm(dparameters), 1, D);
  }
  return loss;
}

template <Real R>
void network_backward(const Shape& shape, const R* parameters, std::span<const uint16_t> symbols,
                      Window window, R* dparameters, Activations<R>& activations, R* dvectors) {
  assert(activations.keep == Keep::everything);
  const Layout layout(shape);
  const size_t D = shape.width;
  for (uint32_t layer = shape.layers; layer-- > 0;) {
    const auto weights = layout.layer(parameters, layer);
    const auto gradient = layout.layer(dparameters, layer);
    region_mlp_backward(shape, weights, gradient, window, layer, activations);
    recurrence_backward(weights, gradient, window, shape.channels, layer, activations);
  }
  for (size_t n = 0; n < symbols.size(); ++n)
    if (symbols[n] != symbol_given)
      kernels::scale_add(input_scale<R>(shape), activations.dx + n * D,
                         layout.embedding(dparameters) + symbols[n] * D, D);
    else if (dvectors != nullptr)
      dvectors = std::copy_n(activations.dx + n * D, D, dvectors);
}

template void network_forward(const Shape&, const float*, std::span<const uint16_t>, Window,
                              std::span<StreamState<float>>, const Routing&, Activations<float>&,
                              const Given<float>&);
template void network_forward(const Shape&, const double*, std::span<const uint16_t>, Window,
                              std::span<StreamState<double>>, const Routing&, Activations<double>&,
                              const Given<double>&);
template void head_forward(const Shape&, const float*, std::span<const uint32_t>,
                           Activations<float>&);
template void head_forward(const Shape&, const double*, std::span<const uint32_t>,
                           Activations<double>&);
template double loss_backward(const Shape&, const float*, Window, const Predictions<float>&, float*,
                              Activations<float>&);
template double loss_backward(const Shape&, const double*, Window, const Predictions<double>&,
                              double*, Activations<double>&);
template void network_backward(const Shape&, const float*, std::span<const uint16_t>, Window,
                               float*, Activations<float>&, float*);
template void network_backward(const Shape&, const double*, std::span<const uint16_t>, Window,
                               double*, Activations<double>&, double*);

}  // namespace starling::model
