// What a hang-up means to a real node: its configuration again, or the end of its terminal.
#include <doctest/doctest.h>

#include <csignal>
#include <ctime>
#include <fstream>

#include "tests/node/small_swarm.h"

using namespace starling::testing;
using nlohmann::json;

namespace {

// An hour of the day that begins in two hours.
std::string later_hours() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[16];
  std::snprintf(text, sizeof text, "%02d:%02d-%02d:%02d", (local.tm_hour + 2) % 24, local.tm_min,
                (local.tm_hour + 3) % 24, local.tm_min);
  return text;
}

bool logs(const RealNode& node, const std::string& words) {
  return node.wait_until(
      patience_s, [&](const json&) { return node.output().find(words) != std::string::npos; });
}

}  // namespace

TEST_CASE("SIGHUP brings a changed configuration into force, as far as it can be") {
  Folder folder;
  RealNode a{folder / "a"};
  found(folder / "a", "anna");
  a.start();
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
  const std::string text = folder.write("text.txt", sentences(0, 400));
  REQUIRE(starling_cli({"learn", "--dir", a.directory(), text}).exit_code == 0);
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "learning"; }));

  configure(folder / "a", {{"limits.hours", "\"" + later_hours() + "\""}, {"node.name", "berta"}});
  a.signal(SIGHUP);
  CHECK(logs(a, "limits.hours"));
  CHECK(logs(a, "after_a_restart=node.name"));
  CHECK(a.wait_until(patience_s, [](const json& s) {
    return s["state"] == "serving" &&
           s["reason"].get<std::string>().find("learns only at") != std::string::npos;
  }));
  CHECK(a.status()["name"] == "anna");

  std::ofstream(a.directory() + "/starling.yaml") << "node:\n  nmae: a\n";
  a.signal(SIGHUP);
  CHECK(logs(a, "configuration not reloaded"));
  CHECK(logs(a, "node.nmae: unknown key"));
  CHECK(a.status()["state"] == "serving");
  a.signal(SIGTERM);
  CHECK(a.wait_exit(patience_s) == 0);
}
