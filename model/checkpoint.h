#pragma once
// The trainer's state as named sections of bytes. Grammar (numbers in the machine's little-endian
// order):
//   shape         the line of describe(shape)
//   x             f32 * parameters
//   m, v          f32 * parameters, or empty before the first step
//   region_steps  u64 * regions of the table: optimiser steps of each
//   woken         u64 * regions: tokens of the whole run that woke each
//   usage         f64 * layers * regions of a layer: moving average of the unrestricted choices
//   counters      u64 * 3: steps, tokens of the run, exchanges ended
// How the sections are framed, hashed and written is the caller's business.
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/optimizer.h"

namespace starling::model {

struct Counters {
  uint64_t steps = 0;
  uint64_t tokens = 0;
  uint64_t exchanges = 0;
};

// Everything of a trainer that outlives it, apart from the parameters.
struct LearnerState {
  OptimizerState optimizer;
  std::vector<uint64_t> woken;
  std::vector<double> usage;
  Counters counters;
};

std::vector<Section> sections_of(const std::string& shape_line, std::span<const float> x,
                                 const LearnerState& state);

// Names both shapes when the sections are of another one than `shape`; empty when they are not.
std::string shape_fault(std::span<const Section> sections, const Shape& shape);

// Copies the sections into `x` and `state` when all of them fit and are finite; otherwise changes
// nothing and says which section is wrong and how.
Result<Done, std::string> load_sections(std::span<const Section> sections, const Shape& shape,
                                        std::span<float> x, LearnerState& state);

}  // namespace starling::model
