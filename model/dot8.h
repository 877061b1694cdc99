#pragma once
// Matrix-vector products in 8-bit integers, for one token at a time: weights are rounded row by row
// and activations vector by vector to -127..127 (symmetric, nearest), summed exactly in 32 bits.
// The result is the same on every instruction set. Thread: several may read one matrix.
#include <cstddef>
#include <cstdint>

#include "hwy/aligned_allocator.h"

namespace starling::model {

inline constexpr size_t dot8_rows = 16;    // outputs come in blocks of so many
inline constexpr size_t dot8_columns = 4;  // inputs likewise; the last block is filled with zeros

constexpr size_t padded_rows(size_t rows) { return (rows + dot8_rows - 1) / dot8_rows * dot8_rows; }
constexpr size_t padded_columns(size_t columns) {
  return (columns + dot8_columns - 1) / dot8_columns * dot8_columns;
}

// An immutable matrix (rows, columns). In memory: panels of 32 rows (the last one may have 16); in
// a panel, four columns at a time, each row's four values side by side.
class Matrix8 {
 public:
  Matrix8(size_t rows, size_t columns);
  // Requires: row < rows; `stride` floats lie between the row's values.
  void set_row(size_t row, const float* values, size_t stride);
  size_t rows() const { return rows_; }
  size_t columns() const { return columns_; }
  const int8_t* values() const { return values_.get(); }
  const float* scales() const { return scales_.get(); }  // (padded_rows) value = scale * integer
  uint64_t bytes() const;

 private:
  int8_t& at(size_t row, size_t column);
  size_t rows_, columns_;
  hwy::AlignedFreeUniquePtr<int8_t[]> values_;
  hwy::AlignedFreeUniquePtr<float[]> scales_;
};

namespace kernels {

// x8 (padded_columns(count)) = x / scale, rounded; returns the scale. All zero: scale 0.
float round_to_8(const float* x, size_t count, int8_t* x8);
// y (padded_rows) = w x, or += where `add`; x = scale * x8.
void matrix_vector_8(const Matrix8& w, const int8_t* x8, float scale, float* y, bool add);

}  // namespace kernels

namespace reference {

void matrix_vector_8(const Matrix8& w, const int8_t* x8, float scale, float* y, bool add);

}  // namespace reference
}  // namespace starling::model
