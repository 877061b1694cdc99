// Twelve nodes in twelve network namespaces: the network parts, heals, moves and chokes under them.
#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <memory>

#include "tests/node/network_lab.h"
#include "tests/node/small_swarm.h"

using namespace starling::testing;
using nlohmann::json;

namespace {

constexpr size_t devices = 12;

int parted_s() {
  const char* given = std::getenv("STARLING_PARTED_S");
  return given == nullptr ? 10 : std::atoi(given);
}

class Swarm {
 public:
  explicit Swarm(const NetworkLab& lab) {
    for (size_t i = 0; i < devices; ++i) {
      const std::string directory = folder_ / std::to_string(i), name = "node" + std::to_string(i);
      if (i == 0) {
        found(directory, name);
      } else {
        join(directory, name, *nodes.front());
      }
      configure(directory,
                {{"node.listen", "\"0.0.0.0:7411\""}, {"swarm.steps_per_exchange", "20"}});
      nodes.push_back(std::make_unique<RealNode>(directory, lab.name(i)));
      nodes.back()->start();
      REQUIRE(nodes.back()->wait_until(patience_s, [](const json& s) { return s.is_object(); }));
    }
  }

  void learn() const {
    for (size_t i = 0; i < devices; ++i) {
      const int first = static_cast<int>(i) * 200;
      const std::string text =
          folder_.write("text" + std::to_string(i) + ".txt", sentences(first, first + 200));
      REQUIRE(starling_cli({"learn", "--dir", nodes[i]->directory(), text}).exit_code == 0);
    }
  }
  // Polls all until each is so.
  bool wait_until(int timeout_s, const std::function<bool(const json&)>& is_so) const {
    return std::all_of(nodes.begin(), nodes.end(),
                       [&](const auto& node) { return node->wait_until(timeout_s, is_so); });
  }
  bool are_all_equal() const {
    return std::all_of(nodes.begin() + 1, nodes.end(),
                       [&](const auto& node) { return are_equal(*nodes.front(), *node); });
  }

  std::vector<std::unique_ptr<RealNode>> nodes;

 private:
  Folder folder_;
};

}  // namespace

TEST_CASE("a swarm lives through a split, a moved device and a choked line, and comes together") {
  if (const std::string why = NetworkLab::obstacle(); !why.empty()) {
    MESSAGE("not tested: ", why);
    return;
  }
  NetworkLab lab(devices);
  const Swarm swarm(lab);
  REQUIRE(swarm.wait_until(patience_s, [](const json& s) {
    return s["swarm"]["members"] == devices && s["swarm"]["neighbours"] > 0;
  }));
  swarm.learn();
  REQUIRE(swarm.wait_until(patience_s, [](const json& s) { return s["swarm"]["accepted"] > 5; }));

  lab.limit(11, 1000);
  lab.part({6, 7, 8, 9, 10, 11});
  CHECK_FALSE(swarm.nodes.front()->wait_until(
      parted_s(), [](const json& s) { return s["state"] == "stopping"; }));
  for (const auto& node : swarm.nodes) {  // both halves go on
    CHECK(node->wait_until(patience_s, [before = accepted(*node)](const json& s) {
      return s["swarm"]["accepted"] > before;
    }));
  }
  lab.heal();
  lab.move(3, "10.77.0.103");

  for (const auto& node : swarm.nodes)
    REQUIRE(starling_cli({"pause", "--dir", node->directory()}).exit_code == 0);
  const auto equal = [&](const json&) { return swarm.are_all_equal(); };
  CHECK(swarm.nodes.front()->wait_until(2 * patience_s, equal));
  CHECK(swarm.wait_until(patience_s, [](const json& s) { return s["swarm"]["neighbours"] > 0; }));
  const auto sees_all = [](const json& s) { return s["swarm"]["members"] == devices; };
  CHECK(swarm.wait_until(patience_s, sees_all));

  for (const auto& node : swarm.nodes) node->signal(SIGTERM);
  for (const auto& node : swarm.nodes) {
    INFO(node->directory());
    CHECK(node->wait_exit(30) == 0);  // none had stopped by itself
  }
}
