// latency_bench DIR [--asks N] [--rounds N] [--bytes N] [--json]
// How much longer answers take while the node learns. Asks the node that runs in DIR, over its
// local API as `starling ask` does, in rounds: paused, then learning, so that whatever else the
// machine does falls on both. An answer is BYTES long; its latency is from the call to its last
// byte. Leaves the node learning. The node must have something to learn.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node/local_client.h"

namespace starling::bench {
namespace {

using node::LocalClient;
using std::chrono::steady_clock;

constexpr int warm_up_asks = 5;  // of each half of a round, not counted
constexpr double learning_wait_max_s = 120;
constexpr std::string_view prompt = "What is it that answers while it learns, and is not slower? ";

struct Options {
  std::string directory;
  unsigned long asks = 50, rounds = 20, bytes = 64;  // asks: in each half of a round
  bool json = false;
};

struct Half {
  std::vector<double> ms;
  double seconds = 0;
  uint64_t steps = 0;  // that the node made meanwhile
};

std::optional<Options> read_options(int count, char** words) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    unsigned long* number = word == "--asks"     ? &options.asks
                            : word == "--rounds" ? &options.rounds
                            : word == "--bytes"  ? &options.bytes
                                                 : nullptr;
    if (word == "--json") {
      options.json = true;
    } else if (number != nullptr && i + 1 < count) {
      char* rest = nullptr;
      *number = std::strtoul(words[++i], &rest, 10);
      if (*rest != 0 || *number == 0 || *number > 100000) return std::nullopt;
    } else if (number == nullptr && !word.starts_with("--") && options.directory.empty()) {
      options.directory = word;
    } else {
      return std::nullopt;
    }
  }
  return options.directory.empty() ? std::nullopt : std::optional(options);
}

// Nearest rank. Requires: some values.
double percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
  return values[std::max<size_t>(rank, 1) - 1];
}

class Bench {
 public:
  Bench(const Options& options, LocalClient client)
      : options_(options), client_(std::move(client)) {}

  // False: what went wrong is on stderr.
  bool run() {
    for (unsigned long round = 0; round < options_.rounds; ++round) {
      if (!is_done(client_.pause()) || !measure(idle_)) return false;
      if (!is_done(client_.resume()) || !wait_for_a_step() || !measure(learning_)) return false;
    }
    return true;
  }

  void print() const {
    const double idle_p50 = percentile(idle_.ms, 0.5), idle_p99 = percentile(idle_.ms, 0.99);
    const double p50 = percentile(learning_.ms, 0.5), p99 = percentile(learning_.ms, 0.99);
    const double steps = static_cast<double>(learning_.steps) / learning_.seconds;
    std::printf(options_.json
                    ? "{\"answers\":%zu,\"bytes\":%lu,\"idle_p50_ms\":%.3f,\"idle_p99_ms\":%.3f,"
                      "\"learning_p50_ms\":%.3f,\"learning_p99_ms\":%.3f,\"p50_ratio\":%.3f,"
                      "\"p99_ratio\":%.3f,\"steps_per_second\":%.2f}\n"
                    : "%zu answers of %lu bytes each way; median and 99th percentile in ms\n"
                      "idle     %8.3f %8.3f\nlearning %8.3f %8.3f\nratio    %8.3f %8.3f\n"
                      "it made %.2f steps a second meanwhile\n",
                idle_.ms.size(), options_.bytes, idle_p50, idle_p99, p50, p99, p50 / idle_p50,
                p99 / idle_p99, steps);
  }

 private:
  template <typename T>
  static bool is_done(const node::Answer<T>& answer) {
    if (!answer) std::fprintf(stderr, "latency_bench: %s\n", answer.error().message.c_str());
    return answer.has_value();
  }

  std::optional<uint64_t> step() {
    const auto status = client_.status();
    return is_done(status) ? std::optional<uint64_t>(status->model().step()) : std::nullopt;
  }

  bool wait_for_a_step() {
    const auto start = steady_clock::now();
    const std::optional<uint64_t> first = step();
    for (std::optional<uint64_t> now = first; now; now = step()) {
      if (*now > *first) return true;
      if (std::chrono::duration<double>(steady_clock::now() - start).count() > learning_wait_max_s)
        return std::fprintf(stderr, "latency_bench: the node does not learn\n"), false;
    }
    return false;
  }

  bool measure(Half& half) {
    for (int i = 0; i < warm_up_asks; ++i)
      if (!ask()) return false;
    const std::optional<uint64_t> before = step();
    const auto start = steady_clock::now();
    for (unsigned long i = 0; i < options_.asks; ++i) {
      const std::optional<double> ms = ask();
      if (!ms) return false;
      half.ms.push_back(*ms);
    }
    half.seconds += std::chrono::duration<double>(steady_clock::now() - start).count();
    const std::optional<uint64_t> after = step();
    if (!before || !after) return false;
    half.steps += *after - *before;
    return true;
  }

  std::optional<double> ask() {
    v1::AskRequest request;
    request.set_prompt(std::string(prompt));
    request.set_bytes_max(static_cast<uint32_t>(options_.bytes));
    request.set_temperature(1);
    request.set_seed(++seed_);
    request.set_no_stop(true);
    const auto start = steady_clock::now();
    if (!is_done(client_.ask(request, [](const std::string&) { return true; })))
      return std::nullopt;
    return std::chrono::duration<double, std::milli>(steady_clock::now() - start).count();
  }

  const Options& options_;
  LocalClient client_;
  Half idle_, learning_;
  uint64_t seed_ = 0;
};

int run(int count, char** words) {
  const auto options = read_options(count, words);
  if (!options) {
    std::fprintf(stderr,
                 "latency_bench: latency_bench DIR [--asks N] [--rounds N] [--bytes N] [--json]; "
                 "a node runs in DIR and has something to learn\n");
    return 64;
  }
  auto client = LocalClient::connect(options->directory, std::nullopt);
  if (!client) return std::fprintf(stderr, "%s\n", client.error().message.c_str()), 69;
  Bench bench(*options, std::move(*client));
  if (!bench.run()) return 1;
  bench.print();
  return 0;
}

}  // namespace
}  // namespace starling::bench

int main(int count, char** words) { return starling::bench::run(count, words); }
