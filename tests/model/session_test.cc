#include "model/session.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <numbers>

#include "model/kernels.h"
#include "model/network.h"
#include "model/quantised.h"
#include "tests/model/example.h"

namespace starling::model {
namespace {

std::shared_ptr<const Snapshot> snapshot_of(const Shape& shape, uint64_t seed = 3) {
  return std::make_shared<const Snapshot>(Snapshot{shape, genesis(shape, seed), 0});
}

std::vector<uint16_t> random_symbols(size_t count) {
  Rng rng(9);
  std::vector<uint16_t> symbols(count);
  for (uint16_t& symbol : symbols) symbol = static_cast<uint16_t>(rng.below(vocabulary));
  return symbols;
}

}  // namespace

TEST_CASE("token by token and as one sequence the logits are the same") {
  std::vector<Shape> shapes = example::odd_shapes();
  shapes.push_back(*shape_of_preset("demo"));
  shapes.push_back({.width = 24, .layers = 1, .channels = 20, .mlp_width = 40, .regions = 1});
  shapes.push_back(*shape_from("demo,regions=64,always_awake=3,selected=9,selection=token"));
  for (const Shape& shape : shapes) {
    INFO(describe(shape));
    const auto snapshot = snapshot_of(shape);
    const auto symbols = random_symbols(150);
    const Window window{.rows = 1, .length = 150};
    Activations<float> activations(shape, window, Keep::last_layer);
    std::vector<StreamState<float>> states(1, StreamState<float>(shape));
    network_forward(shape, snapshot->parameters.data(), symbols, window, std::span(states),
                    Routing{}, activations);
    std::vector<uint32_t> at;
    for (uint32_t i = 0; i < 150; ++i) at.push_back(i);
    head_forward(shape, snapshot->parameters.data(), at, activations);
    Session session(snapshot);
    double worst = 0;
    for (size_t t = 0; t < symbols.size(); ++t) {
      const auto logits = session.feed(symbols[t]);
      for (size_t i = 0; i < vocabulary; ++i)
        worst = std::max(
            worst,
            std::abs(static_cast<double>(logits[i] - activations.logits[t * vocabulary + i])));
    }
    CHECK(worst < 1e-3);
  }
}

TEST_CASE("regions that are not hosted are never awake: in sessions, in 8 bits and in scores") {
  const Shape shape = *shape_from("demo,regions=8,always_awake=2,selected=2,chunk=8");
  Snapshot whole{.shape = shape, .parameters = genesis(shape, 9), .step = 0};
  Snapshot part = whole;
  part.hosted = {0b00010111, 0b11000011};
  const auto symbols = random_symbols(200);
  const std::vector<uint8_t> text(symbols.begin(), symbols.end());
  const double before = score_text(part, text).bits_per_byte;
  CHECK(before != score_text(whole, text).bits_per_byte);
  // What is not hosted may hold anything.
  const Layout layout(shape);
  for (const Region& region : region_table(shape)) {
    if (region.kind != RegionKind::mlp || (part.hosted[region.layer] >> region.index & 1) != 0)
      continue;
    std::fill_n(part.parameters.begin() + region.offset, region.count, 1e9f);
  }
  CHECK(score_text(part, text).bits_per_byte == before);
  const auto served = std::make_shared<const Snapshot>(part);
  const auto quantised = std::make_shared<const Quantised>(part);
  CHECK(quantised->bytes() < Quantised(whole).bytes());
  Session exact(served), rounded(quantised);
  double nats = 0;
  uint16_t last = '\n';
  for (const uint8_t symbol : text) {
    const auto logits = exact.feed(last);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    nats += std::log(sum) - static_cast<double>(logits[symbol]);
    for (const float logit : rounded.feed(last)) CHECK(std::abs(logit) < 1e3f);
    last = symbol;
  }
  CHECK(nats / std::numbers::ln2 / 200 == doctest::Approx(before).epsilon(1e-4));
}

TEST_CASE("a session reads a vector from outside as a batch does") {
  const Shape shape = example::odd_shape();
  const auto snapshot = snapshot_of(shape);
  Rng rng(6);
  const auto vectors = example::numbers<float>(rng, 2 * shape.width, 2.0);
  const std::vector<uint16_t> symbols{'a', symbol_given, 'b', 'c', symbol_given, 'd', 'e'};
  const Window window{.rows = 1, .length = 7};
  Activations<float> activations(shape, window, Keep::last_layer);
  std::vector<StreamState<float>> states(1, StreamState<float>(shape));
  network_forward(shape, snapshot->parameters.data(), symbols, window, std::span(states), Routing{},
                  activations, Given<float>{.vectors = vectors, .starts = {}});
  const std::vector<uint32_t> last{6};
  head_forward(shape, snapshot->parameters.data(), last, activations);
  Session session(snapshot);
  std::span<const float> logits, rest(vectors);
  for (const uint16_t symbol : symbols) {
    logits = symbol == symbol_given ? session.feed(rest.first(shape.width)) : session.feed(symbol);
    if (symbol == symbol_given) rest = rest.subspan(shape.width);
  }
  for (size_t i = 0; i < vocabulary; ++i)
    CHECK(std::abs(logits[i] - activations.logits[i]) < 1e-3f);
}

TEST_CASE("a session's state does not grow") {
  Session session(snapshot_of(*shape_of_preset("tiny")));
  const uint64_t before = session.state_bytes();
  for (int i = 0; i < 300; ++i) session.feed(static_cast<uint16_t>(i % 256));
  CHECK(session.state_bytes() == before);
  CHECK(before < 32 * 1024);
}

TEST_CASE("the score of a text is the mean of what a session predicts") {
  const auto snapshot = snapshot_of(*shape_of_preset("demo"));
  std::vector<uint8_t> text;
  for (const uint16_t symbol : random_symbols(1200)) text.push_back(static_cast<uint8_t>(symbol));
  Session session(snapshot);
  double nats = 0;
  uint16_t previous = '\n';
  for (const uint8_t byte : text) {
    const auto row = session.feed(previous);
    std::vector<float> logits(row.begin(), row.end());
    const uint16_t target = byte;
    const float weight = 1;
    nats += kernels::cross_entropy(logits.data(), &target, &weight, 1, vocabulary);
    previous = byte;
  }
  const TextScore score = score_text(*snapshot, text);
  CHECK(score.bytes == 1200);
  CHECK(score.bits_per_byte == doctest::Approx(nats * std::numbers::log2e / 1200).epsilon(1e-5));
  CHECK(score_text(*snapshot, {}).bytes == 0);
  int windows = 0;
  CHECK_FALSE(score_text(*snapshot, text, [&] { return ++windows < 2; }).has_value());
  CHECK(windows == 2);
  CHECK(score_text(*snapshot, text, [] { return true; })->bits_per_byte == score.bits_per_byte);
}

TEST_CASE("pairs are scored as greedy decoding would answer") {
  const Shape shape{.width = 32,
                    .layers = 1,
                    .channels = 64,
                    .mlp_width = 64,
                    .regions = 4,
                    .always_awake = 2,
                    .selected = 1,
                    .chunk = 16};
  std::vector<Pair> pairs;
  const std::string long_answer = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  for (const char* word : {"red", "green", "blue", "black"})
    pairs.push_back({std::string(word) + ">",
                     std::string(word).substr(1) + (word[0] == 'g' ? long_answer : "")});
  Trainer trainer(shape, {}, genesis(shape, 1));
  for (int i = 0; i < 150; ++i) {
    Batch batch{.rows = 4,
                .length = 96,
                .symbols = {},
                .targets = {},
                .weights = {},
                .fresh = {1, 1, 1, 1}};
    for (const Pair& pair : pairs) {
      const std::string text = "\n" + pair.prompt + pair.answer + "\n";
      for (size_t t = 0; t < 96; ++t) {
        batch.symbols.push_back(static_cast<uint8_t>(text[std::min(t, text.size() - 1)]));
        batch.targets.push_back(static_cast<uint8_t>(text[std::min(t + 1, text.size() - 1)]));
        batch.weights.push_back(t + 1 > pair.prompt.size() && t + 1 < text.size() ? 1.0f : 0.0f);
      }
    }
    REQUIRE(trainer.step(batch, 1e-2f).has_value());
  }
  const auto snapshot = std::make_shared<const Snapshot>(
      Snapshot{shape, {trainer.parameters().begin(), trainer.parameters().end()}, 0});
  pairs.push_back({"red>", "ad"});  // wrong
  pairs.push_back({"red>", "e"});   // right as far as it goes, but the line does not end there
  const auto greedy = [&](const Pair& pair) {
    Session session(snapshot);
    session.feed('\n');
    std::span<const float> logits;
    for (const char byte : pair.prompt) logits = session.feed(static_cast<uint8_t>(byte));
    Rng rng(1);
    for (const char byte : pair.answer + "\n") {
      if (sample(logits, {}, rng) != static_cast<uint8_t>(byte)) return false;
      logits = session.feed(static_cast<uint8_t>(byte));
    }
    return true;
  };
  size_t right = 0;
  for (const Pair& pair : pairs) right += greedy(pair) ? 1 : 0;
  CHECK(right == 4);
  const PairScore score = score_pairs(*snapshot, pairs);
  CHECK(score.pairs == 6);
  CHECK(score.exact_match == doctest::Approx(4.0 / 6));
  CHECK(score_pairs(*snapshot, {}).pairs == 0);
}

TEST_CASE(
    "sampling keeps to the nucleus, follows the probabilities, and never makes a reserved symbol") {
  std::vector<float> logits(vocabulary, -20.0f);
  logits[symbol_begin] = 50;
  logits[7] = std::log(6.0f), logits[9] = std::log(3.0f), logits[symbol_end] = std::log(1.0f);
  Rng rng(5);
  CHECK(sample(logits, {}, rng) == 7);
  std::array<int, vocabulary> counts{};
  for (int i = 0; i < 20000; ++i) ++counts[sample(logits, {.temperature = 1}, rng)];
  CHECK(counts[symbol_begin] == 0);
  CHECK(counts[7] == doctest::Approx(12000).epsilon(0.03));
  CHECK(counts[9] == doctest::Approx(6000).epsilon(0.05));
  CHECK(counts[symbol_end] == doctest::Approx(2000).epsilon(0.1));
  counts.fill(0);
  for (int i = 0; i < 5000; ++i) ++counts[sample(logits, {.temperature = 1, .top_p = 0.7f}, rng)];
  CHECK(counts[7] + counts[9] == 5000);
  CHECK(counts[9] > 1000);
}

}  // namespace starling::model
