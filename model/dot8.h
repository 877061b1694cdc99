#pragma once
// Matrix-vector products in 8-bit integers, for one token at a time: weights are rounded row by row
// to -127..127 (symmetric, nearest), activations vector by vector to -63..63 and kept as 1..127
// around `zero8`, so that a byte of each multiplied and summed in pairs fits in 16 bits, the form
// that processors have instructions for. Sums are exact in 32 bits: the result is the same on every
// instruction set. Thread: several may read one matrix.
#include <cstddef>
#include <cstdint>

namespace starling::model {

inline constexpr size_t dot8_rows = 16;    // outputs come in blocks of so many
inline constexpr size_t dot8_columns = 4;  // inputs likewise; the last block is filled with zeros
inline constexpr uint8_t zero8 = 64;       // the activation 0

constexpr size_t padded_rows(size_t rows) { return (rows + dot8_rows - 1) / dot8_rows * dot8_rows; }
constexpr size_t padded_columns(size_t columns) {
  return (columns + dot8_columns - 1) / dot8_columns * dot8_columns;
}

// A matrix (rows, columns) in memory that it does not own and that outlives it. There: panels of 32
// rows (the last one may have 16); in a panel, four columns at a time, each row's four values side
// by side; then of each row what multiplies its sum, and what the activations' zero adds to it.
class Matrix8 {
 public:
  static size_t bytes(size_t rows, size_t columns);  // a multiple of 64
  Matrix8() = default;                               // of nothing
  // Requires: `memory` is aligned to 64 bytes and zero.
  Matrix8(size_t rows, size_t columns, uint8_t* memory);
  // Requires: row < rows; `stride` floats lie between the row's values. Once for each row.
  void set_row(size_t row, const float* values, size_t stride);
  size_t rows() const { return rows_; }
  size_t columns() const { return columns_; }
  const int8_t* values() const { return values_; }
  const float* scales() const { return scales_; }      // (padded_rows) value = scale * integer
  const int32_t* offsets() const { return offsets_; }  // (padded_rows) -zero8 * sum of the row

 private:
  size_t rows_ = 0, columns_ = 0;
  int8_t* values_ = nullptr;
  float* scales_ = nullptr;
  int32_t* offsets_ = nullptr;
};

namespace kernels {

// x8 (padded_columns(count)) = zero8 + x / scale, rounded; returns the scale. All zero: scale 0.
float round_to_8(const float* x, size_t count, uint8_t* x8);
// y (padded_rows) = w x, or += where `add`; x = scale * (x8 - zero8).
void matrix_vector_8(const Matrix8& w, const uint8_t* x8, float scale, float* y, bool add);

}  // namespace kernels

namespace reference {

void matrix_vector_8(const Matrix8& w, const uint8_t* x8, float scale, float* y, bool add);

}  // namespace reference
}  // namespace starling::model
