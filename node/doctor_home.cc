// The directory and the machine it lies on.
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <fstream>

#include "node/doctor.h"
#include "node/file.h"
#include "node/footprint.h"
#include "node/home.h"
#include "node/resources.h"
#include "node/table.h"

namespace starling::node {

namespace {

constexpr uint64_t mib = 1u << 20;
constexpr uint64_t disk_free_min = 64 * mib;
constexpr int64_t clock_min_s = 1'704'067'200;  // 2024: no clock that works is before it
constexpr int64_t clock_back_max_s = 120;       // by which files may come from the future
constexpr double checkpoint_intervals_late = 3;
constexpr double checkpoint_slack_s = 60;

using Verdict = Check::Verdict;

std::string octal(mode_t mode) {
  std::string digits;
  for (int shift = 6; shift >= 0; shift -= 3)
    digits += static_cast<char>('0' + (mode >> shift & 7));
  return "0" + digits;
}

std::optional<int64_t> written_at(const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) return std::nullopt;
  return facts.st_mtime;
}

Check examine_directory(const std::string& directory) {
  const char* name = "directory";
  if (const auto checked = check_directory(directory); !checked)
    return failed_check(name, checked.error().message);
  if (::access(directory.c_str(), R_OK | W_OK | X_OK) != 0) {
    return {name, Verdict::failed, directory + ": " + std::strerror(errno),
            "mount it writable, or: chmod 700 " + directory};
  }
  struct stat facts {};
  const bool is_known = ::stat(directory.c_str(), &facts) == 0;
  const std::string mode = is_known ? octal(facts.st_mode) : "unknown";
  if (is_known && (facts.st_mode & 077) != 0) {
    return {name, Verdict::warning, directory + " has mode " + mode + ": other users may look in",
            "chmod 700 " + directory};
  }
  return {name, Verdict::ok, directory + ", mode " + mode, ""};
}

Check examine_identity(const HomePaths& paths) {
  const char* name = "identity";
  const auto identity = Identity::load(paths.identity);
  if (!identity) return failed_check(name, identity.error());
  const auto membership = load_membership(paths, *identity);
  if (!membership) return failed_check(name, membership.error().message);
  return {name, Verdict::ok, swarm::to_string(identity->id()) + ", a member of its swarm", ""};
}

std::vector<std::string> checkpoints_in(const HomePaths& paths) {
  std::vector<std::string> found;
  const auto names = list_directory(paths.checkpoints);
  if (!names) return found;
  for (const std::string& each : *names) {
    if (each.ends_with(".ckpt")) found.push_back(paths.checkpoints + "/" + each);
  }
  return found;
}

Check examine_disk(const HomePaths& paths, const Config& config) {
  const char* name = "disk";
  struct statvfs facts {};
  if (::statvfs(paths.directory.c_str(), &facts) != 0)
    return failed_check(name, file_error("look at", paths.directory, errno));
  const uint64_t free_bytes = static_cast<uint64_t>(facts.f_bavail) * facts.f_frsize;
  const uint64_t used = directory_bytes(paths.directory);
  const uint64_t limit = config.limits.disk_mib * mib;
  uint64_t needed = disk_free_min;
  for (const std::string& each : checkpoints_in(paths))
    needed = std::max(needed, 2 * file_size(each));
  const std::string found = size_text(free_bytes) + " free, " + size_text(used) + " of " +
                            size_text(limit) + " used (limits.disk_mib)";
  const std::string advice = "free some space there, or move the node's directory to another disk";
  if (free_bytes < needed) {
    return {name, Verdict::failed, found + "; checkpoints need " + size_text(needed) + " free",
            advice};
  }
  if (used < limit && free_bytes < limit - used)
    return {name, Verdict::warning, found + "; less is free than it may use",
            "lower limits.disk_mib, or free some space there"};
  if (used > limit)
    return {name, Verdict::warning, found, "raise limits.disk_mib, or remove files from data/"};
  return {name, Verdict::ok, found, ""};
}

// Bytes that new work can take without anything being swapped out; none: the system does not say.
std::optional<uint64_t> available_memory() {
  std::ifstream facts("/proc/meminfo");
  std::string key, unit;
  for (uint64_t kib = 0; facts >> key >> kib; std::getline(facts, unit)) {
    if (key == "MemAvailable:") return kib << 10;
  }
  return std::nullopt;
}

Check examine_memory(const Config& config, bool is_running) {
  const char* name = "memory";
  const auto shape = model::shape_of_preset(config.model.preset);
  assert(shape.has_value());  // load_config knows the presets
  if (const std::string problem = device_problem(*shape, config); !problem.empty())
    return failed_check(name, problem);
  const uint64_t needed = memory_mib(memory_parts(*shape, config)) * mib;
  const auto available = available_memory();
  std::string found = "preset " + config.model.preset + " takes up to " + size_text(needed);
  if (!available) return {name, Verdict::ok, found, ""};
  found += ", " + size_text(*available) + " are available";
  if (!is_running && *available < needed) {
    return {name, Verdict::warning, found,
            "end other programs, or take a smaller model.preset in a new swarm"};
  }
  return {name, Verdict::ok, found, ""};
}

Check examine_checkpoint(const HomePaths& paths, const Config& config,
                         const std::optional<Running>& running, int64_t now_s) {
  const char* name = "checkpoint";
  std::optional<int64_t> newest;
  for (const std::string& each : checkpoints_in(paths)) newest = std::max(newest, written_at(each));
  const double late_s =
      checkpoint_intervals_late * config.checkpoint.interval_s + checkpoint_slack_s;
  const bool is_learning = running && running->state == "learning";
  const std::string advice = "see its log for lines about checkpoints; starling snapshot tries now";
  if (!newest) {
    const bool is_late = is_learning && static_cast<double>(running->uptime_s) > late_s;
    return {name, is_late ? Verdict::warning : Verdict::ok, "none yet", is_late ? advice : ""};
  }
  const double age_s = static_cast<double>(std::max<int64_t>(now_s - *newest, 0));
  const bool is_late =
      is_learning && age_s > late_s && static_cast<double>(running->uptime_s) > late_s;
  return {name, is_late ? Verdict::warning : Verdict::ok,
          "the last one is " + duration_text(age_s) + " old", is_late ? advice : ""};
}

}  // namespace

const char* verdict_name(Check::Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::warning:
      return "warning";
    case Verdict::failed:
      return "failed";
  }
  return "";
}

Check failed_check(const std::string& name, const std::string& message) {
  const size_t at = message.rfind("; ");
  if (at == std::string::npos) return {name, Verdict::failed, message, ""};
  return {name, Verdict::failed, message.substr(0, at), message.substr(at + 2)};
}

HomeChecks examine_home(const std::string& directory, const std::optional<Running>& running,
                        int64_t now_s) {
  const HomePaths paths(directory);
  HomeChecks found{.checks = {examine_directory(paths.directory)}, .config = std::nullopt};
  if (!written_at(paths.directory)) return found;
  if (auto config = load_config(paths.config)) {
    found.checks.push_back({"config", Verdict::ok, paths.config, ""});
    found.config = std::move(*config);
  } else {
    found.checks.push_back(failed_check("config", config.error().message));
  }
  found.checks.push_back(examine_identity(paths));
  if (!found.config) return found;
  found.checks.push_back(examine_disk(paths, *found.config));
  found.checks.push_back(examine_memory(*found.config, running.has_value()));
  found.checks.push_back(examine_checkpoint(paths, *found.config, running, now_s));
  return found;
}

Check examine_clock(const std::string& directory, int64_t now_s) {
  const char* name = "clock";
  const std::string advice = "set it, such as by: timedatectl set-ntp true";
  if (now_s < clock_min_s) return {name, Verdict::failed, "it says " + time_text(now_s), advice};
  const HomePaths paths(directory);
  std::vector<std::string> files = checkpoints_in(paths);
  files.push_back(paths.state_db);
  for (const std::string& each : files) {
    const int64_t written_s = written_at(each).value_or(0);
    if (written_s <= now_s + clock_back_max_s) continue;
    return {
        name, Verdict::warning,
        "it says " + time_text(now_s) + ", but " + each + " was written at " + time_text(written_s),
        advice};
  }
  return {name, Verdict::ok, time_text(now_s), ""};
}

}  // namespace starling::node
