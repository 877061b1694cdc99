#include "sim/table.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace starling::sim {
namespace {

constexpr std::chrono::seconds line_interval{10};
constexpr size_t width_default = 100;

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<long>(std::lround(std::max(0.0, seconds)));
  char text[32];
  std::snprintf(text, sizeof text, "%ld:%02ld", whole / 60, whole % 60);
  return text;
}

std::string megabytes(uint64_t bytes) { return fixed(static_cast<double>(bytes) / 1e6, 2) + " MB"; }

std::string headline(const TableView& view) {
  std::string text = view.phase + "  " + clock_text(view.seconds);
  if (view.seconds_left >= 0) text += ", about " + clock_text(view.seconds_left) + " left";
  return text;
}

std::string row_line(const std::string& node, const std::string& tasks, const std::string& state,
                     const std::vector<std::string>& numbers) {
  char start[128];
  std::snprintf(start, sizeof start, "%-9.9s %-16.16s %-11.11s", node.c_str(), tasks.c_str(),
                state.c_str());
  std::string line = start;
  constexpr size_t widths[] = {7, 7, 6, 10, 9, 5, 9};
  for (size_t i = 0; i < numbers.size(); ++i) {
    const size_t width = widths[i];
    line += numbers[i].size() < width ? std::string(width - numbers[i].size(), ' ') : " ";
    line += numbers[i];
  }
  return line;
}

size_t terminal_width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return width_default;
  return size.ws_col;
}

}  // namespace

std::vector<std::string> table_lines(const TableView& view, size_t width) {
  std::vector<std::string> lines{headline(view)};
  lines.push_back(row_line("NODE", "TASKS", "STATE",
                           {"STEP", "LOSS", "LINKS", "SENT", "ACCEPTED", "HELD", "BASE"}));
  for (const TableRow& row : view.rows) {
    const NodeStatus& status = row.status;
    const std::string state = !row.is_running      ? "restarting"
                              : status.is_finished ? "finished"
                                                   : status.state;
    lines.push_back(
        row_line(row.node, row.tasks, state,
                 {std::to_string(status.step), status.loss > 0 ? fixed(status.loss, 3) : "-",
                  std::to_string(status.neighbours), megabytes(status.sent_bytes),
                  std::to_string(status.accepted), std::to_string(status.held),
                  status.base_hash.empty() ? "-" : status.base_hash.substr(0, 8)}));
  }
  for (std::string& line : lines) line.resize(std::min(line.size(), width));
  return lines;
}

std::string progress_line(const TableView& view) {
  uint64_t step_least = UINT64_MAX, step_most = 0, sent = 0, accepted = 0, held = 0;
  double loss_sum = 0;
  size_t losses = 0, finished = 0;
  for (const TableRow& row : view.rows) {
    step_least = std::min(step_least, row.status.step);
    step_most = std::max(step_most, row.status.step);
    sent += row.status.sent_bytes;
    accepted += row.status.accepted;
    held += row.status.held;
    loss_sum += row.status.loss;
    losses += row.status.loss > 0 ? 1 : 0;
    finished += row.status.is_finished ? 1 : 0;
  }
  std::string line =
      headline(view) + ": steps " + std::to_string(step_least) + ".." + std::to_string(step_most);
  if (losses > 0) line += ", loss " + fixed(loss_sum / static_cast<double>(losses), 3);
  line += ", sent " + megabytes(sent) + ", accepted " + std::to_string(accepted) + ", held " +
          std::to_string(held);
  line += ", finished " + std::to_string(finished) + " of " + std::to_string(view.rows.size());
  return line;
}

Table::Table(bool is_quiet) : is_terminal_(isatty(STDERR_FILENO) == 1), is_quiet_(is_quiet) {}

void Table::erase() {
  if (lines_drawn_ > 0) std::fprintf(stderr, "\x1b[%zuA\x1b[J", lines_drawn_);
  lines_drawn_ = 0;
}

void Table::show(const TableView& view) {
  if (is_quiet_) return;
  if (is_terminal_) {
    std::vector<std::string> lines = table_lines(view, terminal_width() - 1);
    if (lines == drawn_ && lines_drawn_ > 0) return;
    erase();
    for (const std::string& line : lines) std::fprintf(stderr, "%s\n", line.c_str());
    lines_drawn_ = lines.size();
    drawn_ = std::move(lines);
    return;
  }
  if (view.phase == phase_ && Clock::now() < next_line_) return;
  phase_ = view.phase;
  next_line_ = Clock::now() + line_interval;
  std::fprintf(stderr, "%s\n", progress_line(view).c_str());
}

void Table::note(const std::string& line) {
  if (is_quiet_) return;
  erase();
  std::fprintf(stderr, "%s\n", line.c_str());
}

void Table::settle() { lines_drawn_ = 0; }

}  // namespace starling::sim
