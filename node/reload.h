#pragma once
// starling.yaml read again while the node runs (SIGHUP): what can change at once does, the rest is
// named. Thread: one.
#include <string>
#include <vector>

#include "node/config.h"

namespace starling::node {

class Node;

// How the keys that differ between two configurations come into force.
struct ConfigChanges {
  std::vector<std::string> at_once, after_restart;
};
ConfigChanges changes_between(const Config& running, const Config& fresh);

class Reloader {
 public:
  // `is_level_given`: the command line's log level stays.
  Reloader(const Config& running, std::string path, bool is_level_given);
  // The outcome goes to the log. A file with an error changes nothing.
  void reload(Node& node);

 private:
  Config running_;
  const std::string path_;
  const bool is_level_given_;
};

}  // namespace starling::node
