#include "sim/mixing.h"

#include <algorithm>
#include <cassert>
#include <set>
#include <utility>

namespace starling::sim {
namespace {

using Edge = std::pair<uint32_t, uint32_t>;  // the lower first

Edge edge(uint32_t a, uint32_t b) { return {std::min(a, b), std::max(a, b)}; }

// Everyone linked with the nearest around a circle, and across it where the number is odd.
std::set<Edge> circle(uint32_t nodes, uint32_t neighbours) {
  std::set<Edge> edges;
  for (uint32_t node = 0; node < nodes; ++node) {
    for (uint32_t step = 1; step <= neighbours / 2; ++step)
      edges.insert(edge(node, (node + step) % nodes));
  }
  for (uint32_t node = 0; neighbours % 2 == 1 && node < nodes / 2; ++node)
    edges.insert(edge(node, node + nodes / 2));
  return edges;
}

Graph graph_of(uint32_t nodes, const std::set<Edge>& edges) {
  Graph graph(nodes);
  for (const auto& [a, b] : edges) {
    graph[a].push_back(b);
    graph[b].push_back(a);
  }
  for (auto& neighbours : graph) std::sort(neighbours.begin(), neighbours.end());
  return graph;
}

bool is_connected(const Graph& graph) {
  std::vector<uint8_t> is_seen(graph.size(), 0);
  std::vector<uint32_t> open = {0};
  is_seen[0] = 1;
  size_t count = 0;
  while (!open.empty()) {
    const uint32_t node = open.back();
    open.pop_back();
    ++count;
    for (const uint32_t other : graph[node]) {
      if (std::exchange(is_seen[other], uint8_t{1}) == 0) open.push_back(other);
    }
  }
  return count == graph.size();
}

// Two edges trade ends, which leaves everyone as many; again and again until it is random.
void rewire(std::set<Edge>& edges, Rng& rng) {
  std::vector<Edge> list(edges.begin(), edges.end());
  for (size_t i = 0; i < 10 * list.size(); ++i) {
    Edge &first = list[rng.below(list.size())], &second = list[rng.below(list.size())];
    auto [a, b] = first;
    auto [c, d] = second;
    if (rng.below(2) == 0) std::swap(c, d);
    const Edge one = edge(a, d), other = edge(c, b);
    const bool is_loop = a == d || c == b;
    if (is_loop || one == other || edges.contains(one) || edges.contains(other)) continue;
    edges.erase(first);
    edges.erase(second);
    edges.insert({one, other});
    first = one;
    second = other;
  }
}

}  // namespace

Server::Server(std::span<const float> start, const Options& options)
    : options_(options), x_(start.begin(), start.end()), velocity_(start.size(), 0) {}

void Server::step(std::span<const double> mean) {
  assert(mean.size() == x_.size());
  for (size_t i = 0; i < x_.size(); ++i) {
    const double d = x_[i] - mean[i];
    velocity_[i] = options_.momentum * velocity_[i] + d;
    x_[i] -= options_.rate * (d + options_.momentum * velocity_[i]);
  }
}

Graph regular_graph(uint32_t nodes, uint32_t neighbours, Rng& rng) {
  assert(nodes >= 1 && neighbours >= 2);
  std::set<Edge> edges;
  if (neighbours >= nodes - 1) {
    for (uint32_t node = 1; node < nodes; ++node) {
      for (uint32_t other = 0; other < node; ++other) edges.insert({other, node});
    }
    return graph_of(nodes, edges);
  }
  edges = circle(nodes, neighbours);
  Graph graph = graph_of(nodes, edges);
  if (neighbours == 2) return graph;
  // Nearly every graph with three neighbours or more is connected.
  constexpr int tries_max = 20;
  for (int i = 0; i < tries_max; ++i) {
    rewire(edges, rng);
    Graph random = graph_of(nodes, edges);
    if (is_connected(random)) return random;
  }
  return graph;
}

std::vector<std::vector<Share>> metropolis_weights(const Graph& graph) {
  std::vector<std::vector<Share>> shares(graph.size());
  for (uint32_t node = 0; node < graph.size(); ++node) {
    double rest = 1;
    for (const uint32_t other : graph[node]) {
      const size_t degree = std::max(graph[node].size(), graph[other].size());
      const double weight = 1 / static_cast<double>(1 + degree);
      shares[node].push_back({other, weight});
      rest -= weight;
    }
    shares[node].push_back({node, rest});
  }
  return shares;
}

}  // namespace starling::sim
