// The fast kernels against the naive loops, with every instruction set that this machine has.
#include "model/kernels.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "hwy/aligned_allocator.h"
#include "hwy/targets.h"
#include "model/dot8.h"

#include "tests/model/example.h"

namespace starling::model {
namespace {

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0, largest = 1e-6;
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
  }
  return worst / largest;
}

constexpr double near = 2e-5;

void choose_isa(int64_t targets) {
  hwy::SetSupportedTargetsForTest(targets);  // 0: what the machine has
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

// For one matrix.
class Memory8 {
 public:
  Memory8(size_t rows, size_t columns)
      : bytes_(hwy::AllocateAligned<uint8_t>(Matrix8::bytes(rows, columns))) {
    std::fill_n(bytes_.get(), Matrix8::bytes(rows, columns), uint8_t{0});
  }
  uint8_t* get() const { return bytes_.get(); }

 private:
  hwy::AlignedFreeUniquePtr<uint8_t[]> bytes_;
};

template <typename Body>
void with_every_isa(const Body& body) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    choose_isa(target);
    INFO("instruction set " << kernels::isa());
    body();
  }
  choose_isa(0);  // and what the machine chooses: some files have instruction sets of their own
  INFO("instruction set of the machine");
  body();
}

}  // namespace

TEST_CASE("several instruction sets are built in and the best one is chosen") {
  choose_isa(0);
  const std::string_view best = kernels::isa();
  CHECK(best == hwy::TargetName(hwy::SupportedAndGeneratedTargets().front()));
  if (best != "NEON") CHECK(hwy::SupportedAndGeneratedTargets().size() > 1);
}

TEST_CASE("products of every shape equal the naive ones, in all three orders, set and added") {
  with_every_isa([] {
    Rng rng(1);
    const Extent extents[] = {{1, 1, 1},    {3, 5, 7},     {8, 48, 16},    {9, 49, 17},
                              {64, 24, 64}, {64, 264, 40}, {17, 100, 300}, {130, 33, 513},
                              {6, 800, 20}, {15, 12, 264}};
    for (const Extent& e : extents)
      for (const bool add : {false, true}) {
        INFO("rows " << e.rows << " columns " << e.columns << " depth " << e.depth << " add "
                     << add);
        const auto x = example::numbers<float>(rng, e.rows * e.depth);
        const auto w = example::numbers<float>(rng, e.columns * e.depth);
        const auto start = example::numbers<float>(rng, e.rows * e.columns);
        auto fast = start, slow = start;
        kernels::multiply_nt(x.data(), w.data(), fast.data(), e, add);
        reference::multiply_nt(x.data(), w.data(), slow.data(), e, add);
        CHECK(distance(fast, slow) < near);
        fast = slow = start;
        kernels::multiply_nn(x.data(), w.data(), fast.data(), e, add);
        reference::multiply_nn(x.data(), w.data(), slow.data(), e, add);
        CHECK(distance(fast, slow) < near);
        fast = slow = start;
        kernels::multiply_tn(x.data(), w.data(), fast.data(), e, add);
        reference::multiply_tn(x.data(), w.data(), slow.data(), e, add);
        CHECK(distance(fast, slow) < near);
      }
  });
}

TEST_CASE("matrix-vector products equal the naive ones") {
  with_every_isa([] {
    Rng rng(2);
    for (const size_t rows : {1u, 6u, 33u})
      for (const size_t columns : {1u, 16u, 45u}) {
        const auto w = example::numbers<float>(rng, rows * columns);
        const auto x = example::numbers<float>(rng, columns),
                   left = example::numbers<float>(rng, rows);
        std::vector<float> fast(rows), slow(rows);
        kernels::matrix_vector(w.data(), x.data(), fast.data(), rows, columns);
        reference::multiply_nt(w.data(), x.data(), slow.data(), {rows, 1, columns}, false);
        CHECK(distance(fast, slow) < near);
        auto fast_row = example::numbers<float>(rng, columns), slow_row = fast_row;
        kernels::vector_matrix_add(left.data(), w.data(), fast_row.data(), rows, columns);
        reference::multiply_nn(left.data(), w.data(), slow_row.data(), {1, columns, rows}, true);
        CHECK(distance(fast_row, slow_row) < near);
      }
  });
}

TEST_CASE(
    "8-bit products equal the naive ones, whose integers are exact, and come near those in fp32") {
  with_every_isa([] {
    Rng rng(12);
    for (const size_t rows : {1u, 16u, 33u, 70u})
      for (const size_t columns : {1u, 4u, 45u, 128u}) {
        const auto w = example::numbers<float>(rng, rows * columns);
        const auto x = example::numbers<float>(rng, columns);
        const Memory8 memory(rows, columns);
        Matrix8 matrix(rows, columns, memory.get());
        for (size_t n = 0; n < rows; ++n) matrix.set_row(n, w.data() + n * columns, 1);
        std::vector<uint8_t> x8(padded_columns(columns));
        const float scale = kernels::round_to_8(x.data(), columns, x8.data());
        CHECK(*std::max_element(x8.begin(), x8.end()) <= zero8 + 63);
        CHECK(*std::min_element(x8.begin(), x8.end()) >= zero8 - 63);
        const auto start = example::numbers<float>(rng, padded_rows(rows));
        for (const bool add : {false, true}) {
          auto fast = start, slow = start;
          kernels::matrix_vector_8(matrix, x8.data(), scale, fast.data(), add);
          reference::matrix_vector_8(matrix, x8.data(), scale, slow.data(), add);
          CHECK(distance(fast, slow) < 1e-6);
        }
        std::vector<float> rounded(padded_rows(rows)), exact(rows);
        kernels::matrix_vector_8(matrix, x8.data(), scale, rounded.data(), false);
        rounded.resize(rows);
        reference::multiply_nt(w.data(), x.data(), exact.data(), {rows, 1, columns}, false);
        // Weights are off by at most half a step of 1/127, activations by one of 1/63; up to 1.
        for (size_t n = 0; n < rows; ++n)
          CHECK(std::abs(rounded[n] - exact[n]) <= static_cast<float>(columns) / 80);
      }
  });
}

TEST_CASE("the products of nothing are nothing in 8 bits too") {
  const std::vector<float> zeros(20);
  const Memory8 memory(1, 20);
  Matrix8 matrix(1, 20, memory.get());
  matrix.set_row(0, zeros.data(), 1);
  std::vector<uint8_t> x8(padded_columns(20), 1);
  CHECK(kernels::round_to_8(zeros.data(), 20, x8.data()) == 0);
  std::vector<float> y(padded_rows(1), 1.0f);
  kernels::matrix_vector_8(matrix, x8.data(), 1, y.data(), false);
  CHECK(y[0] == 0);
}

TEST_CASE("norms equal the naive ones") {
  with_every_isa([] {
    Rng rng(3);
    for (const size_t width : {1u, 10u, 64u, 77u}) {
      constexpr size_t rows = 3;
      const auto x = example::numbers<float>(rng, rows * width),
                 gain = example::numbers<float>(rng, width);
      const auto dy = example::numbers<float>(rng, rows * width);
      std::vector<float> y(x.size()), y2(x.size()), inverse(rows), inverse2(rows);
      kernels::norm_forward(x.data(), gain.data(), y.data(), inverse.data(), rows, width);
      reference::norm_forward(x.data(), gain.data(), y2.data(), inverse2.data(), rows, width);
      CHECK(distance(y, y2) < near);
      CHECK(distance(inverse, inverse2) < near);
      std::vector<float> dx(x.size(), 0.5f), dx2 = dx, dgain(width, 0.25f), dgain2 = dgain;
      kernels::norm_backward(x.data(), gain.data(), inverse.data(), dy.data(), dx.data(),
                             dgain.data(), rows, width);
      reference::norm_backward(x.data(), gain.data(), inverse.data(), dy.data(), dx2.data(),
                               dgain2.data(), rows, width);
      CHECK(distance(dx, dx2) < near);
      CHECK(distance(dgain, dgain2) < near);
    }
  });
}

TEST_CASE("the gated scan equals the naive one forward and backward, with gates near 0 and 1") {
  with_every_isa([] {
    Rng rng(4);
    for (const size_t channels : {2u, 16u, 45u})
      for (const size_t length : {1u, 2u, 40u}) {
        const ScanExtent extent{.length = length, .channels = channels};
        const size_t cells = length * channels;
        const auto upz = example::numbers<float>(rng, 3 * cells, 12.0);
        const auto fb = example::numbers<float>(rng, channels, 4.0);
        const auto cw = example::numbers<float>(rng, taps * channels);
        const auto cb = example::numbers<float>(rng, channels);
        const auto state = example::numbers<float>(rng, 4 * channels);
        const ScanWeights<float> weights{fb.data(), cw.data(), cb.data()};
        auto moved = state, moved2 = state;
        std::vector<float> h(cells), h2(cells), y(cells), y2(cells);
        kernels::scan_forward(upz.data(), weights, moved.data(), h.data(), y.data(), extent);
        reference::scan_forward(upz.data(), weights, moved2.data(), h2.data(), y2.data(), extent);
        CHECK(distance(h, h2) < near);
        CHECK(distance(y, y2) < near);
        CHECK(distance(moved, moved2) < near);
        const auto dy = example::numbers<float>(rng, cells);
        std::vector<float> dupz(3 * cells), dupz2(3 * cells), dfb(channels), dfb2(channels),
            dcw(taps * channels), dcw2(taps * channels), dcb(channels), dcb2(channels);
        kernels::scan_backward(upz.data(), weights, state.data(), h.data(), dy.data(), dupz.data(),
                               y.data(), {dfb.data(), dcw.data(), dcb.data()}, extent);
        reference::scan_backward(
            upz.data(), weights, state.data(), h2.data(), dy.data(), dupz2.data(), y2.data(),
            ScanGradients<float>{dfb2.data(), dcw2.data(), dcb2.data()}, extent);
        CHECK(distance(dupz, dupz2) < near);
        CHECK(distance(y, y2) < near);
        CHECK(distance(dfb, dfb2) < near);
        CHECK(distance(dcw, dcw2) < near);
        CHECK(distance(dcb, dcb2) < near);
      }
  });
}

TEST_CASE("the gated MLP equals the naive one") {
  with_every_isa([] {
    Rng rng(5);
    for (const size_t width : {1u, 12u, 24u, 42u}) {
      constexpr size_t rows = 5;
      const auto vg = example::numbers<float>(rng, rows * 2 * width, 8.0);
      const auto dhidden = example::numbers<float>(rng, rows * width);
      std::vector<float> hidden(rows * width), hidden2 = hidden, dvg(vg.size()), dvg2 = dvg;
      kernels::gated_forward(vg.data(), 1.3f, hidden.data(), rows, width);
      reference::gated_forward(vg.data(), 1.3f, hidden2.data(), rows, width);
      CHECK(distance(hidden, hidden2) < near);
      const float dscale = kernels::gated_backward(vg.data(), 1.3f, dhidden.data(), dvg.data(),
                                                   hidden.data(), rows, width);
      const float dscale2 = reference::gated_backward(vg.data(), 1.3f, dhidden.data(), dvg2.data(),
                                                      hidden2.data(), rows, width);
      CHECK(distance(dvg, dvg2) < near);
      CHECK(dscale == doctest::Approx(dscale2).epsilon(1e-4));
    }
  });
}

TEST_CASE("the loss equals the naive one, for logits far apart too") {
  with_every_isa([] {
    Rng rng(6);
    constexpr size_t rows = 4, width = 264;
    const auto logits = example::numbers<float>(rng, rows * width, 30.0);
    const std::vector<uint16_t> targets{0, 263, 17, 100};
    const std::vector<float> weights{1.0f, 0.25f, 0.0f, 2.0f};
    auto fast = logits, slow = logits;
    const double loss =
        kernels::cross_entropy(fast.data(), targets.data(), weights.data(), rows, width);
    const double loss2 =
        reference::cross_entropy(slow.data(), targets.data(), weights.data(), rows, width);
    CHECK(loss == doctest::Approx(loss2).epsilon(1e-5));
    CHECK(distance(fast, slow) < near);
  });
}

TEST_CASE("a logit that is not finite makes the loss so, wherever it stands") {
  with_every_isa([] {
    constexpr size_t width = 67;
    const uint16_t target = 5;
    const float weight = 1;
    for (size_t at = 0; at < width; ++at)
      for (const float value :
           {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        std::vector<float> logits(width, 0.5f);
        logits[at] = value;
        CHECK(!std::isfinite(kernels::cross_entropy(logits.data(), &target, &weight, 1, width)));
      }
  });
}

TEST_CASE("the optimiser, the slow mean and the sums equal the naive ones") {
  with_every_isa([] {
    Rng rng(7);
    constexpr size_t count = 83;
    const AdamRates rates{.gradient_scale = 0.5f,
                          .learning_rate = 0.01f,
                          .beta1 = 0.5f,
                          .beta2 = 0.98f,
                          .decay = 0.05f,
                          .correction1 = 2.0f,
                          .correction2 = 50.0f};
    auto x = example::numbers<float>(rng, count), x2 = x, m = example::numbers<float>(rng, count),
         m2 = m;
    auto v = example::numbers<float>(rng, count);
    for (float& value : v) value = value * value;
    auto v2 = v;
    const auto dx = example::numbers<float>(rng, count);
    kernels::adam(x.data(), dx.data(), m.data(), v.data(), count, rates);
    reference::adam(x2.data(), dx.data(), m2.data(), v2.data(), count, rates);
    CHECK(distance(x, x2) < near);
    CHECK(distance(m, m2) < near);
    CHECK(distance(v, v2) < near);
    auto mean = example::numbers<float>(rng, count / 3), mean2 = mean;
    kernels::slow_mean(x.data(), 0.9f, mean.data(), 3, count / 3);
    reference::slow_mean(x.data(), 0.9f, mean2.data(), 3, count / 3);
    CHECK(distance(mean, mean2) < near);
    CHECK(kernels::dot(x.data(), dx.data(), count) ==
          doctest::Approx(reference::dot(x.data(), dx.data(), count)).epsilon(1e-4));
    kernels::scale_add(0.3f, dx.data(), x.data(), count);
    reference::scale_add(0.3f, dx.data(), x2.data(), count);
    CHECK(distance(x, x2) < near);
  });
}

}  // namespace starling::model
