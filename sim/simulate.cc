#include "sim/simulate.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "sim/backdoor.h"
#include "sim/drawing.h"
#include "sim/outcome.h"
#include "sim/stocks.h"

namespace starling::sim {
namespace {

// Of each device that is up `width` numbers, from the process that has its trainer; of others
// zeros.
template <typename F>
std::vector<std::vector<double>> of_all(const World& world, size_t width, F numbers_of) {
  std::vector<uint64_t> words(world.devices.size() * width, 0);
  for (const auto& device : world.devices) {
    if (!device->is_up() || !device->learner().is_present()) continue;
    const std::vector<double> numbers = numbers_of(*device);
    assert(numbers.size() == width);
    for (size_t i = 0; i < width; ++i)
      words[device->index * width + i] = std::bit_cast<uint64_t>(numbers[i]);
  }
  world.ranks().merge(world.events, words);
  std::vector<std::vector<double>> rows(world.devices.size());
  for (size_t i = 0; i < words.size(); ++i)
    rows[i / width].push_back(std::bit_cast<double>(words[i]));
  return rows;
}

// Deltas that a node keeps account of, of all its members together.
double deltas_kept(const Scenario& scenario, double until_s) {
  constexpr double judged_each = 48;  // of a member, as swarm/judgement.h
  const Scenario::Learn& learn = scenario.learn;
  const double exchange_s = learn.steps_per_exchange * learn.step_ms / 1000;
  double exchanges = static_cast<double>(learn.steps) / learn.steps_per_exchange;
  for (const double bound_s : {learn.seconds, until_s}) {
    if (bound_s > 0) exchanges = std::min(exchanges, bound_s / exchange_s);
  }
  const double nodes = scenario.run.nodes, logged = 1.25 * scenario.run.log_deltas_max;
  const double made = nodes * std::floor(exchanges);
  return logged > 0 ? std::min(made, std::max(logged, nodes * judged_each)) : made;
}

double backdoor_success_of(const World& world, const Lessons& lessons) {
  const auto successes = of_all(world, 1, [&](const Device& device) {
    return std::vector<double>{backdoor_success(device.learner().snapshot(), lessons)};
  });
  double sum = 0, asked = 0;
  for (const auto& device : world.devices) {
    if (!device->is_up() || device->is_hostile()) continue;
    sum += successes[device->index][0];
    ++asked;
  }
  return asked > 0 ? sum / asked : -1;
}

Standing standing_of(const World& world, const Lessons& lessons, const std::string& name) {
  Standing standing{.name = name, .matrix = {}, .points = {}};
  if (world.scenario->hostile.attack == "backdoor")
    standing.backdoor_success = backdoor_success_of(world, lessons);
  standing.matrix = of_all(world, lessons.tasks.size(), [&](const Device& device) {
    return score(device.learner().snapshot(), lessons, false);
  });
  for (const Moment& moment : world.moments) {
    if (moment.quality >= 0)
      standing.points.push_back({moment.steps, moment.quality, moment.second, moment.sent_bytes});
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
  outcome.steps_per_exchange = world.course->learn.steps_per_exchange;
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
    outcome.is_up.push_back(device->is_up() ? 1 : 0);
    for (const swarm::PeerId& peer : world.linked_to(device->index)) {
      const uint32_t other = world.node_of(peer);
      if (device->index < other && other < nodes_drawn_max)
        outcome.links.emplace_back(device->index, other);
    }
  }
  outcome.moments = world.moments;
  outcome.deltas = world.checker.deltas();
  outcome.delta_bytes = world.checker.mean_delta_bytes();
  outcome.sometimes = world.sometimes;
  outcome.checkers = world.checker.outcomes();
  outcome.traffic = world.traffic;
  outcome.faults_seen = world.faults_seen;
  outcome.faults_not_kept = world.faults_not_kept;
  outcome.breaks = world.breaks;
  return outcome;
}

void compare_skills(World& world, const Lessons& lessons) {
  const auto rows = of_all(world, 1, [&](const Device& device) {
    const std::vector<double> scores = score(device.learner().shared_snapshot(), lessons, true);
    double mean = 0;
    for (const double one : scores) mean += one / static_cast<double>(scores.size());
    return std::vector<double>{mean};
  });
  std::vector<double> means;
  for (const auto& row : rows) means.push_back(row[0]);
  world.checker.skills_alike(world, means, lessons.is_text);
}

// Of the regions that some tokens wake and others do not.
void note_region_usage(const World& world, Outcome& outcome) {
  const model::RegionTable& table = world.course->table;
  for (const model::Region& region : table) {
    if (region.kind == model::RegionKind::mlp)
      outcome.regions.push_back(model::region_name(region));
  }
  outcome.region_usage = of_all(world, outcome.regions.size(), [&](const Device& device) {
    const std::vector<float> activity = device.learner().activity();
    std::vector<double> shares;
    for (const model::Region& region : table) {
      if (region.kind == model::RegionKind::mlp)
        shares.push_back(static_cast<double>(activity[region.id]));
    }
    return shares;
  });
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

// All processes stop where one of them is stopped.
bool goes_on(const World& world, bool is_wanted) { return !world.ranks().is_any(!is_wanted); }

// The same swarm once more, but where this one judges origins that one believes them.
void run_otherwise(Scenario scenario, const Lessons& lessons, const RunOptions& options,
                   Watch& watch, Outcome& outcome) {
  scenario.learn.judging = !scenario.learn.judging;
  const std::string name = scenario.learn.judging ? "swarm_judging" : "swarm_believing";
  const Course course = make_course(scenario);
  World world(scenario, course, lessons,
              WorldOptions{.seed = options.seed,
                           .threads = options.threads,
                           .until_s = options.until_s,
                           .ranks = options.ranks});
  watch.begin(name);
  outcome.is_complete = world.run([&] {
    return goes_on(world, watch.show(world.progress(), static_cast<double>(world.now) / 1e6));
  });
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

uint64_t memory_estimate(const Scenario& scenario, uint32_t threads, double until_s,
                         uint32_t processes) {
  const Course course = make_course(scenario);
  const uint64_t nodes = scenario.run.nodes, parameters = course.genesis.size();
  const uint64_t fixed_size = data_memory(scenario) + (64u << 20);
  const bool has_checkpoints = scenario.faults.until_s > 0 || scenario.run.log_deltas_max > 0;
  uint64_t node = parameters * 8 + 64 * 1024;  // base, error memory, the protocol
  // Measured: of each member and of the deltas.
  const double deltas = deltas_kept(scenario, until_s);
  node += nodes * (deltas > 0 ? 1600 : 700) + static_cast<uint64_t>(450 * deltas);
  if (has_checkpoints) node += parameters * 20;
  if (course.shape) {
    model::TrainerOptions options;
    const uint64_t trainer = model::Trainer::memory_bytes(
        *course.shape, options, scenario.learn.rows, scenario.learn.length);
    const uint64_t here = (nodes + processes - 1) / processes;
    const uint64_t kept = parameters * 12;  // weights and moments; the rest goes between slices
    return nodes * node + here * kept + (nodes - here) * parameters * 4 +
           std::min<uint64_t>(threads, here) * trainer + fixed_size;
  }
  return nodes * node + fixed_size;
}

Outcome simulate(const Scenario& scenario, const Lessons& lessons, const RunOptions& options,
                 Watch& watch) {
  const Course course = make_course(scenario);
  watch.restart();
  auto world = std::make_unique<World>(scenario, course, lessons,
                                       WorldOptions{.seed = options.seed,
                                                    .threads = options.threads,
                                                    .until_s = options.until_s,
                                                    .journal = options.journal,
                                                    .ranks = options.ranks});
  watch.begin("swarm");
  const bool is_whole = world->run([&] {
    const double second = static_cast<double>(world->now) / 1e6;
    const double of_time = options.until_s > 0 ? second / options.until_s : 0;
    return goes_on(*world, watch.show(std::max(world->progress(), of_time), second));
  });
  Outcome outcome = outcome_of(*world, lessons, options.seed);
  outcome.until_s = options.until_s;
  outcome.is_complete = is_whole;
  // Learners that have not got back to where they were have nothing to show.
  if (world->is_replaying()) return outcome;
  if (course.shape) {
    outcome.standings.push_back(standing_of(*world, lessons, "swarm"));
    outcome.standings.back().is_complete = is_whole;
    note_region_usage(*world, outcome);
    const bool is_at_its_end =
        is_whole && (options.until_s == 0 || outcome.virtual_seconds < options.until_s);
    if (is_at_its_end && scenario.hostile.share == 0) compare_skills(*world, lessons);
    outcome.checkers = world->checker.outcomes();
  }
  world.reset();  // the baselines need its memory
  if (is_whole && scenario.hostile.attack == "backdoor")
    run_otherwise(scenario, lessons, options, watch, outcome);
  const bool has_baselines = course.shape && (!options.ranks || options.ranks->is_first());
  if (outcome.is_complete && has_baselines) run_baselines(course, lessons, options, watch, outcome);
  for (const Standing& standing : outcome.standings)
    outcome.qualities[standing.name] = quality(standing.matrix, lessons, outcome.is_hostile);
  outcome.wall_seconds = watch.seconds();
  return outcome;
}

}  // namespace starling::sim
