#include "node/reload.h"

#include <algorithm>
#include <array>

#include "node/log.h"
#include "node/node.h"

namespace starling::node {

namespace {

constexpr std::array at_once_keys = {"limits.cpu_percent", "limits.hours", "checkpoint.interval_s",
                                     "log.level"};

std::string listed(const std::vector<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys) text += (text.empty() ? "" : " ") + key;
  return text.empty() ? "none" : text;
}

}  // namespace

ConfigChanges changes_between(const Config& running, const Config& fresh) {
  ConfigChanges changes;
  for (const std::string& key : differing_keys(running, fresh)) {
    const bool is_at_once =
        std::find(at_once_keys.begin(), at_once_keys.end(), key) != at_once_keys.end();
    (is_at_once ? changes.at_once : changes.after_restart).push_back(key);
  }
  return changes;
}

Reloader::Reloader(const Config& running, std::string path, bool is_level_given)
    : running_(running), path_(std::move(path)), is_level_given_(is_level_given) {}

void Reloader::reload(Node& node) {
  const auto fresh = load_config(path_);
  if (!fresh) {
    log_error("configuration not reloaded",
              {{"error", fresh.error().message}, {"effect", "it runs on with the one before"}});
    return;
  }
  const ConfigChanges changes = changes_between(running_, *fresh);
  if (!node.follow(*fresh)) {
    log_error("configuration not reloaded",
              {{"error", "the learner was busy for too long"}, {"next", "send the signal again"}});
    return;
  }
  running_.limits.cpu_percent = fresh->limits.cpu_percent;
  running_.limits.hours = fresh->limits.hours;
  running_.checkpoint.interval_s = fresh->checkpoint.interval_s;
  running_.log.level = fresh->log.level;
  log_info("configuration reloaded", {{"changed", listed(changes.at_once)},
                                      {"after_a_restart", listed(changes.after_restart)}});
  if (!is_level_given_) (void)set_log_level(fresh->log.level);  // load_config knows the levels
}

}  // namespace starling::node
