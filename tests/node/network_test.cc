// Twelve nodes in twelve network namespaces, each with little to send: the network parts, heals,
// moves and chokes under them.
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
constexpr size_t choked = 11;
constexpr int upload_kib_per_s = 16;

int parted_s() {
  const char* given = std::getenv("STARLING_PARTED_S");
  return given == nullptr ? 60 : std::atoi(given);
}

// All that it sent since it started, and in the last minute, by what its own status says.
void check_upload(const RealNode& node) {
  json now;
  REQUIRE(node.wait_until(patience_s, [&](const json& status) {
    now = status;
    return true;
  }));
  INFO(node.directory(), ": ", now["swarm"].dump());
  constexpr double rate = 1024.0 * upload_kib_per_s, delta_max = 32768;
  // A second's worth may have been saved up, the last delta goes out on the last byte, and uptime
  // is in whole seconds.
  const double allowed = rate * (now["resources"]["uptime_s"].get<double>() + 2) + delta_max;
  CHECK(now["swarm"]["sent_bytes"].get<double>() <= allowed);
  const json& budget = now["swarm"]["budget"];
  CHECK(budget["upload_bytes_per_s"] == rate);
  CHECK(budget["sent_last_minute"].get<double>() <= rate * 62 + delta_max);
  CHECK(budget["upload_used"].get<double>() > 0);
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
      configure(directory, {{"node.listen", "\"0.0.0.0:7411\""},
                            {"swarm.steps_per_exchange", "20"},
                            {"swarm.upload_kib_per_s", std::to_string(upload_kib_per_s)}});
      nodes.push_back(std::make_unique<RealNode>(directory, lab.name(i)));
      nodes.back()->start();
      REQUIRE(nodes.back()->wait_until(patience_s, [](const json& s) { return s.is_object(); }));
    }
  }

  // Another text for each, so that there is something to say again.
  void learn() {
    for (size_t i = 0; i < devices; ++i, lines_ += 200) {
      const std::string text = folder_.write("text.txt", sentences(lines_, lines_ + 200));
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
  int lines_ = 0;  // learned so far
};

}  // namespace

TEST_CASE("a swarm lives through a split, a moved device and a choked line, and comes together") {
  if (const std::string why = NetworkLab::obstacle(); !why.empty()) {
    MESSAGE("not tested: ", why);
    return;
  }
  NetworkLab lab(devices);
  Swarm swarm(lab);
  REQUIRE(swarm.wait_until(patience_s, [](const json& s) {
    return s["swarm"]["members"] == devices && s["swarm"]["neighbours"] > 0;
  }));
  swarm.learn();
  REQUIRE(swarm.wait_until(patience_s, [](const json& s) { return s["swarm"]["accepted"] > 5; }));

  lab.limit(choked, 200);
  lab.part({6, 7, 8, 9, 10, 11});
  swarm.learn();
  CHECK_FALSE(swarm.nodes.front()->wait_until(
      parted_s(), [](const json& s) { return s["state"] == "stopping"; }));
  std::vector<uint64_t> before;
  for (const auto& node : swarm.nodes) before.push_back(accepted(*node));
  swarm.learn();
  for (size_t i = 0; i < devices; ++i) {  // both halves go on
    CHECK(swarm.nodes[i]->wait_until(
        patience_s, [&](const json& s) { return s["swarm"]["accepted"] > before[i]; }));
    check_upload(*swarm.nodes[i]);
  }
  CHECK_FALSE(are_equal(*swarm.nodes.front(), *swarm.nodes.back()));
  lab.heal();
  lab.move(3, "10.77.0.103");

  for (const auto& node : swarm.nodes) {  // a busy learner asks to be asked again
    REQUIRE(node->wait_until(patience_s, [&](const json&) {
      return starling_cli({"pause", "--dir", node->directory()}).exit_code == 0;
    }));
  }
  const auto equal = [&](const json&) { return swarm.are_all_equal(); };
  CHECK(swarm.nodes.front()->wait_until(2 * patience_s, equal));
  CHECK(swarm.wait_until(patience_s, [](const json& s) { return s["swarm"]["neighbours"] > 0; }));
  const auto sees_all = [](const json& s) { return s["swarm"]["members"] == devices; };
  CHECK(swarm.wait_until(patience_s, sees_all));
  CHECK(lab.lost(choked) > 0);
  for (const auto& node : swarm.nodes) check_upload(*node);

  for (const auto& node : swarm.nodes) node->signal(SIGTERM);
  for (const auto& node : swarm.nodes) {
    INFO(node->directory());
    CHECK(node->wait_exit(30) == 0);  // none had stopped by itself
  }
}
