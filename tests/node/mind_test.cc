#include "node/mind.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "node/schedule.h"

namespace starling::node {
namespace {

Source lines(int count) {
  Source source;
  source.name = "lines";
  source.kind = DataKind::text;
  for (int i = 0; i < count; ++i) {
    const std::string line = "line " + std::to_string(i % 50) + " of the song goes on and on\n";
    source.text.insert(source.text.end(), line.begin(), line.end());
  }
  return source;
}

MindOptions options(bool is_in_swarm) {
  MindOptions made;
  made.config.model.preset = "demo";
  made.config.learn.rows = 4;
  made.config.learn.length = 64;
  made.config.swarm.exchange = is_in_swarm;
  made.shape = *model::shape_of_preset("demo");
  return made;
}

void learn(Mind& mind, int steps, double rate) {
  for (int i = 0; i < steps; ++i) (void)mind.step(rate);
}

std::vector<float> weights(const Mind& mind) { return mind.snapshot()->parameters; }

}  // namespace

TEST_CASE("learning that diverges is undone, alone and in a swarm, and the swarm's sum stays") {
  for (const bool is_in_swarm : {false, true}) {
    const MindOptions made = options(is_in_swarm);
    Mind mind(made, model::genesis(made.shape, genesis_seed));
    REQUIRE(mind.add(lines(1000)));
    learn(mind, 30, 8e-3);
    CHECK_FALSE(mind.guard());
    mind.keep_good();
    const std::vector<float> good = weights(mind);
    const uint64_t step = mind.step_count();
    learn(mind, 10, 8e-3);
    CHECK_FALSE(mind.guard());  // ordinary learning is left alone

    // Others' deltas arrive meanwhile: base and weights move by the same.
    constexpr int32_t shift = 1024;
    Mind::Known known = mind.known();
    for (int32_t& value : known.values) value += shift;
    mind.replace_base(std::move(known));
    const auto hash = mind.exchange().base().hash();
    learn(mind, 10, 1.0);
    const auto undone = mind.guard();
    REQUIRE(undone.has_value());
    CHECK(undone->to_step == step);
    CHECK(undone->from_step > step);
    CHECK_FALSE(undone->loss_now >= undone->loss);
    CHECK(mind.exchange().base().hash() == hash);
    CHECK(mind.pace().trust() == doctest::Approx(0.5).epsilon(0.02));
    const std::vector<float> now = weights(mind);
    float farthest = 0;
    for (size_t i = 0; i < now.size(); ++i)
      farthest =
          std::max(farthest, std::abs(now[i] - good[i] - static_cast<float>(shift) * 0x1p-24f));
    // What was learned is kept to 8 bits of mantissa, and no weight has moved by 0.25 yet.
    CHECK(farthest < 0.25f / 256);
    CHECK_FALSE(mind.guard());  // nothing was learned since
    learn(mind, 10, 4e-3);
    CHECK_FALSE(mind.guard());
  }
}

TEST_CASE("a mind's pace survives a checkpoint and sets the rate of an endless run only") {
  const MindOptions made = options(false);
  Mind mind(made, model::genesis(made.shape, genesis_seed));
  REQUIRE(mind.add(lines(1000)));
  learn(mind, 30, 8e-3);
  CHECK_FALSE(mind.guard());
  mind.keep_good();
  learn(mind, 10, 1.0);
  REQUIRE(mind.guard());
  Mind again(made, model::genesis(made.shape, genesis_seed));
  REQUIRE(again.restore(mind.sections()));
  CHECK(again.pace().share() == mind.pace().share());
  CHECK(again.pace().trust() < 0.6);

  Config config = made.config;
  const Progress progress{.own_step = 1000, .swarm_step = 1000, .pace = 0.25, .trust = 0.5};
  CHECK(Schedule(config).learning_rate(progress) == doctest::Approx(8e-3 * 0.25));
  config.learn.steps = 4000;
  CHECK(Schedule(config).learning_rate(progress) == doctest::Approx(8e-3 * 0.5));
}

TEST_CASE("a checkpoint of another preset is refused with both shapes and changes nothing") {
  const MindOptions demo = options(false);
  MindOptions tiny = demo;
  tiny.config.model.preset = "tiny";
  tiny.shape = *model::shape_of_preset("tiny");
  Mind small(demo, model::genesis(demo.shape, genesis_seed));
  Mind large(tiny, model::genesis(tiny.shape, genesis_seed));
  REQUIRE(small.add(lines(1000)));
  learn(small, 3, 8e-3);
  const std::vector<float> before = weights(small);
  const auto refused = small.restore(large.sections());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().find("'" + model::describe(demo.shape) + "'") != std::string::npos);
  CHECK(refused.error().find("'" + model::describe(tiny.shape) + "'") != std::string::npos);
  CHECK(weights(small) == before);
  CHECK(small.step_count() == 3);
}

}  // namespace starling::node
