#pragma once
// Forward and backward of some rows of a batch, with activations and a gradient of its own, so that
// several can run at once. The trainer sums over them in a fixed order.
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/network.h"
#include "model/trainer.h"

namespace starling::model {

struct WorkOrder {
  const Batch& batch;
  std::span<const float> x;
  std::span<const uint64_t> allowed;   // per layer; empty: all regions may be chosen
  std::span<StreamState<float>> rows;  // of the whole batch
  double total_weight;                 // of the whole batch
  Dropout dropout;                     // with the step's seed
  std::span<float> dvectors;           // like batch.vectors
};

class RowWorker {
 public:
  RowWorker(const Shape& shape, uint32_t regions);  // regions of the whole table
  // Clears gradient, loss and counts for a step; allocates when something is missing or another
  // window is asked for.
  void prepare(Window window_max);
  // Adds the gradient and the loss of rows [first, first + window.rows). False when the loss is not
  // finite; the activations then stay as they are, to be searched.
  bool run(const WorkOrder& order, uint32_t first, Window window);
  // "the activation 'h' of layer 2 is not finite"; empty when all of them are finite.
  std::string activation_fault() const;
  void release();

  std::vector<float> gradient;                  // like the parameters
  std::vector<SelectionStatistics> statistics;  // of the exchange interval, per layer
  std::vector<uint64_t> tokens;                 // of the step, per region of the table
  double loss = 0;                              // of the step, in nats

 private:
  void count_tokens();

  Shape shape_;
  Window window_{0, 0};  // the last one
  std::unique_ptr<Activations<float>> activations_;
  Predictions<float> predictions_;
};

bool is_finite(const float* values, size_t count);

}  // namespace starling::model
