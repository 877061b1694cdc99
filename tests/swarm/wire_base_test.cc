#include <doctest/doctest.h>

#include "swarm/base.h"
#include "swarm/inbound.h"
#include "tests/swarm/delta_fixture.h"
#include "tests/swarm/wire_fixture.h"

namespace starling::swarm {
namespace {
using namespace delta_test;
using wire_test::Keys;

std::vector<Bytes> some_deltas(const model::RegionTable& table, size_t count) {
  std::vector<Bytes> deltas;
  for (size_t i = 0; i < count; ++i) {
    auto d = normal_delta(table, 40 + i,
                          2.0f);  // large: some sums leave the fixed point's range and wrap
    deltas.push_back(compress_all(table, d, {.fraction = 1.0 / 8}).payload);
  }
  return deltas;
}

template <typename T>
void shuffle(std::vector<T>& items, Rng& rng) {
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[rng.below(i)]);
}

TEST_CASE(
    "many random orders of the same deltas, withdrawn and applied again, give the same bits") {
  const auto table = table_of(demo_sizes);
  const auto deltas = some_deltas(table, 12);
  const std::vector<float> genesis(size_of(table), 0.5f);
  Base straight(table, genesis);
  for (const Bytes& delta : deltas) straight.apply(delta, {});
  const Digest expected = straight.hash();
  CHECK(expected != Base(table, genesis).hash());

  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng(seed);
    // Every delta once for good, and some of them there and back again any number of times.
    struct Move {
      size_t delta;
      bool is_there_and_back;
    };
    std::vector<Move> moves;
    for (size_t i = 0; i < deltas.size(); ++i) moves.push_back({i, false});
    for (int i = 0; i < 10; ++i) moves.push_back({rng.below(deltas.size()), true});
    shuffle(moves, rng);
    Base base(table, genesis);
    std::vector<size_t> to_withdraw;
    for (const Move& move : moves) {
      base.apply(deltas[move.delta], {});
      if (move.is_there_and_back) to_withdraw.push_back(move.delta);
      if (!to_withdraw.empty() && rng.below(2) == 0) {
        base.withdraw(deltas[to_withdraw.back()], {});
        to_withdraw.pop_back();
      }
    }
    for (const size_t delta : to_withdraw) base.withdraw(deltas[delta], {});
    CHECK_MESSAGE(base.hash() == expected, "seed ", seed);
  }
}

TEST_CASE("x moves with the base, and a base made from its own values is the same") {
  const auto table = table_of(demo_sizes);
  std::vector<float> x(size_of(table), 0.25f);
  Base base(table, x);
  auto d = normal_delta(table, 1, 1e-2f);
  const Bytes delta = compress_all(table, d, {.fraction = 1.0 / 16}).payload;
  base.apply(delta, x);
  for (size_t i = 0; i < x.size(); ++i) CHECK(x[i] == base.value(i));
  const Base copy(table, std::vector<int32_t>(base.values().begin(), base.values().end()));
  CHECK(copy.hash() == base.hash());
  base.withdraw(delta, x);
  CHECK(x == std::vector<float>(x.size(), 0.25f));
  CHECK(base.hash() == Base(table, x).hash());
}

TEST_CASE("the hash of a base is that of its little-endian values") {
  const model::RegionTable table = {{0, model::RegionKind::embedding, 0, 0, 0, 2}};
  const Base base(table, std::vector<int32_t>{1, -2});
  CHECK(base.hash() == blake2b(Bytes{1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff}));
}

// ---- what happens to a frame before the protocol thread sees it
// ----------------------------------------------

struct Door {
  Keys root{1}, ada{2}, bob{3};
  model::RegionTable table = table_of(demo_sizes);
  InboundRules rules;
  Door() {
    rules.swarm = wire_test::swarm_of(root);
    rules.fingerprint.fill(0xab);
    rules.regions = &table;
  }
  FrameHeader header(FrameKind kind) const {
    FrameHeader made;
    made.kind = kind;
    made.swarm = rules.swarm;
    made.epoch = 1;
    made.seq = 1;
    made.fingerprint = rules.fingerprint;
    return made;
  }
  Input knock(const Keys& from, Bytes frame) const {
    return receive(peer_id_of(from.public_key), std::make_shared<const Bytes>(std::move(frame)),
                   rules);
  }
};

DropReason refusal(const Input& input) {
  REQUIRE(std::holds_alternative<ReceivedRefused>(input));
  return std::get<ReceivedRefused>(input).reason;
}

TEST_CASE("a link's own message comes in, another's is refused") {
  const Door door;
  const Bytes frame =
      seal(door.header(FrameKind::control), encode_message(Goodbye{"bye"}), door.ada.signer());
  const Input input = door.knock(door.ada, frame);
  REQUIRE(std::holds_alternative<ReceivedMessage>(input));
  const auto& received = std::get<ReceivedMessage>(input);
  CHECK(std::get<Goodbye>(received.message).reason == "bye");
  CHECK(received.from == peer_id_of(door.ada.public_key));
  CHECK(refusal(door.knock(door.bob, frame)) == DropReason::bad_signature);
  CHECK(refusal(door.knock(door.ada, seal(door.header(FrameKind::control), Bytes{99},
                                          door.ada.signer()))) == DropReason::unknown_kind);
}

TEST_CASE("a delta comes in from anyone who passes it on, as its origin signed it") {
  const Door door;
  auto d = normal_delta(door.table, 1, 1e-2f);
  const Compressed compressed = compress_all(door.table, d, {});
  const Bytes frame = seal(door.header(FrameKind::delta), compressed.payload, door.ada.signer());
  const Input input = door.knock(door.bob, frame);
  REQUIRE(std::holds_alternative<ReceivedDelta>(input));
  const auto& received = std::get<ReceivedDelta>(input);
  CHECK(*received.frame == frame);
  CHECK(received.header.origin == door.ada.public_key);
  CHECK(received.summary.norm == compressed.summary.norm);
  CHECK(received.summary.region_tokens == compressed.summary.region_tokens);

  Bytes damaged = frame;
  damaged.back() ^= 1;
  CHECK(refusal(door.knock(door.bob, damaged)) == DropReason::bad_payload_hash);
  FrameHeader foreign = door.header(FrameKind::delta);
  foreign.fingerprint.fill(1);
  CHECK(refusal(door.knock(door.bob, seal(foreign, compressed.payload, door.ada.signer()))) ==
        DropReason::wrong_fingerprint);
  CHECK(refusal(door.knock(door.bob, seal(door.header(FrameKind::delta), Bytes{},
                                          door.ada.signer()))) == DropReason::truncated);
}

}  // namespace
}  // namespace starling::swarm
