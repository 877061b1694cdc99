// Sessions on 8-bit weights against those on fp32, and what a token may not do: allocate.
#include "model/quantised.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <new>
#include <numbers>
#include <string>

#include "model/kernels.h"
#include "model/session.h"
#include "tests/model/example.h"

namespace {

size_t allocations = 0;

void* counted(size_t size) {
  ++allocations;
  void* memory = std::malloc(size > 0 ? size : 1);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

void* operator new(size_t size) { return counted(size); }
void* operator new[](size_t size) { return counted(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return counted(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return counted(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace starling::model {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(std::string(STARLING_SOURCE_DIR) + "/" + path);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::shared_ptr<const Snapshot> trained_on(const std::string& text) {
  const Shape shape = *shape_of_preset("demo");
  Trainer trainer(shape, {.beta1 = 0.9f}, genesis(shape, 1));
  for (size_t step = 0; step < 150; ++step)
    REQUIRE(trainer.step(example::text_batch(text, 1, 256, step * 997), 8e-3f).has_value());
  return std::make_shared<const Snapshot>(
      Snapshot{shape, {trainer.parameters().begin(), trainer.parameters().end()}, 150});
}

double bits_per_byte(Session session, const std::string& text) {
  double nats = 0;
  uint16_t previous = '\n';
  for (const char byte : text) {
    const auto row = session.feed(previous);
    std::vector<float> logits(row.begin(), row.end());
    const uint16_t target = static_cast<uint8_t>(byte);
    const float weight = 1;
    nats += kernels::cross_entropy(logits.data(), &target, &weight, 1, vocabulary);
    previous = target;
  }
  return nats * std::numbers::log2e / static_cast<double>(text.size());
}

}  // namespace

TEST_CASE("8-bit weights cost at most 0.01 bits per byte") {
  const std::string text = text_of("model/kernels.cc");
  const auto snapshot = trained_on(text);
  const std::string known = text.substr(3000, 6000);  // sharp predictions suffer most
  const double exact = bits_per_byte(Session(snapshot), known);
  const double rounded =
      bits_per_byte(Session(std::make_shared<const Quantised>(*snapshot)), known);
  MESSAGE("fp32 " << exact << ", 8 bits " << rounded << " bits per byte");
  CHECK(exact < 4);  // it has learned something that rounding could spoil
  CHECK(rounded - exact < 0.01);
  CHECK(rounded != exact);
}

TEST_CASE("a session in 8 bits follows the one in fp32 at odd sizes and with any regions") {
  for (const Shape& shape :
       {example::odd_shape(),
        Shape{.width = 24, .layers = 1, .channels = 20, .mlp_width = 40, .regions = 1},
        Shape{.width = 24,
        .layers = 2,
        .channels = 20,
        .mlp_width = 40,
        .regions = 4,
        .always_awake = 0,
        .selected = 4}}) {
    INFO(describe(shape));
    const auto snapshot = std::make_shared<const Snapshot>(Snapshot{shape, genesis(shape, 3), 0});
    Session exact(snapshot), rounded(std::make_shared<const Quantised>(*snapshot));
    Rng rng(3);
    double difference = 0, size = 0;
    for (int t = 0; t < 100; ++t) {
      const auto symbol = static_cast<uint16_t>(rng.below(vocabulary));
      const auto a = exact.feed(symbol), b = rounded.feed(symbol);
      for (size_t i = 0; i < vocabulary; ++i) {
        difference += std::pow(static_cast<double>(a[i] - b[i]), 2);
        size += std::pow(static_cast<double>(a[i]), 2);
      }
    }
    CHECK(std::sqrt(difference / size) < 0.05);
    CHECK(std::sqrt(difference / size) > 0);
  }
}

TEST_CASE("one token's step allocates nothing, and the quantised form is a third of the snapshot") {
  const Shape shape = *shape_of_preset("tiny");
  auto snapshot = std::make_shared<const Snapshot>(Snapshot{shape, genesis(shape, 1), 7});
  const auto quantised = std::make_shared<const Quantised>(*snapshot);
  CHECK(quantised->step() == 7);
  CHECK(3 * quantised->bytes() < snapshot->parameters.size() * sizeof(float) * 5 / 4);
  Session exact(snapshot), rounded(quantised);
  Rng rng(1);
  uint16_t symbol = 'a';
  const size_t before = allocations;
  for (int t = 0; t < 200; ++t) {
    exact.feed(symbol);
    symbol = sample(rounded.feed(symbol), {.temperature = 1, .top_p = 0.9f}, rng);
  }
  CHECK(allocations == before);
}

}  // namespace starling::model
