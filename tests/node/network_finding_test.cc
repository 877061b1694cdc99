// How nodes find each other: by their beacons on one network, without having been told an address;
// and by what members say of each other, also after one has moved.
#include <doctest/doctest.h>

#include <csignal>
#include <memory>

#include "tests/node/network_lab.h"
#include "tests/node/small_swarm.h"

using namespace starling::testing;
using nlohmann::json;

namespace {

constexpr int unlinked_s = 6;  // beacons go out three times within three seconds

bool is_linked(const json& status) { return status["swarm"]["neighbours"] > 0; }

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// A founder on device 0 and members that were invited, but not told where anybody is.
class Members {
 public:
  explicit Members(NetworkLab& lab) : lab_(lab) {}

  RealNode& add(const std::vector<std::pair<std::string, std::string>>& settings = {}) {
    const std::string name = "node" + std::to_string(nodes_.size());
    const std::string directory = folder_ / name;
    if (nodes_.empty()) {
      found(directory, name);
    } else {
      join(directory, name, *nodes_.front());
    }
    configure(directory, {{"node.listen", "\"0.0.0.0:7411\""}, {"node.seeds", "[]"}});
    configure(directory, settings);
    nodes_.push_back(std::make_unique<RealNode>(directory, lab_.name(nodes_.size())));
    nodes_.back()->start();
    REQUIRE(nodes_.back()->wait_until(patience_s, [](const json& s) { return s.is_object(); }));
    return *nodes_.back();
  }

 private:
  NetworkLab& lab_;
  Folder folder_;
  std::vector<std::unique_ptr<RealNode>> nodes_;
};

// What `node` says of the member of that name.
json member(const RealNode& node, const std::string& name) {
  const auto shown = starling_cli({"members", "--dir", node.directory(), "--json"});
  const json rows = json::parse(shown.out, nullptr, false);
  if (!rows.is_object()) return {};
  for (const json& row : rows["members"]) {
    if (row["name"] == name) return row;
  }
  return {};
}

bool has_lab() {
  const std::string why = NetworkLab::obstacle();
  if (!why.empty()) MESSAGE("not tested: ", why);
  return why.empty();
}

}  // namespace

TEST_CASE("two nodes on one network find each other without a seed, and end in order") {
  if (!has_lab()) return;
  NetworkLab lab(2);
  Members members(lab);
  RealNode& founder = members.add();
  RealNode& other = members.add();
  CHECK(founder.wait_until(patience_s, is_linked));
  CHECK(other.wait_until(patience_s, is_linked));
  for (RealNode* node : {&founder, &other}) {
    node->signal(SIGTERM);
    CHECK(node->wait_exit(30) == 0);
  }
}

TEST_CASE("two nodes find each other over IPv6 alone") {
  if (!has_lab()) return;
  NetworkLab lab(2);
  for (const size_t device : {0, 1}) lab.move(device, "fd77::" + std::to_string(device + 1));
  Members members(lab);
  RealNode& founder = members.add({{"node.listen", "\"[::]:7411\""}});
  RealNode& other = members.add({{"node.listen", "\"[::]:7411\""}});
  CHECK(founder.wait_until(patience_s, is_linked));
  CHECK(other.wait_until(patience_s, is_linked));
}

TEST_CASE("who has the beacon off neither finds nor is found, while others do") {
  if (!has_lab()) return;
  NetworkLab lab(3);
  Members members(lab);
  RealNode& founder = members.add();
  RealNode& quiet = members.add({{"node.beacon", "false"}});
  RealNode& other = members.add();
  REQUIRE(founder.wait_until(patience_s, is_linked));
  REQUIRE(other.wait_until(patience_s, is_linked));
  CHECK_FALSE(quiet.wait_until(unlinked_s, is_linked));
  CHECK(founder.status()["swarm"]["neighbours"] == 1);
}

TEST_CASE("where there is no multicast a node says so once, and a seed works") {
  if (!has_lab()) return;
  NetworkLab lab(2);
  lab.mute(1);
  Members members(lab);
  RealNode& founder = members.add();
  RealNode& mute = members.add();
  CHECK_FALSE(mute.wait_until(unlinked_s, is_linked));
  mute.signal(SIGTERM);
  REQUIRE(mute.wait_exit(30) == 0);
  CHECK(count(mute.output(), "no beacon") == 1);
  configure(mute.directory(), {{"node.seeds", "[\"" + NetworkLab::address(0) + ":7411\"]"}});
  mute.start();
  CHECK(mute.wait_until(patience_s, is_linked));
  CHECK(founder.wait_until(patience_s, is_linked));
}

TEST_CASE("a node whose network comes up later is found then") {
  if (!has_lab()) return;
  NetworkLab lab(2);
  lab.mute(1);
  Members members(lab);
  RealNode& founder = members.add();
  RealNode& late = members.add();
  REQUIRE_FALSE(late.wait_until(unlinked_s, is_linked));
  lab.unmute(1);
  CHECK(late.wait_until(patience_s, is_linked));
  CHECK(founder.wait_until(patience_s, is_linked));
}

TEST_CASE("a node that moved is dialled at its new address by one that it has never met") {
  if (!has_lab()) return;
  NetworkLab lab(3);
  Members members(lab);
  const std::string seed = "[\"" + NetworkLab::address(0) + ":7411\"]";
  const RealNode& founder = members.add({{"node.beacon", "false"}});
  members.add({{"node.beacon", "false"}, {"node.seeds", seed}});
  REQUIRE(founder.wait_until(patience_s, is_linked));
  lab.move(1, "10.77.0.103");
  CHECK(founder.wait_until(patience_s, [&](const json&) {
    const json moved = member(founder, "node1");
    return moved.is_object() && moved["address"] == "10.77.0.103:7411" && moved["linked"];
  }));
  // The newcomer must dial: what it says of itself leads nowhere.
  const RealNode& newcomer = members.add(
      {{"node.beacon", "false"}, {"node.seeds", seed}, {"node.advertise", "[\"192.0.2.1:7411\"]"}});
  CHECK(newcomer.wait_until(patience_s, [&](const json&) {
    const json moved = member(newcomer, "node1");
    return moved.is_object() && moved["address"] == "10.77.0.103:7411" && moved["linked"];
  }));
}
