#include "model/session.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "hwy/aligned_allocator.h"
#include "model/activations.h"
#include "model/kernels.h"
#include "model/quantised.h"
#include "model/selector.h"
#include "model/stream_state.h"

namespace starling::model {
namespace {

// Zero at first. Outputs of Matrix8 are written in whole blocks, hence the room.
class Row {
 public:
  explicit Row(size_t count) : values_(hwy::AllocateAligned<float>(padded_rows(count))) {
    std::fill_n(values_.get(), padded_rows(count), 0.0f);
  }
  float* data() const { return values_.get(); }

 private:
  hwy::AlignedFreeUniquePtr<float[]> values_;
};

// A vector in 8 bits, see dot8.h.
class Row8 {
 public:
  explicit Row8(size_t count) : values_(padded_columns(count)) {}
  void round(const Row& from, size_t count) {
    scale_ = kernels::round_to_8(from.data(), count, values_.data());
  }
  // to = w x, or += where `add`
  void multiply(const Matrix8& w, float* to, bool add) const {
    kernels::matrix_vector_8(w, values_.data(), scale_, to, add);
  }

 private:
  std::vector<uint8_t> values_;
  float scale_ = 0;
};

}  // namespace

// One token at a time through the same formulas as network_forward, with matrix-vector products in
// fp32 from a snapshot or in 8 bits from its quantised form: one of the two is there.
struct Session::Parts {
  std::shared_ptr<const Snapshot> snapshot;
  std::shared_ptr<const Quantised> quantised;
  Shape shape;
  Layout layout;
  StreamState<float> state;
  Row x, normed, upz, h, mixed, vg, hidden, logits;
  Row8 normed8, mixed8, hidden8;
  std::vector<float> p;
  std::vector<float> scales;  // (layers, regions) of the current chunk
  float keep;                 // of the slow means

  Parts(const Shape& served, std::shared_ptr<const Snapshot> exact,
        std::shared_ptr<const Quantised> rounded)
      : snapshot(std::move(exact)),
        quantised(std::move(rounded)),
        shape(served),
        layout(shape),
        state(shape),
        x(shape.width),
        normed(shape.width),
        upz(3 * size_t{shape.channels}),
        h(shape.channels),
        mixed(shape.channels),
        vg(2 * widest_region(shape)),
        hidden(widest_region(shape)),
        logits(vocabulary),
        normed8(shape.width),
        mixed8(shape.channels),
        hidden8(widest_region(shape)),
        p(shape.regions),
        scales(size_t{shape.layers} * shape.regions),
        keep(static_cast<float>(slow_keep(shape))) {}

  LayerView<const float> layer(size_t index) const {
    return snapshot ? layout.layer(snapshot->parameters.data(), index) : quantised->layer(index);
  }
  const float* embedding() const {
    return snapshot ? layout.embedding(snapshot->parameters.data()) : quantised->embedding();
  }
  const float* final_norm() const {
    return snapshot ? layout.final_norm(snapshot->parameters.data()) : quantised->final_norm();
  }

  void norm(const float* gain);
  void mix(const LayerView<const float>& layer, size_t index);
  void choose_regions(const LayerView<const float>& layer, size_t index);
  void think(const LayerView<const float>& layer, size_t index);
  void think_exactly(const LayerView<const float>& layer, size_t index);
  void think_in_8(size_t index);
  void gate_in_8(const Matrix8& w1, const Matrix8& w2, float scale);
  void predict();
  std::span<const float> advance();  // from the input in x
};

void Session::Parts::norm(const float* gain) {
  float inverse = 0;
  kernels::norm_forward(x.data(), gain, normed.data(), &inverse, 1, shape.width);
}

void Session::Parts::mix(const LayerView<const float>& layer, size_t index) {
  const size_t D = shape.width, E = shape.channels;
  norm(layer.norm1);
  if (quantised) {
    normed8.round(normed, D);
    normed8.multiply(quantised->matrices(index).upz, upz.data(), false);
  } else {
    kernels::matrix_vector(layer.wupz, normed.data(), upz.data(), layer.gates * E, D);
  }
  kernels::scan_forward(upz.data(), {layer.fb, layer.cw, layer.cb}, state.scan(index), h.data(),
                        mixed.data(), {.length = 1, .channels = E});
  if (quantised) {
    mixed8.round(mixed, E);
    return mixed8.multiply(quantised->matrices(index).wo, x.data(), true);
  }
  kernels::matrix_vector(layer.wo, mixed.data(), normed.data(), D, E);
  kernels::add(normed.data(), x.data(), D);
}

void Session::Parts::choose_regions(const LayerView<const float>& layer, size_t index) {
  const float* slow = state.slow(index);
  const bool by_token = shape.selection == Selection::token;
  const float* decisive = by_token ? normed.data() : state.contrast(index);
  if (!by_token) contrast_of(layer, slow, state.slow_weight, state.contrast(index));
  probabilities(shape, layer, decisive, p.data());
  const HostedSet& hosted = snapshot ? snapshot->hosted : quantised->hosted();
  state.chosen(index) = choose(
      shape, static_cast<const float*>(p.data()), layer.bias,
      {.allowed = hosted.empty() ? ~uint64_t{0} : hosted[index], .awake = state.chosen(index)});
  for (uint32_t r = 0; r < shape.regions; ++r)
    scales[index * shape.regions + r] = r < awake_count(shape) ? 1.0f : 2 * p[r];
}

void Session::Parts::think(const LayerView<const float>& layer, size_t index) {
  norm(layer.norm2);
  if (state.chunk_position == 0) choose_regions(layer, index);
  if (shape.selection == Selection::context)
    kernels::slow_mean(normed.data(), keep, state.slow(index), 1, shape.width);
  if (quantised)
    think_in_8(index);
  else
    think_exactly(layer, index);
}

void Session::Parts::think_exactly(const LayerView<const float>& layer, size_t index) {
  const size_t D = shape.width, m = layer.region_width;
  for (uint32_t r = 0; r < shape.regions; ++r) {
    if ((state.chosen(index) >> r & 1) == 0) continue;
    kernels::matrix_vector(layer.w1(r), normed.data(), vg.data(), 2 * m, D);
    kernels::gated_forward(vg.data(), scales[index * shape.regions + r], hidden.data(), 1, m);
    kernels::vector_matrix_add(hidden.data(), layer.w2(r), x.data(), m, D);
  }
}

void Session::Parts::think_in_8(size_t index) {
  const QuantisedLayer& matrices = quantised->matrices(index);
  const uint32_t awake = awake_count(shape);
  normed8.round(normed, shape.width);
  if (awake > 0) gate_in_8(matrices.awake_w1, matrices.awake_w2, 1);
  for (uint32_t r = awake; r < shape.regions; ++r)
    if ((state.chosen(index) >> r & 1) != 0)
      gate_in_8(matrices.selected_w1[r - awake], matrices.selected_w2[r - awake],
                scales[index * shape.regions + r]);
}

void Session::Parts::gate_in_8(const Matrix8& w1, const Matrix8& w2, float scale) {
  normed8.multiply(w1, vg.data(), false);
  kernels::gated_forward(vg.data(), scale, hidden.data(), 1, w2.columns());
  hidden8.round(hidden, w2.columns());
  hidden8.multiply(w2, x.data(), true);
}

void Session::Parts::predict() {
  norm(final_norm());
  if (quantised) {
    normed8.round(normed, shape.width);
    return normed8.multiply(quantised->head(), logits.data(), false);
  }
  kernels::matrix_vector(embedding(), normed.data(), logits.data(), vocabulary, shape.width);
}

Session::Session(std::shared_ptr<const Snapshot> snapshot) {
  assert(snapshot->parameters.size() == parameter_count(snapshot->shape));
  const Shape shape = snapshot->shape;
  parts_ = std::make_unique<Parts>(shape, std::move(snapshot), nullptr);
}
Session::Session(std::shared_ptr<const Quantised> quantised) {
  const Shape shape = quantised->shape();
  parts_ = std::make_unique<Parts>(shape, nullptr, std::move(quantised));
}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

std::span<const float> Session::feed(uint16_t symbol) {
  assert(symbol < vocabulary);
  Parts& parts = *parts_;
  const Shape& shape = parts.shape;
  const size_t D = shape.width;
  const float scale = std::sqrt(static_cast<float>(shape.width));
  const float* row = parts.embedding() + symbol * D;
  for (size_t i = 0; i < D; ++i) parts.x.data()[i] = scale * row[i];
  return parts.advance();
}

std::span<const float> Session::feed(std::span<const float> vector) {
  Parts& parts = *parts_;
  assert(vector.size() == parts.shape.width);
  std::copy(vector.begin(), vector.end(), parts.x.data());
  return parts.advance();
}

std::span<const float> Session::Parts::advance() {
  for (uint32_t index = 0; index < shape.layers; ++index) {
    const auto weights = layer(index);
    mix(weights, index);
    think(weights, index);
  }
  state.slow_weight = keep * state.slow_weight + (1 - keep);
  state.chunk_position = (state.chunk_position + 1) % choice_length(shape);
  predict();
  return {logits.data(), vocabulary};
}

uint64_t Session::state_bytes() const {
  return parts_->state.bytes() + parts_->scales.size() * sizeof(float);
}

}  // namespace starling::model
