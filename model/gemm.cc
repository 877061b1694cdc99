// Matrix products in registers: the right operand is packed into panels of `panel` columns, the
// left one is read in tiles of `tile_rows` rows whose values are broadcast; a tile of the output
// stays in registers over up to `depth_max` terms. Source of the scheme: Goto and van de Geijn,
// "Anatomy of high-performance matrix multiplication" (2008).
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/gemm.cc"
#include <algorithm>
#include <cstring>
#include <vector>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "model/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace starling::model::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, 16>;
using Vector = hn::Vec<Tag>;
constexpr size_t lanes = hn::MaxLanes(Tag());
// 32 vector registers hold 8 x 3 sums, 16 hold 4 x 3.
constexpr size_t tile_rows =
    HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_NEON ? 8 : 4;
constexpr size_t tile_vectors = 3;
constexpr size_t panel = tile_vectors * lanes;
constexpr size_t depth_max = 256;
constexpr size_t columns_max = 768 / panel * panel;

struct Left {
  const float* at;
  size_t row_stride;   // between rows of the output
  size_t term_stride;  // between terms of the sum
};

struct Tile {
  float* at;
  size_t row_stride;
  size_t width;  // columns that exist, at most vectors * lanes
  bool add;
};

template <size_t vectors>
HWY_INLINE void store_row(const Vector* sums, float* out, const Tile& tile) {
  const Tag d;
  if (tile.width == vectors * lanes) {
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j) {
      const Vector sum = tile.add ? hn::Add(sums[j], hn::LoadU(d, out + j * lanes)) : sums[j];
      hn::StoreU(sum, d, out + j * lanes);
    }
    return;
  }
  HWY_ALIGN float row[vectors * lanes];
  for (size_t j = 0; j < vectors; ++j) hn::Store(sums[j], d, row + j * lanes);
  for (size_t i = 0; i < tile.width; ++i) out[i] = tile.add ? out[i] + row[i] : row[i];
}

// `packed`: the left operand's rows are neighbours in memory (row stride 1), otherwise its terms
// are.
template <size_t rows, size_t vectors, bool packed>
HWY_INLINE void multiply_tile(Left left, const float* right, size_t depth, const Tile& tile) {
  const Tag d;
  Vector sums[rows][vectors];
#pragma GCC unroll 8
  for (size_t i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j) sums[i][j] = hn::Zero(d);
  const float* a = left.at;
  const size_t row_stride = packed ? 1 : left.row_stride;
  const size_t term_stride = packed ? left.term_stride : 1;
  for (size_t k = 0; k < depth; ++k, right += vectors * lanes, a += term_stride) {
    Vector column[vectors];
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j) column[j] = hn::Load(d, right + j * lanes);
#pragma GCC unroll 8
    for (size_t i = 0; i < rows; ++i) {
      const Vector value = hn::Set(d, a[i * row_stride]);
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j) sums[i][j] = hn::MulAdd(value, column[j], sums[i][j]);
    }
  }
#pragma GCC unroll 8
  for (size_t i = 0; i < rows; ++i)
    store_row<vectors>(sums[i], tile.at + i * tile.row_stride, tile);
}

// All rows of one tile, the last one of which may be short: 8, 4, 2 and 1 rows at a time.
template <size_t rows, size_t vectors, bool packed>
HWY_INLINE void multiply_rows(Left left, const float* right, size_t depth, Tile tile,
                              size_t count) {
  if (count >= rows) {
    multiply_tile<rows, vectors, packed>(left, right, depth, tile);
    left.at += rows * (packed ? 1 : left.row_stride);
    tile.at += rows * tile.row_stride;
    count -= rows;
  }
  if constexpr (rows > 1)
    if (count > 0) multiply_rows<rows / 2, vectors, packed>(left, right, depth, tile, count);
}

template <bool packed>
HWY_NOINLINE void multiply_panel(Left left, const float* right, size_t depth, const Tile& tile,
                                 size_t count) {
  if (tile.width > 2 * lanes)
    multiply_rows<tile_rows, 3, packed>(left, right, depth, tile, count);
  else if (tile.width > lanes)
    multiply_rows<tile_rows, 2, packed>(left, right, depth, tile, count);
  else
    multiply_rows<tile_rows, 1, packed>(left, right, depth, tile, count);
}

constexpr size_t panel_width(size_t columns) {
  return (std::min(columns, panel) + lanes - 1) / lanes * lanes;
}

// w: (depth, columns) with stride; panels of `panel` columns, term after term, the last one padded
// with zeros.
HWY_NOINLINE void pack_rows(const float* w, size_t stride, size_t depth, size_t columns,
                            float* out) {
  const Tag d;
  for (size_t first = 0; first < columns; first += panel) {
    const size_t width = std::min(panel, columns - first), padded = panel_width(width);
    for (size_t k = 0; k < depth; ++k, out += padded) {
      const float* row = w + k * stride + first;
      if (width == panel) {
#pragma GCC unroll 4
        for (size_t j = 0; j < tile_vectors; ++j)
          hn::Store(hn::LoadU(d, row + j * lanes), d, out + j * lanes);
      } else {
        std::memcpy(out, row, width * sizeof(float));
        std::fill(out + width, out + padded, 0.0f);
      }
    }
  }
}

// The same panels from w: (columns, depth) with stride, four terms at a time so that each line is
// read once.
HWY_NOINLINE void pack_columns(const float* w, size_t stride, size_t depth, size_t columns,
                               float* out) {
  for (size_t first = 0; first < columns; first += panel) {
    const size_t width = std::min(panel, columns - first), padded = panel_width(width);
    size_t k = 0;
    for (; k + 16 <= depth; k += 16)
      for (size_t j = 0; j < padded; ++j)
        for (size_t i = 0; i < 16; ++i)
          out[(k + i) * padded + j] = j < width ? w[(first + j) * stride + k + i] : 0.0f;
    for (; k < depth; ++k)
      for (size_t j = 0; j < padded; ++j)
        out[k * padded + j] = j < width ? w[(first + j) * stride + k] : 0.0f;
    out += depth * padded;
  }
}

// x: (depth, count) with stride; terms of tile_rows rows, one after the other.
HWY_NOINLINE void pack_left(const float* x, size_t stride, size_t depth, size_t count, float* out) {
  if (count < tile_rows) {
    for (size_t k = 0; k < depth; ++k)
      for (size_t i = 0; i < count; ++i) out[k * tile_rows + i] = x[k * stride + i];
    return;
  }
  const hn::CappedTag<float, tile_rows> d;
  for (size_t k = 0; k < depth; ++k)
    for (size_t i = 0; i < tile_rows; i += hn::MaxLanes(d))
      hn::StoreU(hn::LoadU(d, x + k * stride + i), d, out + k * tile_rows + i);
}

// The packed panels and one packed left tile; grows to a fixed size once in each thread that
// multiplies.
struct Workspace {
  std::vector<float> memory;
  float* right = nullptr;
  float* left = nullptr;
};

HWY_INLINE Workspace& workspace() {
  thread_local Workspace space;
  if (space.memory.empty()) {
    space.memory.resize(depth_max * (columns_max + tile_rows) + 64);
    const auto address = reinterpret_cast<uintptr_t>(space.memory.data());
    space.right = space.memory.data() + (64 - address % 64) % 64 / sizeof(float);
    space.left = space.right + depth_max * columns_max;
  }
  return space;
}

enum class Order { nt, nn, tn };

template <Order order>
HWY_INLINE void multiply(const float* x, const float* w, float* y, Extent extent, bool add) {
  Workspace& space = workspace();
  for (size_t k0 = 0; k0 < extent.depth; k0 += depth_max) {
    const size_t depth = std::min(depth_max, extent.depth - k0);
    for (size_t j0 = 0; j0 < extent.columns; j0 += columns_max) {
      const size_t columns = std::min(columns_max, extent.columns - j0);
      if constexpr (order == Order::nt)
        pack_columns(w + j0 * extent.depth + k0, extent.depth, depth, columns, space.right);
      else
        pack_rows(w + k0 * extent.columns + j0, extent.columns, depth, columns, space.right);
      for (size_t i0 = 0; i0 < extent.rows; i0 += tile_rows) {
        const size_t count = std::min(tile_rows, extent.rows - i0);
        Left left{.at = x + i0 * extent.depth + k0, .row_stride = extent.depth, .term_stride = 1};
        if constexpr (order == Order::tn) {
          pack_left(x + k0 * extent.rows + i0, extent.rows, depth, count, space.left);
          left = {.at = space.left, .row_stride = 1, .term_stride = tile_rows};
        }
        const float* right = space.right;
        for (size_t j = 0; j < columns; j += panel) {
          const size_t width = std::min(panel, columns - j);
          const Tile tile{.at = y + i0 * extent.columns + j0 + j,
                          .row_stride = extent.columns,
                          .width = width,
                          .add = add || k0 > 0};
          multiply_panel<order == Order::tn>(left, right, depth, tile, count);
          right += depth * panel_width(width);
        }
      }
    }
  }
}

uint64_t workspace_bytes() { return (depth_max * (columns_max + tile_rows) + 64) * sizeof(float); }

void multiply_nt(const float* x, const float* w, float* y, Extent extent, bool add) {
  multiply<Order::nt>(x, w, y, extent, add);
}
void multiply_nn(const float* x, const float* w, float* y, Extent extent, bool add) {
  multiply<Order::nn>(x, w, y, extent, add);
}
void multiply_tn(const float* x, const float* w, float* y, Extent extent, bool add) {
  multiply<Order::tn>(x, w, y, extent, add);
}

void matrix_vector(const float* w, const float* x, float* y, size_t rows, size_t columns) {
  const Tag d;
  size_t n = 0;
  for (; n + 4 <= rows; n += 4) {
    const float* row[4] = {w + n * columns, w + (n + 1) * columns, w + (n + 2) * columns,
                           w + (n + 3) * columns};
    Vector sums[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    size_t i = 0;
    for (; i + lanes <= columns; i += lanes) {
      const Vector value = hn::LoadU(d, x + i);
#pragma GCC unroll 4
      for (size_t k = 0; k < 4; ++k) sums[k] = hn::MulAdd(hn::LoadU(d, row[k] + i), value, sums[k]);
    }
    for (size_t k = 0; k < 4; ++k) {
      float sum = hn::GetLane(hn::SumOfLanes(d, sums[k]));
      for (size_t rest = i; rest < columns; ++rest) sum += row[k][rest] * x[rest];
      y[n + k] = sum;
    }
  }
  for (; n < rows; ++n) {
    Vector sums = hn::Zero(d);
    size_t i = 0;
    for (; i + lanes <= columns; i += lanes)
      sums = hn::MulAdd(hn::LoadU(d, w + n * columns + i), hn::LoadU(d, x + i), sums);
    float sum = hn::GetLane(hn::SumOfLanes(d, sums));
    for (; i < columns; ++i) sum += w[n * columns + i] * x[i];
    y[n] = sum;
  }
}

void vector_matrix_add(const float* x, const float* w, float* y, size_t rows, size_t columns) {
  const Tag d;
  size_t i = 0;
  for (; i + lanes <= columns; i += lanes) {
    Vector sum = hn::LoadU(d, y + i);
    for (size_t n = 0; n < rows; ++n)
      sum = hn::MulAdd(hn::Set(d, x[n]), hn::LoadU(d, w + n * columns + i), sum);
    hn::StoreU(sum, d, y + i);
  }
  for (; i < columns; ++i)
    for (size_t n = 0; n < rows; ++n) y[i] += x[n] * w[n * columns + i];
}

}  // namespace HWY_NAMESPACE
}  // namespace starling::model::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace starling::model::kernels {

HWY_EXPORT(workspace_bytes);
HWY_EXPORT(multiply_nt);
HWY_EXPORT(multiply_nn);
HWY_EXPORT(multiply_tn);
HWY_EXPORT(matrix_vector);
HWY_EXPORT(vector_matrix_add);

uint64_t workspace_bytes() { return HWY_DYNAMIC_DISPATCH(workspace_bytes)(); }
void multiply_nt(const float* x, const float* w, float* y, Extent extent, bool add) {
  HWY_DYNAMIC_DISPATCH(multiply_nt)(x, w, y, extent, add);
}
void multiply_nn(const float* x, const float* w, float* y, Extent extent, bool add) {
  HWY_DYNAMIC_DISPATCH(multiply_nn)(x, w, y, extent, add);
}
void multiply_tn(const float* x, const float* w, float* y, Extent extent, bool add) {
  HWY_DYNAMIC_DISPATCH(multiply_tn)(x, w, y, extent, add);
}
void matrix_vector(const float* w, const float* x, float* y, size_t rows, size_t columns) {
  HWY_DYNAMIC_DISPATCH(matrix_vector)(w, x, y, rows, columns);
}
void vector_matrix_add(const float* x, const float* w, float* y, size_t rows, size_t columns) {
  HWY_DYNAMIC_DISPATCH(vector_matrix_add)(x, w, y, rows, columns);
}

}  // namespace starling::model::kernels
#endif  // HWY_ONCE
