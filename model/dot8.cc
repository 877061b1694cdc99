// On x86 bytes are multiplied by pmaddubsw, which takes one operand as unsigned: |x| is multiplied
// by w with the sign of x put on it. Two products of at most 127 * 127 fit in its 16 bits.
// Elsewhere the plain loop is left to the compiler.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/dot8.cc"
#include "model/dot8.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace starling::model::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

float round_to_8(const float* x, size_t count, int8_t* x8) {
  const hn::CappedTag<float, 8> d;
  const hn::Rebind<int8_t, decltype(d)> d8;
  const size_t step = hn::Lanes(d);
  auto top = hn::Zero(d);
  size_t i = 0;
  for (; i + step <= count; i += step) top = hn::Max(top, hn::Abs(hn::LoadU(d, x + i)));
  float largest = hn::GetLane(hn::MaxOfLanes(d, top));
  for (; i < count; ++i) largest = std::max(largest, std::abs(x[i]));
  std::fill(x8 + count, x8 + padded_columns(count), int8_t{0});
  const float inverse = largest > 0 ? 127 / largest : 0;
  for (i = 0; i + step <= count; i += step) {
    const auto scaled = hn::Mul(hn::LoadU(d, x + i), hn::Set(d, inverse));
    hn::StoreU(hn::DemoteTo(d8, hn::NearestInt(scaled)), d8, x8 + i);
  }
  for (; i < count; ++i) x8[i] = static_cast<int8_t>(std::nearbyint(x[i] * inverse));
  return largest / 127;
}

#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
#if HWY_TARGET == HWY_SSE4
using Bytes = __m128i;
HWY_INLINE Bytes load(const int8_t* at) {
  return _mm_loadu_si128(reinterpret_cast<const Bytes*>(at));
}
HWY_INLINE Bytes four(const int8_t* at) {
  int32_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return _mm_set1_epi32(bits);
}
HWY_INLINE Bytes nothing() { return _mm_setzero_si128(); }
HWY_INLINE Bytes magnitude(Bytes x) { return _mm_abs_epi8(x); }
// sum + w x for four columns, a row in each 32-bit lane; `size` = |x|.
HWY_INLINE Bytes multiply_add(Bytes size, Bytes x, Bytes w, Bytes sum) {
  const Bytes pairs = _mm_maddubs_epi16(size, _mm_sign_epi8(w, x));
  return _mm_add_epi32(sum, _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
}
HWY_INLINE void store(Bytes sum, int32_t* at) {
  _mm_store_si128(reinterpret_cast<Bytes*>(at), sum);
}
#else
using Bytes = __m256i;
HWY_INLINE Bytes load(const int8_t* at) {
  return _mm256_loadu_si256(reinterpret_cast<const Bytes*>(at));
}
HWY_INLINE Bytes four(const int8_t* at) {
  int32_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return _mm256_set1_epi32(bits);
}
HWY_INLINE Bytes nothing() { return _mm256_setzero_si256(); }
HWY_INLINE Bytes magnitude(Bytes x) { return _mm256_abs_epi8(x); }
// sum + w x for four columns, a row in each 32-bit lane; `size` = |x|.
HWY_INLINE Bytes multiply_add(Bytes size, Bytes x, Bytes w, Bytes sum) {
  const Bytes pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(w, x));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
HWY_INLINE void store(Bytes sum, int32_t* at) {
  _mm256_store_si256(reinterpret_cast<Bytes*>(at), sum);
}
#endif

template <size_t rows>
HWY_INLINE void sum_panel(const int8_t* w, const int8_t* x8, size_t columns, int32_t* out) {
  constexpr size_t vectors = rows * dot8_columns / sizeof(Bytes);
  Bytes sums[vectors];
#pragma GCC unroll 8
  for (size_t j = 0; j < vectors; ++j) sums[j] = nothing();
  for (size_t i = 0; i < columns; i += dot8_columns, w += rows * dot8_columns) {
    const Bytes x = four(x8 + i), size = magnitude(x);
#pragma GCC unroll 8
    for (size_t j = 0; j < vectors; ++j)
      sums[j] = multiply_add(size, x, load(w + j * sizeof(Bytes)), sums[j]);
  }
#pragma GCC unroll 8
  for (size_t j = 0; j < vectors; ++j) store(sums[j], out + j * sizeof(Bytes) / sizeof(int32_t));
}
#else
template <size_t rows>
HWY_INLINE void sum_panel(const int8_t* w, const int8_t* x8, size_t columns, int32_t* out) {
  std::fill_n(out, rows, 0);
  for (size_t i = 0; i < columns; i += dot8_columns, w += rows * dot8_columns)
    for (size_t r = 0; r < rows; ++r)
      for (size_t j = 0; j < dot8_columns; ++j) out[r] += w[r * dot8_columns + j] * x8[i + j];
}
#endif

void matrix_vector_8(const Matrix8& w, const int8_t* x8, float scale, float* y, bool add) {
  const hn::CappedTag<float, dot8_rows> d;
  const hn::RebindToSigned<decltype(d)> di;
  const size_t rows = padded_rows(w.rows()), columns = padded_columns(w.columns());
  const int8_t* values = w.values();
  HWY_ALIGN int32_t sums[2 * dot8_rows];
  for (size_t first = 0; first < rows; first += 2 * dot8_rows) {
    const size_t count = std::min(2 * dot8_rows, rows - first);
    if (count == 2 * dot8_rows)
      sum_panel<2 * dot8_rows>(values, x8, columns, sums);
    else
      sum_panel<dot8_rows>(values, x8, columns, sums);
    values += count * columns;
    for (size_t i = 0; i < count; i += hn::Lanes(d)) {
      const auto sum = hn::ConvertTo(d, hn::Load(di, sums + i));
      const auto factor = hn::Mul(hn::Load(d, w.scales() + first + i), hn::Set(d, scale));
      const auto before = add ? hn::LoadU(d, y + first + i) : hn::Zero(d);
      hn::StoreU(hn::MulAdd(sum, factor, before), d, y + first + i);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace starling::model::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace starling::model {

Matrix8::Matrix8(size_t rows, size_t columns)
    : rows_(rows),
      columns_(columns),
      values_(hwy::AllocateAligned<int8_t>(
          std::max<size_t>(1, padded_rows(rows) * padded_columns(columns)))),
      scales_(hwy::AllocateAligned<float>(std::max<size_t>(1, padded_rows(rows)))) {
  std::fill_n(values_.get(), padded_rows(rows) * padded_columns(columns), int8_t{0});
  std::fill_n(scales_.get(), padded_rows(rows), 0.0f);
}

int8_t& Matrix8::at(size_t row, size_t column) {
  constexpr size_t panel = 2 * dot8_rows;
  const size_t first = row / panel * panel, height = std::min(panel, padded_rows(rows_) - first);
  const size_t block =
      first * padded_columns(columns_) + column / dot8_columns * dot8_columns * height;
  return values_[block + (row - first) * dot8_columns + column % dot8_columns];
}

void Matrix8::set_row(size_t row, const float* values, size_t stride) {
  assert(row < rows_);
  float largest = 0;
  for (size_t i = 0; i < columns_; ++i) largest = std::max(largest, std::abs(values[i * stride]));
  const float inverse = largest > 0 ? 127 / largest : 0;
  for (size_t i = 0; i < columns_; ++i)
    at(row, i) = static_cast<int8_t>(std::nearbyint(values[i * stride] * inverse));
  scales_[row] = largest / 127;
}

uint64_t Matrix8::bytes() const {
  return padded_rows(rows_) * (padded_columns(columns_) + sizeof(float));
}

namespace kernels {

HWY_EXPORT(round_to_8);
HWY_EXPORT(matrix_vector_8);

float round_to_8(const float* x, size_t count, int8_t* x8) {
  return HWY_DYNAMIC_DISPATCH(round_to_8)(x, count, x8);
}
void matrix_vector_8(const Matrix8& w, const int8_t* x8, float scale, float* y, bool add) {
  HWY_DYNAMIC_DISPATCH(matrix_vector_8)(w, x8, scale, y, add);
}

}  // namespace kernels

namespace reference {

void matrix_vector_8(const Matrix8& w, const int8_t* x8, float scale, float* y, bool add) {
  constexpr size_t panel = 2 * dot8_rows;
  const size_t columns = padded_columns(w.columns());
  for (size_t row = 0; row < padded_rows(w.rows()); ++row) {
    const size_t first = row / panel * panel;
    const size_t height = std::min(panel, padded_rows(w.rows()) - first);
    int32_t sum = 0;
    for (size_t i = 0; i < columns; ++i)
      sum += x8[i] * w.values()[first * columns + i / dot8_columns * dot8_columns * height +
                                (row - first) * dot8_columns + i % dot8_columns];
    const float value = static_cast<float>(sum) * w.scales()[row] * scale;
    y[row] = add ? y[row] + value : value;
  }
}

}  // namespace reference
}  // namespace starling::model
#endif  // HWY_ONCE
