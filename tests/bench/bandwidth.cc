#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/bench/bandwidth.cc"
#include "tests/bench/bandwidth.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace starling::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, 16>;
constexpr size_t lanes = hn::MaxLanes(Tag());
constexpr size_t unrolled = 8;  // vectors a round, in independent sums

// Requires: count is a multiple of 128.
float sum_all(const float* x, size_t count) {
  const Tag d;
  hn::Vec<Tag> sums[unrolled];
  for (size_t j = 0; j < unrolled; ++j) sums[j] = hn::Zero(d);
  for (size_t i = 0; i < count; i += unrolled * lanes)
#pragma GCC unroll 8
    for (size_t j = 0; j < unrolled; ++j)
      sums[j] = hn::Add(sums[j], hn::LoadU(d, x + i + j * lanes));
  for (size_t j = 1; j < unrolled; ++j) sums[0] = hn::Add(sums[0], sums[j]);
  return hn::GetLane(hn::SumOfLanes(d, sums[0]));
}

void add_scaled(const float* x, float* y, size_t count) {
  const Tag d;
  for (size_t i = 0; i < count; i += unrolled * lanes)
#pragma GCC unroll 8
    for (size_t j = 0; j < unrolled; ++j) {
      const size_t at = i + j * lanes;
      hn::StoreU(hn::MulAdd(hn::Set(d, 1e-3f), hn::LoadU(d, x + at), hn::LoadU(d, y + at)), d,
                 y + at);
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace starling::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace starling::bench {

HWY_EXPORT(sum_all);
HWY_EXPORT(add_scaled);

namespace {

constexpr size_t block = 128;             // floats, a whole round of every instruction set
constexpr size_t bytes_a_turn = 8 << 20;  // about a millisecond, or once through if that is more
constexpr int turns = 3;                  // of which the best counts

// Calls pass() until a turn's bytes are through; returns the best turn's passes a second.
template <typename Pass>
double passes_a_second(size_t size, const Pass& pass) {
  const size_t passes = std::max<size_t>(1, bytes_a_turn / size);
  double best = 0;
  pass();
  for (int turn = 0; turn < turns; ++turn) {
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < passes; ++i) pass();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(passes) / seconds.count());
  }
  return best;
}

}  // namespace

double read_bandwidth(size_t size, float& sink) {
  const size_t count = std::max(block, size / sizeof(float) / block * block);
  const std::vector<float> x(count, 1.0f);
  const double passes =
      passes_a_second(size, [&] { sink += HWY_DYNAMIC_DISPATCH(sum_all)(x.data(), count); });
  return passes * static_cast<double>(count * sizeof(float));
}

double update_bandwidth(size_t size) {
  const size_t count = std::max(block, size / sizeof(float) / 2 / block * block);
  const std::vector<float> x(count, 1.0f);
  std::vector<float> y(count, 1.0f);
  const double passes =
      passes_a_second(size, [&] { HWY_DYNAMIC_DISPATCH(add_scaled)
                                  (x.data(), y.data(), count); });
  return passes * static_cast<double>(3 * count * sizeof(float));
}

}  // namespace starling::bench
#endif  // HWY_ONCE
