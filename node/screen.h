#pragma once
// A terminal on which one picture replaces the other, until a key or a signal ends it. The terminal
// is as it was once this is gone. Make it before the first thread: SIGINT, SIGTERM and SIGHUP are
// blocked while it lives, so that every thread inherits that and only wait() hears of them.
#include <termios.h>

#include <chrono>
#include <csignal>
#include <iosfwd>
#include <optional>
#include <string>

#include "node/file.h"

namespace starling::node {

class Screen {
 public:
  // `has_keys`: a person types on standard input.
  Screen(std::ostream& out, bool has_keys);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // As many of the lines as the terminal has; what is too wide is cut off by the terminal.
  void show(const std::string& lines);
  // False: q, Ctrl-C or a signal asked for the end before the time.
  bool wait_until(std::chrono::steady_clock::time_point time);

 private:
  bool is_end_typed();
  std::ostream& out_;
  bool has_keys_;
  std::optional<termios> before_;
  sigset_t signals_{}, signals_before_{};
  File signalled_;
};

}  // namespace starling::node
