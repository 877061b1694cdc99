#pragma once
// The base: genesis plus the sum of accepted deltas, int32 fixed point with LSB 2^-24. Additions
// are modulo 2^32, so any order of additions and subtractions gives the same bits. Owned by one
// thread (the learner's).
#include <span>
#include <vector>

#include "swarm/delta_codec.h"

namespace starling::swarm {

class Base {
 public:
  // From floats that are multiples of the LSB (genesis), or raw fixed-point values (a snapshot).
  Base(const model::RegionTable& table, std::span<const float> genesis);
  Base(const model::RegionTable& table, std::vector<int32_t> values);

  // x: may be empty. The delta counts in full, or as one of `divisor` copies that share its weight.
  void apply(ByteView payload, std::span<float> x, uint32_t divisor = 1);
  // Exact inverse of apply.
  void withdraw(ByteView payload, std::span<float> x, uint32_t divisor = 1);
  float value(size_t index) const { return static_cast<float>(values_[index]) * 0x1.0p-24f; }
  std::span<const int32_t> values() const { return values_; }
  Digest hash() const;  // BLAKE2b-256 over the little-endian values

 private:
  const model::RegionTable* table_;  // outlives the base
  std::vector<int32_t> values_;
};

}  // namespace starling::swarm
