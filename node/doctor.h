#pragma once
// What commonly goes wrong with a node, looked at from outside: each check says what it found and,
// where that is no good, what to do. Nothing here changes anything or needs a running node.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "node/config.h"

namespace starling::node {

struct Check {
  enum class Verdict : uint8_t { ok, warning, failed };
  std::string name;
  Verdict verdict = Verdict::ok;
  std::string detail;  // what was found
  std::string advice;  // what to do; empty: nothing
};
using Checks = std::vector<Check>;
const char* verdict_name(Check::Verdict verdict);

// One that failed, from a line of ours: what stands behind its last semicolon is the advice.
Check failed_check(const std::string& name, const std::string& message);

// The running node, as far as the checks from outside need it.
struct Running {
  std::string listen;  // host:port as bound
  std::string state;
  uint64_t uptime_s = 0;
  std::vector<std::string> linked;  // addresses of the members that it has a link to
};

// directory, config, identity; disk, memory and checkpoint with a valid config only, which is given
// back.
struct HomeChecks {
  Checks checks;
  std::optional<Config> config;
};
HomeChecks examine_home(const std::string& directory, const std::optional<Running>& running,
                        int64_t now_s);
// The clock against what the directory was last written at.
Check examine_clock(const std::string& directory, int64_t now_s);
// The port, and whom the node would dial first. Takes up to 15 s where names or addresses do not
// answer.
Checks examine_network(const Config& config, const std::optional<Running>& running);

}  // namespace starling::node
