#pragma once
// One phase of a run: N nodes are made, started, watched until all have learned, asked, stopped.
// Everything goes through the `starling` program, as a user would do it.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/rng.h"
#include "sim/launcher.h"
#include "sim/plan.h"
#include "sim/report.h"
#include "sim/table.h"

namespace starling::sim {

struct PhaseOptions {
  std::string name;             // "alone", "swarm"
  std::string title;            // for the table
  std::string program;          // `starling`
  std::vector<uint64_t> steps;  // per node; 0: by minutes
  double minutes = 0;
  uint64_t seed = 1;
  double kill_interval_s = 0;     // chaos: kill -9 a node this often and start it again; 0: never
  double agreement_bound_s = 60;  // from the last node's end to equal bases

  bool is_swarm() const { return name == "swarm"; }
};

class Phase {
 public:
  // plan, places, signals and table outlive the phase.
  Phase(const Plan& plan, const Places& places, PhaseOptions options, Signals& signals,
        Table& table);
  ~Phase();  // kills what still runs

  // Makes the nodes' directories and starts the nodes.
  Result<Done, Failure> start();
  // Until every node has finished and, in the swarm, all bases are equal (is_agreed() tells).
  Result<Done, Failure> watch();
  // [node][task]
  Result<std::vector<std::vector<double>>, Failure> evaluate();
  void stop();

  bool is_agreed() const;
  // Parallel to the plan's nodes; the last that was heard of each.
  std::vector<NodeStatus> statuses() const;
  std::vector<Series> series() const;

 private:
  struct Node {
    Child child;
    uint16_t port = 0;
    NodeStatus status;                              // byte counts over all its runs
    bool is_heard = false;                          // a status has come since its start
    uint64_t sent_before = 0, received_before = 0;  // by earlier runs of its process
    std::string version;                            // what a change of means progress
    Clock::time_point moved_at, polled_at;
    std::optional<Clock::time_point> restart_at;
    Series series;
  };

  std::string home(size_t node) const;
  std::vector<std::string> command(size_t node, const std::vector<std::string>& words) const;
  std::vector<std::string> making(size_t node, std::vector<std::string> words) const;
  Failure command_failure(const std::string& what, const Output& output) const;
  Result<Done, Failure> run_for_all(size_t first, const std::string& what,
                                    const std::vector<std::vector<std::string>>& commands);
  Result<Done, Failure> write_config(size_t node) const;
  Result<Done, Failure> launch(size_t node);
  Result<Done, Failure> found_swarm();
  Result<Done, Failure> wait_for_first_status(size_t node);
  void poll(size_t node);
  Result<Done, Failure> check_children();
  Result<Done, Failure> play_chaos();
  Failure death_report(size_t node, const ExitStatus& exit) const;
  bool is_all_finished() const;
  void show();
  double seconds() const;
  double seconds_left() const;

  const Plan& plan_;
  const Places& places_;
  PhaseOptions options_;
  Signals& signals_;
  Table& table_;
  std::vector<Node> nodes_;
  Clock::time_point started_at_;
  Rng chaos_rng_;
  Clock::time_point next_kill_at_;
};

// Ports of 127.0.0.1 that nobody listens on at this moment; empty when the system has none left.
std::vector<uint16_t> free_ports(size_t count);
// The last lines of a file, for showing why a node has ended.
std::string last_lines(const std::string& path, size_t lines);

}  // namespace starling::sim
