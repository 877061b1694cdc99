#pragma once
// The command line: `starling VERB ...`. Results go to `out`, messages to `err`; the exit code is
// the answer to scripts.
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "node/run.h"

namespace starling::node {

// What a verb may use of the world around it.
struct Console {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool is_in_terminal = false;                     // a person types
  bool is_out_terminal = false;                    // a person reads
  bool is_coloured = false;                        // before --no-color and NO_COLOR
  std::function<ExitCode(const RunOptions&)> run;  // `starling run`
  std::function<ExitCode(const std::vector<std::string>& arguments)> sim;  // `starling sim`
};

// What every verb understands.
struct CliOptions {
  std::string directory;
  bool is_json = false;
  bool is_quiet = false;
  bool is_verbose = false;
  bool is_coloured = false;
  std::optional<double> timeout_s;
};

// `arguments` without the program's name.
ExitCode run_cli(const std::vector<std::string>& arguments, Console& console);

// --dir, $STARLING_DIR, or the person's own: $XDG_STATE_HOME/starling, ~/.local/state/starling.
std::string default_directory();

}  // namespace starling::node
