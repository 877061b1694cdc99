// What must come to the same bits wherever it is built, all of it drawn from seeds: deltas of every
// shape, and a swarm that publishes, judges and is attacked. Prints a hash of each kind of result;
// same_bits.cmake compares what several builds of it print. Nothing here may ask libm.
#include <sodium.h>

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "swarm/accept.h"
#include "swarm/exchange.h"
#include "tests/swarm/delta_fixture.h"

namespace starling::swarm {
namespace {

constexpr uint64_t intervals = 60;
constexpr size_t member_count = 8;
constexpr size_t copied = 4, copier = 5, loud = 6, hostile = 7;  // of the members
constexpr delta_test::Sizes sizes{
    .width = 16, .layers = 2, .channels = 32, .mlp_width = 32, .regions = 4};

void must(bool is_so, const char* what) {
  if (is_so) return;
  std::printf("bits_driver: %s\n", what);
  std::exit(1);
}

// A hash of everything it was told, in order.
class Ledger {
 public:
  explicit Ledger(const char* name) : name_(name) {}
  void add(ByteView bytes) {
    Bytes all(sum_.begin(), sum_.end());
    all.insert(all.end(), bytes.begin(), bytes.end());
    sum_ = blake2b(all);
  }
  void add(double value) {
    Writer writer;
    writer.u64(std::bit_cast<uint64_t>(value));
    add(writer.bytes());
  }
  void add(std::span<const float> values) {
    Writer writer;
    for (const float value : values) writer.f32(value);
    add(writer.bytes());
  }
  void add(std::span<const int32_t> values) {
    Writer writer;
    for (const int32_t value : values) writer.varint(static_cast<uint32_t>(value));
    add(writer.bytes());
  }
  void add(const DeltaSummary& summary) {
    add(summary.norm);
    add(summary.raw_norm);
    for (const double norm : summary.region_norms) add(norm);
  }
  void print() const {
    std::printf("%s ", name_);
    for (const uint8_t byte : sum_) std::printf("%02x", static_cast<unsigned>(byte));
    std::printf("\n");
  }

 private:
  const char* name_;
  Digest sum_{};
};

struct Ledgers {
  Ledger payloads{"payloads"}, summaries{"summaries"}, weights{"weights"}, bases{"bases"},
      judgements{"judgements"};
};

// Every way through compress: shares, a budget, clipping, weights of regions, dense and sparse.
void write_deltas(Ledgers& ledgers) {
  const model::RegionTable table = delta_test::table_of(sizes);
  std::vector<int32_t> base(delta_test::size_of(table));
  std::vector<float> x(base.size());
  for (uint64_t seed = 1; seed <= 48; ++seed) {
    Rng rng(seed);
    std::vector<float> d =
        delta_test::normal_delta(table, seed, 1.0f / static_cast<float>(3 * seed));
    std::vector<float> weights;
    for (const model::Region& region : table) {
      const float factor = static_cast<float>(rng.below(1000)) / 333;
      for (uint32_t i = 0; i < region.count; ++i) d[region.offset + i] *= factor;
      weights.push_back(static_cast<float>(rng.below(17)) / 7);
    }
    const CompressOptions options{
        .fraction = 1.0 / static_cast<double>(4 + seed % 30),
        .payload_bytes_max = seed % 3 == 0 ? 600u : 0u,
        .sender_scale = 1.0f / static_cast<float>(1 + seed % 5),
        .reference_norm = seed % 2 == 0 ? 0.7 / static_cast<double>(seed) : 0,
        .interval = seed,
        .region_weights =
            seed % 4 == 0 ? std::span<const float>(weights) : std::span<const float>()};
    const Compressed delta = delta_test::compress_all(table, d, options);
    must(!delta.payload.empty(), "a delta of nothing");
    const auto summary = inspect_delta(table, delta.payload);
    must(summary.has_value(), "a delta that its receivers would refuse");
    apply_delta(table, delta.payload, 1, base, x, 1 + static_cast<uint32_t>(seed % 3));
    ledgers.payloads.add(delta.payload);
    ledgers.summaries.add(*summary);
    ledgers.weights.add(d);
  }
  ledgers.bases.add(base);
  ledgers.weights.add(x);
}

struct Said {
  DeltaKey key;
  DeltaSummary summary;
  Bytes payload;
};

class Member {
 public:
  Member(const model::RegionTable& table, uint8_t number)
      : x(delta_test::size_of(table)), exchange(table, x, {}), regions_(table.size()) {
    std::array<uint8_t, 32> seed{};
    seed[0] = number;
    crypto_sign_seed_keypair(public_key_.data(), secret_.data(), seed.data());
    id = peer_id_of(public_key_);
  }
  Said say(uint64_t budget) {
    SwarmView view;
    view.active_origins = member_count;
    view.reference_norm = is_clipping ? usual_.value() : 0;
    std::vector<uint64_t> tokens(regions_, 100);
    for (size_t region = 0; region < regions_; region += 3) tokens[region] += 7 * id.bytes[0];
    const FrameHeader header{.kind = FrameKind::delta, .epoch = 1, .seq = ++seq_};
    const auto publication = exchange.publish(x, tokens, view, {.payload_bytes_max = budget},
                                              header, Signer(secret_.data()), 0);
    must(publication.has_value(), "a member that has nothing to say");
    usual_.add(id, publication->summary.norm);
    const auto opened = open(*publication->frame, {});
    return {
        {{id, 1}, seq_}, publication->summary, {opened->payload.begin(), opened->payload.end()}};
  }
  void take(const Said& said) {
    if (!exchange.accept(said.key, said.summary, said.payload, x, 0)) return;
    usual_.add(said.key.stream.origin, said.summary.norm);
  }

  PeerId id;
  std::vector<float> x;
  Exchange exchange;
  bool is_clipping = true;

 private:
  const size_t regions_;
  PublicKey public_key_{};
  std::array<uint8_t, 64> secret_{};
  ReferenceNorm usual_{Config()};
  uint64_t seq_ = 0;
};

class Swarm {
 public:
  explicit Swarm(Ledgers& ledgers) : ledgers_(ledgers) {
    for (size_t i = 0; i < member_count; ++i)
      members_.push_back(std::make_unique<Member>(table_, static_cast<uint8_t>(i + 1)));
    for (const size_t i : {copier, loud, hostile}) members_[i]->is_clipping = false;
  }

  void run() {
    for (uint64_t now = 0; now < intervals; ++now) {
      for (size_t i = 0; i < member_count; ++i) {
        deliver(i, now);
        if (rng_.below(3) > 0) judge(i);
        learn(i, now);
        const Said said = members_[i]->say(now % 4 == 3 ? 500 : 0);
        ledgers_.payloads.add(said.payload);
        ledgers_.summaries.add(said.summary);
        log_.emplace(said.key, said);
        for (size_t to = 0; to < member_count; ++to) {
          const uint64_t at = now + rng_.below(4), turn = rng_.next();  // drawn in this order
          if (to != i) mail_[to].emplace(std::pair(at, turn), said.key);
        }
      }
      ledgers_.weights.add(members_[now % member_count]->x);
      ledgers_.weights.add(members_[now % member_count]->exchange.error());
    }
    for (size_t i = 0; i < member_count; ++i) settle(i);
  }
  void check() const {
    for (const auto& member : members_) {
      must(member->exchange.base().hash() == members_[0]->exchange.base().hash(),
           "members that hold the same log hold different bases");
    }
    std::printf("held %u released %u copies %u oversized %u\n", held_, released_, copies_,
                oversized_);
    must(held_ > 0 && released_ > 0 && copies_ > 0 && oversized_ > 0, "something was not tried");
  }

 private:
  // Towards what all want or away from it, and by a step of its own.
  void learn(size_t i, uint64_t now) {
    Member& member = *members_[i];
    const bool is_alike = (i == copied || i == copier) && now >= 35 && now < 52;
    const bool is_against = i == hostile && now >= 6 && now < 26;
    Rng own(1000 * now + (is_alike ? copied : i));
    float size = is_against ? -0.03f : 0.01f;
    if (i == loud && now % 20 == 10) size *= 40;
    if (is_alike) member.exchange.forget_unsent(member.x);
    for (size_t k = 0; k < member.x.size(); ++k)
      member.x[k] += size * towards_[k] + 0.01f * (static_cast<float>(own.unit()) - 0.5f);
  }
  void deliver(size_t to, uint64_t until) {
    auto& mail = mail_[to];
    while (!mail.empty() && mail.begin()->first.first <= until) {
      members_[to]->take(log_.at(mail.begin()->second));
      mail.erase(mail.begin());
    }
  }
  void judge(size_t i) {
    Member& member = *members_[i];
    const auto payloads = [this](const DeltaKey& key) -> std::optional<Bytes> {
      return log_.at(key).payload;
    };
    const Judged judged = member.exchange.judge(payloads, member.x);
    for (const Ruling& ruling : judged.rulings) ++(ruling.standing.is_held ? held_ : released_);
    for (const auto& [origin, standing] : member.exchange.judgement().standings())
      copies_ += standing.share > 1;
    oversized_ += static_cast<unsigned>(judged.oversized.size());
    ledgers_.judgements.add(member.exchange.judgement().encode());
    ledgers_.judgements.add(member.exchange.lateness());
    ledgers_.bases.add(member.exchange.base().hash());
  }
  void settle(size_t i) {
    deliver(i, UINT64_MAX);
    judge(i);
    judge(i);
  }

  Ledgers& ledgers_;
  Rng rng_{1};
  model::RegionTable table_ = delta_test::table_of(sizes);
  std::vector<float> towards_ = delta_test::normal_delta(table_, 1, 1.0f);
  std::vector<std::unique_ptr<Member>> members_;
  std::map<DeltaKey, Said> log_;
  std::array<std::multimap<std::pair<uint64_t, uint64_t>, DeltaKey>, member_count> mail_;
  unsigned held_ = 0, released_ = 0, copies_ = 0, oversized_ = 0;
};

// What this was built for may be more than this processor has.
bool can_run() {
#if defined(__x86_64__) && defined(__FMA__)
  return __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2");
#else
  return true;
#endif
}

}  // namespace
}  // namespace starling::swarm

int main() {
  using namespace starling::swarm;
  if (!can_run()) {
    std::puts("not tested: this processor has no fused multiply-add");
    return 0;
  }
  must(sodium_init() >= 0, "no libsodium");
  Ledgers ledgers;
  write_deltas(ledgers);
  Swarm swarm(ledgers);
  swarm.run();
  for (const Ledger* ledger : {&ledgers.payloads, &ledgers.summaries, &ledgers.weights,
                               &ledgers.bases, &ledgers.judgements})
    ledger->print();
  swarm.check();
  return 0;
}
