// kernels_bench [--benchmark_filter=REGEX] [--benchmark_min_time=SECONDS] ...: every kernel of
// model/ against its bound on this core, at the sizes at which the presets use it (Google
// Benchmark; --help names its options). The bounds are measured beside each kernel: fused
// multiply-adds in registers, and reading (products with one vector) or y += a x (all others) over
// as many bytes as the kernel touches, hence in the cache that holds them. Counters: GFLOP/s and
// `of_peak`, its share of the multiply-adds; GB/s and `of_band`, its share of the bandwidth.
// Operations are counted as written, an exponential as 20; one that is no fused multiply-add can
// reach half of the peak. The causal convolution is a part of the scan. Names: training/ has the
// 256 positions of a window, region/ what one region of the MLP gets of it.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <string>
#include <vector>

#include "hwy/aligned_allocator.h"
#include "model/activations.h"
#include "model/dot8.h"
#include "model/kernels.h"
#include "model/rng.h"
#include "model/shape.h"
#include "tests/bench/bandwidth.h"
#include "tests/bench/fma_peak.h"

namespace starling::bench {
namespace {

namespace kernels = model::kernels;
using model::Extent;
using Floats = std::vector<float>;

constexpr size_t positions = 256;  // of a window

enum class Access { update, read };

// Of one call.
struct Work {
  double operations;
  double bytes;  // read and written, each value once
  size_t size;   // of all memory touched
  Access access = Access::update;
};

Floats numbers(size_t count, double size = 1.0) {
  Rng rng(count);
  Floats values(count);
  for (float& value : values) value = static_cast<float>(size * (2 * rng.unit() - 1));
  return values;
}

double peak() {
  float sink = 0.5f;
  double best = 0;
  for (int i = 0; i < 3; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto operations = static_cast<double>(run_fused_multiply_adds(20'000, sink));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, operations / seconds.count());
  }
  return best;
}

double bandwidth(const Work& work) {
  float sink = 0;
  return work.access == Access::read ? read_bandwidth(work.size, sink)
                                     : update_bandwidth(work.size);
}

template <typename Body>
void measure(benchmark::State& state, const Work& work, const Body& body) {
  const double operations_max = peak(), bytes_max = bandwidth(work);
  const std::clock_t start = std::clock();  // of this process alone, for other work may go on
  while (state.KeepRunning()) {
    body();
    benchmark::ClobberMemory();
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  const double calls_a_second = static_cast<double>(state.iterations()) / std::max(seconds, 1e-6);
  state.counters["GFLOP/s"] = work.operations * calls_a_second / 1e9;
  state.counters["of_peak"] = work.operations * calls_a_second / operations_max;
  state.counters["GB/s"] = work.bytes * calls_a_second / 1e9;
  state.counters["of_band"] = work.bytes * calls_a_second / bytes_max;
}

// Element-wise work over `count` values with so many operations and so many floats moved for each.
Work elementwise(size_t count, double operations, double floats) {
  const auto n = static_cast<double>(count);
  const double bytes = n * floats * sizeof(float);
  return {.operations = n * operations, .bytes = bytes, .size = static_cast<size_t>(bytes)};
}

using Product = void (*)(const float*, const float*, float*, Extent, bool);

void product(benchmark::State& state, Product multiply, Extent e, bool add) {
  const Floats x = numbers(e.rows * e.depth), w = numbers(e.depth * e.columns);
  Floats y(e.rows * e.columns);
  const size_t count = x.size() + w.size() + y.size() * (add ? 2 : 1);
  const Work work{.operations = 2.0 * static_cast<double>(e.rows) * static_cast<double>(e.columns) *
                                static_cast<double>(e.depth),
                  .bytes = static_cast<double>(count * sizeof(float)),
                  .size = (x.size() + w.size() + y.size()) * sizeof(float)};
  measure(state, work, [&] { multiply(x.data(), w.data(), y.data(), e, add); });
  benchmark::DoNotOptimize(y.data());
}

void register_product(const std::string& name, Product multiply, Extent extent, bool add) {
  benchmark::RegisterBenchmark(name.c_str(), product, multiply, extent, add);
}

// The three products of a layer y (rows, outputs) = x (rows, inputs) w^T, w: (outputs, inputs).
void register_layer(const std::string& name, size_t rows, size_t outputs, size_t inputs) {
  register_product("gemm/" + name + "/forward", kernels::multiply_nt,
                   {.rows = rows, .columns = outputs, .depth = inputs}, false);
  register_product("gemm/" + name + "/dx", kernels::multiply_nn,
                   {.rows = rows, .columns = inputs, .depth = outputs}, false);
  register_product("gemm/" + name + "/dw", kernels::multiply_tn,
                   {.rows = outputs, .columns = inputs, .depth = rows}, true);
}

// The same where the weights lie transposed, w: (inputs, outputs), as the MLP's second ones do.
void register_transposed(const std::string& name, size_t rows, size_t outputs, size_t inputs) {
  register_product("gemm/" + name + "/forward", kernels::multiply_nn,
                   {.rows = rows, .columns = outputs, .depth = inputs}, false);
  register_product("gemm/" + name + "/dx", kernels::multiply_nt,
                   {.rows = rows, .columns = inputs, .depth = outputs}, false);
  register_product("gemm/" + name + "/dw", kernels::multiply_tn,
                   {.rows = inputs, .columns = outputs, .depth = rows}, true);
}

void norm(benchmark::State& state, size_t width, bool forward) {
  const Floats x = numbers(positions * width), gain = numbers(width), dy = x;
  Floats y(x.size()), inverse(positions, 1.0f), dgain(width);
  if (forward)
    return measure(state, elementwise(x.size(), 4, 2), [&] {
      kernels::norm_forward(x.data(), gain.data(), y.data(), inverse.data(), positions, width);
    });
  measure(state, elementwise(x.size(), 10, 4), [&] {
    kernels::norm_backward(x.data(), gain.data(), inverse.data(), dy.data(), y.data(), dgain.data(),
                           positions, width);
  });
}

void scan(benchmark::State& state, size_t channels, size_t length, bool forward) {
  const size_t cells = length * channels;
  const Floats upz = numbers(3 * cells, 3.0), fb = numbers(channels), cb = fb, dy = numbers(cells);
  const Floats cw = numbers(model::taps * channels);
  Floats start(4 * channels), h(cells), y(cells), dupz(3 * cells), dfb(channels), dcb(channels);
  Floats dcw(model::taps * channels);
  const model::ScanWeights<float> weights{fb.data(), cw.data(), cb.data()};
  const model::ScanExtent extent{.length = length, .channels = channels};
  if (forward)
    return measure(state, elementwise(cells, 63, 5), [&] {
      kernels::scan_forward(upz.data(), weights, start.data(), h.data(), y.data(), extent);
    });
  measure(state, elementwise(cells, 91, 9), [&] {
    kernels::scan_backward(upz.data(), weights, start.data(), h.data(), dy.data(), dupz.data(),
                           y.data(), {dfb.data(), dcw.data(), dcb.data()}, extent);
  });
}

void gated(benchmark::State& state, size_t width, bool forward) {
  const Floats vg = numbers(positions * 2 * width, 3.0), dhidden = numbers(positions * width);
  Floats hidden(dhidden.size()), dvg(vg.size());
  if (forward)
    return measure(state, elementwise(hidden.size(), 27, 3), [&] {
      kernels::gated_forward(vg.data(), 1.1f, hidden.data(), positions, width);
    });
  measure(state, elementwise(hidden.size(), 38, 6), [&] {
    benchmark::DoNotOptimize(kernels::gated_backward(vg.data(), 1.1f, dhidden.data(), dvg.data(),
                                                     hidden.data(), positions, width));
  });
}

void cross_entropy(benchmark::State& state) {
  Floats logits = numbers(positions * model::vocabulary, 4.0);
  const std::vector<uint16_t> targets(positions, 'a');
  const Floats weights(positions, 1.0f);
  measure(state, elementwise(logits.size(), 26, 2), [&] {
    benchmark::DoNotOptimize(kernels::cross_entropy(logits.data(), targets.data(), weights.data(),
                                                    positions, model::vocabulary));
  });
}

void adam(benchmark::State& state, size_t count) {
  Floats x = numbers(count), m(count), v(count);
  const Floats dx = numbers(count);
  const model::AdamRates rates{.gradient_scale = 0.5f,
                               .learning_rate = 1e-3f,
                               .beta1 = 0.5f,
                               .beta2 = 0.98f,
                               .decay = 0.05f,
                               .correction1 = 1.0f,
                               .correction2 = 1.0f};
  Work work = elementwise(count, 14, 7);
  work.size = 4 * count * sizeof(float);
  measure(state, work,
          [&] { kernels::adam(x.data(), dx.data(), m.data(), v.data(), count, rates); });
}

void slow_mean(benchmark::State& state, size_t width) {
  const Floats x = numbers(positions * width);
  Floats mean(width);
  Work work = elementwise(x.size(), 3, 1);
  work.access = Access::read;
  measure(state, work, [&] { kernels::slow_mean(x.data(), 0.98f, mean.data(), positions, width); });
}

void matrix_vector(benchmark::State& state, size_t rows, size_t columns) {
  const Floats w = numbers(rows * columns), x = numbers(columns);
  Floats y(rows);
  Work work = elementwise(w.size(), 2, 1);
  work.access = Access::read;
  measure(state, work,
          [&] { kernels::matrix_vector(w.data(), x.data(), y.data(), rows, columns); });
}

void vector_matrix(benchmark::State& state, size_t rows, size_t columns) {
  const Floats w = numbers(rows * columns), x = numbers(rows, 1e-3);
  Floats y(columns);
  Work work = elementwise(w.size(), 2, 1);
  work.access = Access::read;
  measure(state, work,
          [&] { kernels::vector_matrix_add(x.data(), w.data(), y.data(), rows, columns); });
}

void matrix_vector_8(benchmark::State& state, size_t rows, size_t columns) {
  const Floats w = numbers(rows * columns), x = numbers(columns);
  const size_t bytes = model::Matrix8::bytes(rows, columns);
  const auto memory = hwy::AllocateAligned<uint8_t>(bytes);
  std::fill_n(memory.get(), bytes, uint8_t{0});
  model::Matrix8 matrix(rows, columns, memory.get());
  for (size_t row = 0; row < rows; ++row) matrix.set_row(row, w.data() + row * columns, 1);
  std::vector<uint8_t> x8(model::padded_columns(columns));
  const float scale = kernels::round_to_8(x.data(), columns, x8.data());
  Floats y(model::padded_rows(rows));
  const Work work{.operations = 2 * static_cast<double>(w.size()),
                  .bytes = static_cast<double>(bytes),
                  .size = bytes,
                  .access = Access::read};
  measure(state, work,
          [&] { kernels::matrix_vector_8(matrix, x8.data(), scale, y.data(), false); });
}

void round_to_8(benchmark::State& state, size_t width) {
  const Floats x = numbers(width);
  std::vector<uint8_t> x8(model::padded_columns(width));
  Work work = elementwise(width, 4, 1.25);
  work.access = Access::read;
  measure(state, work,
          [&] { benchmark::DoNotOptimize(kernels::round_to_8(x.data(), width, x8.data())); });
}

void register_preset(const std::string& preset) {
  const model::Shape shape = *model::shape_of_preset(preset);
  const size_t D = shape.width, E = shape.channels, m = shape.mlp_width / shape.regions;
  const size_t awake = model::widest_region(shape);
  const auto add = [&preset](const std::string& kernel, const auto&... arguments) {
    benchmark::RegisterBenchmark((kernel + "/" + preset).c_str(), arguments...);
  };
  register_layer("training/" + preset + "/upz", positions, 3 * E, D);
  register_layer("training/" + preset + "/out", positions, D, E);
  register_layer("training/" + preset + "/awake_in", positions, 2 * awake, D);
  register_transposed("training/" + preset + "/awake_out", positions, D, awake);
  register_layer("training/" + preset + "/head", positions, model::vocabulary, D);
  for (const size_t rows : {size_t{64}, size_t{128}}) {
    const std::string name = "region/" + preset + "/" + std::to_string(rows);
    register_layer(name + "/in", rows, 2 * m, D);
    register_transposed(name + "/out", rows, D, m);
  }
  add("norm/forward", norm, D, true);
  add("norm/backward", norm, D, false);
  add("scan/forward", scan, E, positions, true);
  add("scan/backward", scan, E, positions, false);
  add("gated/forward", gated, awake, true);
  add("gated/backward", gated, awake, false);
  add("slow_mean", slow_mean, D);
  add("adam", adam, size_t{model::parameter_count(shape)});
  add("token/scan", scan, E, size_t{1}, true);
  add("token/matrix_vector", matrix_vector, 3 * E, D);
  add("token/vector_matrix", vector_matrix, m, D);
  add("token/matrix_vector_8/upz", matrix_vector_8, 3 * E, D);
  add("token/matrix_vector_8/out", matrix_vector_8, D, E);
  add("token/matrix_vector_8/region_in", matrix_vector_8, 2 * m, D);
  add("token/matrix_vector_8/region_out", matrix_vector_8, D, m);
  add("token/matrix_vector_8/head", matrix_vector_8, size_t{model::vocabulary}, D);
  add("token/round_to_8", round_to_8, D);
}

}  // namespace
}  // namespace starling::bench

int main(int count, char** words) {
  for (const char* preset : {"tiny", "small", "base"}) starling::bench::register_preset(preset);
  benchmark::RegisterBenchmark("cross_entropy", starling::bench::cross_entropy);
  benchmark::AddCustomContext("isa", std::string(starling::model::kernels::isa()));
  benchmark::Initialize(&count, words);
  if (benchmark::ReportUnrecognizedArguments(count, words)) return 64;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
