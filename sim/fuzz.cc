#include "sim/fuzz.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "sim/chance.h"
#include "sim/report.h"
#include "sim/simulate.h"

namespace starling::sim {
namespace {

constexpr size_t shrink_tries_max = 120;
constexpr double window_min_s = 1;  // in which things go wrong: not made shorter

struct Range {
  const char* key;
  double least, most;
  bool is_whole = false;
};
constexpr Range sizes[] = {
    {"run.nodes", 3, 10, true},        {"learn.steps", 60, 240, true},
    {"network.latency_ms", 1, 300},    {"network.jitter_ms", 0, 200},
    {"learn.budget_fraction", .05, 1}, {"network.heartbeat_ms", 500, 5000, true},
};
// Each of these is there with an even chance.
constexpr Range troubles[] = {
    {"devices.slow_share", 0, .5},
    {"network.loss", 0, .05},
    {"network.drop", 0, .1},
    {"network.duplicate", 0, .1},
    {"network.reorder", 0, .1},
    {"network.up_kib_s", 20, 400},
    {"network.nat_share", 0, .5},
    {"faults.crash_per_hour", 5, 60},
    {"faults.disk_loss_share", 0, .5},
    {"faults.pause_per_hour", 5, 60},
    {"faults.clog_per_hour", 5, 120},
    {"faults.partition_share", .1, .6},
    {"faults.one_way_share", .02, .3},
    {"devices.slow_up_kib_s", 10, 100},
    {"devices.slow_down_kib_s", 20, 400},
    {"devices.clock_share", .1, 1},
    {"faults.duty_share", .1, .6},
    {"faults.clock_steps_per_hour", 5, 60},
    {"faults.away_share", .1, .6},
    {"run.log_deltas_max", 20, 200, true},
};
// Those that mean something without a learner: all but label_flip and backdoor, which are in what
// is learned from.
constexpr std::array attacks = {
    "sign_flip",  "scale",     "gaussian",       "free_rider", "alie",    "inner_product", "replay",
    "equivocate", "dissensus", "selective_drop", "announce",   "eclipse", "sybil_join"};
// Of these the strength is a share.
constexpr std::array by_share = {"selective_drop", "eclipse"};

void set(Scenario& scenario, const char* key, double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  [[maybe_unused]] const std::string problem = set_key(scenario, key, text);
  assert(problem.empty());
}

double draw(const Range& range, Rng& rng) {
  const double value = range.least + (range.most - range.least) * rng.unit();
  return range.is_whole ? std::round(value) : value;
}

// What went wrong, in words; "" when every check held. That a random run meets each of its faults
// is not asked.
std::string failure_of(const Outcome& outcome) {
  for (const auto& [name, found] : outcome.checkers) {
    if (found.failures > 0 && name != "every_fault_happened") return name + ": " + found.first;
  }
  return "";
}

Outcome run_once(const Scenario& scenario, uint64_t seed, uint32_t threads, Watch& watch) {
  const auto lessons = deal_lessons(scenario, seed);
  assert(lessons.has_value());  // only texts can be unusable, and there are none
  return simulate(scenario, *lessons, {.seed = seed, .threads = threads}, watch);
}

// ---- Shrinking

// Makes a scenario smaller in one way, or leaves it as it is.
using Reduction = std::function<void(Scenario&)>;

// Leaves a part of a time out, from its begin or from its end. Tenths of a second are enough.
void narrow(double& from_s, double& to_s, double share, bool is_end) {
  const double length = to_s - from_s;
  if (length * (1 - share) < window_min_s) return;
  double& moved = is_end ? to_s : from_s;
  moved = std::round(10 * (is_end ? to_s - share * length : from_s + share * length)) / 10;
}

void halve_time(Scenario& scenario) {
  if (scenario.learn.steps < 20) return;
  scenario.learn.steps /= 2;
  Scenario::Faults& faults = scenario.faults;
  for (double* second :
       {&faults.from_s, &faults.until_s, &faults.partition_from_s, &faults.partition_to_s})
    *second /= 2;
}

// When anything goes wrong, a partition among it.
void narrow_faults(Scenario& scenario, double share, bool is_end) {
  Scenario::Faults& faults = scenario.faults;
  narrow(faults.from_s, faults.until_s, share, is_end);
  if (faults.partition_share == 0) return;
  faults.partition_from_s = std::max(faults.partition_from_s, faults.from_s);
  faults.partition_to_s = std::min(faults.partition_to_s, faults.until_s);
}

void narrow_partition(Scenario& scenario, double share, bool is_end) {
  Scenario::Faults& faults = scenario.faults;
  if (faults.partition_share > 0)
    narrow(faults.partition_from_s, faults.partition_to_s, share, is_end);
}

// What says more of a trouble that is not there.
void forget_details(Scenario& scenario) {
  const Scenario usual;
  Scenario::Devices& devices = scenario.devices;
  if (devices.clock_share == 0) {
    devices.clock_offset_s = usual.devices.clock_offset_s;
    devices.clock_drift_ppm = usual.devices.clock_drift_ppm;
  }
  Scenario::Faults& faults = scenario.faults;
  if (faults.partition_share == 0) {
    faults.partition_from_s = usual.faults.partition_from_s;
    faults.partition_to_s = usual.faults.partition_to_s;
    faults.one_way = usual.faults.one_way;
  }
  if (faults.clock_steps_per_hour == 0) faults.clock_step_s = usual.faults.clock_step_s;
  if (faults.duty_share == 0) faults.day_s = usual.faults.day_s;
  if (faults.away_share == 0) {
    faults.session_s = usual.faults.session_s;
    faults.absence_s = usual.faults.absence_s;
  }
  if (scenario.hostile.attack != "sybil_join") scenario.hostile.join_s = usual.hostile.join_s;
}

// The largest savings first.
std::vector<Reduction> reductions() {
  std::vector<Reduction> list = {
      [](Scenario& each) {
        if (each.hostile.share > 0) each.hostile = {};
      },
      [](Scenario& each) { each.learn.judging = false; },
      [](Scenario& each) { each.run.nodes = std::max(2u, each.run.nodes / 2); },
      halve_time,
  };
  for (const Range& range : troubles)
    list.emplace_back([&range](Scenario& each) { set(each, range.key, 0); });
  list.emplace_back([](Scenario& each) { each.run.nodes = std::max(2u, each.run.nodes - 1); });
  for (const double share : {0.5, 0.25, 0.1}) {
    for (const bool is_end : {true, false}) {
      list.emplace_back([=](Scenario& each) { narrow_faults(each, share, is_end); });
      list.emplace_back([=](Scenario& each) { narrow_partition(each, share, is_end); });
    }
  }
  list.emplace_back(forget_details);
  return list;
}

// Shrinks, writes and tells.
int report(const Scenario& scenario, uint64_t seed, const std::string& failure,
           const FuzzOptions& options, Watch& watch) {
  watch.settle();
  std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), failure.c_str());
  std::fflush(stdout);
  watch.set_prefix("shrinking: ");
  const Scenario small = shrink(scenario, shrink_tries_max, [&](const Scenario& each) {
    if (watch.is_stopped()) return false;
    return !failure_of(run_once(each, seed, options.threads, watch)).empty();
  });
  watch.settle();
  const std::string path = options.directory + "/fuzz-" + std::to_string(seed) + ".yaml";
  std::error_code error;
  std::filesystem::create_directories(options.directory, error);
  const auto written = write_whole(path, to_yaml(small));
  if (!written) {
    std::fprintf(stderr, "starling sim: %s\n", written.error().message.c_str());
    return static_cast<int>(written.error().code);
  }
  std::printf("again: starling sim run %s --seed %llu\n%s", path.c_str(),
              static_cast<unsigned long long>(seed), to_yaml(small).c_str());
  return static_cast<int>(ExitCode::failed);
}

}  // namespace

Scenario random_scenario(uint64_t seed) {
  Rng rng = rng_for(seed, Purpose::scenario);
  Scenario scenario;
  scenario.name = "fuzz";
  scenario.learn.kind = "synthetic";
  scenario.learn.step_ms = 1000;
  scenario.run.settle_s = 240;
  scenario.run.checkpoint_s = 20;
  for (const Range& range : sizes) set(scenario, range.key, draw(range, rng));
  for (const Range& range : troubles) {
    const double value = draw(range, rng);
    if (rng.unit() < 0.5) set(scenario, range.key, value);
  }
  if (rng.unit() < 0.3) {
    scenario.hostile.attack = attacks[rng.below(attacks.size())];
    scenario.hostile.share = 0.1 + 0.2 * rng.unit();
    const bool is_share =
        std::find(by_share.begin(), by_share.end(), scenario.hostile.attack) != by_share.end();
    const double drawn = rng.unit();
    scenario.hostile.strength = is_share ? 0.3 + 0.7 * drawn : std::pow(10, drawn);
  }
  scenario.hostile.join_s = scenario.learn.steps * rng.unit();
  scenario.learn.judging = rng.unit() < 0.3;
  auto& faults = scenario.faults;
  faults.until_s = scenario.learn.steps * (0.6 + 0.4 * rng.unit());
  faults.partition_from_s = faults.until_s * 0.3 * rng.unit();
  faults.partition_to_s = faults.partition_from_s + faults.until_s * (0.1 + 0.5 * rng.unit());
  faults.one_way = rng.unit() < 0.3;
  scenario.devices.clock_offset_s = std::pow(10, 9 * rng.unit());  // up to thirty years
  scenario.devices.clock_drift_ppm = 1000 * rng.unit();
  faults.day_s = 60 + 200 * rng.unit();
  faults.clock_step_s = std::pow(10, 8 * rng.unit());
  faults.session_s = 20 + 100 * rng.unit();
  faults.absence_s = 10 + 60 * rng.unit();
  return scenario;
}

Scenario shrink(Scenario scenario, size_t tries_max,
                const std::function<bool(const Scenario&)>& fails) {
  for (bool is_smaller = true; is_smaller;) {
    is_smaller = false;
    for (const Reduction& reduce : reductions()) {
      // Again and again, as long as it goes.
      for (;;) {
        Scenario each = scenario;
        reduce(each);
        if (to_yaml(each) == to_yaml(scenario) || !contradiction(each).empty()) break;
        if (tries_max-- == 0) return scenario;
        if (!fails(each)) break;
        scenario = std::move(each);
        is_smaller = true;
      }
    }
  }
  return scenario;
}

int run_fuzz(const FuzzOptions& options, Signals& signals) {
  Watch watch(signals);
  const Clock::time_point begun = Clock::now();
  uint64_t done = 0;
  for (; done < options.seeds; ++done) {
    const double minutes =
        std::chrono::duration<double, std::ratio<60>>(Clock::now() - begun).count();
    if (minutes >= options.minutes) break;
    const uint64_t seed = options.from + done;
    watch.set_prefix("seed " + std::to_string(seed) + ": ");
    const Scenario scenario = random_scenario(seed);
    const Outcome outcome = run_once(scenario, seed, options.threads, watch);
    if (signals.stop_signal() != 0) break;
    if (const std::string failure = failure_of(outcome); !failure.empty())
      return report(scenario, seed, failure, options, watch);
  }
  watch.settle();
  std::printf("%llu random scenarios, seeds from %llu: every check held\n",
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(options.from));
  return signals.stop_signal() != 0 ? 128 + signals.stop_signal() : static_cast<int>(ExitCode::ok);
}

}  // namespace starling::sim
