#pragma once
// SplitMix64-seeded xoshiro256**: small, fast, the same everywhere. Source: Blackman and Vigna,
// "Scrambled linear pseudorandom number generators" (2021). Randomness is an argument: nothing in
// model/ or swarm/ makes its own seed.
#include <array>
#include <cassert>
#include <cstdint>

namespace starling {

class Rng {
 public:
  explicit Rng(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15ULL;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
      word = z ^ (z >> 31);
    }
  }

  uint64_t next() {
    const uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound). Requires: bound > 0.
  uint64_t below(uint64_t bound) {
    assert(bound > 0);
    const uint64_t limit =
        (0 - bound) % bound;  // 2^64 mod bound: rejecting below it removes the bias
    uint64_t value = next();
    while (value < limit) value = next();
    return value % bound;
  }

  double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  // [0, 1)

  const std::array<uint64_t, 4>& state() const { return state_; }
  void restore(const std::array<uint64_t, 4>& state) { state_ = state; }

 private:
  static uint64_t rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  std::array<uint64_t, 4> state_{};
};

}  // namespace starling
