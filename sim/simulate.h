#pragma once
// `starling sim run`: a scenario from file to report.
#include <optional>
#include <string>

#include "sim/launcher.h"
#include "sim/lessons.h"
#include "sim/outcome.h"
#include "sim/plan.h"
#include "sim/ranks.h"
#include "sim/scenario.h"
#include "sim/watch.h"

namespace starling::sim {

struct SimulateOptions {
  std::string scenario;  // path
  uint32_t nodes = 0;    // 0: as the scenario says
  uint64_t seed = 1;
  double until_s = 0;     // virtual; 0: to its own end
  std::string directory;  // empty: no files
  uint32_t threads = 1;
  std::string checkpoint;           // path; empty: none is written
  double checkpoint_every_s = 600;  // virtual
  std::string resume;               // path; empty: from the start
};

// Bytes that a run of this scenario will take at most in each of so many processes, roughly: what
// is checked before it starts. `until_s`: where it is to stop, in virtual seconds; 0: at its own
// end.
uint64_t memory_estimate(const Scenario& scenario, uint32_t threads, double until_s = 0,
                         uint32_t processes = 1);
// Where the machine has less than that, or than `needed`.
std::optional<Failure> lack_of_memory(const Scenario& scenario, uint32_t threads,
                                      double until_s = 0);
std::optional<Failure> lack_of_memory(uint64_t needed);

struct RunOptions {
  uint64_t seed = 1;
  uint32_t threads = 1;
  double until_s = 0;          // virtual; baselines make the steps made by then; 0: to its own end
  Journal* journal = nullptr;  // of checkpoints of the swarm's run; none: there are none
  const Ranks* ranks = nullptr;  // that share its learning out; the first has the baselines
};
// One run with its baselines; shorter when `watch` is stopped. A journal that fails ends it at
// once, and what is given then is worth nothing. `lessons` are the scenario's, dealt with the same
// seed.
Outcome simulate(const Scenario& scenario, const Lessons& lessons, const RunOptions& options,
                 Watch& watch);

// The exit code: 0 when the run came to its end and every check held, 1 otherwise, 2 for options
// that contradict each other, 65 for a text or a checkpoint that cannot be used, 71 for too little
// memory, 73 for a folder or a checkpoint that cannot be written, 78 for a scenario that is wrong,
// 128 + the signal after Ctrl-C or SIGTERM (with a report of what there was).
int run_simulation(const SimulateOptions& options, Signals& signals);

}  // namespace starling::sim
