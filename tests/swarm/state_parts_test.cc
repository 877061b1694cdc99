// The nouns the state is made of, each by itself.
#include <doctest/doctest.h>

#include <deque>
#include <set>

#include "model/rng.h"
#include "swarm/accept.h"
#include "swarm/delta_log.h"
#include "swarm/dialling.h"
#include "swarm/liveness.h"
#include "swarm/replay_window.h"
#include "swarm/score.h"
#include "swarm/token_bucket.h"
#include "swarm/version_vector.h"

namespace starling::swarm::state_test {
namespace {

PeerId peer_of(uint8_t value) {
  PeerId id;
  id.bytes.fill(value);
  return id;
}

DeltaKey key_of(uint8_t origin, uint64_t seq, uint64_t epoch = 1) {
  return {{peer_of(origin), epoch}, seq};
}

// ---- Version vector

TEST_CASE("a version vector says what a plain set of numbers would say, in any order") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    VersionVector vector;
    std::set<uint64_t> plain;
    uint64_t contiguous = 0;
    const uint64_t reach = 5 + rng.below(120);
    for (int i = 0; i < 300; ++i) {
      const uint64_t seq = 1 + rng.below(reach);
      VersionVector::Insert expected = VersionVector::Insert::added;
      if (plain.contains(seq))
        expected = VersionVector::Insert::duplicate;
      else if (seq > contiguous + 65)
        expected = VersionVector::Insert::too_far;
      CHECK(vector.insert(key_of(1, seq)) == expected);
      if (expected == VersionVector::Insert::added) plain.insert(seq);
      while (plain.contains(contiguous + 1)) ++contiguous;
      const uint64_t asked = 1 + rng.below(reach + 70);
      CHECK(vector.contains(key_of(1, asked)) == plain.contains(asked));
    }
    CHECK(vector.delta_count() == plain.size());
  }
}

TEST_CASE("merging takes the union, and what was missing is missing no more") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    VersionVector a, b;
    std::set<DeltaKey> of_a, of_b;
    for (int i = 0; i < 200; ++i) {
      const DeltaKey key =
          key_of(static_cast<uint8_t>(1 + rng.below(3)), 1 + rng.below(90), 1 + rng.below(2));
      const bool is_first = rng.below(2) == 0;
      const auto result = (is_first ? a : b).insert(key);
      if (result == VersionVector::Insert::added) (is_first ? of_a : of_b).insert(key);
    }
    std::vector<DeltaKey> only_b;
    for (const DeltaKey& key : of_b) {
      if (!of_a.contains(key)) only_b.push_back(key);
    }
    CHECK(a.missing_from(b, 10000) == only_b);
    CHECK(a.missing_from(b, 3).size() == std::min<size_t>(3, only_b.size()));
    VersionVector both = a, other_way = b;
    both.merge(b);
    other_way.merge(a);
    CHECK(both == other_way);
    std::set<DeltaKey> all = of_a;
    all.insert(of_b.begin(), of_b.end());
    CHECK(both.delta_count() == all.size());
    CHECK(both.missing_from(b, 1).empty());
    CHECK(both.missing_from(a, 1).empty());
  }
}

TEST_CASE("a vector at the end of 64 bits neither overflows nor runs for ever") {
  VersionVector mine, theirs;
  theirs.set({peer_of(1), 1}, {UINT64_MAX - 3, ~uint64_t{0}});
  CHECK(mine.missing_from(theirs, 100).size() == 100);
  CHECK(theirs.missing_from(mine, 100).empty());
  CHECK(theirs.contains(key_of(1, UINT64_MAX)));
  mine.merge(theirs);
  CHECK(mine.missing_from(theirs, 100).empty());
}

// ---- Log

TEST_CASE("the log knows fresh, known, contradicting, distant and crowding deltas apart") {
  DeltaLog log;
  const ShortHash hash{1}, other{2};
  CHECK(log.standing(key_of(1, 1), hash) == DeltaLog::Standing::fresh);
  log.add(key_of(1, 1), {hash, 100, 1});
  CHECK(log.standing(key_of(1, 1), hash) == DeltaLog::Standing::duplicate);
  CHECK(log.standing(key_of(1, 1), other) == DeltaLog::Standing::equivocation);
  CHECK(log.standing(key_of(1, 66), hash) == DeltaLog::Standing::fresh);
  CHECK(log.standing(key_of(1, 67), hash) == DeltaLog::Standing::too_far);
  CHECK(log.standing(key_of(2, 66), hash) == DeltaLog::Standing::too_far);
  const std::vector<DeltaKey> gone{key_of(1, 1)};
  log.forget(gone);
  CHECK_FALSE(log.is_served(gone[0]));
  CHECK(log.standing(gone[0], other) == DeltaLog::Standing::duplicate);  // no hash is left of it
  for (uint64_t epoch = 2; epoch <= streams_per_origin_max; ++epoch) {
    log.add(key_of(1, 1, epoch), {hash, 100, 1});
  }
  CHECK(log.count_of(peer_of(1)) == streams_per_origin_max);
  CHECK(log.standing(key_of(1, 1, 9999), hash) == DeltaLog::Standing::no_room);
  CHECK(log.standing(key_of(2, 1), hash) == DeltaLog::Standing::fresh);
}

// ---- Norms

TEST_CASE("the reference is the median of the last norms, each counted up to four times it") {
  Config config;
  config.reference_window = 9;
  ReferenceNorm reference(config);
  for (int i = 1; i <= 7; ++i) reference.add(peer_of(1), i);
  CHECK(reference.value() == 0);  // too few to say
  reference.add(peer_of(1), 8);
  CHECK(reference.value() == 4);  // 1..8, the lower middle
  reference.add(peer_of(1), 1e300);
  CHECK(reference.value() == 5);
  for (int i = 0; i < 9; ++i) reference.add(peer_of(1), 2);
  CHECK(reference.value() == 2);
}

TEST_CASE("who publishes more has no more of the reference: each origin has one vote") {
  Config config;
  ReferenceNorm reference(config);
  for (uint8_t origin = 1; origin <= 4; ++origin) {
    for (int i = 0; i < 3; ++i) reference.add(peer_of(origin), origin);
  }
  CHECK(reference.value() == 2);
  for (int i = 0; i < 40; ++i) reference.add(peer_of(5), 7);
  CHECK(reference.value() == 3);  // of 1, 2, 3, 4, 7
}

TEST_CASE("the reference is what sorting and counting all votes anew would give") {
  Config config;
  config.reference_window = 16;
  ReferenceNorm reference(config);
  Rng rng(7);
  std::deque<NormVote> votes;
  double expected = 0;
  for (int i = 0; i < 2000; ++i) {
    const PeerId origin = peer_of(static_cast<uint8_t>(rng.below(1 + i / 100)));
    const double norm = static_cast<double>(rng.below(40)) * 0.1;  // many are equal, some are zero
    reference.add(origin, norm);
    votes.push_back({origin, expected > 0 ? std::min(norm, 4 * expected) : norm});
    if (votes.size() > config.reference_window) votes.pop_front();
    if (votes.size() >= reference_norms_min) expected = usual_norm({votes.begin(), votes.end()});
    REQUIRE(reference.value() == expected);
  }
}

TEST_CASE("the norm before clipping is believed up to four times the payload's") {
  DeltaSummary summary;
  summary.norm = 2;
  for (const auto& [stated, believed] : {std::pair(2.0, 2.0), {7.0, 7.0}, {1e30, 8.0}}) {
    summary.raw_norm = stated;
    CHECK(believed_norm(summary) == believed);
  }
}

// ---- Limits

TEST_CASE("a token bucket allows its burst, then its rate, whatever the clock does") {
  TokenBucket bucket({.per_minute = 60, .burst = 5}, Instant{0});
  for (int i = 0; i < 5; ++i) CHECK(bucket.take(Instant{0}));
  CHECK_FALSE(bucket.take(Instant{0}));
  CHECK(bucket.ready_at(Instant{0}) == Instant{1000});
  CHECK_FALSE(bucket.take(Instant{999}));
  CHECK(bucket.take(Instant{1000}));
  CHECK_FALSE(bucket.take(Instant{500}));  // time does not run backwards in it
  int taken = 0;
  while (bucket.take(Instant{INT64_MAX / 2})) ++taken;
  CHECK(taken == 5);  // no more than the burst after the longest sleep
}

TEST_CASE("the replay window says what a set of seen numbers would say") {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    ReplayWindow window;
    std::set<uint64_t> seen;
    uint64_t highest = 0;
    for (int i = 0; i < 500; ++i) {
      const uint64_t jump = rng.below(20) == 0 ? rng.below(2500) : rng.below(60);
      const uint64_t back = rng.below(1200);
      uint64_t seq = highest + jump;
      if (rng.below(2) == 0) seq = seq > back ? seq - back : 0;
      auto expected = ReplayWindow::Verdict::fresh;
      if (seq == 0 || seq + replay_window_size < highest)
        expected = ReplayWindow::Verdict::too_old;
      else if (seen.contains(seq))
        expected = ReplayWindow::Verdict::seen;
      CHECK(window.take(seq) == expected);
      if (expected == ReplayWindow::Verdict::fresh) seen.insert(seq);
      highest = std::max(highest, seq);
    }
  }
}

TEST_CASE("scores fall with faults, are forgiven a tenth a minute, and are bounded in number") {
  Scores scores;
  const PeerId ada = peer_of(1);
  CHECK_FALSE(scores.lower(ada, 0, Instant{0}));
  CHECK_FALSE(scores.lower(ada, 50, Instant{0}));
  CHECK(scores.at(ada, Instant{59999}) == -50);
  CHECK(scores.at(ada, Instant{60000}) == -45);
  CHECK(scores.at(ada, Instant{INT64_MAX / 2}) == 0);
  CHECK(scores.lower(ada, 10, Instant{60000}));
  CHECK(scores.refused_until(ada) == Instant{60000 + refusal_ms});
  CHECK_FALSE(scores.lower(ada, 10, Instant{60001}));  // once
  for (uint32_t i = 0; i < 3 * scores_max; ++i) {
    PeerId crowd = peer_of(9);
    crowd.bytes[0] = static_cast<uint8_t>(i);
    crowd.bytes[1] = static_cast<uint8_t>(i >> 8);
    scores.lower(crowd, 1, Instant{60002});
  }
  CHECK(scores.at(ada, Instant{60003}) == -65);  // who is refused is not pushed out by the many
}

TEST_CASE("no fault has a penalty that one accident could turn into a refusal") {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(DropReason::bad_snapshot); ++i) {
    const auto reason = static_cast<DropReason>(i);
    CAPTURE(drop_reason_name(reason));
    CHECK(penalty_of(reason) >= 0);
    CHECK(penalty_of(reason) <= 10);
  }
}

// ---- Liveness

TEST_CASE("what was heard decides who is alive") {
  const Config config;  // 2 s, suspect after 4, failed after 16
  struct Row {
    Evidence evidence;
    int64_t at_ms;
    MemberState expected;
  };
  Evidence told, heard, linked, lost, doubted, gone;
  for (Evidence* evidence : {&heard, &linked, &lost, &doubted, &gone})
    evidence->heard_at = Instant{0};
  linked.is_linked = lost.was_lost = gone.has_left = true;
  doubted.suspected_at = Instant{100000};
  const Row rows[] = {
      {linked, 0, MemberState::alive},
      {linked, 7999, MemberState::alive},
      {linked, 8000, MemberState::suspect},
      {linked, 32000, MemberState::failed},
      {lost, 1, MemberState::suspect},
      {lost, 32000, MemberState::failed},
      {told, 1, MemberState::suspect},
      {told, 32000, MemberState::failed},
      {heard, 8000, MemberState::alive},
      {heard, 900000, MemberState::alive},
      {doubted, 100000, MemberState::suspect},
      {doubted, 132000, MemberState::failed},
      {gone, 1, MemberState::left},
      {gone, 90000, MemberState::left},
  };
  for (const Row& row : rows) {
    CAPTURE(row.at_ms);
    CHECK(judge(row.evidence, config, Instant{row.at_ms}) == row.expected);
  }
}

// ---- Dialling

TEST_CASE("one address is dialled once at a time, whoever is expected there") {
  const Config config;
  Rng rng(1);
  Dialling dialling(config, peer_of(1), {"own:1"});
  dialling.add_seed("a:1", Instant{0});
  dialling.add_seed("own:1", Instant{0});
  dialling.set_member(peer_of(2), {"a:1", "b:1"}, Instant{0}, rng);
  const auto first = dialling.due(Instant{1000}, rng, true);
  REQUIRE(first.size() == 2);  // a:1 as seed; b:1 for the member
  CHECK(first[0].address == "a:1");
  CHECK_FALSE(first[0].expected.has_value());
  CHECK(first[1].address == "b:1");
  dialling.linked(peer_of(2), "a:1", true);
  CHECK(dialling.next() == never);  // the seed is the member: all is reached
  dialling.unlinked(peer_of(2), Instant{0}, Instant{5000}, rng);
  CHECK(dialling.next() >= Instant{5000 + config.redial_delay_min_ms});
  dialling.set_member(peer_of(2), {}, Instant{5000}, rng);
  CHECK(dialling.due(Instant{60000}, rng, false).empty());      // the seed was reached before
  CHECK(dialling.due(Instant{120000}, rng, true).size() == 1);  // the seed alone
}

TEST_CASE("a hundred seeds are too many") {
  const Config config;
  Rng rng(1);
  Dialling dialling(config, peer_of(1), {});
  for (int i = 0; i < 100; ++i) dialling.add_seed("host:" + std::to_string(i), Instant{0});
  CHECK(dialling.due(Instant{0}, rng, false).size() == seeds_max);
}

TEST_CASE("a hint is dialled once, at once, and forgotten whatever comes of it") {
  const Config config;
  Rng rng(1);
  for (const bool is_reached : {true, false}) {
    Dialling dialling(config, peer_of(1), {"own:1"});
    dialling.add_hint(peer_of(2), "a:1", Instant{0});
    dialling.add_hint(peer_of(2), "own:1", Instant{0});
    dialling.add_hint(peer_of(1), "b:1", Instant{0});
    const auto opens = dialling.due(Instant{0}, rng, false);
    REQUIRE(opens.size() == 1);
    CHECK(opens[0].address == "a:1");
    CHECK(opens[0].expected == peer_of(2));
    if (is_reached) {
      dialling.linked(peer_of(2), "a:1", true);
      dialling.add_hint(peer_of(2), "a:1", Instant{1000});
      dialling.unlinked(peer_of(2), Instant{0}, Instant{5000}, rng);
    } else {
      CHECK(dialling.failed("a:1", Instant{1000}, rng).empty());  // nobody is thought lost for it
    }
    CHECK(dialling.next() == never);
  }
}

TEST_CASE("a hint that is never answered makes room for another") {
  const Config config;
  Rng rng(1);
  Dialling dialling(config, peer_of(1), {});
  for (uint8_t i = 0; i < 2 * hints_max; ++i)
    dialling.add_hint(peer_of(static_cast<uint8_t>(i + 2)), "a:" + std::to_string(i), Instant{0});
  CHECK(dialling.due(Instant{0}, rng, false).size() == hints_max);
  dialling.add_hint(peer_of(99), "b:1", Instant{1});
  CHECK(dialling.due(Instant{1}, rng, false).empty());
  CHECK(dialling.due(Instant{dial_timeout_ms}, rng, false).empty());
  CHECK(dialling.next() == never);
  dialling.add_hint(peer_of(99), "b:1", Instant{dial_timeout_ms});
  CHECK(dialling.due(Instant{dial_timeout_ms}, rng, false).size() == 1);
}

TEST_CASE("a hint ends the pause of a member's own address, which stays after it") {
  const Config config;
  Rng rng(1);
  Dialling dialling(config, peer_of(1), {});
  dialling.add_hint(peer_of(2), "a:1", Instant{0});
  dialling.set_member(peer_of(2), {"a:1"}, Instant{0}, rng);  // it is no hint any more
  REQUIRE(dialling.due(Instant{0}, rng, false).size() == 1);
  CHECK(dialling.failed("a:1", Instant{0}, rng) == std::vector{peer_of(2)});
  CHECK(dialling.due(Instant{1}, rng, false).empty());
  dialling.add_hint(peer_of(2), "a:1", Instant{1});
  CHECK(dialling.due(Instant{1}, rng, false).size() == 1);
}

}  // namespace
}  // namespace starling::swarm::state_test
