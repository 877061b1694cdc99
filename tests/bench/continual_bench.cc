// continual_bench TEXT_A TEXT_B [--preset P] [--tokens N] [--stream BYTES] [--update BYTES]
// [--replay S,S...] [--rates F,F...] [--beta1 B] [--pull P,P...] [--soup W,W...] [--json]
// What a trained model gains and forgets when new text streams by once. Learns the first nine
// tenths of A, then reads the first half of a STREAM of B once, with an update for every UPDATE of
// its bytes and a share of each batch replayed from A; every variant starts from the same weights
// and moments. Scored: the unseen second half of the stream, and A's last tenth. A rate is a share
// of the preset's; a pull draws the weights back towards the old ones after each step by that
// share; a soup mixes the weights that came out with the old ones.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/batcher.h"
#include "model/session.h"
#include "model/trainer.h"

namespace starling::bench {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint32_t learn_rows = 8, learn_length = 256;  // of A
constexpr uint32_t new_rows = 3;                        // of an update; replay adds its own
constexpr double warm_up_steps = 40, cool_from = 0.6, cool_floor = 0.02;

struct Options {
  std::string text_a, text_b, preset = "tiny";
  double tokens = 1.8e6, stream = 35840, update = 512;
  double beta1 = 0.9;
  std::vector<double> replay{0, 0.25, 0.5, 0.75}, rates{0.1, 0.2, 0.4}, pull{0}, soup{1};
  bool json = false;
};

struct Variant {
  double replay, rate, pull, soup;
};

struct Figures {
  double new_text = 0, old_text = 0, seconds = 0;
  uint64_t updates = 0;
};

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

std::optional<std::vector<double>> read_numbers(const std::string& text) {
  std::vector<double> numbers;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    char* rest = nullptr;
    const std::string word = text.substr(at, end - at);
    numbers.push_back(std::strtod(word.c_str(), &rest));
    if (word.empty() || *rest != 0 || numbers.back() < 0) return std::nullopt;
    at = end + 1;
  }
  return numbers;
}

std::optional<Options> read_options(int count, char** words) {
  Options options;
  std::vector<std::string> texts;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--json") {
      options.json = true;
      continue;
    }
    if (!word.starts_with("--")) {
      texts.push_back(word);
      continue;
    }
    if (i + 1 == count) return std::nullopt;
    const std::string value = words[++i];
    if (word == "--preset") {
      options.preset = value;
      continue;
    }
    const auto numbers = read_numbers(value);
    if (!numbers) return std::nullopt;
    std::vector<double>* list = word == "--replay"  ? &options.replay
                                : word == "--rates" ? &options.rates
                                : word == "--pull"  ? &options.pull
                                : word == "--soup"  ? &options.soup
                                                    : nullptr;
    double* number = word == "--tokens"   ? &options.tokens
                     : word == "--stream" ? &options.stream
                     : word == "--update" ? &options.update
                     : word == "--beta1"  ? &options.beta1
                                          : nullptr;
    if (list != nullptr) {
      *list = *numbers;
    } else if (number != nullptr && numbers->size() == 1) {
      *number = numbers->front();
    } else {
      return std::nullopt;
    }
  }
  const bool is_update_possible = options.update >= 16 * new_rows && options.update <= 65536;
  if (texts.size() != 2 || options.stream < 4096 || !is_update_possible) return std::nullopt;
  if (std::any_of(options.replay.begin(), options.replay.end(), [](double s) { return s > 0.95; }))
    return std::nullopt;
  options.text_a = texts[0];
  options.text_b = texts[1];
  return options;
}

Bytes read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

double preset_rate(const std::string& preset) {
  if (preset == "demo") return 8e-3;
  if (preset == "tiny") return 5e-3;
  return preset == "small" ? 2.5e-3 : 1.2e-3;
}

class Bench {
 public:
  Bench(const Options& options, const model::Shape& shape, const Bytes& a, const Bytes& b)
      : options_(options), shape_(shape), rate_(preset_rate(options.preset)) {
    const auto at = [](const Bytes& bytes, double share) {
      return bytes.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(bytes.size()));
    };
    learned_.assign(a.begin(), at(a, 0.9));
    held_out_.assign(at(a, 0.9), a.end());
    const Bytes stream(b.begin(), b.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                  options.stream, static_cast<double>(b.size()))));
    first_half_.assign(stream.begin(), at(stream, 0.5));
    second_half_.assign(at(stream, 0.5), stream.end());
  }

  // Constant to 60 %, then a cosine to 2 %, as a finite run of a node.
  Figures learn_a() {
    model::Trainer trainer(shape_, trainer_options(), model::genesis(shape_, 1));
    model::Batcher batcher({.rows = learn_rows, .length = learn_length}, 1);
    batcher.add_text("a", learned_);
    model::Batch batch;
    const double start = cpu_seconds();
    const double steps = std::ceil(options_.tokens / (learn_rows * learn_length));
    for (double step = 0; step < steps; ++step) {
      double factor = std::min(1.0, (step + 1) / warm_up_steps);
      if (const double done = step / steps; done > cool_from) {
        const double angle = std::numbers::pi * (done - cool_from) / (1 - cool_from);
        factor *= std::max(cool_floor, 0.5 * (1 + std::cos(angle)));
      }
      batcher.next(batch);
      if (!trainer.step(batch, static_cast<float>(factor * rate_))) return {};
      if (trainer.steps() % 20 == 0) trainer.end_exchange(0.3f);
    }
    for (const model::Section& section : trainer.sections())
      trained_.push_back({section.name, {section.bytes.begin(), section.bytes.end()}});
    return score(trainer, {}, cpu_seconds() - start);
  }

  std::optional<Figures> stream_b(const Variant& variant) {
    model::Trainer trainer(shape_, trainer_options(), model::genesis(shape_, 1));
    std::vector<model::Section> sections;
    for (const Saved& saved : trained_) sections.push_back({saved.name, saved.bytes});
    if (!trainer.load(sections)) return std::nullopt;
    const std::span<float> x = trainer.parameters();
    const std::vector<float> old(x.begin(), x.end());
    const auto rows = static_cast<uint32_t>(std::lround(new_rows / (1 - variant.replay)));
    const auto length = static_cast<uint32_t>(options_.update / new_rows);
    model::Batcher batcher({.rows = rows,
                            .length = length,
                            .replay_fraction = 1 - static_cast<double>(new_rows) / rows},
                           2);
    batcher.add_text("a", learned_);
    model::Batch batch;
    batcher.next(batch);  // what is added from here on is new
    batcher.add_text("b", first_half_);
    const double start = cpu_seconds();
    uint64_t updates = 0;
    while (batcher.has_unread()) {
      batcher.next(batch);
      if (!trainer.step(batch, static_cast<float>(variant.rate * rate_))) return std::nullopt;
      ++updates;
      if (variant.pull > 0) mix(x, old, 1 - variant.pull);
    }
    const double seconds = cpu_seconds() - start;
    if (variant.soup != 1) mix(x, old, variant.soup);
    Figures figures = score(trainer, variant, seconds);
    figures.updates = updates;
    return figures;
  }

 private:
  struct Saved {
    std::string name;
    std::vector<std::byte> bytes;
  };

  model::TrainerOptions trainer_options() const {
    return {.beta1 = static_cast<float>(options_.beta1), .working_set = false};
  }

  // x = old + share * (x - old)
  static void mix(std::span<float> x, std::span<const float> old, double share) {
    const auto kept = static_cast<float>(share);
    for (size_t i = 0; i < x.size(); ++i) x[i] = old[i] + kept * (x[i] - old[i]);
  }

  Figures score(const model::Trainer& trainer, const Variant&, double seconds) const {
    const auto x = trainer.parameters();
    const model::Snapshot snapshot{shape_, {x.begin(), x.end()}, trainer.steps()};
    return {.new_text = model::score_text(snapshot, second_half_).bits_per_byte,
            .old_text = model::score_text(snapshot, held_out_).bits_per_byte,
            .seconds = seconds,
            .updates = trainer.steps()};
  }

  const Options& options_;
  model::Shape shape_;
  double rate_;
  Bytes learned_, held_out_, first_half_, second_half_;
  std::vector<Saved> trained_;
};

void print(const Options& options, const Variant& variant, const Figures& before,
           const Figures& after) {
  const char* form = options.json
                         ? ",{\"replay\":%.2f,\"rate\":%.3g,\"pull\":%.3g,\"soup\":%.2f,"
                           "\"new_bits\":%.4f,\"gain\":%.4f,\"old_bits\":%.4f,\"forgotten\":%.4f,"
                           "\"updates\":%llu,\"cpu_seconds\":%.2f}"
                         : "%6.2f %6.3g %6.3g %5.2f %8.3f %7.3f %8.3f %+10.3f %8llu %8.2f\n";
  std::printf(form, variant.replay, variant.rate, variant.pull, variant.soup, after.new_text,
              before.new_text - after.new_text, after.old_text, after.old_text - before.old_text,
              static_cast<unsigned long long>(after.updates), after.seconds);
  std::fflush(stdout);
}

int run(int count, char** words) {
  const auto options = read_options(count, words);
  const auto shape = options ? model::shape_of_preset(options->preset) : std::nullopt;
  const Bytes a = shape ? read_file(options->text_a) : Bytes();
  const Bytes b = shape ? read_file(options->text_b) : Bytes();
  if (a.size() < 65536 || b.size() < 4096) {
    std::fprintf(stderr,
                 "continual_bench: continual_bench TEXT_A TEXT_B [--preset P] [--tokens N] "
                 "[--stream BYTES] [--update BYTES] [--replay S,S...] [--rates F,F...] "
                 "[--beta1 B] [--pull P,P...] [--soup W,W...] [--json]; A has at least 64 KiB, "
                 "B at least 4 KiB\n");
    return 64;
  }
  Bench bench(*options, *shape, a, b);
  const Figures before = bench.learn_a();
  std::printf(options->json
                  ? "{\"preset\":\"%s\",\"updates\":%llu,\"cpu_seconds\":%.1f,\"old_bits\":%.4f,"
                    "\"new_bits\":%.4f,\"variants\":[null"
                  : "%s after %llu steps on A (%.1f s of CPU): A %.3f, B %.3f bits per byte\n"
                    "replay   rate   pull  soup        B    gain        A  forgotten  updates"
                    "    CPU s\n",
              options->preset.c_str(), static_cast<unsigned long long>(before.updates),
              before.seconds, before.old_text, before.new_text);
  for (const double replay : options->replay)
    for (const double rate : options->rates)
      for (const double pull : options->pull)
        for (const double soup : options->soup) {
          const Variant variant{replay, rate, pull, soup};
          const auto after = bench.stream_b(variant);
          if (!after) return 1;
          print(*options, variant, before, *after);
        }
  if (options->json) std::printf("]}\n");
  return 0;
}

}  // namespace
}  // namespace starling::bench

int main(int count, char** words) { return starling::bench::run(count, words); }
