// A device that dials a swarm without having been invited, as its owner and the swarm's see it.
#include <doctest/doctest.h>

#include <csignal>

#include "tests/node/small_swarm.h"

using namespace starling::testing;
using nlohmann::json;

namespace {

json pending(const RealNode& node) {
  const CliResult listed = starling_cli({"pending", "--json", "--dir", node.directory()});
  INFO(listed.err);
  REQUIRE(listed.exit_code == 0);
  return json::parse(listed.out)["pending"];
}

}  // namespace

TEST_CASE("who dials without an invite is pending until its owner joins with one") {
  Folder folder;
  RealNode a{folder / "a"}, b{folder / "b"};
  found(folder / "a", "anna");
  a.start();
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
  CHECK(pending(a).empty());
  const std::string address = a.status()["listen"];

  found(folder / "b", "ben");
  configure(folder / "b", {{"node.seeds", "[\"" + address + "\"]"}});
  b.start();
  json found_there;
  REQUIRE(a.wait_until(patience_s, [&](const json&) {
    found_there = pending(a);
    return !found_there.empty();
  }));
  const std::string id = b.status()["id"];
  REQUIRE(found_there.size() == 1);
  CHECK(found_there[0]["id"] == id);
  CHECK(found_there[0]["address"] == "127.0.0.1");
  CHECK(found_there[0]["reason"] == "another_swarm");
  CHECK(found_there[0]["attempts"] >= 1);
  CHECK(found_there[0]["first_s"] > 1'600'000'000);

  b.signal(SIGTERM);
  REQUIRE(b.wait_exit(patience_s) == 0);
  join(folder / "b", "ben", a);
  b.start();
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["swarm"]["neighbours"] == 1; }));
  CHECK(b.status()["id"] == id);
  CHECK(pending(a).empty());
}
