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
