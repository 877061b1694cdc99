#include "sim/watch.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "sim/drawing.h"

namespace starling::sim {
namespace {

constexpr std::chrono::milliseconds bar_interval{200};     // on a terminal
constexpr std::chrono::milliseconds line_interval{10000};  // elsewhere

}  // namespace

std::string progress_line(const Progress& progress, bool has_bar) {
  constexpr size_t bar_width = 24;
  const double done = std::clamp(progress.done, 0.0, 1.0), wall = progress.wall_seconds;
  std::string line;
  if (has_bar) {
    const auto full = static_cast<size_t>(done * static_cast<double>(bar_width));
    line = "[" + std::string(full, '#') + std::string(bar_width - full, '-') + "] ";
  }
  line += fixed(100 * done, 0) + " %";
  if (progress.virtual_seconds >= 0) {
    line += ", virtual time " + fixed(progress.virtual_seconds, 0) + " s, " +
            fixed(wall > 0 ? progress.virtual_seconds / wall : 0, 1) + "x real time";
  }
  // Of the first hundredth nothing can be foretold.
  if (done > 0.01) line += ", about " + fixed(wall * (1 - done) / done, 0) + " s left";
  return line;
}

Watch::Watch(Signals& signals, bool is_silent)
    : signals_(&signals),
      begun_(Clock::now()),
      part_begun_(begun_),
      is_terminal_(!is_silent && isatty(STDERR_FILENO) != 0),
      is_silent_(is_silent) {}

void Watch::begin(const std::string& part) {
  part_ = part;
  part_begun_ = Clock::now();
}

bool Watch::show(double done, double virtual_seconds) {
  const Clock::time_point now = Clock::now();
  const auto interval = is_terminal_ ? bar_interval : line_interval;
  if (!is_silent_ && now - shown_ >= interval) {
    shown_ = now;
    const double wall = std::chrono::duration<double>(now - part_begun_).count();
    const std::string line =
        prefix_ + part_ + " " +
        progress_line({.done = done, .virtual_seconds = virtual_seconds, .wall_seconds = wall},
                      is_terminal_);
    std::fprintf(stderr, is_terminal_ ? "\r\033[K%s" : "%s\n", line.c_str());
  }
  return !is_stopped();
}

void Watch::settle() {
  if (is_terminal_) std::fprintf(stderr, "\r\033[K");
}

bool Watch::is_stopped() {
  signals_->collect();
  return signals_->stop_signal() != 0;
}

double Watch::seconds() const {
  return std::chrono::duration<double>(Clock::now() - begun_).count();
}

}  // namespace starling::sim
