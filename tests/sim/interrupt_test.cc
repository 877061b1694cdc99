// `starling-sim` that somebody stops while it runs.
#include <doctest/doctest.h>

#include <csignal>
#include <functional>
#include <nlohmann/json.hpp>

#include "sim/launcher.h"
#include "tests/sim/folder.h"

namespace starling::sim {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds patience{60};

// Until it is so; false: it did not come to it.
bool comes_true(Signals& signals, const std::function<bool()>& is_so) {
  const Clock::time_point end = Clock::now() + patience;
  while (!is_so() && Clock::now() < end) signals.wait(Clock::now() + milliseconds(20));
  return is_so();
}

// A program that runs until `is_in_the_midst`, gets a signal, and is waited for; its exit code.
int stopped(const std::vector<std::string>& command, const std::string& log, int signal,
            const std::function<bool()>& is_in_the_midst) {
  Signals signals;
  auto child = Child::start(command, log);
  REQUIRE(child.has_value());
  CHECK(comes_true(signals, is_in_the_midst));
  child->send(signal);
  std::optional<ExitStatus> exit;
  CHECK(comes_true(signals, [&] { return exit || (exit = child->take_exit()).has_value(); }));
  return exit ? exit->code : -1;
}

std::string last_line(const std::string& text) {
  return text.substr(text.rfind('\n', text.size() - 2) + 1);
}

// Would go on for minutes.
const std::string endless =
    "run: {nodes: 2, seconds_max: 20000}\n"
    "learn: {model: micro, steps: 100000, questions: 4, rows: 2, length: 64}\n";

}  // namespace

TEST_CASE("a run that is stopped by a signal leaves its report so far and its checkpoint") {
  for (const auto& [signal, code] : {std::pair(SIGINT, 130), std::pair(SIGTERM, 143)}) {
    Folder folder;
    const std::string scenario = folder.write("long.yaml", endless), log = folder / "log",
                      kept = folder / "run.checkpoint", out = folder / "out";
    const auto is_kept = [&] { return std::filesystem::exists(kept); };
    CHECK(stopped({STARLING_SIM_PROGRAM, "run", scenario, "--out", out, "--checkpoint", kept,
                   "--checkpoint-every", "5"},
                  log, signal, is_kept) == code);
    const std::string said = read_file(log);
    INFO(said);
    const auto report = nlohmann::json::parse(read_file(out + "/report.json"));
    CHECK("trace " + report["trace"].get<std::string>() + "\n" == last_line(said));
    CHECK(said.find(", cut short\n") != std::string::npos);
    CHECK(report["virtual_seconds"].get<double>() >= 5);
    CHECK_FALSE(report["results"]["swarm"]["complete"].get<bool>());
    CHECK_FALSE(report["results"].contains("alone"));
    CHECK(report["topology"]["links"].size() == 1);
    const std::string series = read_file(out + "/series.csv");
    CHECK(series.starts_with("series,second,steps"));
    CHECK(series.find("\nswarm,") != std::string::npos);
    CHECK(read_file(out + "/report.html").ends_with("</html>\n"));
    // The checkpoint stands where the run stopped, and a run goes on from there.
    Signals signals;
    const Output resumed = run({STARLING_SIM_PROGRAM, "run", scenario, "--resume", kept, "--until",
                                std::to_string(report["virtual_seconds"].get<double>() + 1)},
                               patience, signals);
    INFO(resumed.text, resumed.errors);
    CHECK(resumed.exit.code == 0);
    const size_t from = resumed.text.find(kept + ": virtual time ");
    REQUIRE(from != std::string::npos);
    const double second = std::stod(resumed.text.substr(from + kept.size() + 15));
    CHECK(second == doctest::Approx(report["virtual_seconds"].get<double>()).epsilon(0.01));
  }
}

TEST_CASE("a sweep that is stopped by a signal does not count the run that it was in") {
  Folder folder;
  const std::string scenario = folder.write("long.yaml", endless), log = folder / "log",
                    out = folder / "out";
  const auto is_under_way = [&] {
    return read_file(log).find("run 1 of 2: swarm ") != std::string::npos;
  };
  CHECK(stopped({STARLING_SIM_PROGRAM, "sweep", scenario, "--vary", "network.loss=0,0.01",
                 "--seeds", "1", "--out", out},
                log, SIGINT, is_under_way) == 130);
  const auto report = nlohmann::json::parse(read_file(out + "/sweep.json"));
  REQUIRE(report["rows"].size() == 1);
  CHECK(report["rows"][0]["runs"] == 0);
  CHECK(report["rows"][0]["failed"] == 0);
  CHECK(report["rows"][0]["figures"].empty());
  CHECK(read_file(out + "/sweep.html").ends_with("</html>\n"));
}

}  // namespace starling::sim
