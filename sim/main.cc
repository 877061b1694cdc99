// starling-sim: runs many nodes on one machine. `starling sim ...` is this program with the words
// after `sim`.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "sim/compare.h"
#include "sim/fuzz.h"
#include "sim/local.h"
#include "sim/simulate.h"
#include "sim/sweep.h"

namespace starling::sim {
namespace {

std::string program_beside_this() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "starling" : (self.parent_path() / "starling").string();
}

constexpr const char* examples = R"(Examples:
  starling sim local                      four nodes teach each other eight small skills
  starling sim local --nodes 2 --text a.txt --text b.txt --minutes 5
  starling sim local --chaos              the same while nodes are killed and started again
  starling sim run sim/scenarios/home.yaml --out report     eight devices in virtual time
  starling sim run sim/scenarios/hostile.yaml --seed 7      a fifth of the nodes mean harm
  starling sim run sim/scenarios/lab.yaml --checkpoint lab.checkpoint
  starling sim run sim/scenarios/lab.yaml --resume lab.checkpoint     where that one stood
  starling sim sweep sim/scenarios/storm.yaml --vary network.loss=0,0.02,0.1 --seeds 1..5
  starling sim compare a/report.json b/report.json          two runs on one page
  starling sim fuzz --minutes 30          random scenarios until something goes wrong
)";

void describe_local(CLI::App& local, LocalOptions& options) {
  local.add_option("--nodes", options.nodes, "How many nodes")
      ->check(CLI::Range(uint32_t{1}, nodes_max))
      ->capture_default_str();
  local
      .add_option("--text", options.texts,
                  "A text (file or folder) for a node to learn; once for each text")
      ->expected(1)
      ->take_all()
      ->type_name("PATH");
  CLI::Option* minutes = local.add_option("--minutes", options.minutes, "Length of the whole run")
                             ->check(CLI::Range(0.1, 100000.0));
  local
      .add_option("--steps", options.steps,
                  "Steps of each node in each phase, instead of --minutes")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1000000000}))
      ->excludes(minutes);
  local.add_option("--out", options.directory, "Folder of report.html, report.json and the nodes")
      ->capture_default_str()
      ->type_name("DIR");
  local.add_option("--seed", options.seed, "What is drawn: questions, order, victims")
      ->capture_default_str();
  local.add_flag("--chaos", options.has_chaos,
                 "Kill a node every 20 s in the swarm and start it again");
  local.add_option("--preset", options.preset, "The model's size: demo, tiny, small, base")
      ->check(CLI::IsMember({"demo", "tiny", "small", "base"}));
  local.add_flag("--keep", options.keeps_nodes, "Leave the nodes' directories in place");
  local
      .add_option("--starling", options.program, "The starling program (default: beside this one)")
      ->type_name("PATH");
}

void describe_run(CLI::App& run, SimulateOptions& options) {
  run.add_option("scenario", options.scenario, "The scenario, such as sim/scenarios/home.yaml")
      ->required()
      ->type_name("SCENARIO.yaml");
  run.add_option("--nodes", options.nodes, "How many nodes, instead of the scenario's number")
      ->check(CLI::Range(1u, 10000u));
  run.add_option("--seed", options.seed, "What everything is drawn from")->capture_default_str();
  run.add_option("--until", options.until_s,
                 "Stop at this virtual time and report what there is; baselines make as many steps")
      ->check(CLI::Range(0.1, 30.0 * 86400))
      ->type_name("SECONDS");
  run.add_option("--out", options.directory, "Folder of report.json, report.html and series.csv")
      ->type_name("DIR");
  run.add_option("--threads", options.threads, "Threads; the outcome does not depend on it")
      ->check(CLI::Range(1u, 256u))
      ->capture_default_str();
  CLI::Option* checkpoint =
      run.add_option("--checkpoint", options.checkpoint,
                     "Keep in this file where the swarm's run stands, also at Ctrl-C")
          ->type_name("FILE");
  run.add_option("--checkpoint-every", options.checkpoint_every_s,
                 "Virtual time between two checkpoints")
      ->check(CLI::Range(0.1, 30.0 * 86400))
      ->needs(checkpoint)
      ->capture_default_str()
      ->type_name("SECONDS");
  run.add_option("--resume", options.resume,
                 "Go on from such a file, with the same scenario, --nodes and --seed")
      ->type_name("FILE");
}

void describe_sweep(CLI::App& sweep, SweepOptions& options) {
  sweep.add_option("scenario", options.scenario, "The scenario that everything starts from")
      ->required()
      ->type_name("SCENARIO.yaml");
  sweep
      .add_option("--vary", options.vary,
                  "A key and its values, such as network.loss=0,0.02,0.1; may be given again: all "
                  "combinations are run")
      ->required()
      ->expected(1)
      ->take_all()
      ->type_name("KEY=A,B,C");
  sweep.add_option("--seeds", options.seeds, "A range 1..5 or a list 1,4,9")->capture_default_str();
  sweep.add_option("--nodes", options.nodes, "How many nodes, instead of the scenario's number")
      ->check(CLI::Range(1u, 10000u));
  sweep.add_option("--threads", options.threads, "Threads; the outcome does not depend on it")
      ->check(CLI::Range(1u, 256u))
      ->capture_default_str();
  sweep.add_option("--out", options.directory, "Folder of sweep.json and sweep.html")
      ->type_name("DIR");
}

void describe_fuzz(CLI::App& fuzz, FuzzOptions& options) {
  fuzz.add_option("--seeds", options.seeds, "How many scenarios, at most")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1000000000}))
      ->capture_default_str();
  fuzz.add_option("--minutes", options.minutes, "No new scenario after this")
      ->check(CLI::Range(0.01, 100000.0))
      ->capture_default_str();
  fuzz.add_option("--from", options.from, "The first seed")->capture_default_str();
  fuzz.add_option("--threads", options.threads, "Threads; the outcome does not depend on it")
      ->check(CLI::Range(1u, 256u))
      ->capture_default_str();
  fuzz.add_option("--out", options.directory, "Where the scenario of a failure is written")
      ->type_name("DIR");
}

void describe_compare(CLI::App& compared, CompareOptions& options) {
  compared.add_option("a", options.a, "A run's report.json, or its folder")
      ->required()
      ->type_name("A/report.json");
  compared.add_option("b", options.b, "Another's")->required()->type_name("B/report.json");
  compared.add_option("--out", options.directory, "Folder of compare.html")
      ->capture_default_str()
      ->type_name("DIR");
}

int run_program(int argc, char** argv) {
  CLI::App app("Many real nodes on one machine, and what they know alone and together.",
               "starling-sim");
  app.footer(examples);
  app.set_version_flag("--version", std::string("starling-sim ") + STARLING_VERSION);
  app.require_subcommand(1);
  LocalOptions options;
  options.program = program_beside_this();
  CLI::App* local = app.add_subcommand("local", "Start N nodes as processes on this machine");
  describe_local(*local, options);
  SimulateOptions simulate_options;
  CLI::App* simulated = app.add_subcommand("run", "Run a scenario in virtual time");
  describe_run(*simulated, simulate_options);
  SweepOptions sweep_options;
  CLI::App* swept = app.add_subcommand("sweep", "Run a scenario for several values and seeds");
  describe_sweep(*swept, sweep_options);
  FuzzOptions fuzz_options;
  CLI::App* fuzzed = app.add_subcommand("fuzz", "Run random scenarios until a check fails");
  describe_fuzz(*fuzzed, fuzz_options);
  CompareOptions compare_options;
  CLI::App* compared = app.add_subcommand("compare", "Two runs' reports on one page");
  describe_compare(*compared, compare_options);
  if (argc <= 1) {
    std::fprintf(stderr, "%s", app.help().c_str());
    return static_cast<int>(ExitCode::usage);
  }
  const auto all = app.get_subcommands([](const CLI::App*) { return true; });
  const std::string word = argv[1];
  const bool is_known = std::any_of(all.begin(), all.end(),
                                    [&](const CLI::App* each) { return each->get_name() == word; });
  if (word[0] != '-' && !is_known) {
    std::fprintf(
        stderr, "starling sim: unknown command \"%s\"; choose local, run, sweep, fuzz or compare\n",
        word.c_str());
    return static_cast<int>(ExitCode::usage);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& wrong) {
    const int code = app.exit(wrong);
    return code == 0 ? 0 : static_cast<int>(ExitCode::usage);
  }
  if (compared->parsed()) return run_compare(compare_options);
  Signals signals;
  if (simulated->parsed()) return run_simulation(simulate_options, signals);
  if (swept->parsed()) return run_sweep(sweep_options, signals);
  if (fuzzed->parsed()) return run_fuzz(fuzz_options, signals);
  std::error_code error;
  const std::filesystem::path program = std::filesystem::absolute(options.program, error);
  if (error || !std::filesystem::exists(program, error)) {
    std::fprintf(
        stderr,
        "starling sim: no program %s; build the target starling or name it with --starling\n",
        options.program.c_str());
    return static_cast<int>(ExitCode::usage);
  }
  options.program = program.string();
  return run_local(options, signals);
}

}  // namespace
}  // namespace starling::sim

int main(int argc, char** argv) { return starling::sim::run_program(argc, argv); }
