// text_study --text FILE... [--shape SHAPE] [--tokens N] ...: trains one shape on texts mixed, the
// last tenth of each held out, and prints what it has become as JSON lines: one an evaluation, the
// last with everything. Training alone is timed, in seconds of the processor and of the wall.
// --help names the options.
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/kernels.h"
#include "model/parameters.h"
#include "sim/skills.h"
#include "tests/bench/study_measures.h"

namespace starling::bench {
namespace {

constexpr uint64_t skills_seed = 1;

struct Options {
  std::vector<std::string> texts;
  std::string shape = "tiny";
  StreamOptions streams;
  double tokens = 5e6;
  double learning_rate = 5e-3;
  double last_rate = 0.02;  // share of the learning rate that the cosine ends at
  double warm_up = 40;      // steps
  double beta1 = 0.9, beta2 = 0.98, decay = 0.05, dropout = 0;
  double evaluate_every = 0;  // tokens; 0: only at the end
  double score_bytes = 0;     // of each held-out tenth; 0: all of it
  double stop_below = 0;      // bits per byte, mean of the warm ones
  double seed = 1, threads = 1;
  bool measures = true;  // usage, untouched, switch
};

struct NumberOption {
  std::string_view name;
  double Options::*value;
  std::string_view help;
};
constexpr NumberOption number_options[] = {
    {"--tokens", &Options::tokens, "to train on, in all (5e6)"},
    {"--learning-rate", &Options::learning_rate, "highest (5e-3)"},
    {"--last-rate", &Options::last_rate, "share of it that the cosine ends at (0.02)"},
    {"--warm-up", &Options::warm_up, "steps (40)"},
    {"--beta1", &Options::beta1, "of AdamW (0.9)"},
    {"--beta2", &Options::beta2, "of AdamW (0.98)"},
    {"--dropout", &Options::dropout, "share of the blocks' inner values (0)"},
    {"--decay", &Options::decay, "weight decay (0.05)"},
    {"--evaluate-every", &Options::evaluate_every, "tokens (only at the end)"},
    {"--score-bytes", &Options::score_bytes, "of each held-out tenth, at least 4096 (all of it)"},
    {"--stop-below", &Options::stop_below, "bits per byte at which an evaluation ends the run"},
    {"--seed", &Options::seed, "of the first weights and of the order of reading (1)"},
    {"--threads", &Options::threads, "that train (1)"},
};
struct CountOption {
  std::string_view name;
  uint32_t StreamOptions::*value;
  std::string_view help;
};
constexpr CountOption count_options[] = {
    {"--rows", &StreamOptions::rows, "of a batch (8)"},
    {"--length", &StreamOptions::length, "of a window (256)"},
    {"--stay", &StreamOptions::stay, "windows a row reads on before it moves (16)"},
    {"--skill-rows", &StreamOptions::skill_rows, "rows of the built-in skills in each batch (0)"},
};

void print_help() {
  std::printf(
      "text_study --text FILE [--text FILE]... [OPTION VALUE]...\n"
      "  --shape            preset[,field=value]... (tiny)\n"
      "  --fresh-share      of a row's moves that start from the zero state (0.5)\n"
      "  --quick-end        print the loss alone, without the other measures\n");
  for (const NumberOption& option : number_options)
    std::printf("  %-18s %s\n", option.name.data(), option.help.data());
  for (const CountOption& option : count_options)
    std::printf("  %-18s %s\n", option.name.data(), option.help.data());
}

template <typename Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number >= 0;
}

bool read_value(Options& options, std::string_view word, std::string_view value) {
  if (word == "--text") return options.texts.emplace_back(value), true;
  if (word == "--shape") return options.shape = value, true;
  if (word == "--fresh-share") return read_number(value, options.streams.fresh_share);
  for (const NumberOption& option : number_options)
    if (word == option.name) return read_number(value, options.*option.value);
  for (const CountOption& option : count_options)
    if (word == option.name) return read_number(value, options.streams.*option.value);
  return false;
}

std::optional<Options> read_options(int count, char** words) {
  Options options;
  for (int i = 1; i < count; ++i) {
    if (std::string_view(words[i]) == "--quick-end") {
      options.measures = false;
      continue;
    }
    if (i + 1 == count || !read_value(options, words[i], words[i + 1])) return std::nullopt;
    ++i;
  }
  const StreamOptions& streams = options.streams;
  if (options.texts.empty() || options.threads < 1 || options.dropout >= 1 ||
      (options.score_bytes != 0 && options.score_bytes < 4096) || streams.stay == 0 ||
      streams.length == 0 || streams.rows == 0 || streams.skill_rows >= streams.rows)
    return std::nullopt;
  return options;
}

// Seconds of training, with the evaluations left out.
class Stopwatch {
 public:
  void start() {
    wall_start_ = std::chrono::steady_clock::now();
    cpu_start_ = std::clock();
  }
  void stop() {
    wall += std::chrono::duration<double>(std::chrono::steady_clock::now() - wall_start_).count();
    cpu += static_cast<double>(std::clock() - cpu_start_) / CLOCKS_PER_SEC;
  }
  double wall = 0, cpu = 0;

 private:
  std::chrono::steady_clock::time_point wall_start_;
  std::clock_t cpu_start_ = 0;
};

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

class Study {
 public:
  Study(const Options& options, const model::Shape& shape, std::vector<Text> texts)
      : options_(options),
        texts_(std::move(texts)),
        trainer_(shape,
                 {.beta1 = static_cast<float>(options.beta1),
                  .beta2 = static_cast<float>(options.beta2),
                  .weight_decay = static_cast<float>(options.decay),
                  .dropout = static_cast<float>(options.dropout),
                  .dropout_seed = static_cast<uint64_t>(options.seed),
                  .threads = static_cast<uint32_t>(options.threads),
                  .working_set = false},
                 model::genesis(shape, static_cast<uint64_t>(options.seed))) {
    if (options.streams.skill_rows == 0) return;
    for (const std::string_view name : sim::skill_names()) {
      const sim::Skill skill = sim::make_skill(name, skills_seed);
      pairs_.insert(pairs_.end(), skill.training.begin(), skill.training.end());
      test_pairs_.insert(test_pairs_.end(), skill.test.begin(), skill.test.end());
    }
  }

  int run() {
    StreamReader reader(texts_, pairs_, options_.streams, static_cast<uint64_t>(options_.seed));
    const double step_tokens = options_.streams.rows * options_.streams.length;
    const auto steps = static_cast<uint64_t>(std::ceil(options_.tokens / step_tokens));
    double next_evaluation = options_.evaluate_every;
    model::Batch batch;
    for (uint64_t step = 0; step < steps; ++step) {
      watch_.start();
      reader.next(batch);
      const auto report = trainer_.step(batch, rate_at(step, steps));
      if (!report) return std::fprintf(stderr, "text_study: %s\n", report.error().what.c_str()), 1;
      if ((step + 1) % exchange_steps == 0) trainer_.end_exchange(0.3f);
      watch_.stop();
      tokens_ += step_tokens;
      if (options_.evaluate_every == 0 || tokens_ < next_evaluation || step + 1 == steps) continue;
      next_evaluation += options_.evaluate_every;
      if (evaluate(false) < options_.stop_below) return 0;
    }
    evaluate(true);
    return 0;
  }

 private:
  float rate_at(uint64_t step, uint64_t steps) const {
    const auto now = static_cast<double>(step), end = static_cast<double>(steps);
    const double warm = std::min(1.0, (now + 1) / std::max(1.0, options_.warm_up));
    const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * now / end));
    const double share = options_.last_rate + (1 - options_.last_rate) * cosine;
    return static_cast<float>(options_.learning_rate * warm * share);
  }

  model::Snapshot snapshot() const {
    const auto x = trainer_.parameters();
    return {trainer_.shape(), std::vector<float>(x.begin(), x.end()), trainer_.steps()};
  }

  // Prints a line; returns the mean warm bits per byte.
  double evaluate(bool is_last) {
    const model::Snapshot now = snapshot();
    Quality quality;
    if (is_last && options_.measures) {
      quality = measure_quality(now, texts_);
    } else {
      for (const Text& text : texts_)
        quality.warm.push_back(model::score_text(now, text.held_out()).bits_per_byte);
    }
    const double warm = mean(quality.warm);
    std::printf("{\"shape\":\"%s\",\"seed\":%.0f,\"tokens\":%.0f,\"cpu_seconds\":%.2f,",
                options_.shape.c_str(), options_.seed, tokens_, watch_.cpu);
    std::printf("\"wall_seconds\":%.2f,\"tokens_per_cpu_second\":%.0f,\"warm\":%.4f", watch_.wall,
                tokens_ / watch_.cpu, warm);
    if (is_last && options_.measures) print_measures(now, quality);
    std::printf(",\"last\":%s}\n", is_last ? "true" : "false");
    std::fflush(stdout);
    return warm;
  }

  void print_measures(const model::Snapshot& now, const Quality& quality) {
    const std::string isa(model::kernels::isa());
    const Usage usage = measure_usage(now, texts_);
    const auto rate = static_cast<float>(options_.learning_rate / 10);
    const Untouched untouched = measure_untouched(now, texts_, rate);
    std::printf(",\"cold\":%.4f,\"effective_regions\":%.2f,\"overlap\":%.3f", mean(quality.cold),
                usage.effective_regions, usage.overlap);
    std::printf(",\"untouched\":%.4f,\"untouched_working_set\":%.4f,\"switch_cost\":%.4f",
                untouched.free, untouched.working_set, measure_switch(now, texts_));
    if (!test_pairs_.empty())
      std::printf(",\"exact_match\":%.4f", model::score_pairs(now, test_pairs_).exact_match);
    std::printf(",\"parameters\":%llu,\"isa\":\"%s\",\"texts\":{",
                static_cast<unsigned long long>(model::parameter_count(now.shape)), isa.c_str());
    for (size_t i = 0; i < texts_.size(); ++i)
      std::printf("%s\"%s\":[%.4f,%.4f]", i == 0 ? "" : ",", texts_[i].name.c_str(),
                  quality.warm[i], quality.cold[i]);
    std::printf("}");
  }

  Options options_;
  std::vector<Text> texts_;
  std::vector<model::Pair> pairs_, test_pairs_;
  model::Trainer trainer_;
  Stopwatch watch_;
  double tokens_ = 0;
};

int run(int count, char** words) {
  if (count == 2 && std::string_view(words[1]) == "--help") return print_help(), 0;
  const auto options = read_options(count, words);
  if (!options) {
    std::fprintf(stderr, "text_study: unknown option or value, or no --text; see --help\n");
    return 64;
  }
  const auto shape = model::shape_from(options->shape);
  if (!shape) {
    std::fprintf(stderr, "text_study: %s\n", shape.error().c_str());
    return 64;
  }
  std::vector<Text> texts;
  for (const std::string& path : options->texts) {
    auto text = read_text(path, static_cast<size_t>(options->score_bytes));
    const size_t size_min = size_t{options->streams.stay} * options->streams.length + 1;
    if (!text || text->training_size <= size_min) {
      std::fprintf(stderr, "text_study: cannot read %s, or it is below 100 kB\n", path.c_str());
      return 66;
    }
    texts.push_back(std::move(*text));
  }
  return Study(*options, *shape, std::move(texts)).run();
}

}  // namespace
}  // namespace starling::bench

int main(int count, char** words) { return starling::bench::run(count, words); }
