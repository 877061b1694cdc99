#pragma once
// Progress of runs in virtual time, on standard error, and their end by Ctrl-C.
#include <string>

#include "sim/launcher.h"

namespace starling::sim {

class Watch {
 public:
  explicit Watch(Signals& signals);

  // Stands before every part, such as "run 3 of 15: ".
  void set_prefix(const std::string& prefix) { prefix_ = prefix; }
  void begin(const std::string& part);
  // `virtual_seconds` below 0: there is no virtual time. False: stop.
  bool show(double done, double virtual_seconds);
  void settle();  // leaves the line free for what follows
  bool is_stopped();
  double seconds() const;  // wall time since the last restart
  void restart() { begun_ = Clock::now(); }

 private:
  Signals* signals_;
  Clock::time_point begun_, part_begun_, shown_{};
  std::string prefix_, part_;
  bool is_terminal_;
};

}  // namespace starling::sim
