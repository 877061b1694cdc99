#pragma once
// The vocabulary of the model's tests: random arrays, small shapes, small batches.
#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include "model/rng.h"
#include "model/trainer.h"

namespace starling::model::example {

template <typename R>
std::vector<R> numbers(Rng& rng, size_t count, double scale = 1.0) {
  std::vector<R> values(count);
  for (R& value : values) value = static_cast<R>(scale * (2 * rng.unit() - 1));
  return values;
}

// Odd sizes on purpose: no dimension is a multiple of a vector.
inline Shape odd_shape() {
  return {.width = 10,
          .layers = 2,
          .channels = 14,
          .mlp_width = 30,
          .regions = 6,
          .always_awake = 2,
          .selected = 2,
          .chunk = 5,
          .context_tau = 4};
}

// The odd shape in every mode that a shape can choose.
inline std::vector<Shape> odd_shapes() {
  std::vector<Shape> shapes;
  for (const Selection selection : {Selection::context, Selection::token})
    for (const Decay decay : {Decay::data, Decay::fixed})
      for (const float hysteresis : {0.0f, 0.05f}) {
        Shape shape = odd_shape();
        shape.selection = selection, shape.decay = decay, shape.hysteresis = hysteresis;
        shapes.push_back(shape);
      }
  for (const uint32_t awake : {0u, 6u}) {
    shapes.push_back(odd_shape());
    shapes.back().always_awake = awake;
    shapes.back().selection = Selection::token;
  }
  shapes.push_back(odd_shape());
  shapes.back().regions = 1;
  return shapes;
}

// Rows of `text`, each starting somewhere else and going round; every position predicted.
inline Batch text_batch(std::string_view text, uint32_t rows, uint32_t length, size_t start = 0) {
  Batch batch{
      .rows = rows, .length = length, .symbols = {}, .targets = {}, .weights = {}, .fresh = {}};
  for (uint32_t row = 0; row < rows; ++row)
    for (uint32_t t = 0; t < length; ++t) {
      const size_t place = start + row * 7 + t;
      batch.symbols.push_back(static_cast<uint8_t>(text[place % text.size()]));
      batch.targets.push_back(static_cast<uint8_t>(text[(place + 1) % text.size()]));
    }
  batch.weights.assign(batch.symbols.size(), 1.0f);
  batch.fresh.assign(rows, 1);
  return batch;
}

}  // namespace starling::model::example
