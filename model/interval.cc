#include "model/interval.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace starling::model {
namespace {

// Everything in the order of the grammar; `f` is given the place of some values in a row.
template <typename F>
void walk_counts(std::span<uint64_t> tokens, std::span<RowWorker> workers, F f) {
  f(tokens);
  for (RowWorker& worker : workers) {
    for (SelectionStatistics& layer : worker.statistics) {
      f(std::span(&layer.choices, 1));
      f(std::span(layer.wanted));
      f(std::span(layer.slow_sum));
      f(std::span(layer.slow_squares));
    }
  }
}

template <typename F>
void walk_row(StreamState<float>& row, F f) {
  f(row.values());
  f(row.chosen_of_all());
  f(std::span(&row.slow_weight, 1));
  f(std::span(&row.chunk_position, 1));
}

bool is_possible(StreamState<float>& row, const Shape& shape) {
  const auto values = row.values();
  const auto chosen = row.chosen_of_all();
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); }) &&
         std::all_of(
             chosen.begin(), chosen.end(),
             [&](uint64_t set) { return shape.regions >= 64 || set >> shape.regions == 0; }) &&
         std::isfinite(row.slow_weight) && row.chunk_position <= choice_length(shape);
}

}  // namespace

std::vector<std::byte> save_interval(const Interval& interval) {
  std::vector<std::byte> bytes;
  const auto put = [&](auto values) {
    const auto raw = std::as_bytes(values);
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  };
  walk_counts(interval.tokens, interval.workers, put);
  const uint64_t rows = interval.rows.size();
  put(std::span(&rows, 1));
  for (StreamState<float>& row : interval.rows) walk_row(row, put);
  return bytes;
}

bool load_interval(std::span<const std::byte> bytes, const Shape& shape, size_t rows_max,
                   const Interval& interval) {
  uint64_t count = 0;
  size_t counts_size = 0, row_size = 0;
  walk_counts(interval.tokens, interval.workers,
              [&](auto values) { counts_size += values.size_bytes(); });
  StreamState<float> row(shape);
  walk_row(row, [&](auto values) { row_size += values.size_bytes(); });
  if (bytes.size() < counts_size + sizeof count) return false;
  std::memcpy(&count, bytes.data() + counts_size, sizeof count);
  if (count > rows_max || bytes.size() != counts_size + sizeof count + count * row_size)
    return false;
  auto rest = bytes;
  const auto take = [&](auto values) {
    if (!values.empty()) std::memcpy(values.data(), rest.data(), values.size_bytes());
    rest = rest.subspan(values.size_bytes());
  };
  std::vector<StreamState<float>> rows;
  rest = bytes.subspan(counts_size + sizeof count);
  for (size_t i = 0; i < count; ++i) {
    walk_row(row, take);
    if (!is_possible(row, shape)) return false;
    rows.push_back(row);
  }
  rest = bytes;
  walk_counts(interval.tokens, interval.workers, take);
  interval.rows = std::move(rows);
  return true;
}

}  // namespace starling::model
