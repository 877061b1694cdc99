#pragma once
// What a run of local nodes has found: every node on every task, alone and in the swarm, and what
// that cost.
#include <cstdint>
#include <string>
#include <vector>

#include "sim/plan.h"

namespace starling::sim {

// One curve: a node in one phase. At most points_max points; a longer run keeps every second,
// fourth, ... of them.
struct Series {
  static constexpr size_t points_max = 512;
  std::string phase, node;
  std::vector<double> seconds;  // since the phase began
  std::vector<uint64_t> steps;
  std::vector<double> loss;  // bits per predicted position
  std::vector<uint64_t> sent_bytes;

  // Takes the point unless it comes closer to the last one than the curve's present resolution.
  void add(double second, uint64_t step, double loss_value, uint64_t sent);

 private:
  double spacing_s_ = 1;
};

struct Report {
  Kind kind = Kind::skills;
  std::vector<std::string> nodes, tasks;
  std::vector<std::vector<size_t>> own;  // per node: indices of its tasks
  // [node][task]: exact match 0..1 (skills) or bits per byte (text).
  std::vector<std::vector<double>> alone, swarm;
  uint64_t parameters = 0;
  double seconds = 0;
  std::vector<uint64_t> sent_bytes, received_bytes;  // per node, swarm phase
  double bits_per_parameter =
      0;  // of the deltas sent, headers and signatures included; mean over nodes
  std::vector<std::string> base_hashes;  // hex
  uint64_t seed = 0;
  std::vector<uint64_t> steps;  // per node, swarm phase
  std::vector<Series> series;

  bool is_agreed() const;  // all base hashes are there and equal
};

const char* metric_name(Kind kind);  // "exact_match", "bits_per_byte"

// Means over cells of one matrix; -1 where there is no such cell.
struct Means {
  double all = -1, own = -1, others = -1;
};
Means means(const Report& report, const std::vector<std::vector<double>>& matrix);

std::string to_json(const Report& report);  // the object of report.json; see sim/README.md
std::string to_text(const Report& report);  // the tables for the terminal

// Writes a file whole or not at all. Errors: cannot_create.
Result<Done, Failure> write_whole(const std::string& path, const std::string& bytes);

// Writes report.json and report.html (whole or not at all). Errors: cannot_create.
Result<Done, Failure> write_report(const Report& report, const std::string& directory);

}  // namespace starling::sim
