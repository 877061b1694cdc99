// Whom to believe: the rule by numbers, and whole logs in which some work against the others, read
// in every order by nodes that must come to the same bits.
#include "swarm/judgement.h"

#include <doctest/doctest.h>
#include <sodium.h>

#include <cmath>

#include "swarm/exchange.h"
#include "tests/swarm/delta_fixture.h"
#include "tests/swarm/judgement_swarm.h"

namespace starling::swarm {
namespace {

using judgement_test::Member;
using judgement_test::Said;
using judgement_test::Swarm;

PeerId peer(uint8_t number) {
  PeerId id;
  id.bytes.fill(number);
  return id;
}

// Products of vectors that are written down.
Products products_of(const std::vector<std::vector<double>>& vectors) {
  Products products;
  for (size_t i = 0; i < vectors.size(); ++i) {
    products.origins.push_back(peer(static_cast<uint8_t>(i + 1)));
    for (const auto& other : vectors) {
      double dot = 0;
      for (size_t k = 0; k < other.size(); ++k) dot += vectors[i][k] * other[k];
      products.dots.push_back(dot);
    }
  }
  return products;
}

const std::vector<std::vector<double>> four_honest = {
    {1, 2, 0, 0}, {1, 0, 2, 0}, {1, 0, 0, 2}, {1, 1.2, 1.2, 0}};

std::vector<std::vector<double>> with(std::vector<double> one) {
  auto vectors = four_honest;
  vectors.push_back(std::move(one));
  return vectors;
}

TEST_CASE("who works against the others is held, and believed again when it works with them") {
  const Products against = products_of(with({-1, -.8, -.8, -.8}));
  Standings standings;
  int cuts = 0;
  for (; cuts < 5 && !standings[peer(5)].is_held; ++cuts)
    standings = judge(against, std::move(standings), {});
  CHECK(cuts <= 2);
  for (uint8_t i = 1; i <= 4; ++i) CHECK(!standings[peer(i)].is_held);
  const Products repentant = products_of(with({1, .8, .8, .8}));
  for (cuts = 0; cuts < 9 && standings[peer(5)].is_held; ++cuts)
    standings = judge(repentant, std::move(standings), {});
  CHECK(!standings[peer(5)].is_held);
  CHECK(standings[peer(5)].agreement > 0);
}

TEST_CASE("members that pull apart because their data differ are all believed") {
  const Products apart =
      products_of({{3, -1, -1, -1}, {-1, 3, -1, -1}, {-1, -1, 3, -1.1}, {-1, -1, -1, 3.1}});
  Standings standings;
  for (int cut = 0; cut < 9; ++cut) {
    standings = judge(apart, std::move(standings), {});
    for (uint8_t i = 1; i <= 4; ++i) CHECK(!standings[peer(i)].is_held);
  }
  CHECK(standings[peer(1)].agreement < -0.9);
}

TEST_CASE("of many that work against the rest, fewer than a third are held, the worst first") {
  auto vectors = with({-1, -.8, -.8, -.8});
  vectors.push_back({-1, -.8, -.8, -.9});
  Standings standings;
  for (int cut = 0; cut < 9; ++cut) {
    standings = judge(products_of(vectors), std::move(standings), {});
    int held = 0;
    for (const auto& [origin, standing] : standings) held += standing.is_held;
    CHECK(held <= 1);
  }
  for (uint8_t i = 1; i <= 4; ++i) CHECK(!standings[peer(i)].is_held);
}

TEST_CASE("near copies share one vote, unless all are near") {
  auto vectors = four_honest;
  vectors.push_back({.1, 0, 0, 2});
  vectors.push_back({.1, 0, 0.1, 2});
  vectors.push_back({.1, 0.1, 0, 2});
  Standings standings = judge(products_of(vectors), {}, {});
  CHECK(standings[peer(5)].share >= 3);
  CHECK(standings[peer(1)].share == 1);
  const Products alike = products_of({{1, .2}, {1, .21}, {1, .19}, {1, .22}, {1, .18}});
  standings = judge(alike, {}, {});
  for (uint8_t i = 1; i <= 5; ++i) CHECK(standings[peer(i)].share < 5);
}

TEST_CASE("who says more than twice what is usual counts as several") {
  Standings standings = judge(products_of(with({8, 1, 1, 1})), {}, {});
  CHECK(standings[peer(5)].share == 2);
  standings = judge(products_of(with({80, 10, 10, 10})), {}, {});
  CHECK(standings[peer(5)].share >= 15);
}

TEST_CASE("three are too few to judge each other") {
  const Standings standings = judge(products_of({{1, 0}, {1, 0.1}, {-1, 0}}), {}, {});
  CHECK(standings.empty());
}

TEST_CASE("a sketch tells cosines to a few hundredths, and its key decides where things lie") {
  const auto table = delta_test::table_of(delta_test::demo_sizes);
  const auto made = [&](uint64_t seed, float share) {
    auto d = delta_test::normal_delta(table, 1, 1e-2f * share);
    const auto own = delta_test::normal_delta(table, seed, 1e-2f * (1 - share));
    for (size_t i = 0; i < d.size(); ++i) d[i] += own[i];
    return delta_test::compress_all(table, d, {.fraction = 0.25}).payload;
  };
  const auto cosine = [](const auto& a, const auto& b) {
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      const auto x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
      dot += x * y, aa += x * x, bb += y * y;
    }
    return dot / std::sqrt(aa * bb);
  };
  for (const float share : {0.0f, 0.5f, 0.8f}) {
    const Bytes a = made(2, share), b = made(3, share);
    const double exact = cosine(delta_test::values_of(table, a), delta_test::values_of(table, b));
    double error = 0;
    for (uint64_t key = 1; key <= 10; ++key) {
      std::vector<int64_t> sa(sketch_counters), sb(sketch_counters);
      sketch_delta(table, a, key, sa);
      sketch_delta(table, b, key, sb);
      error = std::max(error, std::abs(cosine(sa, sb) - exact));
    }
    CHECK(error < 0.06);
  }
}

TEST_CASE("a delta that counts in part is withdrawn to the last bit") {
  const auto table = delta_test::table_of(delta_test::demo_sizes);
  auto d = delta_test::normal_delta(table, 4, 1e-2f);
  const Bytes payload = delta_test::compress_all(table, d, {}).payload;
  Base base(table, std::vector<int32_t>(delta_test::size_of(table), 12345));
  const Digest before = base.hash();
  base.apply(payload, {}, 3);
  CHECK(base.hash() != before);
  base.withdraw(payload, {}, 3);
  CHECK(base.hash() == before);
}

// ---- Whole logs

TEST_CASE(
    "in any order, late and doubled, through holds and releases, equal logs give equal bits") {
  int held = 0, released = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    Swarm swarm(seed);
    swarm.run(10, seed % 4);
    swarm.settle();
    CHECK(swarm.is_agreed());
    swarm.run(16, seed % 4);
    swarm.settle();
    CHECK(swarm.is_agreed());
    const PeerId turncoat = swarm.members[5]->id;
    held += swarm.holds.contains(turncoat);
    released += swarm.releases.contains(turncoat);
    for (size_t i = 0; i < 5; ++i) CHECK(!swarm.holds.contains(swarm.members[i]->id));
  }
  CHECK(held == 30);
  CHECK(released == 30);
}

TEST_CASE("what was held is missing from the base to the last bit") {
  Swarm swarm(7);
  swarm.run(14, 0);
  swarm.settle();
  const Exchange& exchange = swarm.members[0]->exchange;
  REQUIRE(exchange.judgement().standings().at(swarm.members[5]->id).is_held);
  CHECK(exchange.judgement().apart_count() > 0);
  Base expected(swarm.table, std::vector<float>(delta_test::size_of(swarm.table), 0.0f));
  for (const auto& [key, said] : swarm.log) {
    const bool is_hostile = key.stream.origin == swarm.members[5]->id;
    // Its first ones were honest, and left the window before it was held.
    if (!is_hostile || said.summary.interval <= 2) expected.apply(said.payload, {});
  }
  size_t differing = 0;
  for (size_t i = 0; i < expected.values().size(); ++i)
    differing += expected.values()[i] != exchange.base().values()[i];
  CHECK(differing < expected.values().size());
  uint64_t apart = 0;
  Base own = exchange.base();
  for (const auto& [key, divisor] : exchange.judgement().open_deltas()) {
    apart += divisor == Judgement::apart;
    if (divisor != Judgement::apart) own.withdraw(swarm.log.at(key).payload, {}, divisor);
  }
  CHECK(apart > 0);
  const auto settled = exchange.settled(swarm.payloads());
  REQUIRE(settled);
  CHECK(settled->hash == own.hash());
}

TEST_CASE("a newcomer with a snapshot and the deltas it leaves open holds everyone's bits") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    Swarm swarm(seed);
    swarm.run(16 + static_cast<int>(seed), 2);
    swarm.settle();
    const auto settled = swarm.members[0]->exchange.settled(swarm.payloads());
    REQUIRE(settled);
    Member newcomer(swarm.table, 99);
    Judgement judgement(swarm.table);
    REQUIRE(judgement.decode(settled->judgement).has_value());
    newcomer.exchange.replace_base(settled->values, settled->applied, std::move(judgement),
                                   newcomer.x);
    CHECK(newcomer.exchange.base().hash() == settled->hash);
    std::vector<const Said*> missing;
    for (const auto& [key, said] : swarm.log) {
      if (!settled->applied.contains(key)) missing.push_back(&said);
    }
    CHECK(missing.size() < swarm.log.size());
    for (size_t k = missing.size() - 1; k > 0; --k)
      std::swap(missing[k], missing[swarm.rng.below(k + 1)]);
    for (const Said* said : missing) CHECK(newcomer.take(*said));
    newcomer.exchange.judge(swarm.payloads(), newcomer.x);
    CHECK(newcomer.exchange.base().hash() == swarm.members[0]->exchange.base().hash());
  }
}

TEST_CASE("a snapshot of a log with a gap names what it holds behind the gap") {
  Swarm swarm(2);
  swarm.run(2, 0);
  const DeltaKey gap{{swarm.members[1]->id, 1}, 2};
  std::erase_if(swarm.mail[0], [&](const auto& item) { return item.second == gap; });
  swarm.run(20, 0);
  swarm.settle();
  Member& first = *swarm.members[0];
  REQUIRE_FALSE(first.exchange.applied().contains(gap));
  const auto settled = first.exchange.settled(swarm.payloads());
  REQUIRE(settled);
  CHECK(settled->applied.contains({gap.stream, 1}));
  CHECK(settled->applied.contains({gap.stream, 3}));
  Member newcomer(swarm.table, 99);
  Judgement judgement(swarm.table);
  REQUIRE(judgement.decode(settled->judgement).has_value());
  newcomer.exchange.replace_base(settled->values, settled->applied, std::move(judgement),
                                 newcomer.x);
  for (const auto& [key, said] : swarm.log) {
    if (key != gap && !settled->applied.contains(key)) CHECK(newcomer.take(said));
  }
  newcomer.exchange.judge(swarm.payloads(), newcomer.x);
  CHECK(newcomer.exchange.base().hash() == first.exchange.base().hash());
}

TEST_CASE("whoever is expelled is out of every base, whatever was accepted before") {
  Swarm swarm(3);
  swarm.run(8, 3);
  for (size_t i = 0; i < swarm.members.size(); ++i) swarm.expel(i, 2);
  swarm.run(2, 3);
  swarm.settle();
  CHECK(swarm.is_agreed());
  Base expected(swarm.table, std::vector<float>(delta_test::size_of(swarm.table), 0.0f));
  for (const auto& [key, said] : swarm.log) {
    if (key.stream.origin != swarm.members[2]->id) expected.apply(said.payload, {});
  }
  for (const auto& [id, standing] : swarm.members[0]->exchange.judgement().standings())
    CHECK(standing.share == 1);
  if (!swarm.holds.contains(swarm.members[5]->id))
    CHECK(expected.hash() == swarm.members[0]->exchange.base().hash());
}

TEST_CASE(
    "who is revoked is out of every base to the last bit, whenever each hears of it and whatever "
    "of it each has") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    Swarm swarm(seed);
    swarm.run(30 + static_cast<int>(seed) * 6, seed % 4);  // within the horizon and beyond
    const size_t revoked = seed % 2 == 0 ? 2 : 5;  // an honest one, one that was held in between
    const PeerId gone = swarm.members[revoked]->id;
    for (size_t i = 0; i < 3; ++i) swarm.expel(i, revoked);
    swarm.lose_mail_of(0, gone);  // refused there; the others still take it in
    swarm.run(2, 1);
    swarm.lose_mail_of(0, gone);
    const Exchange& first = swarm.members[0]->exchange;
    for (size_t i = 3; i < swarm.members.size(); ++i) swarm.expel(i, revoked);
    swarm.settle();
    for (const auto& member : swarm.members)
      CHECK(member->exchange.base().hash() == first.base().hash());
    CHECK(first.judgement().is_expelled(gone));
    CHECK_FALSE(first.judgement().standings().contains(gone));
    for (const auto& [key, influence] : first.influence()) CHECK(key.second != gone);
    // The second time there is nothing left to take out.
    const auto again = swarm.expel(1, revoked);
    CHECK(again.withdrawn + again.kept == 0);
    CHECK(first.base().hash() == swarm.members[1]->exchange.base().hash());
  }
}

TEST_CASE(
    "who moved the base how far is told as its deltas count in it, through holds and releases") {
  Swarm swarm(4);
  swarm.run(40, 2);
  swarm.settle();
  REQUIRE(swarm.holds.contains(swarm.members[5]->id));
  const Exchange& first = swarm.members[0]->exchange;
  std::map<PeerId, double> expected;
  std::map<PeerId, uint64_t> counted, apart;
  double in_full = 0;  // of the one that was held
  for (const auto& [key, said] : swarm.log) {
    const uint32_t divisor = first.judgement().divisor_of(key).value_or(1);
    const double square = said.summary.norm * said.summary.norm;
    if (key.stream.origin == swarm.members[5]->id) in_full += square;
    if (divisor == Judgement::apart) ++apart[key.stream.origin];
    if (divisor == Judgement::apart) continue;
    ++counted[key.stream.origin];
    expected[key.stream.origin] += square / divisor / divisor;
  }
  std::map<PeerId, double> told;
  std::map<PeerId, uint64_t> deltas;
  for (const auto& [place, influence] : first.influence()) {
    told[place.second] += influence.squares;
    deltas[place.second] = std::max(deltas[place.second], influence.deltas);
  }
  CHECK(told.size() == swarm.members.size());
  for (const auto& [origin, squares] : expected)
    CHECK(told[origin] == doctest::Approx(squares).epsilon(1e-3));
  CHECK(deltas == counted);
  CHECK(first.judgement().apart_counts() == apart);
  CHECK(told[swarm.members[5]->id] < 0.95 * in_full);
}

TEST_CASE("a base without one origin from the start is the one that it was taken out of") {
  Swarm swarm(4);
  swarm.run(70, 2);
  swarm.settle();
  Base expected = swarm.members[0]->exchange.base();
  size_t counted = 0;
  for (const auto& [key, said] : swarm.log) {
    if (key.stream.origin != swarm.members[1]->id) continue;
    const auto divisor = swarm.members[0]->exchange.judgement().divisor_of(key);
    expected.withdraw(said.payload, {}, divisor.value_or(1));  // older than the horizon: in full
    ++counted;
  }
  const auto expelled = swarm.expel(0, 1);
  CHECK(expelled.withdrawn == counted);
  CHECK(expelled.kept == 0);
  CHECK(swarm.members[0]->exchange.base().hash() == expected.hash());
}

TEST_CASE("what the log no longer holds of a revoked origin stays, and is counted") {
  Swarm swarm(5);
  swarm.run(12, 0);
  swarm.settle();
  Member& member = *swarm.members[0];
  const PeerId gone = swarm.members[1]->id;
  size_t lost = 0;
  const auto some = [&](const DeltaKey& key) -> std::optional<Bytes> {
    if (key.seq <= 4) return ++lost, std::nullopt;
    return swarm.log.at(key).payload;
  };
  const auto expelled = member.exchange.expel(gone, some, member.x);
  CHECK(lost == 4);
  CHECK(expelled.kept == 4);
  CHECK(expelled.withdrawn == 8);
  const auto before = member.exchange.base().hash();
  CHECK_FALSE(member.take(swarm.log.begin()->second));
  CHECK(member.exchange.base().hash() == before);
}

TEST_CASE("nobody moves the clock alone, and those who remain move it when the others are gone") {
  const model::RegionTable table = delta_test::small_table();
  Judgement judgement(table);
  const Bytes payload{1, 2, 3};
  uint64_t seq = 0;
  const auto add = [&](uint8_t origin, uint64_t interval) {
    DeltaSummary summary;
    summary.interval = interval;
    return judgement.add({{peer(origin), 1}, ++seq}, summary, payload);
  };
  for (uint64_t interval = 1; interval <= 3; ++interval) {
    for (uint8_t i = 1; i <= 5; ++i) add(i, interval);
  }
  CHECK(judgement.clock() == 3);
  CHECK(judgement.next_interval(peer(1)) == 4);
  CHECK(judgement.next_interval(peer(9)) == 3);
  CHECK(add(5, 1000) == Judgement::apart);
  add(4, 1000);
  CHECK(judgement.clock() == 3);
  for (int i = 0; i < 400; ++i) {
    add(1, judgement.next_interval(peer(1)));
  }
  CHECK(judgement.clock() > 3);
}

// Eight origins for twelve intervals; now and then somebody says what is far too large, and the
// first begins with what it learned alone. Read in any order, by nodes that look up at any time.
TEST_CASE("whether a delta is held for its norm does not depend on when it comes") {
  const model::RegionTable table = delta_test::small_table();
  uint64_t held = 0, held_at_first = 0, let_in = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    std::vector<std::pair<DeltaKey, DeltaSummary>> log;
    double usual = 1;
    for (uint64_t interval = 1; interval <= 12; ++interval, usual *= 0.5 + rng.unit()) {
      for (uint8_t origin = 1; origin <= 8; ++origin) {
        DeltaSummary summary;
        summary.interval = interval;
        const bool is_large = rng.below(12) == 0 || (origin == 1 && interval <= 2);
        summary.norm = usual * (0.5 + rng.unit()) * (is_large ? 2 + 6 * rng.unit() : 1);
        summary.raw_norm = summary.norm * (rng.below(9) == 0 ? 1e6 : 1);
        log.emplace_back(DeltaKey{{peer(origin), 1}, interval}, summary);
      }
    }
    const Bytes payload{1, 2, 3};
    const auto nothing = [](const DeltaKey&) { return std::optional<Bytes>(); };
    std::optional<std::map<DeltaKey, uint32_t>> first;
    for (int order = 0; order < 6; ++order) {
      for (size_t k = log.size() - 1; order > 0 && k > 0; --k) {
        // The second order is late by up to a dozen deltas, the others are anything.
        const size_t spread = order == 1 ? std::min<size_t>(k + 1, 12) : k + 1;
        std::swap(log[k], log[k - rng.below(spread)]);
      }
      Judgement judgement(table, {.is_on = false});
      std::map<DeltaKey, uint32_t> counted;
      const auto update = [&] {
        for (const Judgement::Change& change : judgement.update(nothing)) {
          CHECK(counted.at(change.key) == change.before);
          counted[change.key] = change.after;
          let_in += change.before == Judgement::apart && change.after == 1;
        }
      };
      for (const auto& [key, summary] : log) {
        counted[key] = judgement.add(key, summary, payload);
        held_at_first += counted[key] == Judgement::apart;
        if (rng.below(5) == 0) update();
      }
      update();
      if (!first) first = counted;
      CHECK(counted == *first);
    }
    for (const auto& [key, divisor] : *first) held += divisor == Judgement::apart;
  }
  CHECK(held > 200);
  CHECK(held_at_first > 200);
  CHECK(let_in > 200);
}

TEST_CASE("a delta that is held for its norm is none of its origin's sum") {
  Swarm swarm(4);
  swarm.run(5, 0);
  Member& loud = *swarm.members[1];
  for (float& value : loud.x) value += 3;  // far beyond what any of them says
  const Said said = loud.say(swarm.towards, 1.0f, swarm.rng);
  loud.exchange.forget_unsent(loud.x);
  swarm.log.emplace(said.key, said);
  for (size_t to = 0; to < swarm.members.size(); ++to) {
    if (to != 1) swarm.mail[to].emplace(std::pair(swarm.now, uint64_t{0}), said.key);
  }
  swarm.run(7, 2);
  swarm.settle();
  CHECK(swarm.is_agreed());
  for (const auto& member : swarm.members) {
    const Judgement& judgement = member->exchange.judgement();
    CHECK(judgement.divisor_of(said.key) == Judgement::apart);
    CHECK(!judgement.standings().at(loud.id).is_held);
    CHECK(judgement.standings().at(loud.id).share == 1);
  }
}

TEST_CASE("a judgement survives its bytes; shortened or lengthened ones are refused") {
  Swarm swarm(2);
  swarm.run(10, 1);
  swarm.settle();
  const Judgement& before = swarm.members[0]->exchange.judgement();
  const Bytes bytes = before.encode();
  Judgement after(swarm.table);
  REQUIRE(after.decode(bytes).has_value());
  CHECK(after.encode() == bytes);
  CHECK(after.update(swarm.payloads()).empty());
  CHECK(after.standings() == before.standings());
  for (size_t size = 0; size < bytes.size(); size += 1 + size / 64)
    CHECK(!after.decode(ByteView(bytes).first(size)).has_value());
  Bytes longer = bytes;
  longer.push_back(0);
  CHECK(!after.decode(longer).has_value());
  CHECK(after.encode() == bytes);
}

}  // namespace
}  // namespace starling::swarm
