#include "node/cores.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

#include "node/resources.h"

namespace starling::node {

namespace {

constexpr double reading_interval_s = 1;

pid_t own_thread() { return static_cast<pid_t>(syscall(SYS_gettid)); }

// A thread that has ended meanwhile is none of our business, nor is one that may not be moved.
void confine_others(const cpu_set_t& cores) {
  const pid_t self = own_thread();
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", none)) {
    const auto thread = static_cast<pid_t>(std::stol(entry.path().filename().string()));
    if (thread != self) (void)sched_setaffinity(thread, sizeof cores, &cores);
  }
}

// None where the machine has more cores than fit.
cpu_set_t allowed_cores() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) CPU_ZERO(&cores);
  return cores;
}

}  // namespace

Cores::Cores(uint32_t threads) : allowed_(allowed_cores()) {
  if (threads == 1) others_ = std::max(CPU_COUNT(&allowed_) - 1, 0);
}

void Cores::stepped(const Load& load, std::chrono::steady_clock::time_point now) {
  if (others_ == 0) return;
  const bool is_crowded =
      load.foreign > foreign_share_max * others_ || load.answers > static_cast<uint32_t>(others_);
  if (is_keeping()) {
    if (!is_crowded && now < until_) return;
    give_back();
    until_ = is_crowded ? now + crowded_rest : now;
  } else if (now >= until_ && !is_crowded) {
    keep(sched_getcpu());
    until_ = now + kept_max;
  }
}

void Cores::keep(int core) {
  if (core < 0 || !CPU_ISSET(core, &allowed_)) return;
  cpu_set_t own, rest = allowed_;
  CPU_ZERO(&own);
  CPU_SET(core, &own);
  CPU_CLR(core, &rest);
  if (sched_setaffinity(0, sizeof own, &own) != 0) return;
  confine_others(rest);
  core_ = core;
}

void Cores::give_back() {
  if (!is_keeping()) return;
  core_ = -1;
  until_ = {};
  (void)sched_setaffinity(0, sizeof allowed_, &allowed_);
  confine_others(allowed_);
}

ForeignLoad::ForeignLoad()
    : allowed_(allowed_cores()),
      last_(read(std::chrono::steady_clock::now())),
      cores_(CPU_COUNT(&allowed_)) {}

double ForeignLoad::cores(std::chrono::steady_clock::time_point now) {
  const double seconds = std::chrono::duration<double>(now - last_.at).count();
  if (seconds < reading_interval_s) return cores_;
  const Reading reading = read(now);
  cores_ = (reading.busy_s - last_.busy_s - (reading.own_s - last_.own_s)) / seconds;
  last_ = reading;
  return cores_;
}

ForeignLoad::Reading ForeignLoad::read(std::chrono::steady_clock::time_point now) const {
  std::ifstream file("/proc/stat");
  const std::string stat{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return {.at = now,
          .busy_s = busy_seconds(stat, allowed_, sysconf(_SC_CLK_TCK)),
          .own_s = cpu_seconds()};
}

double busy_seconds(const std::string& stat, const cpu_set_t& cores, long ticks_per_s) {
  std::istringstream lines(stat);
  double ticks = 0;
  for (std::string line; std::getline(lines, line);) {
    int core = 0, read = 0;
    if (std::sscanf(line.c_str(), "cpu%d %n", &core, &read) != 1 || core < 0 || core >= CPU_SETSIZE)
      continue;
    if (!CPU_ISSET(core, &cores)) continue;
    double user = 0, nice = 0, system = 0, idle = 0, waiting = 0, interrupts = 0, soft = 0;
    std::istringstream(line.substr(static_cast<size_t>(read))) >> user >> nice >> system >> idle >>
        waiting >> interrupts >> soft;
    ticks += user + nice + system + interrupts + soft;
  }
  return ticks / static_cast<double>(ticks_per_s);
}

}  // namespace starling::node
