#pragma once
// Named views into the flat parameter vector: where each tensor of each layer lies. The gradient
// has the same layout.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/reference.h"
#include "model/shape.h"

namespace starling::model {

inline constexpr uint32_t regions_max = 64;           // of one layer: a choice is a 64-bit set
inline constexpr uint64_t parameters_max = 1u << 28;  // offsets are 32 bits

// Why no model can have this shape; empty when one can.
std::string fault_of(const Shape& shape);
inline bool is_valid(const Shape& shape) { return fault_of(shape).empty(); }

inline uint32_t awake_count(const Shape& shape) {
  return shape.regions == 1 ? 1 : std::min(shape.always_awake, shape.regions);
}
inline uint32_t selected_count(const Shape& shape) {
  return std::min(shape.selected, shape.regions - awake_count(shape));
}

// Rows of a channel in the input matrix: u, p and, where the decay depends on the data, z.
inline size_t gate_count(const Shape& shape) { return shape.decay == Decay::fixed ? 2 : 3; }

enum class Learning : uint8_t {
  matrix,  // by gradient, with weight decay
  vector,  // by gradient, without
  none,    // by statistics or not at all
};

struct Tensor {
  std::string_view name;
  uint32_t layer;
  uint32_t offset;
  uint32_t count;
  RegionId region;
  Learning learning;
};
std::vector<Tensor> tensors(const Shape& shape);  // in order of offset, without gaps

// The tensors of one layer; R may be const.
template <typename R>
struct LayerView {
  R* norm1;  // (D)
  R* wupz;   // (gates E, D): Wu, Wp and, with three gates, Wf
  R* fb;     // (E)
  R* cw;     // (taps, E)
  R* cb;     // (E)
  R* wo;     // (D, E)
  R* norm2;  // (D)
  R* mlp;  // the regions, each w1 (2m, D) value rows then gate rows, w2 transposed (m, D), selector
           // (D)
  R* mu;   // (D)
  R* var;  // (D)
  R* bias;              // (regions)
  size_t width;         // D
  size_t gates;         // 3, or 2 with fixed decays
  size_t region_width;  // m

  size_t region_stride() const { return (3 * region_width + 1) * width; }
  R* w1(size_t region) const { return mlp + region * region_stride(); }
  R* w2(size_t region) const { return w1(region) + 2 * region_width * width; }
  R* selector(size_t region) const { return w2(region) + region_width * width; }
};

class Layout {
 public:
  explicit Layout(const Shape& shape)
      : D(shape.width),
        E(shape.channels),
        m(shape.mlp_width / shape.regions),
        regions(shape.regions),
        gates(gate_count(shape)) {}

  size_t embedding_count() const { return (vocabulary + 1) * D; }
  size_t mixing_count() const { return (gates + 1) * E * D + (taps + 2) * E + 2 * D; }
  size_t mlp_count() const { return (3 * m + 1) * D; }
  size_t selection_count() const { return 2 * D + regions; }
  size_t layer_count() const { return mixing_count() + regions * mlp_count() + selection_count(); }
  size_t layer_start(size_t layer) const { return embedding_count() + layer * layer_count(); }

  template <typename R>
  R* embedding(R* all) const {
    return all;
  }  // (vocabulary, D)
  template <typename R>
  R* final_norm(R* all) const {
    return all + vocabulary * D;
  }  // (D)
  template <typename R>
  LayerView<R> layer(R* all, size_t index) const {
    LayerView<R> view{};
    R* at = all + layer_start(index);
    const auto take = [&at](size_t count) { return std::exchange(at, at + count); };
    view.norm1 = take(D);
    view.wupz = take(gates * E * D);
    view.fb = take(E);
    view.cw = take(taps * E);
    view.cb = take(E);
    view.wo = take(D * E);
    view.norm2 = take(D);
    view.mlp = take(regions * mlp_count());
    view.mu = take(D);
    view.var = take(D);
    view.bias = take(regions);
    view.width = D;
    view.gates = gates;
    view.region_width = m;
    return view;
  }

 private:
  size_t D, E, m, regions, gates;
};

}  // namespace starling::model
