#pragma once
// What a trainer carries from step to step beside its checkpoint: a crash may lose it, a trainer
// that is to go on to the last bit may not. Grammar (numbers in the machine's order):
//   tokens    u64 * regions of the table
//   workers   for each, for each layer: u64 choices, u64 wanted * regions of a layer,
//             f64 slow_sum * width, f64 slow_squares * width
//   rows      u64 how many; for each: f32 * values, u64 chosen * layers, f32 slow weight, u32 chunk
//   position
#include <cstddef>
#include <span>
#include <vector>

#include "model/row_worker.h"

namespace starling::model {

struct Interval {
  std::span<uint64_t> tokens;
  std::span<RowWorker> workers;
  std::vector<StreamState<float>>& rows;
};

std::vector<std::byte> save_interval(const Interval& interval);
// False, and nothing is changed: of another shape or number of threads, more than `rows_max` rows,
// or a value that cannot be.
bool load_interval(std::span<const std::byte> bytes, const Shape& shape, size_t rows_max,
                   const Interval& interval);

}  // namespace starling::model
