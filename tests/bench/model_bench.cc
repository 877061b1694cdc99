// model_bench [--preset SHAPE] [--length T] [--threads N] [--seconds S] [--rows B] [--json]
// [--cpu-time] [--weights int8|fp32] Tokens a second in training and in generation, operations a
// second against the core's own peak, bytes held. Training is the whole step: forward, backward,
// clipping and optimiser, on 2048 tokens a step unless --rows says otherwise. With --cpu-time a
// second is one of the processor's, for a machine that has other work to do. A shape is a preset or
// such a text as "tiny,regions=32,selection=token" (model/shape.h).
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/kernels.h"
#include "model/parameters.h"
#include "model/quantised.h"
#include "model/session.h"
#include "model/trainer.h"
#include "tests/bench/fma_peak.h"

namespace starling::bench {
namespace {

constexpr uint32_t step_tokens = 2048;

struct Options {
  std::string preset = "tiny";
  uint32_t length = 256;
  uint32_t threads = 1;
  uint32_t seconds = 5;
  uint32_t rows = 0;
  bool json = false;
  bool cpu_time = false;
  bool in_8 = true;  // weights of generation
};

struct Figures {
  double train_tokens_per_second = 0;
  double train_gflops = 0;
  double generate_tokens_per_second = 0;
  double generate_fp32_tokens_per_second = 0;
  double peak_gflops = 0;
  double active_fraction = 0;
  uint64_t train_bytes = 0;
  uint64_t state_bytes = 0;
};

class Stopwatch {
 public:
  explicit Stopwatch(const Options& options) : options_(options) {}
  double seconds() const {
    if (options_.cpu_time)
      return static_cast<double>(std::clock() - cpu_start_) / CLOCKS_PER_SEC / options_.threads;
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  const Options& options_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::clock_t cpu_start_ = std::clock();
};

bool read_number(std::string_view text, uint32_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number > 0;
}

std::optional<Options> read_options(int count, char** words) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if (word == "--json" || word == "--cpu-time") {
      (word == "--json" ? options.json : options.cpu_time) = true;
      continue;
    }
    if (i + 1 == count) return std::nullopt;
    const std::string_view value = words[++i];
    if (word == "--preset") {
      options.preset = value;
      continue;
    }
    if (word == "--weights") {
      if (value != "int8" && value != "fp32") return std::nullopt;
      options.in_8 = value == "int8";
      continue;
    }
    uint32_t* number = word == "--length"    ? &options.length
                       : word == "--threads" ? &options.threads
                       : word == "--seconds" ? &options.seconds
                       : word == "--rows"    ? &options.rows
                                             : nullptr;
    if (number == nullptr || !read_number(value, *number)) return std::nullopt;
  }
  return options;
}

model::Batch random_batch(Rng& rng, uint32_t rows, uint32_t length) {
  model::Batch batch{
      .rows = rows, .length = length, .symbols = {}, .targets = {}, .weights = {}, .fresh = {}};
  // Words of a small alphabet: the loss falls, as it does in use, so that no value runs away.
  for (uint32_t i = 0; i < rows * length; ++i) {
    batch.symbols.push_back(static_cast<uint16_t>('a' + rng.below(8)));
    batch.targets.push_back(static_cast<uint16_t>('a' + rng.below(8)));
  }
  batch.weights.assign(batch.symbols.size(), 1.0f);
  batch.fresh.assign(rows, 0);
  return batch;
}

// Multiply-adds of one token's forward pass, as two operations each; backward costs twice that.
double forward_operations(const model::Shape& shape, double active) {
  const double D = shape.width, E = shape.channels, M = shape.mlp_width;
  const double mixing = static_cast<double>(model::gate_count(shape)) + 1;
  return 2 * (shape.layers * (mixing * E * D + active * 3 * M * D) + D * model::vocabulary);
}

double measure_peak(const Options& options) {
  float sink = 0.5f;
  double best = 0;
  for (int i = 0; i < 10; ++i) {
    const Stopwatch watch(options);
    const auto operations = static_cast<double>(run_fused_multiply_adds(2'000'000, sink));
    best = std::max(best, operations / watch.seconds() / 1e9);
  }
  return best;
}

bool measure_training(const Options& options, const model::Shape& shape, Figures& figures) {
  const uint32_t rows =
      options.rows > 0 ? options.rows : std::max(1u, step_tokens / options.length);
  const model::TrainerOptions trainer_options{.threads = options.threads};
  model::Trainer trainer(shape, trainer_options, model::genesis(shape, 1));
  Rng rng(1);
  const auto batch = random_batch(rng, rows, options.length);
  uint64_t tokens = 0;
  if (!trainer.step(batch, 1e-3f)) return false;
  trainer.end_exchange(0.3f);
  (void)trainer.take_region_tokens();
  const Stopwatch watch(options);
  while (watch.seconds() < options.seconds) {
    if (!trainer.step(batch, 1e-3f)) return false;
    tokens += uint64_t{rows} * options.length;
  }
  figures.train_tokens_per_second = static_cast<double>(tokens) / watch.seconds();
  uint64_t awake = 0;
  const auto counts = trainer.take_region_tokens();
  for (const model::Region& region : trainer.regions())
    if (region.kind == model::RegionKind::mlp) awake += counts[region.id];
  figures.active_fraction =
      static_cast<double>(awake) / static_cast<double>(tokens) / shape.layers / shape.regions;
  figures.train_gflops = 3 * forward_operations(shape, figures.active_fraction) *
                         figures.train_tokens_per_second / 1e9;
  figures.train_bytes = model::Trainer::memory_bytes(shape, trainer_options, rows, options.length);
  return true;
}

double generate(const Options& options, model::Session& session) {
  Rng rng(1);
  uint16_t symbol = 'a';
  uint64_t tokens = 0;
  const Stopwatch watch(options);
  while (watch.seconds() < options.seconds) {
    for (int i = 0; i < 16; ++i) symbol = model::sample(session.feed(symbol), {}, rng);
    tokens += 16;
  }
  return static_cast<double>(tokens) / watch.seconds();
}

void measure_generation(const Options& options, const model::Shape& shape, Figures& figures) {
  const auto snapshot =
      std::make_shared<const model::Snapshot>(model::Snapshot{shape, model::genesis(shape, 1), 0});
  model::Session exact(snapshot);
  figures.generate_fp32_tokens_per_second = generate(options, exact);
  figures.generate_tokens_per_second = figures.generate_fp32_tokens_per_second;
  figures.state_bytes = exact.state_bytes();
  if (!options.in_8) return;
  model::Session rounded(std::make_shared<const model::Quantised>(*snapshot));
  figures.generate_tokens_per_second = generate(options, rounded);
  figures.state_bytes = rounded.state_bytes();
}

void print(const Options& options, const model::Shape& shape, const Figures& figures) {
  const char* form =
      options.json
          ? "{\"preset\":\"%s\",\"parameters\":%llu,\"active_fraction\":%.3f,\"length\":%u,"
            "\"threads\":%u,\"isa\":\"%s\",\"weights\":\"%s\",\"train_tokens_per_second\":%.1f,"
            "\"generate_tokens_per_second\":%.1f,\"generate_fp32_tokens_per_second\":%.1f,"
            "\"train_gflops\":%.2f,\"peak_gflops\":%.2f,\"train_share_of_peak\":%.3f,"
            "\"train_bytes\":%llu,\"state_bytes\":%llu}\n"
          : "preset %s, %llu parameters, %.3f of the MLP active, length %u, threads %u, %s, %s "
            "weights\ntraining   %.1f tokens/s\ngeneration %.1f tokens/s (fp32: %.1f)\n"
            "training   %.2f GFLOP/s of %.2f, a share of %.3f\n"
            "memory     %llu bytes to train, %llu bytes of state a session\n";
  const std::string isa(model::kernels::isa());
  std::printf(form, options.preset.c_str(),
              static_cast<unsigned long long>(model::parameter_count(shape)),
              figures.active_fraction, options.length, options.threads, isa.c_str(),
              options.in_8 ? "int8" : "fp32", figures.train_tokens_per_second,
              figures.generate_tokens_per_second, figures.generate_fp32_tokens_per_second,
              figures.train_gflops, figures.peak_gflops,
              figures.train_gflops / figures.peak_gflops / options.threads,
              static_cast<unsigned long long>(figures.train_bytes),
              static_cast<unsigned long long>(figures.state_bytes));
}

int run(int count, char** words) {
  const auto options = read_options(count, words);
  if (!options) {
    std::fprintf(stderr,
                 "model_bench: unknown option or value; model_bench [--preset SHAPE] [--length T] "
                 "[--threads N] [--seconds S] [--rows B] [--json] [--cpu-time] "
                 "[--weights int8|fp32]\n");
    return 64;
  }
  const auto shape = model::shape_from(options->preset);
  if (!shape) {
    std::fprintf(stderr, "model_bench: --preset: %s\n", shape.error().c_str());
    return 64;
  }
  Figures figures;
  figures.peak_gflops = measure_peak(*options);
  if (!measure_training(*options, *shape, figures)) {
    std::fprintf(stderr, "model_bench: a training step failed\n");
    return 1;
  }
  measure_generation(*options, *shape, figures);
  print(*options, *shape, figures);
  return 0;
}

}  // namespace
}  // namespace starling::bench

int main(int count, char** words) { return starling::bench::run(count, words); }
