#pragma once
// What a stream of tokens carries from one window to the next: O(1) in its length.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/parameters.h"

namespace starling::model {

template <Real R>
class StreamState {
 public:
  explicit StreamState(const Shape& shape)
      : D(shape.width),
        E(shape.channels),
        values_(shape.layers * layer_count()),
        chosen_(shape.layers) {}

  void reset() {
    std::fill(values_.begin(), values_.end(), R(0));
    std::fill(chosen_.begin(), chosen_.end(), 0);
    slow_weight = 0;
    chunk_position = 0;
  }
  R* scan(size_t layer) {
    return values_.data() + layer * layer_count();
  }                                                      // (4, E), see scan_forward
  R* slow(size_t layer) { return scan(layer) + 4 * E; }  // (D) slow mean of the normed MLP input
  R* contrast(size_t layer) { return slow(layer) + D; }  // (D) what the current chunk was chosen by
  uint64_t& chosen(size_t layer) { return chosen_[layer]; }  // regions awake in the current chunk
  std::span<R> values() { return values_; }
  std::span<uint64_t> chosen_of_all() { return chosen_; }  // (layers)
  uint64_t bytes() const { return values_.size() * sizeof(R) + chosen_.size() * sizeof(uint64_t); }

  R slow_weight = 0;  // removes the bias of the slow mean's zero start; equal in all layers
  uint32_t chunk_position = 0;  // tokens of the current chunk that have been read

 private:
  size_t layer_count() const { return 4 * E + 2 * D; }
  size_t D, E;
  std::vector<R> values_;
  std::vector<uint64_t> chosen_;
};

}  // namespace starling::model
