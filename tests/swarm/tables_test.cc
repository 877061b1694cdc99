// The tables that keep large swarms cheap, each against the plain way of saying the same.
#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>

#include "model/rng.h"
#include "swarm/interned.h"
#include "swarm/judgement.h"
#include "swarm/pulls.h"
#include "swarm/shelves.h"
#include "swarm/tally.h"
#include "swarm/told.h"
#include "tests/swarm/delta_fixture.h"

namespace starling::swarm {
namespace {

PeerId peer(uint64_t number) {
  PeerId id;
  id.bytes.fill(static_cast<uint8_t>(number));
  return id;
}

DeltaKey drawn_key(Rng& rng, uint64_t origins, uint64_t seq_max) {
  return {{peer(1 + rng.below(origins)), 1 + rng.below(2)}, 1 + rng.below(seq_max)};
}

TEST_CASE("ids compare as their bytes do, wherever they differ") {
  Rng rng(1);
  for (int round = 0; round < 2000; ++round) {
    PeerId a, b;
    for (uint8_t& byte : a.bytes) byte = static_cast<uint8_t>(rng.below(256));
    b = a;
    const size_t place = rng.below(20);
    b.bytes[place] = static_cast<uint8_t>(rng.below(256));
    if (place < 19) b.bytes[place + 1] = static_cast<uint8_t>(rng.below(256));
    CHECK((a <=> b) == (a.bytes <=> b.bytes));
    CHECK((a == b) == (a.bytes == b.bytes));
    CHECK(a == PeerId(a));
  }
}

TEST_CASE("a sorted map holds what a map holds, in the same order") {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    SortedMap<uint64_t, uint64_t> sorted;
    std::map<uint64_t, uint64_t> plain;
    for (int i = 0; i < 300; ++i) {
      const uint64_t key = rng.below(60), value = rng.next();
      if (rng.below(3) == 0) {
        const auto found = sorted.find(key);
        CHECK((found != sorted.end()) == (plain.erase(key) == 1));
        if (found != sorted.end()) sorted.erase(found);
      } else {
        sorted[key] = plain[key] = value;
      }
      const uint64_t asked = rng.below(62);
      CHECK(sorted.contains(asked) == plain.contains(asked));
      const SortedMap<uint64_t, uint64_t>& read = sorted;
      CHECK(std::distance(read.begin(), read.lower_bound(asked)) ==
            std::distance(plain.begin(), plain.lower_bound(asked)));
      CHECK(std::distance(read.begin(), read.upper_bound(asked)) ==
            std::distance(plain.begin(), plain.upper_bound(asked)));
    }
    CHECK(std::vector<std::pair<uint64_t, uint64_t>>(sorted.begin(), sorted.end()) ==
          std::vector<std::pair<uint64_t, uint64_t>>(plain.begin(), plain.end()));
  }
}

TEST_CASE("sorted pairs hold what a set of pairs holds, in the same order") {
  using Pair = std::pair<uint64_t, uint64_t>;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    SortedPairs<uint64_t, uint64_t> sorted;
    std::set<Pair> plain;
    for (int i = 0; i < 300; ++i) {
      const Pair pair{rng.below(20), rng.below(20)};
      if (rng.below(3) == 0) {
        sorted.erase(pair);
        plain.erase(pair);
      } else if (plain.insert(pair).second) {
        sorted.insert(pair);
      }
      const uint64_t asked = rng.below(22);
      const auto of_one = sorted.of(asked);
      CHECK(std::vector<Pair>(of_one.begin(), of_one.end()) ==
            std::vector<Pair>(plain.lower_bound({asked, 0}), plain.lower_bound({asked + 1, 0})));
    }
    const auto all = sorted.all();
    CHECK(std::vector<Pair>(all.begin(), all.end()) ==
          std::vector<Pair>(plain.begin(), plain.end()));
  }
}

TEST_CASE("shelves hold what a map by key holds, through holes and fillings") {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    Shelves<uint64_t> shelves;
    std::map<DeltaKey, uint64_t> plain;
    for (int i = 0; i < 600; ++i) {
      const DeltaKey key = drawn_key(rng, 3, 40);
      const uint64_t value = rng.next();
      if (rng.below(2) == 0) {
        shelves.erase(key);
        plain.erase(key);
      } else {
        CHECK(shelves.put(key, value) == plain.emplace(key, value).second);
      }
      const DeltaKey asked = drawn_key(rng, 4, 42);
      const uint64_t* const found = shelves.find(asked);
      const auto expected = plain.find(asked);
      REQUIRE((found != nullptr) == (expected != plain.end()));
      if (found != nullptr) CHECK(*found == expected->second);
      CHECK(shelves.size() == plain.size());
    }
  }
}

TEST_CASE("a tally counts what is at or above a number") {
  Rng rng(3);
  Tally tally;
  std::multiset<uint64_t> plain;
  CHECK(tally.lowest() == 0);
  for (int i = 0; i < 2000; ++i) {
    const uint64_t number = 1 + rng.below(9);
    const auto found = plain.find(number);
    if (found != plain.end() && rng.below(2) == 0) {
      tally.remove(number);
      plain.erase(found);
    } else {
      tally.add(number);
      plain.insert(number);
    }
    const uint64_t asked = rng.below(11);
    CHECK(tally.at_least(asked) ==
          static_cast<uint64_t>(std::distance(plain.lower_bound(asked), plain.end())));
    if (plain.empty()) continue;
    CHECK(tally.lowest() == *plain.begin());
    const uint64_t rank = rng.below(plain.size());
    CHECK(tally.from_top(rank) == *std::next(plain.rbegin(), static_cast<std::ptrdiff_t>(rank)));
  }
}

// ---- What a neighbour is ahead in

std::vector<Stream> ahead_by_scan(const VersionVector& theirs, const VersionVector& mine) {
  std::vector<Stream> ahead;
  for (const auto& [stream, seen] : theirs.streams()) {
    const auto own = mine.streams().find(stream);
    const Seen known = own == mine.streams().end() ? Seen{} : own->second;
    if (!missing_numbers(known, seen, 1).empty()) ahead.push_back(stream);
  }
  return ahead;
}

TEST_CASE("the streams in which a neighbour is ahead are those that a scan of all finds") {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    VersionVector mine, another;
    Told told;
    for (int i = 0; i < 400; ++i) {
      const DeltaKey key = drawn_key(rng, 12, 30);
      another.insert(drawn_key(rng, 12, 30));
      const uint64_t what = rng.below(40);
      if (what == 0) {
        told.replace(another, mine);
        CHECK(told.have() == another);
      } else if (what < 20) {
        told.insert(key, mine);
      } else {
        mine.insert(key);
      }
      if (rng.below(3) == 0) CHECK(told.ahead(mine) == ahead_by_scan(told.have(), mine));
    }
    mine.merge(told.have());
    CHECK(told.ahead(mine).empty());
  }
}

TEST_CASE("a neighbour that repeats itself does not make the list of where it is ahead grow") {
  VersionVector mine;
  Told told;
  for (int round = 0; round < 1000; ++round) told.insert({{peer(1), 1}, 1}, mine);
  CHECK(told.ahead(mine).size() == 1);
  for (uint64_t seq = 2; seq <= 1000; ++seq) told.insert({{peer(1), 1}, seq}, mine);
  CHECK(told.ahead(mine).size() == 1);
}

TEST_CASE("pulls are planned alike from the streams ahead and from a scan of all, at every time") {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    Config config;
    config.pulls_in_flight_max = 8;
    Pulls quick(config), plain(config);
    VersionVector mine;
    std::vector<Told> told(3);
    Instant now{1000};
    const auto is_wanted = [](const DeltaKey& key) { return key.stream.origin != peer(5); };
    for (int i = 0; i < 300; ++i) {
      now = now.after(static_cast<int64_t>(rng.below(700)));
      for (int k = 0; k < 3; ++k) told[rng.below(3)].insert(drawn_key(rng, 8, 20), mine);
      const DeltaKey came = drawn_key(rng, 8, 20);
      if (rng.below(3) == 0) {
        mine.insert(came);
        quick.arrived(came);
        plain.arrived(came);
      }
      if (rng.below(20) == 0) {
        quick.lost(peer(101), now);
        plain.lost(peer(101), now);
      }
      CHECK(quick.expire(now) == plain.expire(now));
      std::vector<PullSource> with, without;
      for (size_t k = 0; k < told.size(); ++k) {
        with.push_back({peer(100 + k), &told[k].have(), &told[k].ahead(mine)});
        without.push_back({peer(100 + k), &told[k].have()});
      }
      CHECK(quick.plan(mine, with, is_wanted, now) == plain.plan(mine, without, is_wanted, now));
      CHECK(quick.next() == plain.next());
      CHECK(quick.next() > now);
      CHECK(quick.in_flight() == plain.in_flight());
    }
  }
}

// ---- One copy for many nodes

TEST_CASE("equal values are kept once while a scope lives, and forgotten when nobody holds them") {
  using Words = Interned<int, std::string>;
  CHECK(Words::of(1, std::string("one")) != Words::of(1, std::string("one")));
  Words words;
  {
    const Words::Scope scope(words);
    const auto first = Words::of(1, std::string("one"));
    CHECK(Words::of(1, std::string("one")) == first);
    {
      Words inner;
      const Words::Scope nested(inner);
      CHECK(Words::of(1, std::string("one")) != first);
    }
    CHECK(Words::of(1, std::string("one")) == first);
    CHECK(*Words::of(2, std::string("two")) == "two");
    for (int i = 3; i < 5000; ++i) CHECK(Words::of(i, std::to_string(i)).use_count() == 1);
    CHECK(words.size() <= 70);
    CHECK(Words::of(1, std::string("one")) == first);
  }
  CHECK(Words::of(2, std::string("two")).use_count() == 1);
}

// ---- A judgement that looks only where something is new

TEST_CASE("a judgement that is kept up to date decides as one that works all out anew") {
  const model::RegionTable table = delta_test::small_table();
  uint64_t changes = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    Judgement kept(table, {.is_on = seed % 2 == 0});
    std::map<DeltaKey, Bytes> log;
    std::map<uint64_t, uint64_t> said;  // by origin
    const PayloadSource payloads = [&](const DeltaKey& key) -> std::optional<Bytes> {
      // Some are gone for good: they stay as they are.
      const auto found = log.find(key);
      return found == log.end() || key.seq % 13 == 0 ? std::nullopt : std::optional(found->second);
    };
    for (int i = 0; i < 700; ++i) {
      const uint64_t origin = 1 + rng.below(7), seq = ++said[origin];
      std::vector<float> d =
          delta_test::normal_delta(table, rng.next(), rng.below(12) == 0 ? 3.0f : 0.1f);
      const Compressed delta =
          compress(table, d, delta_test::tokens_of(table), {}, {.fraction = 0.1});
      DeltaSummary summary = delta.summary;
      const uint64_t clock = kept.clock();
      summary.interval = 1 + seq + rng.below(3);
      if (rng.below(9) == 0) summary.interval = 1 + rng.below(clock + 9);  // late, or early
      const DeltaKey key{{peer(origin), 1}, seq};
      log[key] = delta.payload;
      kept.add(key, summary, delta.payload);
      if (i == 400) kept.expel(peer(7));
      if (rng.below(4) != 0) continue;
      Judgement anew(table, {.is_on = seed % 2 == 0});
      REQUIRE(anew.decode(kept.encode()).has_value());
      CHECK(anew.clock() == kept.clock());
      const auto expected = anew.update(payloads);
      const auto found = kept.update(payloads);
      REQUIRE(found.size() == expected.size());
      for (size_t k = 0; k < found.size(); ++k) {
        CHECK(found[k].key == expected[k].key);
        CHECK(found[k].after == expected[k].after);
        CHECK(found[k].is_oversized == expected[k].is_oversized);
        if (!payloads(found[k].key)) kept.undo(found[k]);
      }
      for (const Judgement::Change& change : expected) {
        if (!payloads(change.key)) anew.undo(change);
      }
      changes += found.size();
      CHECK(kept.standings() == anew.standings());
      REQUIRE(kept.encode() == anew.encode());
      for (const auto& [each, divisor] : kept.divisors())
        CHECK(kept.divisor_of(each) == std::optional(divisor));
    }
  }
  CHECK(changes > 100);
}

}  // namespace
}  // namespace starling::swarm
