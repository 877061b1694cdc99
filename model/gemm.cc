// Matrix products in registers: a block of the right operand is packed into panels of a few vectors
// of columns, a panel stays in the first-level cache while all rows of the left operand's block
// pass by it, and a tile of the output stays in registers over up to `depth_max` terms. Source of
// the scheme: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008).
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
// 32 vector registers hold 8 x 3 sums; 16 hold 6 x 2, two columns and a broadcast value.
constexpr bool many_registers =
    HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_NEON;
constexpr size_t tile_rows = many_registers ? 8 : 6;
constexpr size_t tile_vectors = many_registers ? 3 : 2;
constexpr size_t panel = tile_vectors * lanes;
constexpr size_t depth_max = 256;                    // a panel of it fills half of 32 KiB at most
constexpr size_t columns_max = 384 / panel * panel;  // of the right operand's block: L2
constexpr size_t rows_max = 96;                      // of the left operand's block: L2 too

struct Left {
  const float* at;
  size_t row_stride;  // between rows of the output; in a packed tile, between terms of the sum
};

struct Tile {
  float* at;
  size_t row_stride;
  size_t width;  // columns that exist, at most vectors * lanes
  bool add;
  float* spare;  // where a tile that is cut short is written first
};

HWY_NOINLINE void copy_part(const Tile& tile, size_t rows, size_t spare_stride) {
  for (size_t i = 0; i < rows; ++i) {
    const float* from = tile.spare + i * spare_stride;
    float* out = tile.at + i * tile.row_stride;
    for (size_t j = 0; j < tile.width; ++j) out[j] = tile.add ? out[j] + from[j] : from[j];
  }
}

template <size_t rows, size_t vectors>
HWY_INLINE void store_sums(const Vector (&sums)[rows][vectors], float* out, size_t stride,
                           bool add) {
  const Tag d;
#pragma GCC unroll 8
  for (size_t i = 0; i < rows; ++i, out += stride)
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j) {
      const Vector sum = add ? hn::Add(sums[i][j], hn::LoadU(d, out + j * lanes)) : sums[i][j];
      hn::StoreU(sum, d, out + j * lanes);
    }
}

// `packed`: the left operand's terms lie one after the other, tile_rows values each; otherwise its
// rows are as in memory.
template <size_t rows, size_t vectors, bool packed>
HWY_NOINLINE void multiply_tile(const Left& left, const float* right, size_t depth,
                                const Tile& tile) {
  const Tag d;
  Vector sums[rows][vectors];
  const float* a[rows];
#pragma GCC unroll 8
  for (size_t i = 0; i < rows; ++i) {
    a[i] = packed ? left.at + i : left.at + i * left.row_stride;
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j) sums[i][j] = hn::Zero(d);
  }
  for (size_t k = 0; k < depth; ++k, right += vectors * lanes) {
    Vector column[vectors];
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j) column[j] = hn::Load(d, right + j * lanes);
#pragma GCC unroll 8
    for (size_t i = 0; i < rows; ++i) {
      const Vector value = hn::Set(d, packed ? a[0][k * tile_rows + i] : a[i][k]);
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j) sums[i][j] = hn::MulAdd(value, column[j], sums[i][j]);
    }
  }
  constexpr size_t width = vectors * lanes;
  if (tile.width < width) {
    store_sums<rows, vectors>(sums, tile.spare, width, false);
    return copy_part(tile, rows, width);
  }
  if (tile.add)
    store_sums<rows, vectors>(sums, tile.at, tile.row_stride, true);
  else
    store_sums<rows, vectors>(sums, tile.at, tile.row_stride, false);
}

// The last rows, fewer than a tile's.
template <size_t rows, size_t vectors, bool packed>
HWY_INLINE void multiply_rest(const Left& left, const float* right, size_t depth, const Tile& tile,
                              size_t count) {
  if constexpr (rows > 0) {
    if (count == rows) return multiply_tile<rows, vectors, packed>(left, right, depth, tile);
    multiply_rest<rows - 1, vectors, packed>(left, right, depth, tile, count);
  }
}

// All rows of a block against one panel; a panel wider than the usual one takes half as many rows
// at a time, so that the sums still fit in the registers.
template <size_t vectors, bool packed>
HWY_NOINLINE void multiply_panel(const Left& block, const float* right, size_t depth, Tile tile,
                                 size_t count) {
  constexpr size_t rows = vectors > tile_vectors ? tile_rows / 2 : tile_rows;
  size_t first = 0;
  const auto left = [&] {
    const size_t tiles = packed ? first / tile_rows * tile_rows : first;
    return Left{block.at + tiles * (packed ? depth : block.row_stride) + (first - tiles),
                block.row_stride};
  };
  for (; first + rows <= count; first += rows, tile.at += rows * tile.row_stride)
    multiply_tile<rows, vectors, packed>(left(), right, depth, tile);
  multiply_rest<rows - 1, vectors, packed>(left(), right, depth, tile, count - first);
}

// Columns of the next panel where so many are left: what would leave a single vector takes it too.
constexpr size_t next_width(size_t columns) { return columns <= panel + lanes ? columns : panel; }

constexpr size_t padded_width(size_t width) { return (width + lanes - 1) / lanes * lanes; }

// The widths that a last panel can have.
template <size_t vectors, bool packed>
HWY_INLINE void multiply_columns(const Left& left, const float* right, size_t depth,
                                 const Tile& tile, size_t count) {
  if constexpr (vectors > 1) {
    if (tile.width <= (vectors - 1) * lanes)
      return multiply_columns<vectors - 1, packed>(left, right, depth, tile, count);
  }
  multiply_panel<vectors, packed>(left, right, depth, tile, count);
}

// w: (depth, columns) with stride; panels of `panel` columns, term after term, the last one padded
// with zeros.
HWY_NOINLINE void pack_rows(const float* w, size_t stride, size_t depth, size_t columns,
                            float* out) {
  const Tag d;
  for (size_t first = 0, width = 0; first < columns; first += width) {
    width = next_width(columns - first);
    const size_t padded = padded_width(width);
    for (size_t k = 0; k < depth; ++k, out += padded) {
      const float* row = w + k * stride + first;
      if (width == panel) {
#pragma GCC unroll 4
        for (size_t j = 0; j < tile_vectors; ++j)
          hn::Store(hn::LoadU(d, row + j * lanes), d, out + j * lanes);
        continue;
      }
      size_t j = 0;
      for (; j + lanes <= width; j += lanes) hn::Store(hn::LoadU(d, row + j), d, out + j);
      for (; j < padded; ++j) out[j] = j < width ? row[j] : 0.0f;
    }
  }
}

#if HWY_TARGET == HWY_SCALAR
constexpr size_t transposed_columns = 1;
HWY_INLINE void transpose_four(const float* w, size_t, float* out, size_t out_stride) {
  for (size_t k = 0; k < 4; ++k) out[k * out_stride] = w[k];
}
#else
constexpr size_t transposed_columns = lanes < 8 ? 4 : 8;
// Four terms of four or eight columns, transposed in registers.
template <class D = hn::CappedTag<float, transposed_columns> >
HWY_INLINE void transpose_four(const float* w, size_t stride, float* out, size_t out_stride) {
  const D d;
  const hn::Repartition<double, D> pairs;
  const hn::CappedTag<float, 4> quarter;
  hn::Vec<D> rows[4];
  for (size_t i = 0; i < 4; ++i) {
    if constexpr (hn::MaxLanes(D()) == 8)
      rows[i] = hn::Combine(d, hn::LoadU(quarter, w + (i + 4) * stride),
                            hn::LoadU(quarter, w + i * stride));
    else
      rows[i] = hn::LoadU(d, w + i * stride);
  }
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, rows[0], rows[1]));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, rows[2], rows[3]));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, rows[0], rows[1]));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, rows[2], rows[3]));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, out);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, out + out_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, out + 2 * out_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, out + 3 * out_stride);
}
#endif

// The same panels from w: (columns, depth) with stride.
HWY_NOINLINE void pack_columns(const float* w, size_t stride, size_t depth, size_t columns,
                               float* out) {
  constexpr size_t step = transposed_columns;
  for (size_t first = 0, width = 0; first < columns; first += width) {
    width = next_width(columns - first);
    const size_t padded = padded_width(width), whole = width / step * step;
    const float* from = w + first * stride;
    size_t k = 0;
    for (; k + 4 <= depth; k += 4)
      for (size_t j = 0; j < whole; j += step)
        transpose_four(from + j * stride + k, stride, out + k * padded + j, padded);
    for (; k < depth; ++k)
      for (size_t j = 0; j < whole; ++j) out[k * padded + j] = from[j * stride + k];
    for (size_t j = whole; j < padded; ++j)
      for (k = 0; k < depth; ++k) out[k * padded + j] = j < width ? from[j * stride + k] : 0.0f;
    out += depth * padded;
  }
}

// One term of a whole tile of the left operand.
HWY_INLINE void copy_tile_row(const float* row, float* to) {
  const hn::CappedTag<float, 4> d;
  constexpr size_t step = hn::MaxLanes(d);
  for (size_t i = 0; i + step <= tile_rows; i += step) hn::StoreU(hn::LoadU(d, row + i), d, to + i);
  if constexpr (tile_rows % step != 0)  // overlaps the vector before
    hn::StoreU(hn::LoadU(d, row + tile_rows - step), d, to + tile_rows - step);
}

// x: (depth, count) with stride; tiles of tile_rows rows, in each term after term. Rows of a last,
// short tile are read as far as they exist. A few terms at a time, so that whole lines of the cache
// are read and written.
HWY_NOINLINE void pack_left(const float* x, size_t stride, size_t depth, size_t count, float* out) {
  constexpr size_t terms_max = 16;
  for (size_t k0 = 0; k0 < depth; k0 += terms_max) {
    const size_t terms = std::min(terms_max, depth - k0);
    const float* from = x + k0 * stride;
    float* to = out + k0 * tile_rows;
    size_t i = 0;
    for (; i + tile_rows <= count; i += tile_rows, to += depth * tile_rows)
      for (size_t k = 0; k < terms; ++k) copy_tile_row(from + k * stride + i, to + k * tile_rows);
    for (size_t k = 0; k < terms && i < count; ++k)
      std::copy_n(from + k * stride + i, count - i, to + k * tile_rows);
  }
}

// The packed panels and the packed left block; grows to a fixed size once in each thread that
// multiplies.
struct Workspace {
  std::vector<float> memory;
  float* right = nullptr;
  float* left = nullptr;
  float* spare = nullptr;
};

constexpr size_t spare_floats = tile_rows * (panel + lanes);
constexpr size_t workspace_floats =
    depth_max * (columns_max + lanes + rows_max) + spare_floats + 16;

HWY_INLINE Workspace& workspace() {
  thread_local Workspace space;
  if (space.memory.empty()) {
    space.memory.resize(workspace_floats);
    const auto address = reinterpret_cast<uintptr_t>(space.memory.data());
    space.right = space.memory.data() + (64 - address % 64) % 64 / sizeof(float);
    space.left = space.right + depth_max * (columns_max + lanes);
    space.spare = space.left + depth_max * rows_max;
  }
  return space;
}

// Equal blocks, as few as the limit allows.
constexpr size_t block_of(size_t count, size_t limit, size_t unit) {
  const size_t blocks = (count + limit - 1) / limit;
  const size_t block = (count + blocks - 1) / blocks;
  return (block + unit - 1) / unit * unit;
}

enum class Order { nt, nn, tn };

// One block of the right operand, packed, against all rows.
template <Order order>
HWY_INLINE void multiply_block(const float* x, float* y, const Extent& extent, size_t k0,
                               size_t depth, size_t columns, bool add) {
  const Workspace& space = workspace();
  constexpr bool packed = order == Order::tn;
  const size_t block = block_of(extent.rows, rows_max, tile_rows);
  for (size_t i0 = 0; i0 < extent.rows; i0 += block) {
    const size_t count = std::min(block, extent.rows - i0);
    Left left{.at = x + i0 * extent.depth + k0, .row_stride = extent.depth};
    if constexpr (packed) {
      pack_left(x + k0 * extent.rows + i0, extent.rows, depth, count, space.left);
      left = {.at = space.left, .row_stride = tile_rows};
    }
    const float* right = space.right;
    for (size_t j = 0, width = 0; j < columns; j += width) {
      width = next_width(columns - j);
      const Tile tile{.at = y + i0 * extent.columns + j,
                      .row_stride = extent.columns,
                      .width = width,
                      .add = add || k0 > 0,
                      .spare = space.spare};
      multiply_columns<tile_vectors + 1, packed>(left, right, depth, tile, count);
      right += depth * padded_width(width);
    }
  }
}

template <Order order>
HWY_INLINE void multiply(const float* x, const float* w, float* y, Extent extent, bool add) {
  if (extent.rows == 0 || extent.columns == 0) return;
  const Workspace& space = workspace();
  const size_t terms = block_of(std::max<size_t>(1, extent.depth), depth_max, 4);
  const size_t breadth = block_of(extent.columns, columns_max, panel);
  for (size_t k0 = 0; k0 < extent.depth; k0 += terms) {
    const size_t depth = std::min(terms, extent.depth - k0);
    for (size_t j0 = 0; j0 < extent.columns; j0 += breadth) {
      const size_t columns = std::min(breadth, extent.columns - j0);
      if constexpr (order == Order::nt)
        pack_columns(w + j0 * extent.depth + k0, extent.depth, depth, columns, space.right);
      else
        pack_rows(w + k0 * extent.columns + j0, extent.columns, depth, columns, space.right);
      multiply_block<order>(x, y + j0, extent, k0, depth, columns, add);
    }
  }
}

uint64_t workspace_bytes() { return workspace_floats * sizeof(float); }

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
  for (; i + 4 * lanes <= columns; i += 4 * lanes) {  // several at once: w is read by the line
    Vector sums[4];
    for (size_t j = 0; j < 4; ++j) sums[j] = hn::LoadU(d, y + i + j * lanes);
    for (size_t n = 0; n < rows; ++n) {
      const Vector value = hn::Set(d, x[n]);
#pragma GCC unroll 4
      for (size_t j = 0; j < 4; ++j)
        sums[j] = hn::MulAdd(value, hn::LoadU(d, w + n * columns + i + j * lanes), sums[j]);
    }
    for (size_t j = 0; j < 4; ++j) hn::StoreU(sums[j], d, y + i + j * lanes);
  }
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
