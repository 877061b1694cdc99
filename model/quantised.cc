#include "model/quantised.h"

#include <cassert>

namespace starling::model {
namespace {

using View = LayerView<const float>;

Matrix8 rows_of(const float* w, size_t rows, size_t columns) {
  Matrix8 matrix(rows, columns);
  for (size_t row = 0; row < rows; ++row) matrix.set_row(row, w + row * columns, 1);
  return matrix;
}

// Regions [first, first + count) side by side: the values of all, then the gates of all.
Matrix8 w1_of(const View& layer, size_t first, size_t count) {
  const size_t m = layer.region_width, D = layer.width;
  Matrix8 matrix(2 * count * m, D);
  for (size_t r = 0; r < count; ++r)
    for (size_t i = 0; i < 2 * m; ++i) {
      const size_t row = i < m ? r * m + i : (count + r) * m + (i - m);
      matrix.set_row(row, layer.w1(first + r) + i * D, 1);
    }
  return matrix;
}

// w2 lies transposed, region after region: (m, D) each.
Matrix8 w2_of(const View& layer, size_t first, size_t count) {
  const size_t m = layer.region_width, D = layer.width;
  std::vector<float> row(count * m);
  Matrix8 matrix(D, count * m);
  for (size_t out = 0; out < D; ++out) {
    for (size_t r = 0; r < count; ++r)
      for (size_t i = 0; i < m; ++i) row[r * m + i] = layer.w2(first + r)[i * D + out];
    matrix.set_row(out, row.data(), 1);
  }
  return matrix;
}

QuantisedLayer layer_of(const Shape& shape, const View& layer) {
  const size_t D = shape.width, E = shape.channels, awake = awake_count(shape);
  QuantisedLayer quantised{.upz = rows_of(layer.wupz, layer.gates * E, D),
                           .wo = rows_of(layer.wo, D, E),
                           .awake_w1 = w1_of(layer, 0, awake),
                           .awake_w2 = w2_of(layer, 0, awake),
                           .selected_w1 = {},
                           .selected_w2 = {}};
  for (size_t r = awake; r < shape.regions; ++r) {
    quantised.selected_w1.push_back(w1_of(layer, r, 1));
    quantised.selected_w2.push_back(w2_of(layer, r, 1));
  }
  return quantised;
}

}  // namespace

Quantised::Quantised(const Snapshot& snapshot)
    : shape_(snapshot.shape),
      step_(snapshot.step),
      head_(rows_of(snapshot.parameters.data(), vocabulary, snapshot.shape.width)) {
  assert(snapshot.parameters.size() == parameter_count(shape_));
  const Layout layout(shape_);
  const size_t D = shape_.width, E = shape_.channels;
  small_.reserve(layout.embedding_count() + shape_.layers * small_count());
  const auto keep = [this](const float* from, size_t count) {
    small_.insert(small_.end(), from, from + count);
  };
  keep(snapshot.parameters.data(), layout.embedding_count());
  for (size_t index = 0; index < shape_.layers; ++index) {
    const View layer = layout.layer(snapshot.parameters.data(), index);
    keep(layer.norm1, D), keep(layer.fb, E), keep(layer.cw, taps * E), keep(layer.cb, E);
    keep(layer.norm2, D), keep(layer.mu, D), keep(layer.var, D), keep(layer.bias, shape_.regions);
    for (size_t r = 0; r < shape_.regions; ++r) keep(layer.selector(r), D);
    layers_.push_back(layer_of(shape_, layer));
  }
}

size_t Quantised::small_count() const {
  return (4 + size_t{shape_.regions}) * shape_.width + (taps + 2) * shape_.channels +
         shape_.regions;
}

LayerView<const float> Quantised::layer(size_t index) const {
  const size_t D = shape_.width, E = shape_.channels;
  const float* at = small_.data() + Layout(shape_).embedding_count() + index * small_count();
  const auto take = [&at](size_t count) { return std::exchange(at, at + count); };
  View view{};
  view.norm1 = take(D), view.fb = take(E), view.cw = take(taps * E), view.cb = take(E);
  view.norm2 = take(D), view.mu = take(D), view.var = take(D), view.bias = take(shape_.regions);
  view.mlp = take(shape_.regions * D);
  view.width = D;
  view.gates = gate_count(shape_);
  return view;
}

uint64_t Quantised::bytes() const {
  uint64_t sum = small_.size() * sizeof(float) + head_.bytes();
  for (const QuantisedLayer& layer : layers_) {
    sum += layer.upz.bytes() + layer.wo.bytes() + layer.awake_w1.bytes() + layer.awake_w2.bytes();
    for (const Matrix8& matrix : layer.selected_w1) sum += matrix.bytes();
    for (const Matrix8& matrix : layer.selected_w2) sum += matrix.bytes();
  }
  return sum;
}

}  // namespace starling::model
