#include "tests/node/small_swarm.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace starling::testing {

using nlohmann::json;

std::string sentences(int from, int to) {
  std::string text;
  for (int i = from; i < to; ++i)
    text += "The number " + std::to_string(i) + " follows " + std::to_string(i - 1) + ".\n";
  return text;
}

void make_small(const std::string& directory) {
  configure(directory, {{"model.preset", "demo"},
                        {"learn.length", "64"},
                        {"learn.rows", "4"},
                        {"swarm.sync_interval_s", "0.3"},
                        {"swarm.steps_per_exchange", "5"},
                        {"checkpoint.interval_s", "2"}});
}

void found(const std::string& directory, const std::string& name) {
  const CliResult made =
      starling_cli({"init", "--dir", directory, "--name", name, "--listen", "127.0.0.1:0"});
  INFO(made.err);
  REQUIRE(made.exit_code == 0);
  make_small(directory);
}

void join(const std::string& directory, const std::string& name, const RealNode& member) {
  const CliResult invite = starling_cli({"invite", "--dir", member.directory()});
  INFO(invite.err);
  REQUIRE(invite.exit_code == 0);
  REQUIRE(std::count(invite.out.begin(), invite.out.end(), '\n') == 1);
  const std::string token = invite.out.substr(0, invite.out.find('\n'));
  const CliResult joined =
      starling_cli({"join", "--dir", directory, "--name", name, "--listen", "127.0.0.1:0", token});
  INFO(joined.err);
  REQUIRE(joined.exit_code == 0);
  make_small(directory);
}

uint64_t accepted(const RealNode& node) {
  uint64_t count = 0;
  REQUIRE(node.wait_until(patience_s, [&](const json& s) {
    count = s["swarm"]["accepted"];
    return true;
  }));
  return count;
}

bool are_equal(const RealNode& a, const RealNode& b) {
  const json x = a.status(), y = b.status();
  return x.is_object() && y.is_object() && x["swarm"]["deltas"] == y["swarm"]["deltas"] &&
         x["swarm"]["deltas"] > 0 && x["swarm"]["base_hash"] == y["swarm"]["base_hash"];
}

}  // namespace starling::testing
