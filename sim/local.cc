#include "sim/local.h"

#include <cstdio>

#include "sim/phase.h"
#include "sim/report.h"
#include "sim/table.h"

namespace starling::sim {
namespace {

// Of the minutes given: each phase's part in learning; the rest is for starting, asking and
// stopping.
constexpr double phase_share = 0.44;

int fail(const Failure& failure) {
  std::fprintf(stderr, "starling sim: %s\n", failure.message.c_str());
  return static_cast<int>(failure.code);
}

// One phase from start to stop; its matrix.
Result<std::vector<std::vector<double>>, Failure> run_phase(Phase& phase, Table& table) {
  auto done = phase.start();
  if (done) done = phase.watch();
  if (!done) {
    table.settle();
    phase.stop();
    return Unexpected{done.error()};
  }
  table.note("asking every node every task");
  auto matrix = phase.evaluate();
  phase.stop();
  return matrix;
}

Report report_of(const Plan& plan, const LocalOptions& options) {
  Report report;
  report.kind = plan.kind;
  report.seed = options.seed;
  for (const Task& task : plan.tasks) report.tasks.push_back(task.name);
  for (const NodePlan& node : plan.nodes) {
    report.nodes.push_back(node.name);
    report.own.push_back(node.own);
  }
  return report;
}

void add_costs(const std::vector<NodeStatus>& statuses, Report& report) {
  double bits = 0;
  size_t publishers = 0;
  for (const NodeStatus& status : statuses) {
    report.parameters = status.parameters;
    report.sent_bytes.push_back(status.sent_bytes);
    report.received_bytes.push_back(status.received_bytes);
    report.base_hashes.push_back(status.base_hash);
    report.steps.push_back(status.step);
    bits += status.bits_per_parameter;
    publishers += status.bits_per_parameter > 0 ? 1 : 0;
  }
  if (publishers > 0) report.bits_per_parameter = bits / static_cast<double>(publishers);
}

// Both phases. Empty errors aside, the report is whole, though the bases may differ.
Result<Report, Failure> run_both(const Plan& plan, const Places& places,
                                 const LocalOptions& options, Signals& signals) {
  const Clock::time_point begun = Clock::now();
  Table table;
  Report report = report_of(plan, options);
  PhaseOptions alone{.name = "alone",
                     .title = "alone (1 of 2)",
                     .program = options.program,
                     .steps = std::vector<uint64_t>(plan.nodes.size(), plan.steps),
                     .minutes = plan.minutes * phase_share,
                     .seed = options.seed,
                     .agreement_bound_s = options.agreement_bound_s};
  PhaseOptions swarm = alone;
  {
    Phase phase(plan, places, alone, signals, table);
    auto matrix = run_phase(phase, table);
    if (!matrix) return Unexpected{matrix.error()};
    report.alone = std::move(*matrix);
    for (const Series& series : phase.series()) report.series.push_back(series);
    // As many steps in the swarm as the slowest has made alone: a finite run has one end for all.
    uint64_t steps = UINT64_MAX;
    for (const NodeStatus& status : phase.statuses()) steps = std::min(steps, status.step);
    swarm.steps.assign(plan.nodes.size(), steps);
  }
  swarm.name = "swarm";
  swarm.title = "swarm (2 of 2)";
  swarm.kill_interval_s = options.has_chaos ? options.kill_interval_s : 0;
  Phase phase(plan, places, swarm, signals, table);
  auto matrix = run_phase(phase, table);
  if (!matrix) return Unexpected{matrix.error()};
  report.swarm = std::move(*matrix);
  for (const Series& series : phase.series()) report.series.push_back(series);
  add_costs(phase.statuses(), report);
  report.seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  return report;
}

}  // namespace

int run_local(const LocalOptions& options, Signals& signals) {
  const auto plan = make_plan(options);
  if (!plan) return fail(plan.error());
  const Places places(options.directory);
  const auto written = write_plan(*plan, places);
  if (!written) return fail(written.error());

  const auto report = run_both(*plan, places, options, signals);
  if (signals.stop_signal() != 0) {
    if (!options.keeps_nodes) remove_nodes(*plan, places);
    std::fprintf(stderr, "starling sim: stopped; all nodes have ended, no report was written\n");
    return 128 + signals.stop_signal();
  }
  if (!report) return fail(report.error());
  const auto saved = write_report(*report, places.directory);
  if (!saved) return fail(saved.error());
  std::printf("%s", to_text(*report).c_str());
  std::printf("report: %s/report.html and report.json\n", places.directory.c_str());
  if (!report->is_agreed()) {
    return fail(
        {.code = ExitCode::failed,
         .message = "the nodes did not come to the same base; their directories are kept in " +
                    places.nodes});
  }
  if (!options.keeps_nodes) remove_nodes(*plan, places);
  return static_cast<int>(ExitCode::ok);
}

}  // namespace starling::sim
