#pragma once
// What the two sides of the delta format share; the grammar stands on top of delta_codec.cc.
#include <array>
#include <cmath>

#include "swarm/delta_codec.h"

namespace starling::swarm::delta_format {

inline constexpr uint8_t version = 2;
inline constexpr double energy_tolerance =
    1e-3;  // relative, between a stated norm and the content's
inline constexpr uint64_t region_tokens_max = uint64_t{1} << 48;
inline constexpr int32_t multiplier_max = 127;  // of a dense region's units

// A code c stands for 2^(c/8) units of the fixed point, rounded: from 1 to 2^27, which is 8.0.
inline constexpr uint8_t sparse_code_max = 216;
// The unit of a dense block: its largest multiple stays below 8.0.
inline constexpr uint8_t dense_code_max = 160;

// 2^(i/8) * 2^31, rounded.
inline constexpr std::array<uint64_t, 8> octave_eighths = {
    2147483648, 2341847524, 2553802834, 2784941738, 3037000500, 3311872529, 3611622603, 3938502376};

constexpr int32_t value_of_code(uint8_t code) {
  const unsigned shift = 31 - code / 8;
  return static_cast<int32_t>((octave_eighths[code % 8] + (uint64_t{1} << (shift - 1))) >> shift);
}

inline constexpr auto code_values = [] {
  std::array<int32_t, sparse_code_max + 1> values{};
  for (unsigned code = 0; code <= sparse_code_max; ++code)
    values[code] = value_of_code(static_cast<uint8_t>(code));
  return values;
}();
static_assert(code_values[0] == 1 && code_values[sparse_code_max] == 1 << 27);
static_assert(int64_t{code_values[dense_code_max]} * multiplier_max < 1 << 27);

// The Rice parameter for the gaps of a block in which `count` of `size` parameters are kept: with
// gaps distributed geometrically it is within a fraction of a percent of the best (2^r near ln 2
// times the mean gap).
constexpr unsigned gap_rice(uint32_t count, uint32_t size) {
  unsigned rice = 0;
  while (2 * count << rice < size) ++rice;
  return rice;
}

inline double norm_of(double energy) { return std::sqrt(energy) * fixed_lsb; }

}  // namespace starling::swarm::delta_format
