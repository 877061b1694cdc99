// Which changes of a configuration a running node follows.
#include "node/reload.h"

#include <doctest/doctest.h>

namespace starling::node {
namespace {

using Keys = std::vector<std::string>;

TEST_CASE("a configuration that says the same changes nothing") {
  const ConfigChanges changes = changes_between({}, {});
  CHECK(changes.at_once.empty());
  CHECK(changes.after_restart.empty());
}

TEST_CASE(
    "the learner's limits and the log's level change at once, everything else after a restart") {
  Config fresh;
  fresh.node.name = "other";
  fresh.node.seeds = {"192.0.2.1:7411"};
  fresh.limits.memory_mib = 2048;
  fresh.limits.cpu_percent = 50;
  fresh.limits.hours = "22:00-06:00";
  fresh.swarm.upload_kib_per_s = 10;
  fresh.checkpoint.interval_s = 60;
  fresh.log.level = "debug";
  const ConfigChanges changes = changes_between({}, fresh);
  CHECK(changes.at_once ==
        Keys{"limits.cpu_percent", "limits.hours", "checkpoint.interval_s", "log.level"});
  CHECK(changes.after_restart ==
        Keys{"node.name", "node.seeds", "swarm.upload_kib_per_s", "limits.memory_mib"});
}

}  // namespace
}  // namespace starling::node
