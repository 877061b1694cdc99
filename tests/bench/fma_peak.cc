#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/bench/fma_peak.cc"
#include "tests/bench/fma_peak.h"

#include <cstddef>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace starling::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Twelve chains hide the latency of two units with up to six cycles each.
uint64_t run_fused_multiply_adds(uint64_t rounds, float& sink) {
  const hn::CappedTag<float, 16> d;
  constexpr size_t chains = 12;
  using Vector = hn::Vec<decltype(d)>;
  Vector sums[chains];
  for (size_t i = 0; i < chains; ++i) sums[i] = hn::Set(d, static_cast<float>(i));
  const Vector factor = hn::Set(d, 0.999f), term = hn::Set(d, sink);
  for (uint64_t n = 0; n < rounds; ++n)
#pragma GCC unroll 12
    for (size_t i = 0; i < chains; ++i) sums[i] = hn::MulAdd(sums[i], factor, term);
  Vector total = hn::Zero(d);
  for (size_t i = 0; i < chains; ++i) total = hn::Add(total, sums[i]);
  sink = hn::GetLane(hn::SumOfLanes(d, total));
  return rounds * chains * hn::Lanes(d) * 2;
}

}  // namespace HWY_NAMESPACE
}  // namespace starling::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace starling::bench {

HWY_EXPORT(run_fused_multiply_adds);

uint64_t run_fused_multiply_adds(uint64_t rounds, float& sink) {
  return HWY_DYNAMIC_DISPATCH(run_fused_multiply_adds)(rounds, sink);
}

}  // namespace starling::bench
#endif  // HWY_ONCE
