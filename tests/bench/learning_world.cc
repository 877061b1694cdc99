#include "tests/bench/learning_world.h"

#include <sodium.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

#include "model/batcher.h"
#include "swarm/accept.h"
#include "swarm/exchange.h"

namespace starling::bench {
namespace {

using swarm::DeltaKey;
using swarm::PeerId;

constexpr float statistics_rate = 0.15f;  // as in node/mind.cc
constexpr std::array<const char*, 10> attack_names = {
    "none",          "silent",     "sign-flip", "gaussian", "alie",
    "inner-product", "label-flip", "adaptive",  "sybils",   "drift"};

model::Shape shape_of(const Setup& setup) {
  return {.width = setup.width,
          .layers = 2,
          .channels = 2 * setup.width,
          .mlp_width = 3 * setup.width,
          .regions = setup.regions,
          .always_awake = setup.regions / 4,
          .selected = 2};
}

// Constant to 60 % of the run, then half a cosine down to 2 %.
float rate_at(const Setup& setup, double done) {
  const double cooled = std::max(0.0, (done - 0.6) / 0.4);
  const double share = 0.02 + 0.98 * 0.5 * (1 + std::cos(std::numbers::pi * cooled));
  return static_cast<float>(setup.learning_rate * share);
}

Lesson flipped(Lesson lesson) {
  for (model::Pair& pair : lesson.pairs)
    pair.answer[0] = static_cast<char>('0' + '9' - pair.answer[0]);
  std::reverse(lesson.text.begin(), lesson.text.end());
  return lesson;
}

// A trainer with its data.
struct Pupil {
  Pupil(const model::Shape& shape, const std::vector<float>& genesis, const Lesson& lesson,
        const Task& task, const Setup& setup, uint64_t seed, bool is_in_swarm)
      : trainer(shape,
                {.beta1 = is_in_swarm ? static_cast<float>(setup.beta1) : 0.9f,
                 .micro_rows = setup.rows,
                 .working_set = is_in_swarm && setup.working_set},
                genesis),
        batcher({.rows = setup.rows, .length = task.length}, seed) {
    batcher.add_text("lesson", lesson.text);
    batcher.add_pairs("lesson", lesson.pairs);
  }
  void learn(uint32_t steps, float rate) {
    for (uint32_t i = 0; i < steps; ++i) {
      batcher.next(batch);
      const auto report = trainer.step(batch, rate);
      assert(report.has_value());
    }
  }
  model::Trainer trainer;
  model::Batcher batcher;
  model::Batch batch;
};

double score_of(const Task& task, const model::Shape& shape, std::span<const float> parameters) {
  const model::Snapshot snapshot{shape, {parameters.begin(), parameters.end()}, 0};
  return task.score(snapshot);
}

struct Member {
  std::unique_ptr<Pupil> pupil;
  std::unique_ptr<swarm::Exchange> exchange;
  swarm::ReferenceNorm reference{swarm::Config()};
  PeerId id;
  std::array<uint8_t, 64> secret{};
  bool is_hostile = false, is_slow = false;
  uint64_t seq = 0;
  std::vector<float> own_direction;
  std::multimap<uint32_t, DeltaKey> mail;  // by the exchange at which it comes
};

class World {
 public:
  World(const Task& task, const Setup& setup)
      : task_(task),
        setup_(setup),
        shape_(shape_of(setup)),
        table_(model::region_table(shape_)),
        rng_(setup.seed) {
    const std::vector<float> genesis = model::genesis(shape_, 1);
    const auto hostile = static_cast<size_t>(setup.hostile * static_cast<double>(setup.nodes));
    members_.resize(setup.nodes);
    for (size_t i = 0; i < setup.nodes; ++i) {
      Member& member = members_[i];
      member.is_hostile = i >= setup.nodes - hostile;
      member.is_slow = rng_.unit() < setup.slow;
      const bool is_liar = member.is_hostile && setup.attack == Attack::label_flip;
      member.pupil = std::make_unique<Pupil>(shape_, genesis,
                                             is_liar ? flipped(task.lessons[i]) : task.lessons[i],
                                             task, setup, setup.seed * 1000 + i, true);
      member.exchange =
          std::make_unique<swarm::Exchange>(table_, genesis, std::vector<uint8_t>{}, setup.rules);
      if (setup.weighs_regions) member.exchange->weigh_regions();
      std::array<uint8_t, 32> seed{}, public_key{};
      seed[0] = static_cast<uint8_t>(i + 1);
      crypto_sign_seed_keypair(public_key.data(), member.secret.data(), seed.data());
      member.id = swarm::peer_id_of(public_key);
      member.own_direction = direction();
    }
    common_direction_ = direction();
  }

  Outcome run() {
    for (round_ = 0; round_ < setup_.exchanges; ++round_) {
      honest_sum_.assign(model::parameter_count(shape_), 0);
      honest_squares_.assign(honest_sum_.size(), 0);
      honest_count_ = 0;
      if (round_ == setup_.attack_until) expel();
      for (Member& member : members_) {
        if (!attacks(member)) take_turn(member);
      }
      for (Member& member : members_) {
        if (attacks(member)) attack(member);
      }
      watch();
    }
    for (const Member& member : members_)
      outcome_.lateness += member.exchange->lateness() / static_cast<double>(members_.size());
    // Everything that is under way arrives, twice so that the decisions settle.
    for (int i = 0; i < 2; ++i) {
      for (Member& member : members_) receive(member, UINT32_MAX);
    }
    return conclude();
  }

 private:
  bool attacks(const Member& member) const {
    return member.is_hostile && setup_.attack != Attack::label_flip;
  }
  std::vector<float> direction() {
    std::vector<float> values(model::parameter_count(shape_));
    double square = 0;
    for (float& value : values) {
      value = static_cast<float>(rng_.unit() + rng_.unit() + rng_.unit() - 1.5);
      square += static_cast<double>(value) * static_cast<double>(value);
    }
    for (float& value : values) value /= static_cast<float>(std::sqrt(square));
    return values;
  }

  void take_turn(Member& member) {
    const bool is_here = rng_.unit() >= setup_.away;
    if (!is_here) return;
    receive(member, round_);
    const double done = static_cast<double>(round_) / setup_.exchanges;
    member.pupil->learn(member.is_slow ? std::max(1u, setup_.steps / 4) : setup_.steps,
                        rate_at(setup_, done));
    if (member.is_slow && round_ % 4 != 3) return;
    publish(member);
  }

  swarm::FrameHeader header(Member& member) {
    return {.kind = swarm::FrameKind::delta, .epoch = 1, .seq = ++member.seq};
  }

  void publish(Member& member) {
    model::Trainer& trainer = member.pupil->trainer;
    trainer.end_exchange(statistics_rate);
    swarm::SwarmView view;
    view.active_origins = static_cast<uint32_t>(setup_.nodes);
    view.reference_norm = member.reference.value();
    const auto publication =
        member.exchange->publish(trainer.parameters(), trainer.take_region_tokens(), view,
                                 {.budget_fraction = setup_.fraction,
                                  .outer = setup_.outer,
                                  .adapts_to_lateness = setup_.adapts,
                                  .steps = setup_.steps},
                                 header(member), swarm::Signer(member.secret.data()), 0);
    if (!publication) return;
    member.reference.add(member.id, swarm::believed_norm(publication->summary));
    const swarm::Bytes payload = payload_of(*publication->frame);
    send(member, publication->summary, payload);
    if (member.is_hostile) return;
    std::vector<int32_t> values(honest_sum_.size());
    swarm::apply_delta(table_, payload, 1, values, {});
    for (size_t i = 0; i < values.size(); ++i) {
      const double value = values[i] * swarm::fixed_lsb;
      honest_sum_[i] += value;
      honest_squares_[i] += value * value;
    }
    ++honest_count_;
  }

  static swarm::Bytes payload_of(const swarm::Bytes& frame) {
    const auto opened = swarm::open(frame, {});
    return {opened->payload.begin(), opened->payload.end()};
  }

  void send(Member& from, const swarm::DeltaSummary& summary, swarm::Bytes payload) {
    const DeltaKey key{{from.id, 1}, from.seq};
    bytes_ += static_cast<double>(payload.size());
    for (Member& to : members_) {
      if (&to == &from) continue;
      uint32_t late = static_cast<uint32_t>(rng_.below(setup_.late_max + 1));
      while (rng_.unit() < setup_.loss) ++late;
      to.mail.emplace(round_ + 1 + late, key);
    }
    log_.emplace(key, std::pair(summary, std::move(payload)));
  }

  void receive(Member& member, uint32_t until) {
    const std::span<float> x = member.pupil->trainer.parameters();
    while (!member.mail.empty() && member.mail.begin()->first <= until) {
      const DeltaKey key = member.mail.begin()->second;
      member.mail.erase(member.mail.begin());
      const auto& [summary, payload] = log_.at(key);
      member.exchange->accept(key, summary, payload, x, 0);
      member.reference.add(key.stream.origin, swarm::believed_norm(summary));
    }
    if (!setup_.is_judged) return;
    member.exchange->judge(payloads(), x);
  }

  swarm::PayloadSource payloads() const {
    return
        [this](const DeltaKey& key) -> std::optional<swarm::Bytes> { return log_.at(key).second; };
  }

  // What a hostile node says knows what all honest ones said in this exchange.
  void attack(Member& member) {
    receive(member, round_);
    if (setup_.attack == Attack::silent || honest_count_ == 0 || round_ >= setup_.attack_until)
      return;
    std::vector<float> d = hostile_delta(member);
    const double reference = std::max(1e-6, member.reference.value());
    const std::vector<uint64_t> tokens(table_.size(), 1000);
    swarm::Compressed made = swarm::compress(
        table_, d, tokens, {},
        {.fraction = std::min(setup_.fraction, 1.0 / static_cast<double>(setup_.nodes)),
         .reference_norm = setup_.norm * reference,
         .steps = setup_.steps,
         .interval = member.exchange->judgement().next_interval(member.id)});
    if (made.payload.empty()) return;
    ++member.seq;
    member.exchange->accept({{member.id, 1}, member.seq}, made.summary, made.payload,
                            member.pupil->trainer.parameters(), 0);
    send(member, made.summary, made.payload);
  }

  std::vector<float> hostile_delta(Member& member) {
    const size_t size = honest_sum_.size();
    std::vector<float> d(size);
    double square = 0;
    for (const double value : honest_sum_) square += value * value;
    const double length = std::sqrt(square) / honest_count_, a = setup_.strength;
    const double rest = std::sqrt(1 - a * a);
    std::vector<float> noise =
        setup_.attack == Attack::gaussian ? direction() : std::vector<float>(size);
    const double norm = 4 * std::max(length, member.reference.value());
    for (size_t i = 0; i < size; ++i) {
      const double mean = honest_sum_[i] / honest_count_, own = member.own_direction[i];
      const double common = common_direction_[i], unit = mean / std::max(length, 1e-12);
      const double deviation =
          std::sqrt(std::max(0.0, honest_squares_[i] / honest_count_ - mean * mean));
      double value = 0;
      if (setup_.attack == Attack::sign_flip) value = -10 * mean;
      if (setup_.attack == Attack::gaussian) value = norm * static_cast<double>(noise[i]);
      if (setup_.attack == Attack::alie) value = mean - 1.5 * deviation;
      if (setup_.attack == Attack::inner_product) value = -2 * mean;
      if (setup_.attack == Attack::adaptive) value = norm * (-a * unit + rest * own);
      const double shared = rest * (common + own) * std::numbers::sqrt2 / 2;
      if (setup_.attack == Attack::sybils) value = norm * (-a * unit + shared);
      if (setup_.attack == Attack::drift) value = norm * (a * unit + shared);
      d[i] = static_cast<float>(value);
    }
    return d;
  }

  void expel() {
    for (Member& member : members_) {
      for (const Member& other : members_) {
        if (!other.is_hostile) continue;
        member.exchange->expel(other.id, payloads(), member.pupil->trainer.parameters());
      }
    }
  }

  const swarm::Standings& standings() const {
    return members_.front().exchange->judgement().standings();
  }

  void watch() {
    if (members_.front().exchange->judgement().clock() < 4 * swarm::cut_stride) return;
    std::vector<double> agreements;
    for (const Member& member : members_) {
      const auto found = standings().find(member.id);
      if (member.is_hostile || found == standings().end()) continue;
      const swarm::Standing& standing = found->second;
      agreements.push_back(standing.agreement);
      outcome_.honest_agreement_min = std::min(outcome_.honest_agreement_min, standing.agreement);
      outcome_.honest_share_max = std::max(outcome_.honest_share_max, standing.share);
      if (standing.is_held) ever_held_.insert(member.id);
    }
    if (agreements.empty()) return;
    std::sort(agreements.begin(), agreements.end());
    agreements_.push_back(agreements[agreements.size() / 2]);
  }

  // What each member said in a window, in the members' order.
  std::vector<std::vector<int32_t>> sums_of(uint64_t window) const {
    std::vector<std::vector<int32_t>> sums;
    for (const Member& member : members_) {
      std::vector<int32_t>& sum = sums.emplace_back(honest_sum_.size());
      const auto first = log_.lower_bound({{member.id, 1}, 0});
      for (auto at = first; at != log_.end() && at->first.stream.origin == member.id; ++at) {
        const auto& [summary, payload] = at->second;
        const bool is_in = (summary.interval - 1) / swarm::window_intervals == window;
        if (is_in) swarm::apply_delta(table_, payload, 1, sum, {});
      }
    }
    return sums;
  }

  static double cosine(std::span<const int32_t> a, std::span<const int32_t> b) {
    double dot = 0, square_a = 0, square_b = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      const double x = a[i], y = b[i];
      dot += x * y;
      square_a += x * x;
      square_b += y * y;
    }
    return square_a > 0 && square_b > 0 ? dot / std::sqrt(square_a * square_b) : 0;
  }

  void measure_consistency() {
    const uint64_t last =
        members_.front().exchange->judgement().clock() / swarm::window_intervals;  // not full
    std::vector<std::vector<int32_t>> before = sums_of(0);
    for (uint64_t window = 1; window < last; ++window) {
      std::vector<std::vector<int32_t>> sums = sums_of(window);
      for (size_t i = 0; i < sums.size(); ++i) {
        std::vector<int32_t> others(honest_sum_.size());
        for (size_t j = 0; j < sums.size(); ++j) {
          for (size_t k = 0; j != i && k < others.size(); ++k) others[k] += sums[j][k];
        }
        const bool is_hostile = members_[i].is_hostile;
        auto& consistency = is_hostile ? outcome_.hostile_consistency : outcome_.honest_consistency;
        const double own = cosine(sums[i], before[i]);
        consistency.own.push_back(own);
        consistency.either.push_back(std::max(own, cosine(sums[i], others)));
      }
      before = std::move(sums);
    }
  }

  Outcome conclude() {
    if (setup_.measures_consistency) measure_consistency();
    Outcome& outcome = outcome_;
    const swarm::Exchange& first = *members_.front().exchange;
    outcome.is_agreed = true;
    for (const Member& member : members_) {
      outcome.hostile += member.is_hostile;
      outcome.is_agreed =
          outcome.is_agreed && member.exchange->base().hash() == first.base().hash();
      const auto found = standings().find(member.id);
      if (found == standings().end()) continue;
      (member.is_hostile ? outcome.hostile_held : outcome.honest_held) += found->second.is_held;
      if (member.is_hostile) {
        outcome.hostile_agreement_max =
            std::max(outcome.hostile_agreement_max, found->second.agreement);
      }
    }
    outcome.honest_ever_held = ever_held_.size();
    for (const double agreement : agreements_)
      outcome.honest_agreement += agreement / static_cast<double>(agreements_.size());
    outcome.mean_bytes = bytes_ / static_cast<double>(setup_.nodes);
    std::vector<float> base;
    for (size_t i = 0; i < first.base().values().size(); ++i) base.push_back(first.base().value(i));
    outcome.score = score_of(task_, shape_, base);
    return outcome;
  }

  const Task& task_;
  const Setup setup_;
  model::Shape shape_;
  model::RegionTable table_;
  Rng rng_;
  std::vector<Member> members_;
  std::vector<float> common_direction_;
  std::map<DeltaKey, std::pair<swarm::DeltaSummary, swarm::Bytes>> log_;
  std::vector<double> honest_sum_, honest_squares_;
  double honest_count_ = 0, bytes_ = 0;
  uint32_t round_ = 0;
  std::set<PeerId> ever_held_;
  std::vector<double> agreements_;
  Outcome outcome_;
};

}  // namespace

std::string attack_name(Attack attack) { return attack_names[static_cast<size_t>(attack)]; }

std::optional<Attack> attack_of(const std::string& name) {
  for (size_t i = 0; i < attack_names.size(); ++i) {
    if (name == attack_names[i]) return static_cast<Attack>(i);
  }
  return std::nullopt;
}

Outcome run_swarm(const Task& task, const Setup& setup) { return World(task, setup).run(); }

double run_fedavg(const Task& task, const Setup& setup) {
  const model::Shape shape = shape_of(setup);
  std::vector<float> mean = model::genesis(shape, 1);
  std::vector<Pupil> pupils;
  for (size_t i = 0; i < setup.nodes; ++i) {
    pupils.emplace_back(shape, mean, task.lessons[i], task, setup, setup.seed * 1000 + i, true);
  }
  for (uint32_t round = 0; round < setup.exchanges; ++round) {
    std::vector<double> sum(mean.size());
    for (Pupil& pupil : pupils) {
      const std::span<float> x = pupil.trainer.parameters();
      std::copy(mean.begin(), mean.end(), x.begin());
      pupil.learn(setup.steps, rate_at(setup, static_cast<double>(round) / setup.exchanges));
      pupil.trainer.end_exchange(2 * statistics_rate);
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(x[i]);
    }
    for (size_t i = 0; i < sum.size(); ++i)
      mean[i] = static_cast<float>(sum[i] / static_cast<double>(setup.nodes));
  }
  return score_of(task, shape, mean);
}

// One trainer on everybody's data; `rows` of it a step.
double run_one(const Task& task, Setup setup, const Lesson& lesson, uint32_t rows) {
  const model::Shape shape = shape_of(setup);
  setup.rows = rows;
  Pupil pupil(shape, model::genesis(shape, 1), lesson, task, setup, setup.seed, false);
  for (uint32_t round = 0; round < setup.exchanges; ++round) {
    pupil.learn(setup.steps, rate_at(setup, static_cast<double>(round) / setup.exchanges));
    pupil.trainer.end_exchange(2 * statistics_rate);
  }
  return score_of(task, shape, pupil.trainer.parameters());
}

double run_central(const Task& task, const Setup& setup) {
  Lesson all;
  for (const Lesson& lesson : task.lessons) {
    all.text.insert(all.text.end(), lesson.text.begin(), lesson.text.end());
    all.pairs.insert(all.pairs.end(), lesson.pairs.begin(), lesson.pairs.end());
  }
  return run_one(task, setup, all, setup.rows * static_cast<uint32_t>(setup.nodes));
}

double run_alone(const Task& task, const Setup& setup) {
  double sum = 0;
  const size_t count = std::min<size_t>(4, setup.nodes);
  for (size_t i = 0; i < count; ++i)
    sum += run_one(task, setup, task.lessons[i * setup.nodes / count], setup.rows);
  return sum / static_cast<double>(count);
}

}  // namespace starling::bench
