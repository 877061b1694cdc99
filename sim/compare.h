#pragma once
// `starling sim compare`: two simulated runs on one page, from the files that they left.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sim/chart.h"
#include "sim/plan.h"

namespace starling::sim {

// What report.json and series.csv of a run say.
struct PastRun {
  struct Result {
    std::string metric;
    double mean = -1, own = -1, others = -1;  // -1: not measured
    std::vector<double> of_task;              // mean over nodes
  };
  std::string path, scenario, trace;
  uint64_t seed = 0, nodes = 0;
  double virtual_seconds = 0, wall_seconds = 0, bytes_per_node = 0;
  std::vector<std::string> tasks;
  std::vector<std::pair<std::string, Result>> results;  // the swarm's first; empty: synthetic
  std::map<std::string, uint64_t> faults;
  std::map<std::string, uint64_t> failures;  // of each check
  std::vector<Curve> curves;                 // quality over steps; empty without series.csv
};

// `path`: of report.json, or of the folder that holds it. Errors: bad_data for a file that is
// missing or was not written by `starling sim run`.
Result<PastRun, Failure> read_past_run(const std::string& path);

struct Comparison {
  PastRun a, b;
};
// Errors: bad_data for runs that were measured in different ways.
Result<Comparison, Failure> compare(PastRun a, PastRun b);

std::string to_text(const Comparison& comparison);  // for the terminal
std::string to_html(const Comparison& comparison);

struct CompareOptions {
  std::string a, b;
  std::string directory = "starling-compare";  // of compare.html
};
// The exit code: 0, 65 for a report that cannot be used, 73 when the page cannot be written.
int run_compare(const CompareOptions& options);

}  // namespace starling::sim
