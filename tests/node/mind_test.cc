#include "node/mind.h"

#include <doctest/doctest.h>
#include <sodium.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "model/selector.h"
#include "node/region_names.h"
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

std::optional<swarm::Bytes> no_log(const swarm::DeltaKey&) { return std::nullopt; }

std::vector<float> weights(const Mind& mind) { return mind.snapshot()->parameters; }

}  // namespace

TEST_CASE("learning that diverges is undone, alone and in a swarm, and the swarm's sum stays") {
  for (const bool is_in_swarm : {false, true}) {
    const MindOptions made = options(is_in_swarm);
    Mind mind(made, model::genesis(made.shape, genesis_seed));
    REQUIRE(mind.add(lines(1000)));
    learn(mind, 30, 8e-3);
    CHECK_FALSE(mind.guard(no_log));
    mind.keep_good();
    const std::vector<float> good = weights(mind);
    const uint64_t step = mind.step_count();
    learn(mind, 10, 8e-3);
    CHECK_FALSE(mind.guard(no_log));  // ordinary learning is left alone

    // Others' deltas arrive meanwhile: base and weights move by the same.
    constexpr int32_t shift = 1024;
    Mind::Known known = mind.known();
    for (int32_t& value : known.values) value += shift;
    mind.replace_base(std::move(known));
    const auto hash = mind.exchange().base().hash();
    learn(mind, 10, 1.0);
    const auto undone = mind.guard(no_log);
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
    CHECK_FALSE(mind.guard(no_log));  // nothing was learned since
    learn(mind, 10, 4e-3);
    CHECK_FALSE(mind.guard(no_log));
  }
}

TEST_CASE("a mind's pace survives a checkpoint and sets the rate of an endless run only") {
  const MindOptions made = options(false);
  Mind mind(made, model::genesis(made.shape, genesis_seed));
  REQUIRE(mind.add(lines(1000)));
  learn(mind, 30, 8e-3);
  CHECK_FALSE(mind.guard(no_log));
  mind.keep_good();
  learn(mind, 10, 1.0);
  REQUIRE(mind.guard(no_log));
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

namespace {

// Minds that hear each other at once. What they say is in one log.
struct Company {
  explicit Company(size_t count) {
    REQUIRE(sodium_init() >= 0);
    for (size_t i = 0; i < count; ++i) {
      auto& [public_key, secret] = keys.emplace_back();
      crypto_sign_keypair(public_key.data(), secret.data());
      MindOptions made = options(true);
      made.epoch = 1;
      made.self = swarm::peer_id_of(public_key);
      made.config.swarm.outer = 4;
      minds.push_back(std::make_unique<Mind>(made, model::genesis(made.shape, genesis_seed)));
      REQUIRE(minds.back()->add(lines(1000)));
    }
  }
  void say(size_t speaker) {
    swarm::SwarmView view;
    view.active_origins = static_cast<uint32_t>(minds.size());
    const auto publication =
        minds[speaker]->publish(view, 0, swarm::Signer(keys[speaker].second.data()), 5);
    REQUIRE(publication);
    const swarm::DeltaKey key{{id(speaker), 1}, publication->header.seq};
    const auto opened = swarm::open(*publication->frame, {});
    REQUIRE(opened);
    payloads[key] = {opened->payload.begin(), opened->payload.end()};
    for (size_t i = 0; i < minds.size(); ++i)
      CHECK(minds[i]->accept_frame(key, *publication->frame, 5) == (i != speaker));
  }
  swarm::PeerId id(size_t mind) const { return swarm::peer_id_of(keys[mind].first); }
  swarm::PayloadSource log() const {
    return [this](const swarm::DeltaKey& key) -> std::optional<swarm::Bytes> {
      const auto found = payloads.find(key);
      return found == payloads.end() ? std::nullopt : std::optional(found->second);
    };
  }

  std::vector<std::pair<swarm::PublicKey, std::array<uint8_t, 64>>> keys;
  std::vector<std::unique_ptr<Mind>> minds;
  std::map<swarm::DeltaKey, swarm::Bytes> payloads;
};

}  // namespace

TEST_CASE(
    "who spoils the probe is found among the others, and the weights go without what it taught") {
  Company company(3);
  Mind& honest = *company.minds[0];
  for (int round = 0; round < 4; ++round) {
    for (size_t i = 0; i < 2; ++i) {
      learn(*company.minds[i], 10, 8e-3);
      CHECK_FALSE(company.minds[i]->guard(company.log()));
      company.say(i);
    }
  }
  CHECK_FALSE(honest.guard(company.log()));
  for (int round = 0; round < 3; ++round) {
    learn(*company.minds[2], 10, 1.0);
    company.say(2);
  }
  learn(honest, 1, 1e-4);
  const auto repair = honest.guard(company.log());
  REQUIRE(repair);
  CHECK(repair->suspended == std::vector{company.id(2)});
  CHECK_FALSE(repair->loss_now >= 2 * repair->good_loss);
  CHECK(honest.exchange().base().hash() == company.minds[1]->exchange().base().hash());

  // What it goes on sending changes nothing here; a restart does not forget.
  const std::vector<float> before = weights(honest);
  company.say(1);
  const std::vector<float> after = weights(honest);
  CHECK(before != after);
  learn(*company.minds[2], 10, 1.0);
  company.say(2);
  CHECK(weights(honest) == after);
  MindOptions made = options(true);
  Mind again(made, model::genesis(made.shape, genesis_seed));
  REQUIRE(again.restore(honest.sections()));
  CHECK(again.exchange().suspended() == std::set{company.id(2)});
  CHECK(weights(again) == after);

  // It is tried now and then whether the doubt is still needed: it is, until it is revoked.
  for (int round = 0; round < 13; ++round) {
    learn(honest, 1, 1e-4);
    CHECK_FALSE(honest.guard(company.log()));
  }
  CHECK(honest.exchange().suspended().size() == 1);
  (void)honest.expel(company.id(2), company.log());
  CHECK(honest.exchange().suspended().empty());
  learn(honest, 1, 1e-4);
  CHECK_FALSE(honest.guard(company.log()));
}

TEST_CASE("a snapshot is what two nodes with equal deltas make of them, and a forged one is told") {
  Company company(2);
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < 2; ++i) {
      learn(*company.minds[i], 3 + static_cast<int>(i), 8e-3);
      company.say(i);
    }
  }
  Mind& mind = *company.minds[0];
  const auto settled = mind.exchange().settled(company.log());
  const auto of_other = company.minds[1]->exchange().settled(company.log());
  REQUIRE(settled);
  REQUIRE(of_other);
  CHECK(settled->applied == of_other->applied);
  CHECK(settled->hash == of_other->hash);

  swarm::SnapshotOffer offer;
  offer.hash = settled->hash;
  offer.have = settled->applied;
  auto known = company.minds[1]->read_base_sections(mind.base_sections(*settled));
  REQUIRE(known);
  CHECK(mind.difference(*known, offer).empty());
  ++known->values[7];
  CHECK(mind.difference(*known, offer) == "its base is not the one that its offer names");
  --known->values[7];
  offer.have.insert({{company.id(1), 9}, 1});
  CHECK(mind.difference(*known, offer) == "it does not hold the deltas that its offer names");
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

TEST_CASE("a node computes what it hosts, follows the sum everywhere, and has it when it grows") {
  MindOptions all = options(true), few = options(true);
  few.config.model.hosted_regions = {"mlp.0.4", "mlp.0.5", "mlp.1.7"};
  all.self.bytes[0] = 1;
  const std::vector<float> genesis = model::genesis(all.shape, genesis_seed);
  Mind whole(all, genesis), part(few, genesis);
  REQUIRE(whole.add(lines(1000)));
  REQUIRE(part.add(lines(1000)));
  std::array<uint8_t, 64> secret{}, other{};
  swarm::PublicKey key{};
  crypto_sign_keypair(key.data(), secret.data());
  crypto_sign_keypair(key.data(), other.data());
  const swarm::SwarmView view{.active_origins = 2};
  std::set<std::string> sent;
  for (int round = 0; round < 4; ++round) {
    learn(whole, 5, 8e-3), learn(part, 5, 8e-3);
    const auto theirs = whole.publish(view, 0, swarm::Signer(secret.data()), 1);
    const auto ours = part.publish(view, 0, swarm::Signer(other.data()), 1);
    REQUIRE(theirs);
    REQUIRE(ours);
    for (const auto& [region, tokens] : ours->summary.region_tokens)
      sent.insert(model::region_name(part.regions()[region]));
    for (const auto& [from, to] : {std::pair(&*theirs, &part), std::pair(&*ours, &whole)}) {
      const auto opened = swarm::open(*from->frame, all.swarm);
      REQUIRE(opened);
      const swarm::DeltaKey delta{{swarm::peer_id_of(opened->header.origin), opened->header.epoch},
                                  opened->header.seq};
      CHECK(to->accept(delta, from->summary, opened->payload, 1));
    }
  }
  CHECK(part.exchange().base().hash() == whole.exchange().base().hash());
  size_t away = 0, received = 0;
  for (const RegionRow& row : part.region_rows()) {
    if (row.is_hosted) continue;
    ++away;
    received += row.received > 0;
    CHECK(row.active == 0);
    CHECK_FALSE(sent.contains(row.region));
  }
  CHECK(away == all.shape.layers * (all.shape.regions - all.shape.always_awake) - 3);
  CHECK(received > 0);
  // Grown, from its own checkpoint: what it did not host is as the sum says.
  Mind grown(all, genesis);
  REQUIRE(grown.restore(part.sections()));
  const std::vector<float> x = weights(grown);
  for (const model::Region& region : grown.regions()) {
    if (sent.contains(model::region_name(region)) || region.kind != model::RegionKind::mlp)
      continue;
    for (size_t i = region.offset; i < region.offset + region.count; ++i)
      CHECK(x[i] == doctest::Approx(grown.exchange().base().value(i)).epsilon(1e-5));
  }
}

TEST_CASE("a region that there is not is named, with the nearest that there is") {
  const model::Shape shape = *model::shape_of_preset("demo");
  CHECK(region_problem(shape, {}) == "");
  CHECK(region_problem(shape, {.private_regions = {"mlp.1", "embedding"},
                               .hosted_regions = {"mlp.0.4"}}) == "");
  const std::string problem = region_problem(shape, {.hosted_regions = {"mlp.0.4", "mlq.1.5"}});
  CHECK(problem.starts_with("model.hosted_regions: there is no region mlq.1.5; did you mean "));
  CHECK(problem.find("mlp.1.5") != std::string::npos);
  CHECK(region_problem(shape, {.private_regions = {"ml"}}).starts_with("model.private_regions: "));
  CHECK(hosted_set(shape, {}).empty());
  const uint64_t always = model::awake_set(shape);
  CHECK(hosted_set(shape, {.hosted_regions = {"mlp.1.9", "embedding"}}) ==
        model::HostedSet{always, always | uint64_t{1} << 9});
}

}  // namespace starling::node
