#include "swarm/exchange.h"

#include <doctest/doctest.h>
#include <sodium.h>

#include <cmath>

using namespace starling;
using namespace starling::swarm;

namespace {

// A small model of three regions: ordinary, private in some tests, dense.
model::RegionTable small_table() {
  return {{0, model::RegionKind::embedding, 0, 0, 0, 1000},
          {1, model::RegionKind::mlp, 0, 0, 1000, 600},
          {2, model::RegionKind::selection, 0, 0, 1600, 100}};
}

struct Node {
  explicit Node(const model::RegionTable& table, std::vector<uint8_t> is_private = {})
      : x(1700, 0.0f), exchange(table, x, std::move(is_private)) {
    REQUIRE(sodium_init() >= 0);
    crypto_sign_keypair(public_key.data(), secret.data());
  }

  void train(Rng& rng) {
    for (float& value : x) value += static_cast<float>(rng.unit() - 0.5) * 0.1f;
  }
  std::optional<Publish> publish(uint32_t origins) {
    SwarmView view;
    view.active_origins = origins;
    const FrameHeader header{.kind = FrameKind::delta, .epoch = 1, .seq = ++seq};
    const std::vector<uint64_t> tokens{10, 20, 0};
    return exchange.publish(x, tokens, view, {}, header, Signer(secret.data()), 5);
  }
  bool accept(const Publish& publication) {
    const auto opened = open(*publication.frame, {});
    REQUIRE(opened);
    const DeltaKey key{{peer_id_of(opened->header.origin), opened->header.epoch},
                       opened->header.seq};
    return exchange.accept(key, publication.summary, opened->payload, x, 7);
  }

  PublicKey public_key{};
  std::array<uint8_t, 64> secret{};
  std::vector<float> x;
  Exchange exchange;
  uint64_t seq = 0;
};

}  // namespace

TEST_CASE("nodes that have accepted the same deltas in any order hold the same bits") {
  const model::RegionTable table = small_table();
  Rng rng(1);
  std::vector<Node> nodes;
  for (int i = 0; i < 4; ++i) nodes.emplace_back(table);
  std::vector<std::pair<size_t, Publish>> deltas;
  for (int round = 0; round < 10; ++round) {
    for (size_t i = 0; i < nodes.size(); ++i) {
      nodes[i].train(rng);
      const auto publication = nodes[i].publish(4);
      REQUIRE(publication);
      deltas.emplace_back(i, *publication);
    }
  }
  for (size_t i = 0; i < nodes.size(); ++i) {
    std::vector<std::pair<size_t, Publish>> order = deltas;
    for (size_t k = order.size() - 1; k > 0; --k) std::swap(order[k], order[rng.below(k + 1)]);
    for (const auto& [origin, publication] : order)
      CHECK(nodes[i].accept(publication) == (origin != i));
    for (const auto& [origin, publication] : order) CHECK(!nodes[i].accept(publication));
  }
  for (const Node& node : nodes) {
    CHECK(node.exchange.base().hash() == nodes[0].exchange.base().hash());
    CHECK(node.exchange.applied() == nodes[0].exchange.applied());
  }
}

TEST_CASE("after publishing, the weights are the base and the rest is in the error memory") {
  const model::RegionTable table = small_table();
  Rng rng(2);
  Node node(table);
  node.train(rng);
  const std::vector<float> before = node.x;
  REQUIRE(node.publish(1));
  double moved = 0, kept = 0, total = 0;
  for (size_t i = 0; i < node.x.size(); ++i) {
    CHECK(node.x[i] == node.exchange.base().value(i));
    // with one origin nothing is scaled: what was sent and what is kept add up to what was learned
    CHECK(node.x[i] + node.exchange.error()[i] == doctest::Approx(before[i]).epsilon(1e-4));
    moved += std::abs(static_cast<double>(node.x[i]));
    kept += std::abs(static_cast<double>(node.exchange.error()[i]));
    total += std::abs(static_cast<double>(before[i]));
  }
  CHECK(moved > 0.2 * total);
  CHECK(kept > 0);
}

TEST_CASE("of what waits to be sent a tenth is forgotten at each publication") {
  const model::RegionTable table = small_table();
  Rng rng(3);
  Node node(table);
  node.train(rng);
  REQUIRE(node.publish(1));
  const std::vector<float> base = node.x;
  const std::vector<float> waiting(node.exchange.error().begin(), node.exchange.error().end());
  REQUIRE(node.publish(1));  // and nothing was learned in between
  for (size_t i = 0; i < node.x.size(); ++i) {
    const double sent = node.x[i] - base[i];
    CHECK(sent + node.exchange.error()[i] == doctest::Approx(0.9 * waiting[i]).epsilon(1e-4));
  }
}

TEST_CASE("what could not be sent can go back to the weights, and is in the next delta again") {
  const model::RegionTable table = small_table();
  Rng rng(6);
  Node node(table);
  node.train(rng);
  const std::vector<float> learned = node.x;
  REQUIRE(node.publish(1));
  node.exchange.adopt_unsent(node.x);
  for (size_t i = 0; i < node.x.size(); ++i) {
    CHECK(node.x[i] == doctest::Approx(learned[i]).epsilon(1e-4));
    CHECK(node.exchange.error()[i] == 0);
  }
  CHECK(node.publish(1));
}

TEST_CASE(
    "what another node learned is added to the weights as it is to the base, and own progress "
    "stays") {
  const model::RegionTable table = small_table();
  Rng rng(3);
  Node a(table), b(table);
  a.train(rng);
  b.train(rng);
  const auto publication = a.publish(2);
  REQUIRE(publication);
  const std::vector<float> progress = b.x;
  REQUIRE(b.accept(*publication));
  for (size_t i = 0; i < b.x.size(); ++i) {
    CHECK(b.x[i] - b.exchange.base().value(i) == doctest::Approx(progress[i]).epsilon(1e-5));
  }
}

TEST_CASE("a private region is neither sent nor moved by others") {
  const model::RegionTable table = small_table();
  Rng rng(4);
  Node keeper(table, {0, 1, 0}), other(table);
  keeper.train(rng);
  const std::vector<float> own(keeper.x.begin() + 1000, keeper.x.begin() + 1600);
  const auto sent = keeper.publish(2);
  REQUIRE(sent);
  for (const auto& [region, tokens] : sent->summary.region_tokens) CHECK(region != 1);
  other.train(rng);
  const auto received = other.publish(2);
  REQUIRE(received);
  REQUIRE(keeper.accept(*received));
  CHECK(std::vector<float>(keeper.x.begin() + 1000, keeper.x.begin() + 1600) == own);
  REQUIRE(other.accept(*sent));
  CHECK(keeper.exchange.base().hash() == other.exchange.base().hash());
}

TEST_CASE("who moved which region is remembered") {
  const model::RegionTable table = small_table();
  Rng rng(5);
  Node a(table), b(table);
  a.train(rng);
  const auto publication = a.publish(2);
  REQUIRE(publication);
  REQUIRE(b.accept(*publication));
  const auto& influence = b.exchange.influence();
  REQUIRE(influence.size() == 3);
  const Influence& first = influence.begin()->second;
  CHECK(influence.begin()->first.second == peer_id_of(a.public_key));
  CHECK(first.deltas == 1);
  CHECK(first.last_s == 7);
  double squares = 0;
  for (const auto& [key, each] : influence) squares += each.squares;
  CHECK(std::sqrt(squares) == doctest::Approx(publication->summary.norm).epsilon(1e-3));
}

TEST_CASE("a node that did not learn has nothing to publish") {
  const model::RegionTable table = small_table();
  Node node(table);
  CHECK(!node.publish(1));
}

namespace {

// Three nodes that hear each other at once, and a log that gives payloads back.
struct Circle {
  explicit Circle(const model::RegionTable& table) {
    for (int i = 0; i < 3; ++i) nodes.emplace_back(table);
  }
  void say(size_t speaker) {
    nodes[speaker].train(rng);
    const auto publication = nodes[speaker].publish(3);
    REQUIRE(publication);
    const auto opened = open(*publication->frame, {});
    REQUIRE(opened);
    payloads[{{id(speaker), 1}, opened->header.seq}] =
        Bytes(opened->payload.begin(), opened->payload.end());
    for (size_t i = 0; i < nodes.size(); ++i)
      CHECK(nodes[i].accept(*publication) == (i != speaker));
  }
  PeerId id(size_t node) const { return peer_id_of(nodes[node].public_key); }
  PayloadSource log() {
    return [this](const DeltaKey& key) -> std::optional<Bytes> {
      const auto found = payloads.find(key);
      return found == payloads.end() ? std::nullopt : std::optional(found->second);
    };
  }
  void suspend(size_t doubter, size_t doubted) {
    Node& node = nodes[doubter];
    const Exchange::Recent recent = node.exchange.recent_of(id(doubted), log());
    REQUIRE(!recent.sum.empty());
    node.exchange.suspend(id(doubted), recent, node.x);
  }

  Rng rng{11};
  std::vector<Node> nodes;
  std::map<DeltaKey, Bytes> payloads;
};

// How far x is from b: progress that is not published yet, or what is suspended.
double distance(const Node& node) {
  double largest = 0;
  for (size_t i = 0; i < node.x.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(node.x[i]) -
                                         static_cast<double>(node.exchange.base().value(i))));
  return largest;
}

}  // namespace

TEST_CASE(
    "who is suspended is missing from the weights alone: bases stay equal and nothing is sent of "
    "it") {
  const model::RegionTable table = small_table();
  Circle circle(table);
  for (const size_t speaker : {0u, 1u, 2u, 1u}) circle.say(speaker);
  Node& doubter = circle.nodes[0];
  doubter.exchange.forget_unsent(doubter.x);
  circle.suspend(0, 1);
  CHECK(doubter.exchange.suspended() == std::set{circle.id(1)});
  CHECK(distance(doubter) > 0.001);

  // What comes of it later is left out too; what comes of the other is not.
  const std::vector<float> before = doubter.x;
  circle.say(1);
  CHECK(doubter.x == before);
  circle.say(2);
  CHECK(doubter.x != before);
  CHECK(doubter.exchange.base().hash() == circle.nodes[2].exchange.base().hash());

  // Without progress of its own it has nothing to say: suspending is not a delta.
  doubter.exchange.forget_unsent(doubter.x);
  CHECK_FALSE(doubter.publish(3));
  circle.say(0);
  CHECK(doubter.exchange.base().hash() == circle.nodes[2].exchange.base().hash());

  doubter.exchange.forget_unsent(doubter.x);
  doubter.exchange.release_suspended(doubter.x);
  CHECK(doubter.exchange.suspended().empty());
  CHECK(distance(doubter) < 1e-6);
}

TEST_CASE("revocation of one who is suspended takes all of it out, once") {
  const model::RegionTable table = small_table();
  Circle circle(table);
  for (const size_t speaker : {0u, 1u, 2u}) circle.say(speaker);
  for (Node& node : circle.nodes) node.exchange.forget_unsent(node.x);
  circle.suspend(0, 1);
  circle.say(1);
  for (Node& node : circle.nodes) node.exchange.forget_unsent(node.x);
  const auto first = circle.nodes[0].exchange.expel(circle.id(1), circle.log(), circle.nodes[0].x);
  const auto other = circle.nodes[2].exchange.expel(circle.id(1), circle.log(), circle.nodes[2].x);
  CHECK(first.withdrawn == 2);
  CHECK(other.withdrawn == 2);
  CHECK(circle.nodes[0].exchange.suspended().empty());
  // What is out cannot be taken out again.
  CHECK(circle.nodes[0].exchange.recent_of(circle.id(1), circle.log()).sum.empty());
  CHECK(circle.nodes[0].exchange.base().hash() == circle.nodes[2].exchange.base().hash());
  CHECK(distance(circle.nodes[0]) < 1e-6);
  CHECK(distance(circle.nodes[2]) < 1e-6);
}

TEST_CASE("who has its place back counts as if it had never lost it") {
  const model::RegionTable table = small_table();
  Circle circle(table), steady(table);
  for (size_t i = 0; i < 3; ++i) {
    steady.nodes[i].public_key = circle.nodes[i].public_key;
    steady.nodes[i].secret = circle.nodes[i].secret;
  }
  const auto say = [&](size_t speaker) {
    circle.say(speaker);
    steady.say(speaker);
  };
  for (int round = 0; round < 3; ++round) {
    for (size_t speaker = 0; speaker < 3; ++speaker) say(speaker);
  }
  Node& node = circle.nodes[0];
  const Digest before = node.exchange.base().hash();
  CHECK(before == steady.nodes[0].exchange.base().hash());
  CHECK(node.exchange.reinstate(circle.id(1), circle.log(), node.x) == 0);
  CHECK(node.exchange.expel(circle.id(1), circle.log(), node.x).withdrawn == 3);
  CHECK(node.exchange.base().hash() != before);
  // What was pulled meanwhile counts for nothing, and then for as much as all else.
  const Digest without = node.exchange.base().hash();
  steady.say(1);
  const DeltaKey key{{circle.id(1), 1}, 4};
  const Bytes payload = steady.payloads.at(key);
  circle.payloads[key] = payload;
  const auto summary = inspect_delta(table, payload);
  REQUIRE(summary);
  CHECK(node.exchange.accept(key, *summary, payload, node.x, 7));
  CHECK(node.exchange.base().hash() == without);
  CHECK(node.exchange.reinstate(circle.id(1), circle.log(), node.x) == 4);
  CHECK(node.exchange.base().hash() == steady.nodes[0].exchange.base().hash());
  CHECK(node.exchange.judgement().encode() == steady.nodes[0].exchange.judgement().encode());
  CHECK(distance(node) == 0);
  uint64_t deltas = 0;
  for (const auto& [place, influence] : node.exchange.influence()) {
    if (place.second == circle.id(1) && place.first == 0) deltas = influence.deltas;
  }
  CHECK(deltas == 4);
  CHECK(node.exchange.reinstate(circle.id(1), circle.log(), node.x) == 0);
}

TEST_CASE("a suspension survives a restart, and ends with a snapshot in place of the base") {
  const model::RegionTable table = small_table();
  Circle circle(table);
  for (const size_t speaker : {0u, 1u, 2u}) circle.say(speaker);
  Node& doubter = circle.nodes[0];
  doubter.exchange.forget_unsent(doubter.x);
  circle.suspend(0, 1);
  const Exchange& saved = doubter.exchange;

  Exchange restarted(table, std::vector<float>(doubter.x.size(), 0.0f), {});
  const auto values = saved.base().values();
  restarted.restore({values.begin(), values.end()}, {saved.error().begin(), saved.error().end()},
                    saved.applied(), saved.judgement());
  restarted.restore_suspended(saved.suspended_since(),
                              {saved.withheld().begin(), saved.withheld().end()});
  for (size_t i = 0; i < doubter.x.size(); ++i) CHECK(restarted.target(i) == saved.target(i));

  std::vector<float> x = doubter.x;
  restarted.replace_base({values.begin(), values.end()}, saved.applied(), saved.judgement(), x);
  CHECK(restarted.suspended().empty());
  for (size_t i = 0; i < x.size(); ++i)
    CHECK(static_cast<double>(x[i]) ==
          doctest::Approx(static_cast<double>(restarted.base().value(i))).epsilon(1e-5));
}

namespace {

// Nodes that publish in step, and hear each other's deltas `late` exchanges after. The last of them
// may state intervals of long ago.
struct LateSwarm {
  LateSwarm(const model::RegionTable& table, size_t late, bool has_stale) {
    for (size_t i = 0; i < 6; ++i) nodes.emplace_back(table);
    for (size_t round = 0; round < 60; ++round) {
      rounds.emplace_back();
      for (Node& node : nodes) {
        node.train(rng);
        rounds.back().push_back(*node.publish(6));
      }
      if (has_stale) rounds.back().back().summary.interval = 1;
      if (round < late) continue;
      for (Node& node : nodes) {
        for (const Publish& delta : rounds[round - late]) node.accept(delta);
      }
    }
  }
  double lateness() const { return nodes[0].exchange.lateness(); }
  double norm() const { return rounds.back()[0].summary.norm; }

  Rng rng{3};
  std::vector<Node> nodes;
  std::vector<std::vector<Publish>> rounds;
};

}  // namespace

TEST_CASE("lateness is how many exchanges the others' deltas are behind") {
  const model::RegionTable table = small_table();
  CHECK(LateSwarm(table, 0, false).lateness() == doctest::Approx(0));
  CHECK(LateSwarm(table, 3, false).lateness() == doctest::Approx(3).epsilon(0.05));
  // Later than the clock lets an origin run ahead.
  CHECK(LateSwarm(table, 9, false).lateness() == doctest::Approx(9).epsilon(0.3));
}

TEST_CASE("one that states intervals of long ago does not make the swarm look late") {
  const model::RegionTable table = small_table();
  CHECK(LateSwarm(table, 0, true).lateness() == doctest::Approx(0));
  CHECK(LateSwarm(table, 3, true).lateness() == doctest::Approx(3).epsilon(0.05));
}

TEST_CASE("who hears the others late says less") {
  CHECK(lateness_factor(0) == 1);
  CHECK(lateness_factor(0.5) == 1);
  CHECK(lateness_factor(1.5) == doctest::Approx(0.5));
  CHECK(lateness_factor(6) == doctest::Approx(0.125));
  const model::RegionTable table = small_table();
  const LateSwarm in_time(table, 0, false), late(table, 4, false);
  CHECK(late.norm() < 0.8 * in_time.norm());
}

// ---- What regions weigh

namespace {

// An embedding and three selectable regions.
model::RegionTable selectable_table() {
  return {{0, model::RegionKind::embedding, 0, 0, 0, 512},
          {1, model::RegionKind::mlp, 0, 0, 512, 512},
          {2, model::RegionKind::mlp, 0, 1, 1024, 512},
          {3, model::RegionKind::mlp, 0, 2, 1536, 512}};
}

PeerId origin_of(uint8_t number) {
  PeerId id;
  id.bytes[0] = number;
  return id;
}

using Tokens = std::vector<std::pair<model::RegionId, uint64_t>>;

}  // namespace

TEST_CASE(
    "a region that all use alike weighs 1, one that one alone uses the root of their number") {
  const model::RegionTable table = selectable_table();
  RegionShares shares(table);
  CHECK(shares.weights(origin_of(1), 0) == std::vector<float>(4, 1.0f));
  for (uint8_t i = 1; i <= 9; ++i) {
    // Who has read twice as much does not weigh more for it.
    const uint64_t tokens = i % 2 == 0 ? 1000 : 2000;
    Tokens used{{0, tokens}, {1, tokens / 2}};
    if (i == 1) used.emplace_back(2, tokens / 4);
    shares.note(origin_of(i), 5, used);
  }
  const std::vector<float> first = shares.weights(origin_of(1), 0);
  CHECK(first[0] == 1);
  CHECK(first[1] == doctest::Approx(1));
  CHECK(first[2] == doctest::Approx(3));
  CHECK(first[3] == 1);  // nobody uses it
  CHECK(shares.weights(origin_of(2), 0)[2] == 1);
  // Among those who were heard of lately it is alone: nobody has to make up for the silent.
  CHECK(shares.weights(origin_of(1), 6)[2] == doctest::Approx(1));
}

TEST_CASE("what regions weigh is the formula, and a claim of all regions moves it by little") {
  const model::RegionTable table = selectable_table();
  RegionShares shares(table);
  Rng rng(11);
  std::vector<double> plain;
  for (uint8_t i = 1; i <= 20; ++i) {
    const uint64_t used = 1 + rng.below(999);
    plain.push_back(static_cast<double>(used) / 1000);
    shares.note(origin_of(i), 1, Tokens{{0, 1000}, {1, used}});
  }
  double sum = 0, squares = 0;
  for (const double share : plain) sum += share, squares += share * share;
  const double rho = std::sqrt(sum * sum / (20 * squares));
  const auto weight = [&] { return static_cast<double>(shares.weights(origin_of(3), 0)[1]); };
  const double before = weight();
  CHECK(before == doctest::Approx(rho * plain[2] * 20 / sum).epsilon(1e-5));
  shares.note(origin_of(21), 1, Tokens{{0, UINT64_MAX}, {1, UINT64_MAX}});
  CHECK(weight() > before * 0.9);
  CHECK(weight() < before * 1.1);
}

TEST_CASE("a delta's regions are scaled by their weights, and what was sent is what d has lost") {
  const model::RegionTable table = selectable_table();
  std::vector<float> d(2048);
  Rng rng(12);
  for (float& value : d) value = static_cast<float>(rng.unit() - 0.5) * 0.01f;
  const std::vector<uint64_t> tokens(4, 10);
  const std::vector<float> weights{1, 2, 0.5f, 8};
  std::vector<float> plain_d = d, weighted_d = d;
  const CompressOptions plain{.fraction = 0.25, .sender_scale = 0.25f};
  CompressOptions weighted = plain;
  weighted.region_weights = weights;
  const Compressed a = compress(table, plain_d, tokens, {}, plain);
  const Compressed b = compress(table, weighted_d, tokens, {}, weighted);
  REQUIRE(b.summary.region_norms.size() == 4);
  // 0.25 * 8 is more than all of it.
  const std::vector<double> expected{1, 2, 0.5, 4};
  double squares = 0;
  for (size_t i = 0; i < 4; ++i) {
    CHECK(b.summary.region_norms[i] / a.summary.region_norms[i] ==
          doctest::Approx(expected[i]).epsilon(0.02));
    squares += b.summary.region_norms[i] * b.summary.region_norms[i];
  }
  CHECK(b.summary.norm == doctest::Approx(std::sqrt(squares)));
  CHECK(b.summary.raw_norm == doctest::Approx(b.summary.norm).epsilon(0.02));
  std::vector<int32_t> values(d.size());
  apply_delta(table, b.payload, 1, values, {});
  for (const model::Region& region : table) {
    const double scale = 0.25 * expected[region.id];
    for (size_t i = region.offset; i < region.offset + region.count; ++i) {
      const double sent = values[i] * fixed_lsb / scale;
      CHECK(static_cast<double>(d[i] - weighted_d[i]) == doctest::Approx(sent).epsilon(1e-3));
    }
  }
}

TEST_CASE("who alone wakes a region says more for it, and all bases stay the same bits") {
  const model::RegionTable table = selectable_table();
  std::vector<float> genesis(2048);
  struct Part {
    PublicKey public_key{};
    std::array<uint8_t, 64> secret{};
    std::unique_ptr<Exchange> exchange;
    std::vector<float> x;
  };
  std::vector<Part> parts(4);
  for (Part& part : parts) {
    crypto_sign_keypair(part.public_key.data(), part.secret.data());
    part.exchange = std::make_unique<Exchange>(table, genesis, std::vector<uint8_t>{});
    part.exchange->weigh_regions();
    part.x = genesis;
  }
  std::vector<double> norms;  // of region 2 in the deltas of the first
  Rng rng(13);
  for (uint64_t round = 1; round <= 6; ++round) {
    std::vector<Publish> said;
    for (size_t i = 0; i < parts.size(); ++i) {
      Part& part = parts[i];
      for (size_t k = 0; k < 1536; ++k)
        if (k < 1024 || i == 0) part.x[k] += static_cast<float>(rng.unit() - 0.5) * 0.02f;
      SwarmView view;
      view.active_origins = 4;
      const FrameHeader header{.kind = FrameKind::delta, .epoch = 1, .seq = round};
      const std::vector<uint64_t> tokens{100, 50, i == 0 ? 50u : 0u, 0};
      const auto publication = part.exchange->publish(part.x, tokens, view, {.outer = 1}, header,
                                                      Signer(part.secret.data()), 5);
      REQUIRE(publication);
      REQUIRE(publication->summary.region_norms.size() == (i == 0 ? 3 : 2));
      if (i == 0) norms.push_back(publication->summary.region_norms[2]);
      said.push_back(*publication);
    }
    for (size_t i = 0; i < parts.size(); ++i) {
      for (size_t k = 0; k < parts.size(); ++k) {
        const auto opened = open(*said[k].frame, {});
        const DeltaKey key{{peer_id_of(opened->header.origin), 1}, round};
        CHECK(parts[i].exchange->accept(key, said[k].summary, opened->payload, parts[i].x, 7) ==
              (i != k));
      }
    }
  }
  for (const Part& part : parts)
    CHECK(part.exchange->base().hash() == parts[0].exchange->base().hash());
  for (size_t round = 1; round < norms.size(); ++round)
    CHECK(norms[round] == doctest::Approx(2 * norms[0]).epsilon(0.3));
}
