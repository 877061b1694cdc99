// One run in several processes under mpirun. Only where an MPI was found.
#include "sim/ranks.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "sim/launcher.h"
#include "tests/sim/folder.h"

namespace starling::sim {
namespace {

const std::string lives =
    "run: {nodes: 5, checkpoint_s: 3, log_deltas_max: 24}\n"
    "learn: {kind: skills, model: micro, steps: 32, step_ms: 500, steps_per_exchange: 8,\n"
    "        questions: 4, rows: 2, length: 64, judging: true, baselines: [alone]}\n"
    "faults: {until_s: 12, crash_per_hour: 300, down_s: 3, disk_loss_share: 0.3}\n"
    "hostile: {attack: backdoor, share: 0.2, strength: 2}\n";

using Words = std::vector<std::string>;

// Under mpirun, as root too, with more processes than cores, for two minutes at most.
Output started(const Words& command) {
  for (const char* name : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
                           "OMPI_MCA_rmaps_base_oversubscribe", "OMPI_MCA_mpi_yield_when_idle"})
    ::setenv(name, "1", 1);
  Signals signals;
  return run(command, std::chrono::seconds(300), signals);
}

Words program(const std::string& scenario, const Words& more = {}) {
  Words command = {STARLING_SIM_PROGRAM, "run", scenario};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

// `count` processes of one command.
Words processes(int count, const Words& command) {
  Words words = {MPIEXEC_PROGRAM, "-n", std::to_string(count)};
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

// A process each of two commands.
Words pair_of(const Words& one, const Words& two) {
  Words words = processes(1, one);
  words.insert(words.end(), {":", "-n", "1"});
  words.insert(words.end(), two.begin(), two.end());
  return words;
}

std::string trace_of(const Output& output) {
  const size_t at = output.text.rfind("trace ");
  return at == std::string::npos ? output.text + output.errors : output.text.substr(at);
}

nlohmann::json report_in(const std::string& folder) {
  auto report = nlohmann::json::parse(read_file(folder + "/report.json"));
  report.erase("wall_seconds");
  return report;
}

}  // namespace

TEST_CASE("one, two and four processes come to the trace and the report of a run without MPI") {
  const Folder folder;
  const std::string path = folder.write("small.yaml", lives);
  const Output alone = started(program(path, {"--out", folder / "alone"}));
  REQUIRE(trace_of(alone).starts_with("trace "));
  for (const int count : {1, 2, 4}) {
    const std::string out = folder / std::to_string(count);
    const Output together = started(processes(count, program(path, {"--out", out})));
    INFO(count, together.errors);
    CHECK(together.exit.code == alone.exit.code);
    CHECK(trace_of(together) == trace_of(alone));
    CHECK(report_in(out) == report_in(folder / "alone"));
    // One speaks for all.
    CHECK(together.text.find("seed 1\n") == together.text.rfind("seed 1\n"));
    CHECK(read_file(out + "/series.csv") == read_file(folder / "alone/series.csv"));
  }
}

TEST_CASE("what several processes wrote one goes on from, and the other way round") {
  const Folder folder;
  const std::string path = folder.write("small.yaml", lives), one = folder / "one",
                    three = folder / "three";
  const std::string whole = trace_of(started(program(path)));
  started(program(path, {"--until", "6", "--checkpoint", one}));
  started(processes(3, program(path, {"--until", "6", "--checkpoint", three})));
  CHECK(read_file(one) == read_file(three));
  CHECK(read_file(one).size() > 1'000'000);
  CHECK(trace_of(started(program(path, {"--resume", three}))) == whole);
  CHECK(trace_of(started(processes(2, program(path, {"--resume", one})))) == whole);
}

TEST_CASE("processes that are given different things say so and end") {
  const Folder folder;
  const std::string path = folder.write("small.yaml", lives);
  const Output seeds = started(pair_of(program(path), program(path, {"--seed", "2"})));
  CHECK(seeds.exit.code == 78);
  CHECK(seeds.errors.find("the processes of this run differ") != std::string::npos);
  const Output missing = started(pair_of(program(path), program(folder / "none.yaml")));
  CHECK(missing.exit.code != 0);
  CHECK(missing.errors.find("none.yaml") != std::string::npos);
  CHECK(missing.text.find("trace ") == std::string::npos);
}

TEST_CASE("when one process is killed the others do not wait for it") {
  const Folder folder;
  const std::string path = folder.write(
      "long.yaml", "run: {nodes: 2}\nlearn: {model: micro, steps: 20000, baselines: []}\n");
  // It begins, and has a second of a core to live.
  const std::string dying = "ulimit -t 1; exec " STARLING_SIM_PROGRAM " run " + path;
  const Output killed = started(pair_of(program(path), {"/bin/sh", "-c", dying}));
  CHECK(killed.exit.code != 0);
  CHECK(killed.text.find("trace ") == std::string::npos);
}

}  // namespace starling::sim
