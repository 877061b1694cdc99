#pragma once
// Progress of runs in virtual time, on standard error, and their end by Ctrl-C.
#include <string>

#include "sim/launcher.h"

namespace starling::sim {

// Where a part of a run stands.
struct Progress {
  double done = 0;              // 0..1
  double virtual_seconds = -1;  // below 0: there is no virtual time
  double wall_seconds = 0;      // since the part began
};
// "[####----] 40 %, virtual time 20 s, 2.0x real time, about 15 s left"; without the bar where the
// line goes into a file.
std::string progress_line(const Progress& progress, bool has_bar);

class Watch {
 public:
  // A silent one shows nothing.
  explicit Watch(Signals& signals, bool is_silent = false);

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
  bool is_terminal_, is_silent_;
};

}  // namespace starling::sim
