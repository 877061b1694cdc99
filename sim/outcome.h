#pragma once
// What a simulated run came to, and the files that say so: report.json, series.csv, report.html.
#include <map>
#include <string>
#include <vector>

#include "sim/baselines.h"
#include "sim/world.h"

namespace starling::sim {

inline constexpr uint32_t nodes_drawn_max = 256;  // with their links

struct Outcome {
  std::string scenario;
  uint64_t seed = 1;
  uint32_t nodes = 0;
  std::string trace;
  double virtual_seconds = 0;
  double until_s = 0;  // virtual: where it was asked to stop; 0: at its own end
  double wall_seconds = 0;
  uint64_t parameters = 0;
  uint32_t steps_per_exchange = 1;
  bool is_complete = false;  // it came to its own end
  bool is_text = false;
  std::vector<std::string> tasks;
  std::vector<uint8_t> is_hostile;           // of each node
  std::vector<Standing> standings;           // the swarm's first; empty: synthetic
  std::map<std::string, Quality> qualities;  // by standing
  std::vector<std::vector<uint8_t>> own;     // [node][task]
  std::vector<Moment> moments;
  double sent_bytes_per_node = 0, received_bytes_per_node = 0, control_bytes_per_node = 0;
  double delta_bytes = 0;  // of a delta's frame, mean
  uint64_t deltas = 0;     // published in all
  Sometimes sometimes;
  Checker::Outcomes checkers;
  std::map<std::string_view, Traffic> traffic;  // sent by all nodes together
  std::vector<FaultSeen> faults_seen;
  uint64_t faults_not_kept = 0;
  BreakCounts breaks;                                // of links
  std::vector<uint8_t> is_up;                        // of each node, at the end
  std::vector<std::pair<uint32_t, uint32_t>> links;  // at the end, of the first nodes_drawn_max
  std::vector<std::string> regions;                  // that tokens wake; empty: synthetic
  std::vector<std::vector<double>> region_usage;     // [node][region], shares of its tokens
};

// Names of the checks that did not hold.
std::vector<std::string> failed_checks(const Outcome& outcome);

std::string to_json(const Outcome& outcome);
std::string to_csv(const Outcome& outcome);
std::string to_html(const Outcome& outcome);
std::string to_text(const Outcome& outcome);  // for the terminal

// Errors: cannot_create.
Result<Done, Failure> write_outcome(const Outcome& outcome, const std::string& directory);

}  // namespace starling::sim
