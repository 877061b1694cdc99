#include "sim/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace starling::sim {
namespace {

constexpr int exec_failed_code = 127;

void close_if_open(int& descriptor) {
  if (descriptor >= 0) close(descriptor);
  descriptor = -1;
}

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&set, signal);
  return set;
}

int milliseconds_until(Clock::time_point until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60000));
}

// Where a child's standard streams go.
struct Streams {
  int output = -1;
  int errors = -1;
  int death_signal = SIGTERM;
};

// Runs in the child between fork and exec: only async-signal-safe calls.
[[noreturn]] void become(char* const* arguments, char* const* environment, const Streams& streams,
                         pid_t parent, int failure_pipe) {
  prctl(PR_SET_PDEATHSIG, streams.death_signal);
  if (getppid() != parent) _exit(exec_failed_code);  // the parent died before the line above
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  const int null = open("/dev/null", O_RDONLY);
  const bool is_ready = null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
                        dup2(streams.output, STDOUT_FILENO) >= 0 &&
                        dup2(streams.errors, STDERR_FILENO) >= 0;
  if (null > STDERR_FILENO) close(null);
  if (is_ready) execve(arguments[0], arguments, environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(failure_pipe, &error, sizeof error);
  _exit(exec_failed_code);
}

// The environment without STARLING_*: what a user has set for a node of their own must not bend the
// comparison.
std::vector<char*> child_environment() {
  std::vector<char*> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with("STARLING_")) variables.push_back(*variable);
  }
  variables.push_back(nullptr);
  return variables;
}

Result<pid_t, std::string> spawn(const std::vector<std::string>& arguments,
                                 const Streams& streams) {
  assert(!arguments.empty());
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const std::vector<char*> environment = child_environment();
  std::array<int, 2> failure{-1, -1};
  const auto describe_failure = [&](int error) {
    return Unexpected{"cannot start " + arguments[0] + ": " + std::strerror(error)};
  };
  if (pipe2(failure.data(), O_CLOEXEC) != 0) return describe_failure(errno);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) become(argv.data(), environment.data(), streams, parent, failure[1]);
  const int fork_error = errno;
  close(failure[1]);
  int error = 0;
  ssize_t size = 0;
  if (pid > 0) {
    do {
      size = read(failure[0], &error, sizeof error);
    } while (size < 0 && errno == EINTR);
  }
  close(failure[0]);
  if (pid < 0) return describe_failure(fork_error);
  if (size == static_cast<ssize_t>(sizeof error)) {
    waitpid(pid, nullptr, 0);
    return describe_failure(error);
  }
  return pid;
}

ExitStatus exit_status(int raw) {
  if (WIFSIGNALED(raw)) return {.code = -1, .signal = WTERMSIG(raw)};
  return {.code = WEXITSTATUS(raw), .signal = 0};
}

void read_some(int& descriptor, std::string& text) {
  std::array<char, 16384> buffer;
  const ssize_t size = read(descriptor, buffer.data(), buffer.size());
  if (size < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (size <= 0) return close_if_open(descriptor);
  const size_t room = output_size_max - text.size();
  text.append(buffer.data(), std::min(room, static_cast<size_t>(size)));
}

}  // namespace

Signals::Signals() {
  const sigset_t set = watched_signals();
  sigprocmask(SIG_BLOCK, &set, nullptr);
  descriptor_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  assert(descriptor_ >= 0);
}

Signals::~Signals() {
  close_if_open(descriptor_);
  const sigset_t set = watched_signals();
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

void Signals::collect() {
  signalfd_siginfo arrived;
  while (read(descriptor_, &arrived, sizeof arrived) == static_cast<ssize_t>(sizeof arrived)) {
    if (arrived.ssi_signo != SIGCHLD && stop_signal_ == 0)
      stop_signal_ = static_cast<int>(arrived.ssi_signo);
  }
}

void Signals::wait(Clock::time_point until) {
  pollfd watched{.fd = descriptor_, .events = POLLIN, .revents = 0};
  poll(&watched, 1, milliseconds_until(until));
  collect();
}

std::string describe(const ExitStatus& status) {
  if (status.signal == 0) return "exit code " + std::to_string(status.code);
  return "signal " + std::to_string(status.signal) + " (" + strsignal(status.signal) + ")";
}

Child::~Child() {
  if (!is_running()) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  return *this;
}

Result<Child, std::string> Child::start(const std::vector<std::string>& arguments,
                                        const std::string& log_path) {
  int log = open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) return Unexpected{"cannot write " + log_path + ": " + std::strerror(errno)};
  auto pid = spawn(arguments, {.output = log, .errors = log});
  close(log);
  if (!pid) return Unexpected{pid.error()};
  return Child(*pid);
}

void Child::send(int signal) {
  if (is_running()) kill(pid_, signal);
}

std::optional<ExitStatus> Child::take_exit() {
  int raw = 0;
  if (!is_running() || waitpid(pid_, &raw, WNOHANG) != pid_) return std::nullopt;
  pid_ = -1;
  return exit_status(raw);
}

void stop_all(std::span<Child> children, std::chrono::milliseconds grace, Signals& signals) {
  const Clock::time_point deadline = Clock::now() + grace;
  for (Child& child : children) child.send(SIGTERM);
  const auto is_running = [](Child& child) { return child.is_running() && !child.take_exit(); };
  while (std::count_if(children.begin(), children.end(), is_running) > 0) {
    if (Clock::now() >= deadline) {
      for (Child& child : children) child.send(SIGKILL);
    }
    signals.wait(Clock::now() +
                 std::chrono::milliseconds(200));  // the end of a child ends the wait
  }
}

namespace {

// Runs commands side by side and collects what they write.
class Runner {
 public:
  Runner(const std::vector<std::vector<std::string>>& commands, std::chrono::milliseconds timeout,
         Signals& signals)
      : commands_(commands), timeout_(timeout), signals_(signals), outputs_(commands.size()) {}

  std::vector<Output> run(size_t parallel) {
    size_t next = 0;
    signals_.collect();
    while (next < commands_.size() || !jobs_.empty()) {
      if (signals_.stop_signal() != 0) {
        for (; next < commands_.size(); ++next) outputs_[next].is_interrupted = true;
      }
      while (next < commands_.size() && jobs_.size() < parallel) start(next++);
      if (!jobs_.empty()) wait_and_read();
      for (Job& job : jobs_) settle(job);
      std::erase_if(jobs_, [](const Job& job) { return !job.child.is_running(); });
    }
    return std::move(outputs_);
  }

 private:
  struct Job {
    size_t index = 0;
    Child child;
    std::array<int, 2> pipes{-1, -1};  // read ends: output, errors
    Clock::time_point deadline;
  };

  void start(size_t index) {
    std::array<int, 2> output{-1, -1}, errors{-1, -1};
    std::string failure = "cannot make a pipe";
    if (pipe2(output.data(), O_CLOEXEC) == 0 && pipe2(errors.data(), O_CLOEXEC) == 0) {
      auto pid = spawn(commands_[index],
                       {.output = output[1], .errors = errors[1], .death_signal = SIGKILL});
      if (pid) {
        jobs_.push_back({index, Child(*pid), {output[0], errors[0]}, Clock::now() + timeout_});
        output[0] = errors[0] = -1;
        failure.clear();
      } else {
        failure = pid.error();
      }
    }
    for (int* end : {&output[0], &output[1], &errors[0], &errors[1]}) close_if_open(*end);
    if (failure.empty()) return;
    outputs_[index].exit.code = exec_failed_code;
    outputs_[index].errors = failure;
  }

  void wait_and_read() {
    std::vector<pollfd> watched{{.fd = signals_.descriptor(), .events = POLLIN, .revents = 0}};
    Clock::time_point wake = jobs_.front().deadline;
    for (const Job& job : jobs_) {
      for (const int pipe : job.pipes)
        watched.push_back({.fd = pipe, .events = POLLIN, .revents = 0});
      wake = std::min(wake, job.deadline);
    }
    poll(watched.data(), watched.size(), milliseconds_until(wake));
    signals_.collect();
    for (size_t i = 0; i < jobs_.size(); ++i) {
      Output& output = outputs_[jobs_[i].index];
      if (watched[1 + 2 * i].revents != 0) read_some(jobs_[i].pipes[0], output.text);
      if (watched[2 + 2 * i].revents != 0) read_some(jobs_[i].pipes[1], output.errors);
    }
  }

  // Kills what has to go and takes the exit status of what has gone.
  void settle(Job& job) {
    Output& output = outputs_[job.index];
    if (signals_.stop_signal() != 0) output.is_interrupted = true;
    if (Clock::now() >= job.deadline) output.is_timed_out = true;
    const bool is_killed = output.is_interrupted || output.is_timed_out;
    if (is_killed) job.child.send(SIGKILL);
    const bool is_silent = job.pipes[0] < 0 && job.pipes[1] < 0;
    if (!is_silent && !is_killed) return;
    if (const auto exit = job.child.take_exit()) {
      output.exit = *exit;
      for (int& pipe : job.pipes) close_if_open(pipe);
    }
  }

  const std::vector<std::vector<std::string>>& commands_;  // outlives the runner
  std::chrono::milliseconds timeout_;
  Signals& signals_;
  std::vector<Output> outputs_;
  std::vector<Job> jobs_;
};

}  // namespace

std::vector<Output> run_all(const std::vector<std::vector<std::string>>& commands, size_t parallel,
                            std::chrono::milliseconds timeout, Signals& signals) {
  assert(parallel > 0);
  return Runner(commands, timeout, signals).run(parallel);
}

Output run(const std::vector<std::string>& command, std::chrono::milliseconds timeout,
           Signals& signals) {
  return std::move(run_all({command}, 1, timeout, signals).front());
}

}  // namespace starling::sim
