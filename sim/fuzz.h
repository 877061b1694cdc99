#pragma once
// `starling sim fuzz`: random scenarios, protocol only, until a check from outside fails; then the
// smallest scenario that still fails, in troubles, nodes and time, and the command that runs it
// again.
#include <functional>
#include <string>

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
// The smallest that `fails` within `tries_max` trials: fewer troubles, nodes and steps, then a
// shorter time in which anything goes wrong. Requires: `scenario` fails.
Scenario shrink(Scenario scenario, size_t tries_max,
                const std::function<bool(const Scenario&)>& fails);

// The exit code: 0 when nothing failed, 1 after a failure, 73 when its scenario cannot be written,
// 128 + the signal after Ctrl-C.
int run_fuzz(const FuzzOptions& options, Signals& signals);

}  // namespace starling::sim
