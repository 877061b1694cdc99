#pragma once
// The launcher: child processes in real time that never outlive the program that started them. Each
// child asks the kernel for a signal on the death of the thread that started it (PR_SET_PDEATHSIG),
// so all of this is called from the main thread, and a launcher that is killed with -9 takes its
// nodes with it. Children run in process groups of their own: Ctrl-C on the terminal reaches the
// launcher alone, which then stops them in order.
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/result.h"

namespace starling::sim {

using Clock = std::chrono::steady_clock;

// Blocks SIGINT, SIGTERM, SIGHUP and SIGCHLD for the process and hands them out as a file
// descriptor: a signal ends a wait and changes nothing else. One per process, before the first
// child.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int descriptor() const { return descriptor_; }
  // Takes what has arrived; the first stop signal is remembered.
  void collect();
  // Until a signal arrives or `until` is reached.
  void wait(Clock::time_point until);
  // SIGINT, SIGTERM or SIGHUP once it has arrived; 0 before.
  int stop_signal() const { return stop_signal_; }

 private:
  int descriptor_ = -1;
  int stop_signal_ = 0;
};

struct ExitStatus {
  int code = 0;    // of exit(); -1 when killed
  int signal = 0;  // that killed it; 0 when it exited
  bool is_success() const { return signal == 0 && code == 0; }
};
std::string describe(const ExitStatus& status);  // "exit code 78", "signal 9 (Killed)"

// One running child. The destructor kills what still runs and waits for it.
class Child {
 public:
  Child() = default;
  ~Child();
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;

  // Output and errors are appended to `log_path`. Errors: what could not be started and why.
  static Result<Child, std::string> start(const std::vector<std::string>& arguments,
                                          const std::string& log_path);
  explicit Child(pid_t pid) : pid_(pid) {}  // takes over a child of this process
  pid_t pid() const { return pid_; }
  bool is_running() const { return pid_ > 0; }
  void send(int signal);
  // The exit status once, when the child has ended; nothing while it runs or when there is none.
  std::optional<ExitStatus> take_exit();

 private:
  pid_t pid_ = -1;
};

// SIGTERM to all, up to `grace` to end, then SIGKILL; returns when none is left. Not cut short by
// signals.
void stop_all(std::span<Child> children, std::chrono::milliseconds grace, Signals& signals);

struct Output {
  ExitStatus exit;
  std::string text;    // standard output, at most output_size_max
  std::string errors;  // standard error, likewise
  bool is_timed_out = false;
  bool is_interrupted = false;  // a stop signal came; the command was killed
};
inline constexpr size_t output_size_max = 1 << 20;

// Runs short commands to their end, `parallel` at a time; outputs in the order of the commands. A
// command that takes longer than `timeout` is killed. A stop signal kills those that run and skips
// the rest.
std::vector<Output> run_all(const std::vector<std::vector<std::string>>& commands, size_t parallel,
                            std::chrono::milliseconds timeout, Signals& signals);
Output run(const std::vector<std::string>& command, std::chrono::milliseconds timeout,
           Signals& signals);

}  // namespace starling::sim
