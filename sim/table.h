#pragma once
// Progress on standard error: a table redrawn in place on a terminal, a line every ten seconds
// elsewhere.
#include <string>
#include <vector>

#include "sim/launcher.h"
#include "sim/status.h"

namespace starling::sim {

struct TableRow {
  std::string node, tasks;
  NodeStatus status;
  bool is_running = false;
};

struct TableView {
  std::string phase;         // "alone (1 of 2)"
  double seconds = 0;        // since the phase began
  double seconds_left = -1;  // of the phase, guessed; negative: not known yet
  std::vector<TableRow> rows;
};

// The lines of the table, none longer than `width` columns. For one reader: the terminal.
std::vector<std::string> table_lines(const TableView& view, size_t width);
std::string progress_line(const TableView& view);

class Table {
 public:
  explicit Table(bool is_quiet = false);
  void show(const TableView& view);
  // A line that stays, above the table.
  void note(const std::string& line);
  // Leaves the last table standing; the next one begins below it.
  void settle();

 private:
  void erase();

  bool is_terminal_;
  bool is_quiet_;
  size_t lines_drawn_ = 0;
  std::vector<std::string> drawn_;
  std::string phase_;
  Clock::time_point next_line_{};
};

}  // namespace starling::sim
