#pragma once
// `starling run`: builds the node from its directory, serves until it is told to stop, and takes it
// down in order.
#include <functional>
#include <memory>
#include <string>

#include "node/daemon.h"
#include "node/home.h"

namespace starling::node {

struct RunOptions {
  std::string directory;
  std::string log_level;   // empty: as configured
  std::string log_format;  // empty: as configured
};

// In the foreground until SIGINT, SIGTERM or Leave; a second signal ends it at once. Prints errors
// on stderr.
ExitCode run_node(const RunOptions& options);

}  // namespace starling::node
