#pragma once
// `starling sim fuzz`: random scenarios, protocol only, until a check from outside fails; then the
// smallest scenario that still fails, and the command that runs it again.
#include <functional>
#include <string>
#include <vector>

#include "sim/launcher.h"
#include "sim/scenario.h"

namespace starling::sim {

struct FuzzOptions {
  uint64_t from = 1;     // first seed
  uint64_t seeds = 100;  // how many, at most
  double minutes = 10;   // no new seed after this
  uint32_t threads = 1;
  std::string directory = ".";  // of what fails: fuzz-SEED.yaml
};

// The same seed gives the same scenario.
Scenario random_scenario(uint64_t seed);
// Scenarios with one trouble less, or half the nodes or time; the largest savings first.
std::vector<Scenario> simpler(const Scenario& scenario);
// The simplest that `fails` within `tries_max` trials. Requires: `scenario` fails.
Scenario shrink(Scenario scenario, size_t tries_max,
                const std::function<bool(const Scenario&)>& fails);

// The exit code: 0 when nothing failed, 1 after a failure, 73 when its scenario cannot be written,
// 128 + the signal after Ctrl-C.
int run_fuzz(const FuzzOptions& options, Signals& signals);

}  // namespace starling::sim
