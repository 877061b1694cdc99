#include "model/session.h"

#include <cassert>
#include <cmath>

#include "model/kernels.h"
#include "model/selector.h"
#include "model/stream_state.h"

namespace starling::model {

// One token at a time through the same formulas as network_forward, with matrix-vector products.
struct Session::Parts {
  std::shared_ptr<const Snapshot> snapshot;
  Layout layout;
  StreamState<float> state;
  std::vector<float> x, normed, upz, h, mixed, vg, hidden, p, logits;
  std::vector<float> scales;  // (layers, regions) of the current chunk

  explicit Parts(std::shared_ptr<const Snapshot> served)
      : snapshot(std::move(served)), layout(snapshot->shape), state(snapshot->shape) {
    const Shape& shape = snapshot->shape;
    assert(snapshot->parameters.size() == parameter_count(shape));
    const size_t D = shape.width, E = shape.channels, m = shape.mlp_width / shape.regions;
    x.resize(D), normed.resize(D), upz.resize(3 * E), h.resize(E), mixed.resize(E);
    vg.resize(2 * m), hidden.resize(m), p.resize(shape.regions), logits.resize(vocabulary);
    scales.resize(size_t{shape.layers} * shape.regions);
  }

  void mix(const LayerView<const float>& layer, size_t index);
  void choose_regions(const LayerView<const float>& layer, size_t index);
  void think(const LayerView<const float>& layer, size_t index);
};

void Session::Parts::mix(const LayerView<const float>& layer, size_t index) {
  const size_t D = snapshot->shape.width, E = snapshot->shape.channels;
  float inverse = 0;
  kernels::norm_forward(x.data(), layer.norm1, normed.data(), &inverse, 1, D);
  kernels::matrix_vector(layer.wupz, normed.data(), upz.data(), layer.gates * E, D);
  kernels::scan_forward(upz.data(), {layer.fb, layer.cw, layer.cb}, state.scan(index), h.data(),
                        mixed.data(), {.length = 1, .channels = E});
  kernels::matrix_vector(layer.wo, mixed.data(), normed.data(), D, E);
  kernels::add(normed.data(), x.data(), D);
}

void Session::Parts::choose_regions(const LayerView<const float>& layer, size_t index) {
  const Shape& shape = snapshot->shape;
  const float* slow = state.slow(index);
  const bool by_token = shape.selection == Selection::token;
  const float* decisive = by_token ? normed.data() : state.contrast(index);
  if (!by_token) contrast_of(layer, slow, state.slow_weight, state.contrast(index));
  probabilities(shape, layer, decisive, p.data());
  state.chosen(index) = choose(shape, static_cast<const float*>(p.data()), layer.bias,
                               {.awake = state.chosen(index)});
  for (uint32_t r = 0; r < shape.regions; ++r)
    scales[index * shape.regions + r] = r < awake_count(shape) ? 1.0f : 2 * p[r];
}

void Session::Parts::think(const LayerView<const float>& layer, size_t index) {
  const Shape& shape = snapshot->shape;
  const size_t D = shape.width, m = layer.region_width;
  float inverse = 0;
  kernels::norm_forward(x.data(), layer.norm2, normed.data(), &inverse, 1, D);
  if (state.chunk_position == 0) choose_regions(layer, index);
  for (uint32_t r = 0; r < shape.regions; ++r) {
    if ((state.chosen(index) >> r & 1) == 0) continue;
    kernels::matrix_vector(layer.w1(r), normed.data(), vg.data(), 2 * m, D);
    kernels::gated_forward(vg.data(), scales[index * shape.regions + r], hidden.data(), 1, m);
    kernels::vector_matrix_add(hidden.data(), layer.w2(r), x.data(), m, D);
  }
  if (shape.selection == Selection::context)
    kernels::slow_mean(normed.data(), static_cast<float>(slow_keep(shape)), state.slow(index), 1,
                       D);
}

Session::Session(std::shared_ptr<const Snapshot> snapshot)
    : parts_(std::make_unique<Parts>(std::move(snapshot))) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

std::span<const float> Session::feed(uint16_t symbol) {
  assert(symbol < vocabulary);
  Parts& parts = *parts_;
  const Shape& shape = parts.snapshot->shape;
  const float* parameters = parts.snapshot->parameters.data();
  const size_t D = shape.width;
  const float scale = std::sqrt(static_cast<float>(shape.width));
  const float* embedding = parts.layout.embedding(parameters);
  for (size_t i = 0; i < D; ++i) parts.x[i] = scale * embedding[symbol * D + i];
  for (uint32_t index = 0; index < shape.layers; ++index) {
    const auto layer = parts.layout.layer(parameters, index);
    parts.mix(layer, index);
    parts.think(layer, index);
  }
  const auto keep = static_cast<float>(slow_keep(shape));
  parts.state.slow_weight = keep * parts.state.slow_weight + (1 - keep);
  parts.state.chunk_position = (parts.state.chunk_position + 1) % choice_length(shape);
  float inverse = 0;
  kernels::norm_forward(parts.x.data(), parts.layout.final_norm(parameters), parts.normed.data(),
                        &inverse, 1, D);
  kernels::matrix_vector(embedding, parts.normed.data(), parts.logits.data(), vocabulary, D);
  return parts.logits;
}

uint64_t Session::state_bytes() const {
  return parts_->state.bytes() + parts_->scales.size() * sizeof(float);
}

}  // namespace starling::model
