#include "model/quantised.h"

#include <cassert>
#include <utility>

#include "model/large_pages.h"

namespace starling::model {
namespace {

using View = LayerView<const float>;

constexpr size_t line = 64;  // bytes that memory begins on

// Hands out matrices side by side.
class Shelf {
 public:
  explicit Shelf(uint8_t* memory) : at_(memory) {}
  Matrix8 take(size_t rows, size_t columns) {
    return {rows, columns, std::exchange(at_, at_ + Matrix8::bytes(rows, columns))};
  }

 private:
  uint8_t* at_;
};

bool is_hosted(const HostedSet& hosted, size_t layer, size_t region) {
  return hosted.empty() || (hosted[layer] >> region & 1) != 0;
}

size_t matrix_bytes(const Shape& shape, const HostedSet& hosted) {
  const size_t D = shape.width, E = shape.channels, m = shape.mlp_width / shape.regions;
  const size_t awake = awake_count(shape);
  const auto mlp = [&](size_t width) {
    return Matrix8::bytes(2 * width, D) + Matrix8::bytes(D, width);
  };
  const size_t layer =
      Matrix8::bytes(gate_count(shape) * E, D) + Matrix8::bytes(D, E) + mlp(awake * m);
  size_t selected = 0;
  for (size_t index = 0; index < shape.layers; ++index)
    for (size_t r = awake; r < shape.regions; ++r) selected += is_hosted(hosted, index, r);
  return shape.layers * layer + selected * mlp(m) + Matrix8::bytes(vocabulary, D);
}

Matrix8 rows_of(const float* w, size_t rows, size_t columns, Shelf& shelf) {
  Matrix8 matrix = shelf.take(rows, columns);
  for (size_t row = 0; row < rows; ++row) matrix.set_row(row, w + row * columns, 1);
  return matrix;
}

// Regions [first, first + count) side by side: the values of all, then the gates of all.
Matrix8 w1_of(const View& layer, size_t first, size_t count, Shelf& shelf) {
  const size_t m = layer.region_width, D = layer.width;
  Matrix8 matrix = shelf.take(2 * count * m, D);
  for (size_t r = 0; r < count; ++r)
    for (size_t i = 0; i < 2 * m; ++i) {
      const size_t row = i < m ? r * m + i : (count + r) * m + (i - m);
      matrix.set_row(row, layer.w1(first + r) + i * D, 1);
    }
  return matrix;
}

// w2 lies transposed, region after region: (m, D) each.
Matrix8 w2_of(const View& layer, size_t first, size_t count, Shelf& shelf) {
  const size_t m = layer.region_width, D = layer.width;
  std::vector<float> row(count * m);
  Matrix8 matrix = shelf.take(D, count * m);
  for (size_t out = 0; out < D; ++out) {
    for (size_t r = 0; r < count; ++r)
      for (size_t i = 0; i < m; ++i) row[r * m + i] = layer.w2(first + r)[i * D + out];
    matrix.set_row(out, row.data(), 1);
  }
  return matrix;
}

QuantisedLayer layer_of(const Shape& shape, const View& layer, uint64_t hosted, Shelf& shelf) {
  const size_t D = shape.width, E = shape.channels, awake = awake_count(shape);
  // In the order of the braces, which is the order of evaluation.
  QuantisedLayer quantised{.upz = rows_of(layer.wupz, layer.gates * E, D, shelf),
                           .wo = rows_of(layer.wo, D, E, shelf),
                           .awake_w1 = w1_of(layer, 0, awake, shelf),
                           .awake_w2 = w2_of(layer, 0, awake, shelf),
                           .selected_w1 = {},
                           .selected_w2 = {}};
  for (size_t r = awake; r < shape.regions; ++r) {
    const bool is_here = (hosted >> r & 1) != 0;
    quantised.selected_w1.push_back(is_here ? w1_of(layer, r, 1, shelf) : Matrix8());
    quantised.selected_w2.push_back(is_here ? w2_of(layer, r, 1, shelf) : Matrix8());
  }
  return quantised;
}

}  // namespace

Quantised::Quantised(const Snapshot& snapshot)
    : shape_(snapshot.shape), step_(snapshot.step), hosted_(snapshot.hosted) {
  assert(snapshot.parameters.size() == parameter_count(shape_));
  assign_in_large_pages(memory_, matrix_bytes(shape_, hosted_) + line, uint8_t{0});
  const auto address = reinterpret_cast<uintptr_t>(memory_.data());
  Shelf shelf(memory_.data() + (line - address % line) % line);
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
    const uint64_t hosted = hosted_.empty() ? ~uint64_t{0} : hosted_[index];
    layers_.push_back(layer_of(shape_, layer, hosted, shelf));
  }
  head_ = rows_of(snapshot.parameters.data(), vocabulary, D, shelf);
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

uint64_t Quantised::bytes() const { return small_.size() * sizeof(float) + memory_.size(); }

}  // namespace starling::model
