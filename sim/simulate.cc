#include "sim/simulate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "sim/backdoor.h"
#include "sim/drawing.h"
#include "sim/outcome.h"
#include "sim/stocks.h"

namespace starling::sim {
namespace {

constexpr uint64_t large_checkpoint_size = 1ull << 30;  // bytes: said before the run

int fail(ExitCode code, const std::string& message) {
  std::fprintf(stderr, "starling sim: %s\n", message.c_str());
  return static_cast<int>(code);
}

// What the machine could give now; 0: not known.
uint64_t memory_available() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  uint64_t kib = 0;
  while (file >> word) {
    if (word == "MemAvailable:" && file >> kib) return kib * 1024;
  }
  return 0;
}

double backdoor_success_of(const World& world, const Lessons& lessons) {
  double sum = 0, asked = 0;
  for (const auto& device : world.devices) {
    if (!device->is_up() || device->is_hostile()) continue;
    sum += backdoor_success(device->learner().snapshot(), lessons);
    ++asked;
  }
  return asked > 0 ? sum / asked : -1;
}

Standing standing_of(const World& world, const Lessons& lessons, const std::string& name) {
  Standing standing{.name = name, .matrix = {}, .points = {}};
  if (world.scenario->hostile.attack == "backdoor")
    standing.backdoor_success = backdoor_success_of(world, lessons);
  for (const auto& device : world.devices) {
    standing.matrix.push_back(device->is_up() ? score(device->learner().snapshot(), lessons, false)
                                              : std::vector<double>(lessons.tasks.size(), 0));
  }
  for (const Moment& moment : world.moments) {
    if (moment.quality >= 0) standing.points.push_back({moment.steps, moment.quality});
  }
  return standing;
}

Outcome outcome_of(World& world, const Lessons& lessons, uint64_t seed) {
  Outcome outcome;
  outcome.scenario = world.scenario->name;
  outcome.seed = seed;
  outcome.nodes = world.scenario->run.nodes;
  outcome.trace = world.trace();
  outcome.virtual_seconds = static_cast<double>(world.now) / 1e6;
  outcome.parameters = world.course->genesis.size();
  outcome.is_text = lessons.is_text;
  outcome.tasks = lessons.tasks;
  const auto nodes = static_cast<double>(outcome.nodes);
  for (const auto& device : world.devices) {
    outcome.is_hostile.push_back(device->is_hostile() ? 1 : 0);
    outcome.sent_bytes_per_node += static_cast<double>(device->sent_bytes) / nodes;
    outcome.received_bytes_per_node += static_cast<double>(device->received_bytes) / nodes;
    outcome.control_bytes_per_node += static_cast<double>(device->sent_control_bytes) / nodes;
    std::vector<uint8_t> own;
    for (size_t task = 0; task < lessons.tasks.size(); ++task)
      own.push_back(lessons.is_own(device->index, task) ? 1 : 0);
    outcome.own.push_back(std::move(own));
  }
  outcome.moments = world.moments;
  outcome.deltas = world.checker.deltas();
  outcome.delta_bytes = world.checker.mean_delta_bytes();
  outcome.sometimes = world.sometimes;
  outcome.checkers = world.checker.outcomes();
  return outcome;
}

// As many as the swarm's nodes have made, in whole exchanges.
uint64_t steps_made(const Outcome& outcome, const Scenario::Learn& learn) {
  const double exchange = learn.steps_per_exchange;
  const double exchanges = std::round(outcome.moments.back().steps / exchange);
  return static_cast<uint64_t>(std::max(1.0, exchanges) * exchange);
}

// Where the time ends the run, theirs is as long as the swarm's was in steps.
void run_baselines(Course course, const Lessons& lessons, const RunOptions& options, Watch& watch,
                   Outcome& outcome) {
  if (course.learn.seconds > 0) {
    course.learn.steps = static_cast<uint32_t>(steps_made(outcome, course.learn));
    course.learn.seconds = 0;
  }
  for (const std::string& name : course.learn.baselines) {
    watch.begin(name);
    outcome.standings.push_back(
        run_baseline(name, course, lessons,
                     {.seed = options.seed,
                      .threads = options.threads,
                      .steps_max = options.until_s > 0 ? steps_made(outcome, course.learn) : 0,
                      .watch = [&watch](double done) { return watch.show(done, -1); }}));
    if (!outcome.standings.back().is_complete) {
      outcome.is_complete = false;
      return;
    }
  }
}

// The same swarm once more, but where this one judges origins that one believes them.
void run_otherwise(Scenario scenario, const Lessons& lessons, const RunOptions& options,
                   Watch& watch, Outcome& outcome) {
  scenario.learn.judging = !scenario.learn.judging;
  const std::string name = scenario.learn.judging ? "swarm_judging" : "swarm_believing";
  const Course course = make_course(scenario);
  World world(
      scenario, course, lessons,
      WorldOptions{.seed = options.seed, .threads = options.threads, .until_s = options.until_s});
  watch.begin(name);
  outcome.is_complete =
      world.run([&] { return watch.show(world.progress(), static_cast<double>(world.now) / 1e6); });
  outcome.standings.push_back(standing_of(world, lessons, name));
  outcome.standings.back().is_complete = outcome.is_complete;
  for (const auto& [check, found] : world.checker.outcomes()) {
    Checker::Outcome& both = outcome.checkers[check];
    both.checks += found.checks;
    if (both.failures == 0 && found.failures > 0) both.first = name + ": " + found.first;
    both.failures += found.failures;
  }
}

}  // namespace

uint64_t memory_estimate(const Scenario& scenario, uint32_t threads) {
  const Course course = make_course(scenario);
  const uint64_t nodes = scenario.run.nodes, parameters = course.genesis.size();
  const uint64_t fixed_size = data_memory(scenario) + (64u << 20);
  const bool has_checkpoints = scenario.faults.until_s > 0 || scenario.run.log_deltas_max > 0;
  uint64_t node = parameters * 8 + 64 * 1024;  // base, error memory, the protocol
  node += nodes * 1024;                        // what it knows of each member
  if (has_checkpoints) node += parameters * 20;
  if (course.shape) {
    model::TrainerOptions options;
    const uint64_t trainer = model::Trainer::memory_bytes(
        *course.shape, options, scenario.learn.rows, scenario.learn.length);
    const uint64_t kept = parameters * 12;  // weights and moments; the rest goes between slices
    node += kept;
    return nodes * node + std::min<uint64_t>(threads, nodes) * trainer + fixed_size;
  }
  return nodes * node + fixed_size;
}

std::optional<Failure> lack_of_memory(const Scenario& scenario, uint32_t threads, uint64_t more) {
  const uint64_t needed = memory_estimate(scenario, threads) + more;
  const uint64_t available = memory_available();
  if (available == 0 || needed <= available) return std::nullopt;
  return Failure{ExitCode::too_little_memory,
                 "this needs about " + std::to_string(needed >> 20) + " MiB and the machine has " +
                     std::to_string(available >> 20) +
                     "; fewer --nodes or a smaller learn.model need less"};
}

Outcome simulate(const Scenario& scenario, const Lessons& lessons, const RunOptions& options,
                 Watch& watch) {
  const Course course = make_course(scenario);
  watch.restart();
  auto world = std::make_unique<World>(scenario, course, lessons,
                                       WorldOptions{.seed = options.seed,
                                                    .threads = options.threads,
                                                    .until_s = options.until_s,
                                                    .journal = options.journal});
  watch.begin("swarm");
  const bool is_whole = world->run([&] {
    const double second = static_cast<double>(world->now) / 1e6;
    const double of_time = options.until_s > 0 ? second / options.until_s : 0;
    return watch.show(std::max(world->progress(), of_time), second);
  });
  Outcome outcome = outcome_of(*world, lessons, options.seed);
  outcome.until_s = options.until_s;
  outcome.is_complete = is_whole;
  // Learners that have not got back to where they were have nothing to show.
  if (world->is_replaying()) return outcome;
  if (course.shape) outcome.standings.push_back(standing_of(*world, lessons, "swarm"));
  if (course.shape) outcome.standings.back().is_complete = is_whole;
  world.reset();  // the baselines need its memory
  if (is_whole && scenario.hostile.attack == "backdoor")
    run_otherwise(scenario, lessons, options, watch, outcome);
  if (outcome.is_complete && course.shape) run_baselines(course, lessons, options, watch, outcome);
  for (const Standing& standing : outcome.standings)
    outcome.qualities[standing.name] = quality(standing.matrix, lessons, outcome.is_hostile);
  outcome.wall_seconds = watch.seconds();
  return outcome;
}

namespace {

// Errors: the checkpoint that cannot be read, or the one that cannot be written.
Result<std::optional<Journal>, Failure> journal_for(const SimulateOptions& options,
                                                    const Scenario& scenario,
                                                    const Lessons& lessons) {
  if (options.checkpoint.empty() && options.resume.empty()) return std::optional<Journal>();
  const RunIdentity identity = identity_of(scenario, lessons, options.seed);
  if (!options.checkpoint.empty()) {
    const uint64_t size = run_checkpoint_size(scenario);
    if (size > run_checkpoint_size_max)
      return Unexpected{
          Failure{ExitCode::cannot_create,
                  "a checkpoint of this run would have about " + std::to_string(size >> 30) +
                      " GiB, more than " + std::to_string(run_checkpoint_size_max >> 30) +
                      "; take fewer --nodes or a smaller learn.model, or leave --checkpoint out"}};
    if (size >= large_checkpoint_size)
      std::printf("a checkpoint may have about %llu MiB\n",
                  static_cast<unsigned long long>(size >> 20));
    if (const auto tried = try_to_write(options.checkpoint); !tried)
      return Unexpected{tried.error()};
  }
  std::optional<RunCheckpoint> resumed;
  if (!options.resume.empty()) {
    auto read = read_run_checkpoint(options.resume, identity);
    if (!read) return Unexpected{read.error()};
    const double second = static_cast<double>(read->micros) / 1e6;
    if (options.until_s > 0 && options.until_s < second)
      return Unexpected{Failure{ExitCode::usage, options.resume + ": was written at virtual time " +
                                                     fixed(second, 1) + " s, after the " +
                                                     fixed(options.until_s, 1) +
                                                     " s of --until; give a later one, or none"}};
    std::printf("from %s: virtual time %.1f s, %llu events\n", options.resume.c_str(), second,
                static_cast<unsigned long long>(read->events));
    resumed = std::move(*read);
  }
  return std::optional<Journal>(std::in_place,
                                Journal::Options{.identity = identity,
                                                 .path = options.checkpoint,
                                                 .every_s = options.checkpoint_every_s,
                                                 .resumed_from = options.resume},
                                std::move(resumed));
}

// For people and files. 0, or the code of what could not be written.
int tell(const Outcome& outcome, const std::string& directory) {
  std::printf("%s", to_text(outcome).c_str());
  if (directory.empty()) return 0;
  const auto written = write_outcome(outcome, directory);
  if (!written) return fail(written.error().code, written.error().message);
  std::printf("report: %s/report.html\n", directory.c_str());
  return 0;
}

}  // namespace

int run_simulation(const SimulateOptions& options, Signals& signals) {
  auto scenario = load_scenario(options.scenario);
  if (!scenario) return fail(ExitCode::config, scenario.error().message);
  if (options.nodes > 0) scenario->run.nodes = options.nodes;
  std::printf("seed %llu\n", static_cast<unsigned long long>(options.seed));
  std::printf("%s: %u nodes, %s, %u threads, about %llu MiB of memory\n", scenario->name.c_str(),
              scenario->run.nodes, scenario->learn.kind.c_str(), options.threads,
              static_cast<unsigned long long>(memory_estimate(*scenario, options.threads) >> 20));
  // Once as it is kept, once as it is in the file.
  const bool has_checkpoints = !options.checkpoint.empty() || !options.resume.empty();
  const uint64_t more = has_checkpoints ? 2 * run_checkpoint_size(*scenario) : 0;
  if (const auto lack = lack_of_memory(*scenario, options.threads, more))
    return fail(lack->code, lack->message);
  auto lessons = deal_lessons(*scenario, options.seed);
  if (!lessons) return fail(lessons.error().code, lessons.error().message);
  if (!lessons->tasks.empty()) std::printf("%s", partition_table(*lessons).c_str());
  std::fflush(stdout);
  auto journal = journal_for(options, *scenario, *lessons);
  if (!journal) return fail(journal.error().code, journal.error().message);
  std::fflush(stdout);
  Watch watch(signals);
  const Outcome outcome = simulate(*scenario, *lessons,
                                   {.seed = options.seed,
                                    .threads = options.threads,
                                    .until_s = options.until_s,
                                    .journal = *journal ? &**journal : nullptr},
                                   watch);
  watch.settle();
  if (*journal && (*journal)->failure())
    return fail((*journal)->failure()->code, (*journal)->failure()->message);
  const int code = tell(outcome, options.directory);
  std::printf("trace %s\n", outcome.trace.c_str());
  if (code != 0) return code;
  if (signals.stop_signal() != 0) return 128 + signals.stop_signal();
  const bool is_good = outcome.is_complete && failed_checks(outcome).empty();
  return static_cast<int>(is_good ? ExitCode::ok : ExitCode::failed);
}

}  // namespace starling::sim
