#include "model/dropout.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace starling::model {
namespace {

constexpr uint64_t golden = 0x9e3779b97f4a7c15ULL;
constexpr uint32_t whole = 256;        // shares are counted in bytes' values
constexpr size_t values_per_draw = 8;  // a byte each

// The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
uint64_t scrambled(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t mask_seed(uint64_t seed, uint64_t step) {
  return scrambled(scrambled(seed + golden) + step);
}

template <Real R>
void drop(const Dropout& dropout, uint64_t site, R* values, size_t count) {
  if (dropout.share == 0) return;
  assert(dropout.share > 0 && dropout.share < 1);
  const auto dropped = std::min(
      whole - 1, static_cast<uint32_t>(std::lround(dropout.share * static_cast<float>(whole))));
  const R raised = R(whole) / static_cast<R>(whole - dropped);
  uint64_t state = scrambled(scrambled(dropout.seed) + site);
  for (size_t i = 0; i < count; i += values_per_draw) {
    uint64_t draw = scrambled(state += golden);
    const size_t end = std::min(count, i + values_per_draw);
    for (size_t k = i; k < end; ++k, draw >>= 8)
      values[k] *= (draw & 255) < dropped ? R(0) : raised;
  }
}

template void drop(const Dropout&, uint64_t, float*, size_t);
template void drop(const Dropout&, uint64_t, double*, size_t);

}  // namespace starling::model
