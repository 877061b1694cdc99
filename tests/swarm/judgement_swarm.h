#pragma once
// Some members that learn the same and one that works against it for a while, each with its own
// exchange, and the mail between them: late, doubled, in any order.
#include <doctest/doctest.h>
#include <sodium.h>

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "model/rng.h"
#include "swarm/exchange.h"
#include "tests/swarm/delta_fixture.h"

namespace starling::swarm::judgement_test {

struct Said {
  DeltaKey key;
  DeltaSummary summary;
  Bytes payload;
};

class Member {
 public:
  Member(const model::RegionTable& table, uint8_t number)
      : x(delta_test::size_of(table), 0.0f), exchange(table, x, {}) {
    std::array<uint8_t, 32> seed{};
    seed[0] = number;
    crypto_sign_seed_keypair(public_key.data(), secret.data(), seed.data());
    id = peer_id_of(public_key);
  }
  Said say(std::span<const float> towards, float direction, Rng& rng) {
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] += 0.01f * direction * towards[i] + 0.01f * (static_cast<float>(rng.unit()) - 0.5f);
    }
    SwarmView view;
    view.active_origins = 4;
    const std::vector<uint64_t> tokens(3, 1);
    const auto publication =
        exchange.publish(x, tokens, view, {},
                         {.kind = FrameKind::delta, .epoch = epoch, .seq = ++seq},
                         Signer(secret.data()), 0);
    REQUIRE(publication);
    const auto opened = open(*publication->frame, {});
    return {{{id, epoch}, seq},
            publication->summary,
            {opened->payload.begin(), opened->payload.end()}};
  }
  bool take(const Said& said) {
    return exchange.accept(said.key, said.summary, said.payload, x, 0);
  }

  PublicKey public_key{};
  std::array<uint8_t, 64> secret{};
  PeerId id;
  std::vector<float> x;
  Exchange exchange;
  uint64_t epoch = 1, seq = 0;  // of its boot; of the last it said
};

// Six members; the last works against the others from its fifth exchange to its fourteenth.
struct Swarm {
  explicit Swarm(uint64_t seed) : rng(seed), table(delta_test::small_table()) {
    REQUIRE(sodium_init() >= 0);
    for (uint8_t i = 0; i < 6; ++i) members.push_back(std::make_unique<Member>(table, i + 1));
    towards = delta_test::normal_delta(table, seed, 1.0f);
    mail.resize(members.size());
  }
  PayloadSource payloads() {
    return [this](const DeltaKey& key) -> std::optional<Bytes> { return log.at(key).payload; };
  }
  void run(int exchanges, uint64_t late_max) {
    for (int turn = 0; turn < exchanges; ++turn, ++now) {
      for (size_t i = 0; i < members.size(); ++i) {
        deliver(i, now);
        if (rng.below(3) > 0) judge(i);
        const bool is_against = i == 5 && now >= 4 && now < 14;
        const Said said = members[i]->say(towards, is_against ? -1.0f : 1.0f, rng);
        log.emplace(said.key, said);
        for (size_t to = 0; to < members.size(); ++to) {
          if (to == i) continue;
          mail[to].emplace(std::pair(now + rng.below(late_max + 1), rng.next()), said.key);
          if (rng.below(4) == 0) mail[to].emplace(std::pair(now, rng.next()), said.key);
        }
      }
    }
  }
  void deliver(size_t to, uint64_t until) {
    while (!mail[to].empty() && mail[to].begin()->first.first <= until) {
      members[to]->take(log.at(mail[to].begin()->second));
      mail[to].erase(mail[to].begin());
    }
  }
  void judge(size_t i) {
    Member& member = *members[i];
    for (const Ruling& ruling : member.exchange.judge(payloads(), member.x).rulings) {
      (ruling.standing.is_held ? holds : releases)[ruling.origin] += 1;
    }
  }
  Exchange::Expelled expel(size_t at, size_t whom) {
    return members[at]->exchange.expel(members[whom]->id, payloads(), members[at]->x);
  }
  void lose_mail_of(size_t to, const PeerId& origin) {
    std::erase_if(mail[to], [&](const auto& item) { return item.second.stream.origin == origin; });
  }
  void settle() {
    for (size_t i = 0; i < members.size(); ++i) {
      deliver(i, UINT64_MAX);
      judge(i);
      judge(i);
    }
  }
  bool is_agreed() const {
    for (const auto& member : members) {
      const Exchange& exchange = member->exchange;
      const Exchange& first = members.front()->exchange;
      if (exchange.base().hash() != first.base().hash()) return false;
      if (exchange.judgement().standings() != first.judgement().standings()) return false;
    }
    return true;
  }

  Rng rng;
  model::RegionTable table;
  std::vector<std::unique_ptr<Member>> members;
  std::vector<float> towards;
  std::map<DeltaKey, Said> log;
  std::vector<std::multimap<std::pair<uint64_t, uint64_t>, DeltaKey>> mail;
  std::map<PeerId, int> holds, releases;
  uint64_t now = 0;
};

}  // namespace starling::swarm::judgement_test
