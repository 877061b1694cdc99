// On x86 bytes are multiplied unsigned by signed, which is what the activations are kept for: by
// vpdpbusd, which sums four products at once, where the processor has it, by pmaddubsw, which sums
// them in pairs, elsewhere. On other processors the plain loop is left to the compiler.
#define HWY_WANT_AVX3_DL 1  // the instruction set with vpdpbusd, for this file alone
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

constexpr float x8_max = 63;

float round_to_8(const float* x, size_t count, uint8_t* x8) {
  const hn::CappedTag<float, 8> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const size_t step = hn::Lanes(d);
  auto top = hn::Zero(d), top2 = top;
  size_t i = 0;
  for (; i + 2 * step <= count; i += 2 * step) {
    top = hn::Max(top, hn::Abs(hn::LoadU(d, x + i)));
    top2 = hn::Max(top2, hn::Abs(hn::LoadU(d, x + i + step)));
  }
  float largest = hn::GetLane(hn::MaxOfLanes(d, hn::Max(top, top2)));
  for (; i < count; ++i) largest = std::max(largest, std::abs(x[i]));
  std::fill(x8 + count, x8 + padded_columns(count), zero8);
  const float inverse = largest > 0 ? x8_max / largest : 0;
  const auto factor = hn::Set(d, inverse);
  const auto zero = hn::Set(di, zero8);
  for (i = 0; i + step <= count; i += step) {
    const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), factor));
    hn::StoreU(hn::DemoteTo(d8, hn::Add(rounded, zero)), d8, x8 + i);
  }
  for (; i < count; ++i) x8[i] = static_cast<uint8_t>(std::nearbyint(x[i] * inverse) + zero8);
  return largest / x8_max;
}

#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
#if HWY_TARGET == HWY_SSE4
using Bytes = __m128i;
HWY_INLINE Bytes load(const void* at) { return _mm_load_si128(static_cast<const Bytes*>(at)); }
HWY_INLINE Bytes repeat(int32_t four) { return _mm_set1_epi32(four); }
HWY_INLINE Bytes plus(Bytes a, Bytes b) { return _mm_add_epi32(a, b); }
HWY_INLINE Bytes multiply_add(Bytes x, Bytes w, Bytes sum) {
  const Bytes pairs = _mm_maddubs_epi16(x, w);
  return _mm_add_epi32(sum, _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
}
HWY_INLINE void store(Bytes sum, int32_t* at) {
  _mm_store_si128(reinterpret_cast<Bytes*>(at), sum);
}
#elif HWY_TARGET == HWY_AVX3_DL
using Bytes = __m512i;
HWY_INLINE Bytes load(const void* at) { return _mm512_load_si512(at); }
HWY_INLINE Bytes repeat(int32_t four) { return _mm512_set1_epi32(four); }
HWY_INLINE Bytes plus(Bytes a, Bytes b) { return _mm512_add_epi32(a, b); }
// Highway 1.0.3 looks whether the processor has it but does not tell the compiler: here and below.
__attribute__((target(HWY_TARGET_STR ",avx512vnni"))) HWY_INLINE Bytes multiply_add(Bytes x,
                                                                                    Bytes w,
                                                                                    Bytes sum) {
  return _mm512_dpbusd_epi32(sum, x, w);
}
HWY_INLINE void store(Bytes sum, int32_t* at) { _mm512_store_si512(at, sum); }
#else
using Bytes = __m256i;
HWY_INLINE Bytes load(const void* at) { return _mm256_load_si256(static_cast<const Bytes*>(at)); }
HWY_INLINE Bytes repeat(int32_t four) { return _mm256_set1_epi32(four); }
HWY_INLINE Bytes plus(Bytes a, Bytes b) { return _mm256_add_epi32(a, b); }
HWY_INLINE Bytes multiply_add(Bytes x, Bytes w, Bytes sum) {
  const Bytes pairs = _mm256_maddubs_epi16(x, w);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
HWY_INLINE void store(Bytes sum, int32_t* at) {
  _mm256_store_si256(reinterpret_cast<Bytes*>(at), sum);
}
#endif
// multiply_add: sum + w x for four columns, a row in each 32-bit lane.

HWY_INLINE Bytes four(const uint8_t* at) {
  int32_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return repeat(bits);
}

// How far ahead weights are asked for: beyond the end of a page, where the processor stops by
// itself, and into the matrices that lie behind and come next.
constexpr size_t ahead = 4096;  // bytes

// Sums in several chains, as each waits for its last.
template <size_t rows>
#if HWY_TARGET == HWY_AVX3_DL
__attribute__((target(HWY_TARGET_STR ",avx512vnni")))
#endif
HWY_INLINE void
sum_panel(const int8_t* w, const uint8_t* x8, size_t columns, const int32_t* offsets,
          int32_t* out) {
  constexpr size_t vectors = rows * dot8_columns / sizeof(Bytes), chains = vectors < 4 ? 4 : 1;
  constexpr size_t lanes = sizeof(Bytes) / sizeof(int32_t), step = rows * dot8_columns;
  Bytes sums[chains][vectors] = {};
#pragma GCC unroll 8
  for (size_t j = 0; j < vectors; ++j) sums[0][j] = load(offsets + j * lanes);
  size_t i = 0;
  for (; i + chains * dot8_columns <= columns; i += chains * dot8_columns) {
#pragma GCC unroll 4
    for (size_t c = 0; c < chains; ++c, w += step) {
      const Bytes x = four(x8 + i + c * dot8_columns);
#pragma GCC unroll 2
      for (size_t line = 0; line < step; line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(w) + ahead + line, _MM_HINT_T0);
#pragma GCC unroll 8
      for (size_t j = 0; j < vectors; ++j)
        sums[c][j] = multiply_add(x, load(w + j * sizeof(Bytes)), sums[c][j]);
    }
  }
  for (; i < columns; i += dot8_columns, w += step)
    for (size_t j = 0; j < vectors; ++j)
      sums[0][j] = multiply_add(four(x8 + i), load(w + j * sizeof(Bytes)), sums[0][j]);
#pragma GCC unroll 4
  for (size_t c = 1; c < chains; ++c)
#pragma GCC unroll 8
    for (size_t j = 0; j < vectors; ++j) sums[0][j] = plus(sums[0][j], sums[c][j]);
#pragma GCC unroll 8
  for (size_t j = 0; j < vectors; ++j) store(sums[0][j], out + j * lanes);
}
#else
template <size_t rows>
HWY_INLINE void sum_panel(const int8_t* w, const uint8_t* x8, size_t columns,
                          const int32_t* offsets, int32_t* out) {
  std::copy_n(offsets, rows, out);
  for (size_t i = 0; i < columns; i += dot8_columns, w += rows * dot8_columns)
    for (size_t r = 0; r < rows; ++r)
      for (size_t j = 0; j < dot8_columns; ++j) out[r] += w[r * dot8_columns + j] * x8[i + j];
}
#endif

#if HWY_TARGET == HWY_AVX3_DL
__attribute__((target(HWY_TARGET_STR ",avx512vnni")))
#endif
void matrix_vector_8(const Matrix8& w, const uint8_t* x8, float scale, float* y,
                                 bool add) {
  const hn::CappedTag<float, dot8_rows> d;
  const hn::RebindToSigned<decltype(d)> di;
  const size_t rows = padded_rows(w.rows()), columns = padded_columns(w.columns());
  const int8_t* values = w.values();
  HWY_ALIGN int32_t sums[2 * dot8_rows];
  for (size_t first = 0; first < rows; first += 2 * dot8_rows) {
    const size_t count = std::min(2 * dot8_rows, rows - first);
    if (count == 2 * dot8_rows)
      sum_panel<2 * dot8_rows>(values, x8, columns, w.offsets() + first, sums);
    else
      sum_panel<dot8_rows>(values, x8, columns, w.offsets() + first, sums);
    values += count * columns;
    for (size_t i = 0; i < count; i += hn::Lanes(d)) {
      const auto sum = hn::ConvertTo(d, hn::Load(di, sums + i));
      const auto factor = hn::Mul(hn::LoadU(d, w.scales() + first + i), hn::Set(d, scale));
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

size_t Matrix8::bytes(size_t rows, size_t columns) {
  const size_t row = padded_columns(columns) + sizeof(float) + sizeof(int32_t);
  return (padded_rows(rows) * row + 63) / 64 * 64;
}

Matrix8::Matrix8(size_t rows, size_t columns, uint8_t* memory)
    : rows_(rows), columns_(columns), values_(reinterpret_cast<int8_t*>(memory)) {
  assert(reinterpret_cast<uintptr_t>(memory) % 64 == 0);
  uint8_t* behind = memory + padded_rows(rows) * padded_columns(columns);
  scales_ = reinterpret_cast<float*>(behind);
  offsets_ = reinterpret_cast<int32_t*>(behind + padded_rows(rows) * sizeof(float));
}

void Matrix8::set_row(size_t row, const float* values, size_t stride) {
  assert(row < rows_);
  constexpr size_t panel = 2 * dot8_rows;
  const size_t first = row / panel * panel, height = std::min(panel, padded_rows(rows_) - first);
  int8_t* at = values_ + first * padded_columns(columns_) + (row - first) * dot8_columns;
  float largest = 0;
  for (size_t i = 0; i < columns_; ++i) largest = std::max(largest, std::abs(values[i * stride]));
  const float inverse = largest > 0 ? 127 / largest : 0;
  int32_t sum = 0;
  for (size_t i = 0; i < columns_; ++i) {
    const auto value = static_cast<int8_t>(std::nearbyint(values[i * stride] * inverse));
    at[i / dot8_columns * dot8_columns * height + i % dot8_columns] = value;
    sum += value;
  }
  scales_[row] = largest / 127;
  offsets_[row] = -int32_t{zero8} * sum;
}

namespace kernels {

HWY_EXPORT(round_to_8);
HWY_EXPORT(matrix_vector_8);

float round_to_8(const float* x, size_t count, uint8_t* x8) {
  return HWY_DYNAMIC_DISPATCH(round_to_8)(x, count, x8);
}
void matrix_vector_8(const Matrix8& w, const uint8_t* x8, float scale, float* y, bool add) {
  HWY_DYNAMIC_DISPATCH(matrix_vector_8)(w, x8, scale, y, add);
}

}  // namespace kernels

namespace reference {

void matrix_vector_8(const Matrix8& w, const uint8_t* x8, float scale, float* y, bool add) {
  constexpr size_t panel = 2 * dot8_rows;
  const size_t columns = padded_columns(w.columns());
  for (size_t row = 0; row < padded_rows(w.rows()); ++row) {
    const size_t first = row / panel * panel;
    const size_t height = std::min(panel, padded_rows(w.rows()) - first);
    int32_t sum = 0;
    for (size_t i = 0; i < columns; ++i)
      sum +=
          (x8[i] - zero8) * w.values()[first * columns + i / dot8_columns * dot8_columns * height +
                                       (row - first) * dot8_columns + i % dot8_columns];
    const float value = static_cast<float>(sum) * w.scales()[row] * scale;
    y[row] = add ? y[row] + value : value;
  }
}

}  // namespace reference
}  // namespace starling::model
#endif  // HWY_ONCE
