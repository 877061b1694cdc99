#pragma once
// `starling sim sweep`: a scenario run for every combination of some keys' values and for several
// seeds, and what came of it as a table of means and spreads.
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/launcher.h"
#include "sim/outcome.h"
#include "sim/scenario.h"

namespace starling::sim {

struct SweepOptions {
  std::string scenario;           // path
  std::vector<std::string> vary;  // "network.loss=0,0.01,0.1"
  std::string seeds = "1..3";     // "1..5", "1,4,9"
  uint32_t nodes = 0;             // 0: as the scenario says
  uint32_t threads = 1;
  std::string directory;  // empty: no files
};

struct Variation {
  std::string key;  // section.name
  std::vector<std::string> values;
};
std::optional<Variation> variation_of(const std::string& text);  // nothing: not "key=a,b"
// Nothing: neither a range nor a list, or more than seeds_max.
inline constexpr size_t seeds_max = 1000, sweep_runs_max = 10000;
std::optional<std::vector<uint64_t>> seeds_of(const std::string& text);

// All combinations, the last variation the quickest. Errors: the first key or value that cannot be.
using Setting = std::vector<std::string>;  // a value for each variation
struct Case {
  Setting setting;
  Scenario scenario;
};
Result<std::vector<Case>, std::string> cases_of(const Scenario& scenario,
                                                const std::vector<Variation>& variations);

// What is compared, by name: "swarm", "alone" and the other baselines (mean quality over all
// nodes and tasks), "swarm own", "swarm others", "MB a node", "virtual s", and where there is
// fedavg how many exchanges it took to come near to it.
using Figures = std::map<std::string, double>;
Figures figures_of(const Outcome& outcome);
bool is_quality(const std::string& figure);

inline constexpr const char* exchanges_figure = "exchanges to 95 % of fedavg";
inline constexpr double not_reached = std::numeric_limits<double>::infinity();
// Until what is asked of the swarm on the way is at 95 % of what the same questions give fedavg at
// its end (bits per byte: at most 5 % above it); between two such moments in a straight line.
// Nothing: there is no such end, or fedavg has learned nothing.
std::optional<double> exchanges_to_fedavg(const Outcome& outcome);

struct Spread {
  double mean = 0, deviation = 0;  // of a sample; 0 for a single run
  size_t count = 0;
  size_t never = 0;  // not_reached among the values, which mean and deviation leave out
};
Spread spread_of(const std::vector<double>& values);

struct SweepRow {
  Setting setting;
  std::map<std::string, std::vector<double>> figures;  // a value for each seed that has one
  size_t runs = 0, failed = 0;                         // of them, not complete or a check missed
};
struct Sweep {
  std::string scenario;
  bool is_text = false;
  std::vector<Variation> variations;
  std::vector<uint64_t> seeds;
  std::vector<SweepRow> rows;
};
// The figures that any run has, in the order of a reader's interest.
std::vector<std::string> columns_of(const Sweep& sweep);
// What is shown: a line of headings, then one for each row.
std::vector<std::vector<std::string>> table_of(const Sweep& sweep);
std::string to_text(const Sweep& sweep);
std::string to_json(const Sweep& sweep);
std::string to_html(
    const Sweep& sweep);  // the table, and each figure over each key (sweep_page.cc)

// The exit code: 0 when every run came to its end and every check held, 1 otherwise, 2 for a
// variation or seeds that cannot be read, 65, 71, 73, 78 as `run`, 128 + the signal after Ctrl-C,
// with the table of what there was.
int run_sweep(const SweepOptions& options, Signals& signals);

}  // namespace starling::sim
