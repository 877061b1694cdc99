#pragma once
// What the swarm is compared with, in the same run: the same pieces dealt to the same nodes, the
// same number of steps of each, the same schedule.
//   alone        every node by itself
//   fedavg       a server averages all nodes' weights after every exchange's steps; nobody is late
//   fedavg_momentum  the same, but the server goes on by learn.server_rate and server_momentum
//   dpsgd        every node averages with its learn.dpsgd_neighbours after every exchange's steps,
//   in
//                full precision. Source: Lian et al., "Can decentralized algorithms outperform
//                centralized algorithms?" (2017), with the steps of an exchange instead of one
//   centralised  one device has everybody's data and makes the same number of steps, each as large
//                as those of all nodes together
#include <functional>

#include "sim/learner.h"

namespace starling::sim {

struct Standing {
  std::string name;
  std::vector<std::vector<double>> matrix;  // [node][task]; one row where all nodes have one model
  // The second is virtual; of a baseline it is that of a device of speed 1 on a network that takes
  // no time. Sent by a node until then, mean; -1: nothing is sent. FedAvg: all weights in full
  // precision up to the server in each round; D-PSGD: to each neighbour.
  struct Point {
    double steps = 0, quality = 0;
    double second = -1, sent_bytes = -1;
  };
  std::vector<Point> points;
  double backdoor_success = -1;  // mean over honest nodes; -1: nobody tried
  bool is_complete = false;
};

struct BaselineOptions {
  uint64_t seed = 1;
  uint32_t threads = 1;
  uint64_t steps_max = 0;  // it ends after so many of learn.steps; 0: after all of them
  // Called often with the share done; false stops the run.
  std::function<bool(double)> watch;
};
// Requires: not synthetic; `name` is one of learn.baselines.
Standing run_baseline(const std::string& name, const Course& course, const Lessons& lessons,
                      const BaselineOptions& options);

// Mean of the matrix over all cells, over own tasks, over others' tasks; -1 where there are none.
struct Quality {
  double mean = -1, own = -1, others = -1;
};
Quality quality(const std::vector<std::vector<double>>& matrix, const Lessons& lessons,
                const std::vector<uint8_t>& is_left_out);

}  // namespace starling::sim
