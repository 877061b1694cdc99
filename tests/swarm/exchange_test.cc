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
