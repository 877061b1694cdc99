#include "model/guard.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "model/pace.h"
#include "tests/model/example.h"

namespace starling::model {
namespace {

constexpr std::string_view sentence = "the quick brown fox jumps over the lazy dog, and again; ";

std::vector<uint8_t> bytes_of(std::string_view text, size_t size) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<uint8_t>(text[i % text.size()]));
  return bytes;
}

Snapshot snapshot_of(const Trainer& trainer) {
  const auto x = trainer.parameters();
  return {trainer.shape(), {x.begin(), x.end()}, trainer.steps()};
}

// A trainer that has learned the sentence, and the probe that saw it.
struct Learned {
  Shape shape = example::odd_shape();
  Trainer trainer{shape, {.micro_rows = 2}, genesis(shape, 1)};
  Probe probe{1};

  Learned() {
    probe.hold_out(bytes_of(sentence, 20000));
    probe.admit();
    learn(60, 1e-2f);
  }
  void learn(int steps, float rate) {
    for (int i = 0; i < steps; ++i)
      (void)trainer.step(example::text_batch(sentence, 4, 24, static_cast<size_t>(i)), rate);
  }
  double loss() const { return probe.loss(snapshot_of(trainer)); }
  std::vector<float> zeros() const { return std::vector<float>(trainer.parameters().size()); }
};

}  // namespace

TEST_CASE("what a probe holds out is a little, always the same, and not left to learn from") {
  Probe probe(1), again(2);
  std::vector<uint8_t> text(40000);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<uint8_t>(i / 157);
  const std::vector<uint8_t> left = probe.hold_out(text);
  CHECK(left.size() == text.size() - Probe::windows_per_text * Probe::window_size);
  CHECK(left == again.hold_out(text));
  CHECK(std::equal(left.begin(), left.begin() + 5000, text.begin()));
  CHECK(std::equal(left.begin() + 5000, left.begin() + 6000, text.begin() + 5256));
  const std::vector<uint8_t> small(text.begin(), text.begin() + 16383);
  CHECK(probe.hold_out(small) == small);
  CHECK(probe.is_empty());
  CHECK(probe.has_waiting());
  for (int i = 0; i < 100; ++i) probe.hold_out(text);
  probe.admit();
  CHECK_FALSE(probe.is_empty());
  CHECK_FALSE(probe.has_waiting());
}

TEST_CASE("a loss has exploded when it is not finite or has doubled and more") {
  CHECK_FALSE(has_exploded(2.2, 2.3));
  CHECK_FALSE(has_exploded(2.2, 4.8));
  CHECK(has_exploded(2.2, 5.0));
  CHECK_FALSE(has_exploded(0.01, 0.4));
  CHECK(has_exploded(2.2, std::nan("")));
  CHECK(has_exploded(2.2, std::numeric_limits<double>::infinity()));
}

TEST_CASE(
    "an absurd learning rate is undone: weights, moments and counts are the good ones again") {
  Learned good, twin;
  const double before = good.loss();
  REQUIRE(before < 4);
  GoodState kept;
  const std::vector<float> x(good.trainer.parameters().begin(), good.trainer.parameters().end());
  kept.keep(good.trainer, good.zeros());
  good.learn(20, 30.0f);
  CHECK(has_exploded(before, good.loss()));
  kept.restore(good.trainer, kept.weights(good.zeros()));
  for (size_t i = 0; i < x.size(); ++i)
    REQUIRE(std::abs(good.trainer.parameters()[i] - x[i]) <= std::abs(x[i]) / 256);
  CHECK(std::abs(good.loss() - before) < 0.02);
  CHECK(good.trainer.steps() == 60);
  // The moments are the old ones to about three digits: learning goes on as if nothing had been.
  good.learn(20, 1e-2f);
  twin.learn(20, 1e-2f);
  CHECK(std::abs(good.loss() - twin.loss()) < 0.05);
}

TEST_CASE("weights that are not finite are undone") {
  Learned good;
  GoodState kept;
  kept.keep(good.trainer, good.zeros());
  const double before = good.loss();
  good.trainer.parameters()[7] = std::nanf("");
  CHECK(has_exploded(before, good.loss()));
  CHECK_FALSE(good.trainer.step(example::text_batch(sentence, 2, 8), 1e-3f));
  kept.restore(good.trainer, kept.weights(good.zeros()));
  CHECK(std::abs(good.loss() - before) < 0.02);
  CHECK(good.trainer.step(example::text_batch(sentence, 2, 8), 1e-3f));
}

TEST_CASE("what comes back is what the reference is now and the good progress on it") {
  Learned good;
  std::vector<float> reference(good.trainer.parameters().begin(), good.trainer.parameters().end());
  GoodState even, ahead;
  even.keep(good.trainer, reference);  // nothing unsent
  for (size_t i = 0; i < reference.size(); ++i) reference[i] -= i % 3 == 0 ? 0.5f : 0.0f;
  ahead.keep(good.trainer, reference);
  for (float& value : reference) value += 0.25f;  // others' deltas
  CHECK(even.weights(reference) == reference);
  const std::vector<float> weights = ahead.weights(reference);
  for (size_t i = 0; i < weights.size(); ++i)
    CHECK(weights[i] == doctest::Approx(reference[i] + (i % 3 == 0 ? 0.5f : 0.0f)));
}

TEST_CASE("the pace falls once the loss stops improving, and not before") {
  Pace pace;
  for (int i = 0; i < 300; ++i) pace.learned(8 * std::pow(0.995, i));
  CHECK(pace.share() > 0.93);
  for (int i = 0; i < 3000; ++i) pace.learned(1.8);
  CHECK(pace.share() < 0.5);
  CHECK(pace.share() > 0.3);
  const double before = pace.share();
  for (int i = 0; i < 30000; ++i) pace.learned(1.8);
  CHECK(pace.share() < 0.5 * before);
}

TEST_CASE("new text brings the pace to one gentle share, from above and from below") {
  Pace young, old;
  for (int i = 0; i < 30000; ++i) old.learned(2);
  const double rested = old.share();
  REQUIRE(rested < 0.16);
  for (Pace* pace : {&young, &old})
    for (int i = 0; i < 10; ++i) pace->met(4.5, 2.2);
  CHECK(young.share() == doctest::Approx(old.share()).epsilon(0.01));
  CHECK(young.share() < 0.6);
  CHECK(old.share() > 1.2 * rested);
  for (int i = 0; i < 10; ++i) old.met(2.2, 2.2);  // it is known now
  CHECK(old.share() == doctest::Approx(rested).epsilon(0.01));
  // To a model that knows nothing all is new and nothing surprises.
  Pace blank;
  for (int i = 0; i < 10; ++i) blank.met(7.9, 8.0);
  CHECK(blank.share() == 1);
}

TEST_CASE("a pace that was undone is halved, recovers slowly, and survives a checkpoint") {
  Pace pace;
  pace.undone();
  pace.undone();
  CHECK(pace.share() == 0.25);
  Pace other;
  REQUIRE(other.restore(pace.state()));
  CHECK(other.share() == 0.25);
  for (int i = 0; i < 20000; ++i) other.learned(std::nan(""));
  CHECK(other.trust() > 0.99);
  CHECK(std::isfinite(other.share()));
  for (int i = 0; i < 200; ++i) pace.undone();
  CHECK(pace.share() > 0);
  PaceState bad = pace.state();
  bad.surprise = std::nan("");
  CHECK_FALSE(other.restore(bad));
  bad = {.familiar = -1};
  CHECK_FALSE(other.restore(bad));
}

}  // namespace starling::model
