#pragma once
// Which cores the threads of this process run on while it learns: the learner keeps the core that
// the system gave it, all others stay off it, so that none of them wakes up behind a step. Without
// this an answer in a hundred waits for a tick of the scheduler (4 ms) on a machine of two cores.
// Given back whenever that would cost somebody: more answers at once than there are other cores,
// other processes that want the cores, nothing to learn. Thread: the learner's alone.
#include <sched.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace starling::node {

class Cores {
 public:
  // Guesses: the share of the other cores that other processes may take, and for how long nothing
  // is kept when they take more.
  static constexpr double foreign_share_max = 0.5;
  static constexpr std::chrono::seconds crowded_rest{5};
  // Then the system may choose again for a step: a faster core may have become free.
  static constexpr std::chrono::seconds kept_max{30};

  // `threads`: that learn; nothing is kept for more than one.
  explicit Cores(uint32_t threads);
  Cores(const Cores&) = delete;
  Cores& operator=(const Cores&) = delete;
  ~Cores() { give_back(); }

  struct Load {
    double foreign = 0;    // cores' worth of work of other processes
    uint32_t answers = 0;  // that are being worked on here
  };
  // Between two steps.
  void stepped(const Load& load, std::chrono::steady_clock::time_point now);
  void give_back();
  bool is_keeping() const { return core_ >= 0; }

 private:
  void keep(int core);

  cpu_set_t allowed_;
  int others_ = 0;  // cores besides the learner's; 0: nothing can be kept
  int core_ = -1;
  std::chrono::steady_clock::time_point until_;  // kept until then, or not before then
};

// What other processes take of the cores that this one may use, over the last second or so.
class ForeignLoad {
 public:
  ForeignLoad();
  // In cores; all of them before there is a measurement.
  double cores(std::chrono::steady_clock::time_point now);

 private:
  struct Reading {
    std::chrono::steady_clock::time_point at;
    double busy_s = 0, own_s = 0;
  };
  Reading read(std::chrono::steady_clock::time_point now) const;

  cpu_set_t allowed_;
  Reading last_;
  double cores_ = 0;
};

// Seconds that these cores have worked, from the text of /proc/stat (proc(5)), whose unit is
// 1 / `ticks_per_s`; what a hypervisor took away is not work.
double busy_seconds(const std::string& stat, const cpu_set_t& cores, long ticks_per_s);

}  // namespace starling::node
