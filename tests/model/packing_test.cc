// Sequences of different lengths in one row, inputs from outside, and what the trainer refuses.
#include <doctest/doctest.h>

#include <limits>

#include "model/network.h"
#include "tests/model/example.h"

namespace starling::model {
namespace {

// What one pass gives back: the residual stream after the last layer and both gradients.
struct Pass {
  std::vector<double> out, dvectors, gradient;
};

struct Sequence {
  std::vector<uint16_t> symbols;
  std::vector<uint8_t> starts;
  std::vector<double> vectors;
};

Sequence random_sequence(Rng& rng, uint32_t length, size_t width) {
  Sequence sequence{.symbols = {}, .starts = std::vector<uint8_t>(length), .vectors = {}};
  for (uint32_t t = 0; t < length; ++t) {
    sequence.symbols.push_back(static_cast<uint16_t>(rng.below(256)));
    if (rng.below(4) != 0) continue;
    sequence.symbols.back() = symbol_given;
    const auto vector = example::numbers<double>(rng, width, 2.0);
    sequence.vectors.insert(sequence.vectors.end(), vector.begin(), vector.end());
  }
  sequence.starts[0] = 1;
  return sequence;
}

Pass run(const Shape& shape, const std::vector<double>& parameters, const Sequence& sequence) {
  const auto length = static_cast<uint32_t>(sequence.symbols.size());
  const Window window{.rows = 1, .length = length, .starts = length};
  Activations<double> activations(shape, window, Keep::everything);
  std::vector<StreamState<double>> states(1, StreamState<double>(shape));
  network_forward(shape, parameters.data(), sequence.symbols, window, std::span(states), Routing{},
                  activations,
                  Given<double>{.vectors = sequence.vectors, .starts = sequence.starts});
  Predictions<double> predictions;
  for (uint32_t i = 0; i < length; ++i) {
    predictions.at.push_back(i);
    predictions.targets.push_back(static_cast<uint16_t>(sequence.symbols[i] % 251));
    predictions.weights.push_back(0.1);
  }
  Pass pass{.out = {activations.out, activations.out + length * shape.width},
            .dvectors = std::vector<double>(sequence.vectors.size()),
            .gradient = std::vector<double>(parameters.size())};
  loss_backward(shape, parameters.data(), window, predictions, pass.gradient.data(), activations);
  network_backward(shape, parameters.data(), sequence.symbols, window, pass.gradient.data(),
                   activations, pass.dvectors.data());
  return pass;
}

template <typename T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

Batch given_batch(const Shape& shape) {
  Batch batch = example::text_batch("a rose is a rose is a rose. ", 3, 16);
  Rng rng(3);
  for (const size_t place : {2u, 3u, 20u, 40u}) batch.symbols[place] = symbol_given;
  batch.vectors = example::numbers<float>(rng, 4 * shape.width, 1.5);
  batch.starts.assign(48, 0);
  for (const size_t place : {5u, 6u, 30u}) batch.starts[place] = 1;
  return batch;
}

}  // namespace

TEST_CASE("sequences that share a row are bit for bit what each is alone, in every mode") {
  for (const Shape& shape : example::odd_shapes()) {
    INFO(describe(shape));
    const auto first = genesis(shape, 5);
    const std::vector<double> parameters(first.begin(), first.end());
    Rng rng(12);
    Sequence packed;
    Pass alone{.out = {}, .dvectors = {}, .gradient = std::vector<double>(parameters.size())};
    for (const uint32_t length : {7u, 1u, 2u, 13u, 5u}) {
      const Sequence sequence = random_sequence(rng, length, shape.width);
      append(packed.symbols, sequence.symbols);
      append(packed.starts, sequence.starts);
      append(packed.vectors, sequence.vectors);
      const Pass pass = run(shape, parameters, sequence);
      append(alone.out, pass.out);
      append(alone.dvectors, pass.dvectors);
      for (size_t i = 0; i < parameters.size(); ++i) alone.gradient[i] += pass.gradient[i];
    }
    const Pass together = run(shape, parameters, packed);
    CHECK(together.out == alone.out);
    CHECK(together.dvectors == alone.dvectors);
    double worst = 0;  // sums over positions are made in another order
    for (size_t i = 0; i < parameters.size(); ++i)
      worst = std::max(worst, std::abs(together.gradient[i] - alone.gradient[i]));
    CHECK(worst < 1e-12);
  }
}

TEST_CASE("a projection in front of the model learns from the gradient of its vectors") {
  const Shape shape = example::odd_shape();
  Trainer one(shape, {.micro_rows = 1}, genesis(shape, 1));
  Trainer three(shape, {.micro_rows = 3, .threads = 1}, genesis(shape, 1));
  Batch batch = given_batch(shape);
  const auto report = one.step(batch, 0);
  REQUIRE(report.has_value());
  REQUIRE(report->dvectors.size() == batch.vectors.size());
  const auto other = three.step(batch, 0);
  REQUIRE(other.has_value());
  for (size_t i = 0; i < batch.vectors.size(); ++i)
    CHECK(other->dvectors[i] == doctest::Approx(report->dvectors[i]).epsilon(1e-3));
  for (int turn = 0; turn < 20; ++turn) {
    const auto moved = one.step(batch, 0);
    REQUIRE(moved.has_value());
    for (size_t i = 0; i < batch.vectors.size(); ++i) batch.vectors[i] -= 2 * moved->dvectors[i];
  }
  CHECK(one.step(batch, 0)->loss < report->loss - 0.05);
}

TEST_CASE("vectors and starts that do not fit a batch are refused with the reason") {
  const Shape shape = example::odd_shape();
  Trainer trainer(shape, {}, genesis(shape, 1));
  Batch batch = given_batch(shape);
  batch.vectors.pop_back();
  CHECK(trainer.step(batch, 0.1f).error().what ==
        "the batch has 39 numbers in its vectors, 4 positions of width 10 need others");
  batch = given_batch(shape);
  batch.vectors[25] = std::numeric_limits<float>::quiet_NaN();
  CHECK(trainer.step(batch, 0.1f).error().what == "vector 2 of the batch is not finite");
  batch = given_batch(shape);
  batch.starts.pop_back();
  CHECK(trainer.step(batch, 0.1f).error().what ==
        "the batch's starts do not match its rows and length");
  batch = given_batch(shape);
  batch.targets[0] = symbol_given;
  CHECK(trainer.step(batch, 0.1f).error().what ==
        "position 0 of the batch holds a symbol outside the vocabulary");
  CHECK(trainer.steps() == 0);
}

TEST_CASE(
    "threads beyond the cores and memory beyond the limit are told before anything is taken") {
  CHECK(fault_of(TrainerOptions{.threads = 2}, 2).empty());
  CHECK(fault_of(TrainerOptions{.threads = 0}, 2) == "threads is 0; at least 1 is needed");
  CHECK(fault_of(TrainerOptions{.threads = 3}, 2) == "threads is 3, the machine has 2 cores");
  CHECK(fault_of(TrainerOptions{.micro_rows = 0}, 2) == "micro_rows is 0; at least 1 is needed");
  const auto fault = [](std::string_view shape, uint64_t mib) {
    return Trainer::memory_fault(*shape_from(shape), {}, 8, 256, mib << 20);
  };
  CHECK(fault("tiny", 64).empty());
  CHECK(fault("small", 160).empty());
  CHECK(fault("base", 512).empty());
  CHECK(
      fault("width=1024,layers=8,channels=2048,mlp=3072", 512).find("MiB, the limit is 512 MiB") !=
      std::string::npos);
  CHECK(Trainer::memory_fault(Shape{.layers = 0}, {}, 8, 256, 1) ==
        "layers is 0, the limits are 1 and 128");
}

}  // namespace starling::model
