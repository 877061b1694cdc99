#pragma once
// What there is to deal: the tasks of a scenario, each with the pieces it is taught by and with
// what is held out to ask.
//   skills    a task each; pieces are pairs                          (skills.h)
//   text      a task for each text; pieces are kilobytes, the last tenth is held out
//   images    a task for each label; pieces are pairs of the image as letters and its label, the
//             last sixth of all images is held out                   (images.h)
//   table     a task for each value of a column; pieces are rows     (groups.h)
//   speakers  a task for each speaker; pieces are speeches; of both the last fifth is held out
#include <string>
#include <vector>

#include "sim/lessons.h"

namespace starling::sim {

inline constexpr size_t tasks_max = 256;

struct Stock {
  std::string task;
  std::vector<model::Pair> pairs;  // pieces: these,
  std::vector<std::string> texts;  // or these
  Lessons::Test test;

  size_t size() const { return pairs.size() + texts.size(); }
};

// Requires: not synthetic. Errors: bad_data for files that cannot be used.
Result<std::vector<Stock>, Failure> make_stocks(const Scenario& scenario, uint64_t seed);

// Bytes of memory that a scenario's files will take at most, roughly: as they are read, with their
// nodes, in the nodes' batchers and once more in the centralised baseline. Nothing for files that
// are missing: make_stocks says so.
uint64_t data_memory(const Scenario& scenario);

}  // namespace starling::sim
