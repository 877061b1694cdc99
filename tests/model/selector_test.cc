#include "model/selector.h"

#include <doctest/doctest.h>

#include <bit>

#include "model/network.h"
#include "tests/model/example.h"

namespace starling::model {

TEST_CASE("who is awake stays awake until another is better by more than the hysteresis") {
  Shape shape = example::odd_shape();  // regions 0 and 1 are always awake, two of 2..5 are chosen
  const std::vector<double> p{0.5, 0.5, 0.60, 0.58, 0.50, 0.40}, bias(6);
  const auto choose_after = [&](uint64_t awake) {
    return choose(shape, p.data(), bias.data(), {.awake = awake});
  };
  CHECK(choose_after(0b110011) == 0b001111);
  shape.hysteresis = 0.09f;
  CHECK(choose_after(0) == 0b001111);
  CHECK(choose_after(0b110011) == 0b010111);  // 4 gains 0.09 on 3, 5 does not gain enough
  CHECK(choose(shape, p.data(), bias.data(), {.allowed = 0b101011, .awake = 0b110011}) == 0b101011);
  shape.hysteresis = 0.2f;
  CHECK(choose_after(0b110011) == 0b110011);
}

TEST_CASE("hysteresis makes choices last longer") {
  for (const Selection selection : {Selection::context, Selection::token}) {
    Shape shape = *shape_of_preset("demo");
    shape.selection = selection, shape.chunk = 4, shape.context_tau = 4;
    Rng rng(4);
    std::vector<uint16_t> symbols(400);
    for (uint16_t& symbol : symbols) symbol = static_cast<uint16_t>('a' + rng.below(26));
    const auto switches = [&](float hysteresis) {
      shape.hysteresis = hysteresis;
      const auto parameters = genesis(shape, 3);
      const Window window{.rows = 1, .length = 400};
      Activations<float> activations(shape, window, Keep::everything);
      std::vector<StreamState<float>> states(1, StreamState<float>(shape));
      network_forward(shape, parameters.data(), symbols, window, std::span(states), Routing{},
                      activations);
      int count = 0;
      for (size_t i = 1; i < activations.segments.size(); ++i) {
        const uint64_t* chosen = activations.layers[1].chosen + i;
        count += std::popcount(chosen[0] & ~chosen[-1]);
      }
      return count;
    };
    CHECK(switches(0.3f) < switches(0) / 2);
    CHECK(switches(1) == 0);
  }
}

TEST_CASE(
    "the fast network computes what the naive one does, forward and backward, in every mode") {
  for (const Shape& shape : example::odd_shapes()) {
    INFO(describe(shape));
    const auto small = genesis(shape, 5);
    const std::vector<double> large(small.begin(), small.end());
    Rng rng(8);
    const Window window{.rows = 2, .length = 23};
    std::vector<uint16_t> symbols(window.positions());
    for (uint16_t& symbol : symbols) symbol = static_cast<uint16_t>(rng.below(vocabulary));
    const auto gradient = [&]<typename R>(const std::vector<R>& parameters) {
      Activations<R> activations(shape, window, Keep::everything);
      std::vector<StreamState<R>> states(2, StreamState<R>(shape));
      Predictions<R> predictions;
      for (uint32_t i = 0; i < window.positions(); ++i) {
        predictions.at.push_back(i);
        predictions.targets.push_back(symbols[(i + 1) % symbols.size()]);
        predictions.weights.push_back(R(0.1));
      }
      std::vector<R> sum(parameters.size());
      network_forward(shape, parameters.data(), symbols, window, std::span(states), Routing{},
                      activations);
      loss_backward(shape, parameters.data(), window, predictions, sum.data(), activations);
      network_backward(shape, parameters.data(), symbols, window, sum.data(), activations);
      return sum;
    };
    const auto fast = gradient(small);
    const auto naive = gradient(large);
    double worst = 0, largest = 0;
    for (size_t i = 0; i < naive.size(); ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(fast[i]) - naive[i]));
      largest = std::max(largest, std::abs(naive[i]));
    }
    CHECK(worst < 1e-4 * largest);
  }
}

}  // namespace starling::model
