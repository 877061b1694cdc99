#include "sim/launcher.h"

#include <doctest/doctest.h>

#include <csignal>

#include "tests/sim/folder.h"

using namespace starling::sim;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
std::vector<std::string> shell(const std::string& script) { return {"/bin/sh", "-c", script}; }
}  // namespace

TEST_CASE("a command's output, errors and exit code come back") {
  Signals signals;
  const Output output = run(shell("echo out; echo wrong >&2; exit 3"), seconds(10), signals);
  CHECK(output.text == "out\n");
  CHECK(output.errors == "wrong\n");
  CHECK(output.exit.code == 3);
  CHECK_FALSE(output.exit.is_success());
  CHECK_FALSE(output.is_timed_out);
}

TEST_CASE("commands run side by side and their outputs keep the order") {
  Signals signals;
  const auto begun = Clock::now();
  const auto outputs =
      run_all({shell("sleep 0.6; echo a"), shell("sleep 0.6; echo b"), shell("echo c")}, 3,
              seconds(10), signals);
  CHECK(Clock::now() - begun < milliseconds(1100));
  CHECK(outputs[0].text == "a\n");
  CHECK(outputs[1].text == "b\n");
  CHECK(outputs[2].text == "c\n");
}

TEST_CASE("a command that takes too long is killed and says so") {
  Signals signals;
  const Output output = run(shell("exec sleep 30"), milliseconds(200), signals);
  CHECK(output.is_timed_out);
  CHECK(output.exit.signal == SIGKILL);
  CHECK(describe(output.exit).find("signal 9") == 0);
}

TEST_CASE("a program that is not there is an error that names it") {
  Signals signals;
  const Output output = run({"/nonexistent/program"}, seconds(1), signals);
  CHECK_FALSE(output.exit.is_success());
  CHECK(output.errors.find("/nonexistent/program") != std::string::npos);
  const Folder folder;
  const auto child = Child::start({"/nonexistent/program"}, folder / "log");
  CHECK_FALSE(child.has_value());
}

TEST_CASE("more output than the bound is cut, not held") {
  Signals signals;
  const Output output = run(shell("head -c 3000000 /dev/zero"), seconds(10), signals);
  CHECK(output.exit.is_success());
  CHECK(output.text.size() == output_size_max);
}

TEST_CASE(
    "a child that ignores SIGTERM is killed after the grace, one that does not ends at once") {
  Signals signals;
  const Folder folder;
  std::vector<Child> children;
  for (const char* script : {"trap '' TERM; while true; do sleep 0.05; done", "exec sleep 30"}) {
    auto child = Child::start(shell(script), folder / "log");
    REQUIRE(child.has_value());
    children.push_back(std::move(*child));
  }
  // The shell needs a moment to set its trap; its own first child shows that it has.
  signals.wait(Clock::now() + milliseconds(300));
  const auto begun = Clock::now();
  stop_all(children, milliseconds(500), signals);
  CHECK(Clock::now() - begun >= milliseconds(450));
  CHECK(Clock::now() - begun < seconds(5));
  for (const Child& child : children) CHECK_FALSE(child.is_running());
}

TEST_CASE("a child sees no signal mask and no terminal of ours, and none of our settings") {
  Signals signals;
  setenv("STARLING_LEARN_STEPS", "7", 1);
  const Output output =
      run(shell("grep SigBlk /proc/self/status; env | grep -c STARLING_; cat | wc -c"), seconds(10),
          signals);
  unsetenv("STARLING_LEARN_STEPS");
  CHECK(output.text == "SigBlk:\t0000000000000000\n0\n0\n");
}

TEST_CASE("a stop signal ends what runs and skips the rest") {
  Signals signals;
  raise(SIGTERM);
  const auto outputs =
      run_all({shell("exec sleep 30"), shell("echo never")}, 1, seconds(60), signals);
  CHECK(outputs[0].is_interrupted);
  CHECK(outputs[1].is_interrupted);
  CHECK(outputs[1].text.empty());
  CHECK(signals.stop_signal() == SIGTERM);
}
