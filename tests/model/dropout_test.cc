#include "model/dropout.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/model/example.h"

namespace starling::model {
namespace {

std::vector<float> dropped(float share, uint64_t seed, uint64_t site, size_t count) {
  std::vector<float> values(count, 1.0f);
  drop({.share = share, .seed = seed}, site, values.data(), count);
  return values;
}

double agreement(const std::vector<float>& a, const std::vector<float>& b) {
  double equal = 0;
  for (size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i] ? 1 : 0;
  return equal / static_cast<double>(a.size());
}

Trainer learned(float dropout, uint64_t seed, uint32_t threads) {
  const Shape shape = example::odd_shape();
  Trainer trainer(shape,
                  {.dropout = dropout, .dropout_seed = seed, .micro_rows = 2, .threads = threads},
                  genesis(shape, 1));
  for (size_t i = 0; i < 5; ++i)
    REQUIRE(trainer.step(example::text_batch("all that glisters is not gold; ", 4, 24, i), 1e-2f));
  return trainer;
}

bool is_equal(const Trainer& a, const Trainer& b) {
  return std::equal(a.parameters().begin(), a.parameters().end(), b.parameters().begin());
}

}  // namespace

TEST_CASE("the share that was asked for is dropped and the others raised so that the mean stays") {
  for (const float share : {0.1f, 0.25f, 0.5f, 0.999f}) {
    const std::vector<float> values = dropped(share, 7, 2, 100003);
    const auto zeros = static_cast<double>(std::count(values.begin(), values.end(), 0.0f));
    const double rounded = std::min(255.0, std::round(256 * static_cast<double>(share))) / 256;
    CHECK(zeros / 100003 == doctest::Approx(rounded).epsilon(0.03));
    const float raised = *std::max_element(values.begin(), values.end());
    CHECK(static_cast<double>(raised) == doctest::Approx(1 / (1 - rounded)));
  }
  CHECK(dropped(0, 7, 2, 9) == std::vector<float>(9, 1.0f));
}

TEST_CASE("equal seed and site give an equal mask, another of either one that has nothing of it") {
  const std::vector<float> mask = dropped(0.5f, 7, mixing_site(1), 4001);
  CHECK(mask == dropped(0.5f, 7, mixing_site(1), 4001));
  const auto part = dropped(0.5f, 7, mixing_site(1), 5);
  CHECK(std::equal(part.begin(), part.end(), mask.begin()));
  CHECK(agreement(mask, dropped(0.5f, 8, mixing_site(1), 4001)) ==
        doctest::Approx(0.5).epsilon(0.08));
  CHECK(agreement(mask, dropped(0.5f, 7, region_site(1, 0), 4001)) ==
        doctest::Approx(0.5).epsilon(0.08));
  CHECK(agreement(mask, dropped(0.5f, mask_seed(7, 1), mixing_site(1), 4001)) ==
        doctest::Approx(0.5).epsilon(0.08));
}

TEST_CASE("learning with dropout is the same every time, and another with another seed") {
  const Trainer one = learned(0.2f, 1, 1);
  CHECK(is_equal(one, learned(0.2f, 1, 1)));
  CHECK(is_equal(learned(0.2f, 1, 2), learned(0.2f, 1, 2)));
  CHECK_FALSE(is_equal(one, learned(0.2f, 2, 1)));
  CHECK_FALSE(is_equal(one, learned(0, 1, 1)));
}

}  // namespace starling::model
