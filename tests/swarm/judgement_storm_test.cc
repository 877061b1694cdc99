// Everything at once: members hold and release one that turns against them, while deltas come late,
// twice, out of order or only when they are asked for, members start again from what they wrote
// down some time ago or with nothing but another's snapshot, and one is revoked, of which each
// hears at another time. Whoever has accepted the same in the end holds the same bits.
#include <doctest/doctest.h>

#include <optional>
#include <set>

#include "tests/swarm/judgement_swarm.h"

namespace starling::swarm::judgement_test {
namespace {

class Storm : public Swarm {
 public:
  Storm(uint64_t seed, std::optional<size_t> revoked, uint64_t late_max)
      : Swarm(seed), late_max_(late_max) {
    if (revoked) revoked_ = members[*revoked]->id;
    disks_.resize(members.size());
    has_heard_.resize(members.size());
  }

  // `chaos`: restarts and snapshots happen as well.
  void blow(uint64_t exchanges, bool is_chaos) {
    for (const uint64_t end = now + exchanges; now < end; ++now) {
      for (size_t i = 0; i < members.size(); ++i) take_turn(i, is_chaos);
    }
  }
  void revoke_from_now_on() { is_revocation_out_ = true; }
  void reinstate_from_now_on() { is_revocation_out_ = false; }

  // Everybody hears of it and asks for what it misses.
  void calm() {
    for (size_t i = 0; i < members.size(); ++i) {
      hear(i);
      deliver(i, UINT64_MAX);
      replay(i, [](const DeltaKey&) { return true; });
      judge(i);
      judge(i);
    }
  }
  bool is_equal() const {
    const Exchange& first = members.front()->exchange;
    for (const auto& member : members) {
      if (member->exchange.base().hash() != first.base().hash()) return false;
      if (!(member->exchange.applied() == first.applied())) return false;
    }
    return true;
  }

  int restarts = 0, snapshots = 0, lost = 0;

 private:
  struct Disk {
    std::vector<int32_t> values;
    std::vector<float> error;
    VersionVector applied;
    Bytes judgement;
  };

  void take_turn(size_t i, bool is_chaos) {
    deliver(i, now);
    if (rng.below(4) == 0) hear(i);
    if (rng.below(3) > 0) judge(i);
    if (rng.below(6) == 0) save(i);
    if (is_chaos && rng.below(12) == 0) restart(i);
    if (is_chaos && rng.below(40) == 0) begin_anew(i);
    if (rng.below(8) == 0) return;  // it sleeps
    const bool is_against = i == 5 && now >= 4 && now < 14;
    const Said said = members[i]->say(towards, is_against ? -1.0f : 1.0f, rng);
    log.emplace(said.key, said);
    for (size_t to = 0; to < members.size(); ++to) {
      if (to == i) continue;
      // What is lost is asked for some time.
      const bool is_lost = rng.below(10) == 0;
      lost += is_lost;
      const uint64_t pulled_after = is_lost ? 4 + rng.below(24) : 0;
      mail[to].emplace(std::pair(now + pulled_after + rng.below(late_max_ + 1), rng.next()),
                       said.key);
      if (rng.below(4) == 0)
        mail[to].emplace(std::pair(now + rng.below(3), rng.next()), said.key);
    }
  }

  void hear(size_t i) {
    Member& member = *members[i];
    if (is_revocation_out_) {
      has_heard_[i] = true;
      member.exchange.expel(revoked_, payloads(), member.x);
    } else if (has_heard_[i]) {
      has_heard_[i] = false;
      member.exchange.reinstate(revoked_, payloads(), member.x);
    }
  }

  void save(size_t i) {
    const Exchange& exchange = members[i]->exchange;
    disks_[i] = Disk{{exchange.base().values().begin(), exchange.base().values().end()},
                     {exchange.error().begin(), exchange.error().end()},
                     exchange.applied(),
                     exchange.judgement().encode()};
  }

  // From the last checkpoint and the log, which is newer.
  void restart(size_t i) {
    if (!disks_[i]) return;
    ++restarts;
    Member& member = *members[i];
    const VersionVector had = member.exchange.applied();
    const Disk& disk = *disks_[i];
    Judgement judgement(table);
    REQUIRE(judgement.decode(disk.judgement).has_value());
    member.exchange.restore(disk.values, disk.error, disk.applied, std::move(judgement));
    boot(member);
    settle_standing(i);
    replay(i, [&](const DeltaKey& key) { return had.contains(key); });
  }

  // With an empty disk: another's snapshot, and what it leaves open is pulled.
  void begin_anew(size_t i) {
    const Member& other = *members[(i + 1 + rng.below(members.size() - 1)) % members.size()];
    const auto settled = other.exchange.settled(payloads());
    REQUIRE(settled);
    ++snapshots;
    Member& member = *members[i];
    const VersionVector had = member.exchange.applied(), has = other.exchange.applied();
    Judgement judgement(table);
    REQUIRE(judgement.decode(settled->judgement).has_value());
    member.exchange.replace_base(settled->values, settled->applied, std::move(judgement), member.x);
    member.exchange.forget_unsent(member.x);
    boot(member);
    settle_standing(i);
    disks_[i].reset();
    replay(i, [&](const DeltaKey& key) { return had.contains(key) || has.contains(key); });
  }

  void boot(Member& member) {
    ++member.epoch;
    member.seq = 0;
    for (size_t k = 0; k < member.x.size(); ++k) member.x[k] = member.exchange.base().value(k);
  }

  // What was written down may be older, or newer, than what the member has heard.
  void settle_standing(size_t i) {
    Member& member = *members[i];
    if (has_heard_[i]) {
      member.exchange.expel(revoked_, payloads(), member.x);
    } else {
      member.exchange.reinstate(revoked_, payloads(), member.x);
    }
  }

  // Takes what it lacks out of the log, of each stream about in order.
  template <typename Predicate>
  void replay(size_t i, Predicate is_had) {
    std::multimap<uint64_t, const Said*> order;
    for (const auto& [key, said] : log) {
      if (is_had(key) && !members[i]->exchange.applied().contains(key))
        order.emplace(key.seq + rng.below(30), &said);
    }
    for (const auto& [place, said] : order) members[i]->take(*said);
  }

  uint64_t late_max_;
  PeerId revoked_;
  bool is_revocation_out_ = false;
  std::vector<std::optional<Disk>> disks_;
  std::vector<uint8_t> has_heard_;
};

TEST_CASE("through holds, restarts, snapshots and loss, equal logs give equal bits") {
  int restarts = 0, snapshots = 0, lost = 0, held = 0, released = 0;
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    CAPTURE(seed);
    Storm storm(seed, std::nullopt, seed % 6);
    storm.blow(12, true);
    storm.calm();
    CHECK(storm.is_equal());
    storm.blow(14 + seed % 20, true);
    storm.calm();
    CHECK(storm.is_equal());
    const PeerId turncoat = storm.members[5]->id;
    held += storm.holds.contains(turncoat);
    released += storm.releases.contains(turncoat);
    restarts += storm.restarts;
    snapshots += storm.snapshots;
    lost += storm.lost;
  }
  CHECK(held > 21);
  CHECK(released > 21);
  CHECK(restarts > 120);
  CHECK(snapshots > 50);
  CHECK(lost > 600);
}

TEST_CASE("a revocation amid all of that leaves equal bits, and so does taking it back") {
  int held = 0;
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    CAPTURE(seed);
    const size_t revoked = seed % 2 == 0 ? 2 : 5;  // an honest one, one that is held in between
    Storm storm(seed, revoked, seed % 5);
    storm.blow(6 + seed % 8, true);
    storm.revoke_from_now_on();
    storm.blow(8, true);
    storm.calm();
    CHECK(storm.is_equal());
    for (const auto& member : storm.members)
      CHECK(member->exchange.judgement().is_expelled(storm.members[revoked]->id));
    if (seed % 4 < 2) storm.reinstate_from_now_on();
    storm.blow(12, true);
    storm.calm();
    CHECK(storm.is_equal());
    held += storm.holds.contains(storm.members[5]->id);
  }
  CHECK(held > 12);
}

// Heard of at once: what becomes final while only some have heard may stay different.
TEST_CASE("so it is beyond the horizon, where much of what was decided is final") {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    const size_t revoked = seed % 2 == 0 ? 2 : 5;
    Storm storm(seed, revoked, seed % 4);
    storm.blow(70, true);
    storm.blow(14, false);
    storm.calm();
    CHECK(storm.is_equal());
    storm.revoke_from_now_on();
    storm.calm();
    CHECK(storm.is_equal());
  }
}

}  // namespace
}  // namespace starling::swarm::judgement_test
