#pragma once
// How baselines bring their nodes' weights together: a server that keeps momentum, and averaging
// among neighbours in a graph. Pure.
#include <cstdint>
#include <span>
#include <vector>

#include "model/rng.h"

namespace starling::sim {

// A server's step from where all nodes set out to their mean, with Nesterov's momentum:
//   d = x - mean,  v = momentum v + d,  x = x - rate (d + momentum v)
// Rate 1 and momentum 0 are plain averaging. Source: Douillard et al., "DiLoCo" (2023), algorithm 1
// with rate 0.7 and momentum 0.9; Reddi et al., "Adaptive federated optimization" (2021).
class Server {
 public:
  struct Options {
    double rate = 0.7, momentum = 0.9;
  };
  Server(std::span<const float> start, const Options& options);
  // Requires: `mean` is as long as `start`.
  void step(std::span<const double> mean);
  std::span<const double> x() const { return x_; }

 private:
  Options options_;
  std::vector<double> x_, velocity_;
};

using Graph = std::vector<std::vector<uint32_t>>;  // each node's neighbours in order

// Connected, without loops. Two neighbours: a ring. More: a random graph in which everyone has as
// many; where both numbers are odd one node has one less. Nobody has more than all others.
// Requires: nodes >= 1, neighbours >= 2.
Graph regular_graph(uint32_t nodes, uint32_t neighbours, Rng& rng);

struct Share {
  uint32_t node;
  double weight;
};
// What of whom goes into each node's average, itself included: Metropolis weights
// 1 / (1 + max(degrees)), the rest for itself. Symmetric, so rows and columns sum to 1.
// Source: Xiao and Boyd, "Fast linear iterations for distributed averaging" (2004).
std::vector<std::vector<Share>> metropolis_weights(const Graph& graph);

}  // namespace starling::sim
