// A delta that inspection accepts can be applied inside the bounds, holds what its summary says,
// and is undone exactly.
#include <cmath>

#include "tests/swarm/delta_fixture.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace starling::swarm;
  static const auto table = delta_test::small_table();
  const ByteView payload(bytes, size);
  const auto summary = inspect_delta(table, payload);
  if (!summary) return 0;
  std::vector<int32_t> base(delta_test::size_of(table), 0);
  std::vector<float> x(base.size(), 0.0f);
  apply_delta(table, payload, 1, base, x);
  double energy = 0;
  uint64_t nonzero = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    assert(std::isfinite(x[i]) && std::abs(x[i]) <= 8.0f);
    energy += double{base[i] * fixed_lsb} * (base[i] * fixed_lsb);
    nonzero += base[i] != 0;
  }
  assert(nonzero == summary.value().nonzero && nonzero > 0);
  assert(std::abs(std::sqrt(energy) - summary.value().norm) <= 1e-6 * summary.value().norm);
  apply_delta(table, payload, -1, base, x);
  for (const int32_t value : base) assert(value == 0);
  return 0;
}
