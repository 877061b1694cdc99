// The launcher as a user meets it: the real starling-sim with real child processes, over a program
// that speaks starling's command line without learning anything.
#include "sim/local.h"

#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "sim/launcher.h"
#include "tests/sim/folder.h"

using namespace starling::sim;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

std::vector<std::string> local(const Folder& folder, std::vector<std::string> more) {
  std::vector<std::string> words{STARLING_SIM_PROGRAM, "local",      "--out",
                                 folder / "out",       "--starling", FAKE_STARLING_PROGRAM};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// The nodes' own process ids, once `count` of them have been written.
std::vector<pid_t> node_pids(const Folder& folder, const std::string& phase, size_t count,
                             Signals& signals) {
  const auto deadline = Clock::now() + seconds(20);
  std::vector<pid_t> pids;
  while (pids.size() < count && Clock::now() < deadline) {
    pids.clear();
    for (size_t i = 1; i <= count; ++i) {
      const std::string text =
          read_file(folder / ("out/nodes/node-" + std::to_string(i) + "/" + phase + "/pid"));
      if (!text.empty()) pids.push_back(std::stoi(text));
    }
    if (pids.size() < count) signals.wait(Clock::now() + milliseconds(50));
  }
  REQUIRE(pids.size() == count);
  return pids;
}

// Gone, or dead and not yet collected by whoever inherited it.
bool is_gone(pid_t pid) {
  const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  const size_t end = stat.rfind(')');
  return end == std::string::npos || stat.substr(end, 3) == ") Z";
}

bool are_gone_within(const std::vector<pid_t>& pids, milliseconds bound, Signals& signals) {
  const auto deadline = Clock::now() + bound;
  while (Clock::now() < deadline) {
    if (std::all_of(pids.begin(), pids.end(), is_gone)) return true;
    signals.wait(Clock::now() + milliseconds(50));
  }
  return false;
}

class Fault {
 public:
  explicit Fault(const char* fault) { setenv("FAKE_STARLING", fault, 1); }
  ~Fault() { unsetenv("FAKE_STARLING"); }
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;
};

}  // namespace

TEST_CASE("a run with skills ends with a report and leaves no node behind") {
  Signals signals;
  const Folder folder;
  setenv("STARLING_LEARN_STEPS", "1", 1);  // must not reach the nodes
  const Output output =
      run(local(folder, {"--nodes", "4", "--steps", "40", "--seed", "5"}), seconds(60), signals);
  unsetenv("STARLING_LEARN_STEPS");
  CAPTURE(output.errors);
  REQUIRE(output.exit.is_success());
  CHECK(output.text.find("node-4") != std::string::npos);
  CHECK(output.text.find("base hashes: all equal") != std::string::npos);
  const auto report = nlohmann::json::parse(read_file(folder / "out/report.json"));
  CHECK(report["kind"] == "skills");
  CHECK(report["metric"] == "exact_match");
  CHECK(report["nodes"].size() == 4);
  CHECK(report["tasks"].size() == 8);
  CHECK(report["alone"][0][0] == 0.95);
  CHECK(report["alone"][0][7] == 0.0);
  CHECK(report["swarm"][0][7] == 0.9);
  CHECK(report["parameters"] == 157000);
  CHECK(report["seed"] == 5);
  for (const auto& steps : report["steps"]) CHECK(steps == 40);
  for (const auto& hash : report["base_hashes"]) CHECK(hash == "5a5a5a5a5a5a5a5a");
  CHECK(report["series"].size() == 8);
  CHECK(read_file(folder / "out/report.html").find("node-4") != std::string::npos);
  CHECK(read_file(folder / "out/nodes/node-1/node.log").find("event=started") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder / "out/nodes/node-1/swarm"));
  CHECK_FALSE(std::filesystem::exists(folder / "out/tests"));
}

TEST_CASE("a run with texts by the clock gives the swarm the steps of the slowest node alone") {
  Signals signals;
  const Folder folder;
  std::string text;
  for (int i = 0; i < 500; ++i) text += "line " + std::to_string(i) + "\n";
  const Output output =
      run(local(folder, {"--nodes", "2", "--text", folder.write("a.txt", text), "--text",
                         folder.write("b.txt", text), "--minutes", "0.1", "--keep"}),
          seconds(60), signals);
  CAPTURE(output.errors);
  REQUIRE(output.exit.is_success());
  const auto report = nlohmann::json::parse(read_file(folder / "out/report.json"));
  CHECK(report["kind"] == "text");
  CHECK(report["alone"][0] == nlohmann::json({2.5, 5.0}));
  CHECK(report["swarm"][1] == nlohmann::json({2.75, 2.5}));
  for (size_t node = 0; node < 2; ++node) {
    const std::string yaml =
        read_file(folder / ("out/nodes/node-" + std::to_string(node + 1) + "/swarm/starling.yaml"));
    CHECK(yaml.find(" steps: " + report["steps"][node].dump() + "\n") != std::string::npos);
    CHECK(yaml.find("minutes") == std::string::npos);
  }
}

TEST_CASE("a node that dies ends the run with its last words and without a report") {
  Signals signals;
  const Folder folder;
  const Fault fault("die");
  const Output output =
      run(local(folder, {"--nodes", "2", "--steps", "1000"}), seconds(60), signals);
  CHECK(output.exit.code == 1);
  CHECK(output.errors.find("has ended unexpectedly with exit code 70") != std::string::npos);
  CHECK(output.errors.find("the fake was told to die") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder / "out/report.json"));
  CHECK(are_gone_within(node_pids(folder, "alone", 2, signals), seconds(1), signals));
}

TEST_CASE("Ctrl-C stops every node, writes no report and exits with 130") {
  Signals signals;
  const Folder folder;
  const Fault fault("slow");
  auto launcher =
      Child::start(local(folder, {"--nodes", "3", "--steps", "1000", "--keep"}), folder / "log");
  REQUIRE(launcher.has_value());
  const std::vector<pid_t> pids = node_pids(folder, "alone", 3, signals);
  launcher->send(SIGINT);
  std::optional<ExitStatus> exit;
  for (const auto deadline = Clock::now() + seconds(20); !exit && Clock::now() < deadline;) {
    exit = launcher->take_exit();
    if (!exit) signals.wait(Clock::now() + milliseconds(100));
  }
  REQUIRE(exit.has_value());
  CHECK(exit->code == 130);
  CHECK(std::all_of(pids.begin(), pids.end(), is_gone));
  CHECK_FALSE(std::filesystem::exists(folder / "out/report.json"));
  CHECK(read_file(folder / "log").find("no report was written") != std::string::npos);
}

TEST_CASE("when the launcher is killed with -9 its nodes go too") {
  Signals signals;
  const Folder folder;
  const Fault fault("slow");
  auto launcher = Child::start(local(folder, {"--nodes", "3", "--steps", "1000"}), folder / "log");
  REQUIRE(launcher.has_value());
  const std::vector<pid_t> pids = node_pids(folder, "alone", 3, signals);
  for (const pid_t pid : pids) CHECK_FALSE(is_gone(pid));
  launcher->send(SIGKILL);
  CHECK(are_gone_within(pids, seconds(10), signals));
}

TEST_CASE("nodes whose bases differ give a report and exit code 1") {
  Signals signals;
  const Folder folder;
  const Fault fault("disagree");
  LocalOptions options{
      .nodes = 2, .steps = 20, .directory = folder / "out", .agreement_bound_s = 1};
  options.program = FAKE_STARLING_PROGRAM;
  CHECK(run_local(options, signals) == 1);
  const auto report = nlohmann::json::parse(read_file(folder / "out/report.json"));
  CHECK(report["base_hashes"][0] != report["base_hashes"][1]);
  CHECK(std::filesystem::exists(folder / "out/nodes/node-1/swarm"));
}

TEST_CASE("under chaos nodes are killed and started again and the run still ends well") {
  Signals signals;
  const Folder folder;
  LocalOptions options{.nodes = 2,
                       .steps = 150,
                       .directory = folder / "out",
                       .has_chaos = true,
                       .kill_interval_s = 1.5};
  options.program = FAKE_STARLING_PROGRAM;
  options.keeps_nodes = true;
  CHECK(run_local(options, signals) == 0);
  size_t starts = 0;
  for (const char* node : {"node-1", "node-2"}) {
    std::istringstream log(read_file(folder / ("out/nodes/" + std::string(node) + "/node.log")));
    for (std::string line; std::getline(log, line);)
      starts += line.find("event=started") != std::string::npos;
  }
  CHECK(starts > 4);  // two phases of two nodes, and at least one more
}

TEST_CASE("what cannot be run is refused with the exit code of its kind") {
  Signals signals;
  const Folder folder;
  const auto code = [&](std::vector<std::string> more) {
    const Output output = run(local(folder, std::move(more)), seconds(30), signals);
    CHECK_FALSE(output.errors.empty());
    CHECK_FALSE(std::filesystem::exists(folder / "out/nodes"));
    return output.exit.code;
  };
  CHECK(code({"--unknown"}) == 2);
  CHECK(code({"--nodes", "0"}) == 2);
  CHECK(code({"--nodes", "17"}) == 2);
  CHECK(code({"--minutes", "-1"}) == 2);
  CHECK(code({"--minutes", "1", "--steps", "5"}) == 2);
  CHECK(code({"--preset", "huge"}) == 2);
  CHECK(code({"--starling", folder / "nothing"}) == 2);
  CHECK(code({"--text", folder / "missing.txt"}) == 65);
  CHECK(code({"--text", folder.write("empty.txt", "")}) == 65);
  const Output unknown = run({STARLING_SIM_PROGRAM, "locl"}, seconds(10), signals);
  CHECK(unknown.exit.code == 2);
  CHECK(unknown.errors ==
        "starling sim: unknown command \"locl\"; choose local, run, sweep, fuzz or compare\n");
  folder.write("file", "");
  const std::vector<std::string> blocked{STARLING_SIM_PROGRAM, "local",      "--out",
                                         folder / "file/out",  "--starling", FAKE_STARLING_PROGRAM};
  CHECK(run(blocked, seconds(10), signals).exit.code == 73);
  CHECK(run({STARLING_SIM_PROGRAM}, seconds(10), signals).exit.code == 2);
  CHECK(run({STARLING_SIM_PROGRAM, "local", "--help"}, seconds(10), signals).exit.code == 0);
  CHECK(run({STARLING_SIM_PROGRAM, "--version"}, seconds(10), signals)
            .text.starts_with("starling-sim "));
}
