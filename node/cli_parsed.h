#pragma once
// What the arguments of the command line are parsed into, and the functions that say which there
// are, verb by verb.
#include <CLI/CLI.hpp>

#include "node/cli_verbs.h"

namespace starling::node {

using Chosen = std::function<ExitCode(Cli&)>;

// Everything that arguments are parsed into; lives as long as the parser.
struct Parsed {
  CliOptions options;
  bool is_without_colour = false;
  bool is_version = false;
  double timeout_s = 0;
  Chosen chosen;
  RunOptions run;
  SetupArguments setup;
  AskArguments ask;
  FeedArguments files;
  WatchArguments watch;
  TopArguments top;
  bool is_check = false;
  bool is_with_influence = false;
  uint64_t seed = 0;
  std::string prompt, answer, region, file;
  InviteArguments invite;
  RevokeArguments revoke;
  ExportArguments exported;
};

void add_setup_verbs(CLI::App& app, Parsed& parsed);
void add_inspect_verbs(CLI::App& app, Parsed& parsed);
void add_mind_verbs(CLI::App& app, Parsed& parsed);
void add_admin_verbs(CLI::App& app, Parsed& parsed);
void add_bundle_verbs(CLI::App& app, Parsed& parsed);

}  // namespace starling::node
