#pragma once
// A snapshot in 8 bits: what sessions answer from. Built once for each published snapshot and then
// immutable; it keeps what it needs, so the snapshot itself may go. Matrices are Matrix8; norms,
// gates' biases, the convolution, the selectors and the embedding's rows as input stay fp32.
#include <cstdint>
#include <vector>

#include "model/dot8.h"
#include "model/parameters.h"
#include "model/trainer.h"

namespace starling::model {

struct QuantisedLayer {
  Matrix8 upz;                       // (gates E, D)
  Matrix8 wo;                        // (D, E)
  Matrix8 awake_w1;                  // (2 S m, D) the always awake regions: all values, all gates
  Matrix8 awake_w2;                  // (D, S m)
  std::vector<Matrix8> selected_w1;  // (2m, D) of each other region, in order; empty: not hosted
  std::vector<Matrix8> selected_w2;  // (D, m)
};

class Quantised {
 public:
  explicit Quantised(const Snapshot& snapshot);
  Quantised(const Quantised&) = delete;  // its matrices lie in its own memory
  Quantised& operator=(const Quantised&) = delete;
  const Shape& shape() const { return shape_; }
  uint64_t step() const { return step_; }
  const HostedSet& hosted() const { return hosted_; }
  const float* embedding() const { return small_.data(); }  // (vocabulary, D)
  const float* final_norm() const { return small_.data() + vocabulary * shape_.width; }
  // The small tensors only: the matrices' pointers are null, the region width is 0, so that
  // selector(r) finds the selectors side by side.
  LayerView<const float> layer(size_t index) const;
  const QuantisedLayer& matrices(size_t index) const { return layers_[index]; }
  const Matrix8& head() const { return head_; }  // (vocabulary, D)
  uint64_t bytes() const;

 private:
  size_t small_count() const;  // floats of one layer
  Shape shape_;
  uint64_t step_;
  HostedSet hosted_;
  Matrix8 head_;
  std::vector<QuantisedLayer> layers_;
  std::vector<float> small_;
  std::vector<uint8_t> memory_;  // of all matrices, in the order in which a token reads them
};

}  // namespace starling::model
