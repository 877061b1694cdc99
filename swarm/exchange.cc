#include "swarm/exchange.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace starling::swarm {

namespace {

constexpr size_t recent_deltas = horizon_intervals;
constexpr double delay_rate = 1.0 / 8;  // of the running means
constexpr double advance_least = 1.0 / 16;
// What is not sent waits, and less of it each time: it was learned from a base of long ago, and
// what all pull at for long without being able to send it would come as one great step (README.md,
// "Error memory").
constexpr float error_kept = 0.9f;
constexpr double lateness_borne = 0.75;  // exchanges (README.md, "Lateness")

bool is_set(const std::vector<uint8_t>& flags, model::RegionId id) {
  return !flags.empty() && flags[id] != 0;
}

// Fixed point adds modulo 2^32, as the base does.
int32_t fixed_sum(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}

int32_t fixed_difference(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) - static_cast<uint32_t>(b));
}

// All deltas of one origin.
template <typename F>
void for_each_of(const VersionVector& held, const PeerId& origin, F f) {
  for (const auto& [stream, seen] : held.streams()) {
    if (stream.origin != origin) continue;
    for (uint64_t seq = 1; seq <= seen.contiguous; ++seq) f(DeltaKey{stream, seq});
    for (uint64_t bit = 0; bit < 64; ++bit) {
      if ((seen.bitmap >> bit & 1) != 0) f(DeltaKey{stream, seen.contiguous + 2 + bit});
    }
  }
}

}  // namespace

double lateness_factor(double lateness) {
  return lateness_borne / std::max(lateness, lateness_borne);
}

Exchange::Exchange(const model::RegionTable& table, std::span<const float> genesis,
                   std::vector<uint8_t> is_private, const JudgementRules& rules)
    : table_(&table),
      is_private_(std::move(is_private)),
      base_(table, genesis),
      error_(genesis.size(), 0.0f),
      judgement_(table, rules) {
  assert(is_private_.empty() || is_private_.size() == table.size());
}

template <typename F>
void Exchange::for_shared(F f) const {
  for (const model::Region& region : *table_) {
    if (is_set(is_private_, region.id)) continue;
    for (size_t i = region.offset; i < region.offset + region.count; ++i) f(i);
  }
}

std::optional<Publish> Exchange::publish(std::span<float> x,
                                         std::span<const uint64_t> region_tokens,
                                         const SwarmView& view, const PublishOptions& options,
                                         const FrameHeader& header, const Signer& signer,
                                         int64_t now_s) {
  assert(x.size() == error_.size());
  // The error memory becomes d in place, and compress() leaves the new error memory behind.
  for_shared([&](size_t i) { error_[i] = error_kept * error_[i] + (x[i] - target(i)); });
  const double origins = std::max(1u, view.active_origins);
  const double outer =
      options.outer * (options.adapts_to_lateness ? lateness_factor(lateness()) : 1);
  const PeerId self = peer_id_of(signer.public_key());
  const uint64_t interval = judgement_.next_interval(self);
  std::vector<float> weights;
  if (shares_) weights = shares_->weights(self, interval - std::min(interval, horizon_intervals));
  Compressed delta = compress(*table_, error_, region_tokens, is_private_,
                              {.fraction = std::min(options.budget_fraction, 1.0 / origins),
                               .payload_bytes_max = options.payload_bytes_max,
                               .sender_scale = static_cast<float>(std::min(1.0, outer / origins)),
                               .reference_norm = view.reference_norm,
                               .steps = options.steps,
                               .interval = interval,
                               .region_weights = weights});
  const bool is_worth_sending = !delta.payload.empty();
  const DeltaKey key{{self, header.epoch}, header.seq};
  if (is_worth_sending) publish_again(key, delta.summary, delta.payload, now_s);
  // The unsent part lives in e alone from here on; keeping it in x too would count it twice.
  for_shared([&](size_t i) { x[i] = target(i); });
  if (!is_worth_sending) return std::nullopt;

  auto frame = std::make_shared<const Bytes>(seal(header, delta.payload, signer));
  const Result<Opened, DropReason> opened = open(*frame, header.swarm);
  assert(opened.has_value());
  Publish publication{
      .header = opened->header, .summary = std::move(delta.summary), .frame = std::move(frame)};
  return publication;
}

void Exchange::publish_again(const DeltaKey& key, const DeltaSummary& summary, ByteView payload,
                             int64_t now_s) {
  own_interval_ = summary.interval;
  const uint32_t divisor = judgement_.add(key, summary, payload);
  if (divisor != Judgement::apart) base_.apply(payload, {}, divisor);
  const VersionVector::Insert inserted = applied_.insert(key);
  assert(inserted == VersionVector::Insert::added);
  weigh(key.stream.origin, summary, Judgement::apart, divisor, now_s);
  if (shares_) shares_->note(key.stream.origin, summary.interval, summary.region_tokens);
}

bool Exchange::accept(const DeltaKey& key, const DeltaSummary& summary, ByteView payload,
                      std::span<float> x, int64_t now_s) {
  if (applied_.contains(key)) return false;
  applied_.insert(key);
  const uint32_t divisor = judgement_.add(key, summary, payload);
  note_lateness(key.stream.origin, summary.interval);
  if (shares_ && judgement_.is_timed(key.stream.origin))
    shares_->note(key.stream.origin, summary.interval, summary.region_tokens);
  const bool is_held = divisor == Judgement::apart;
  if (is_held && judgement_.is_oversized(summary.interval, summary.norm)) oversized_.push_back(key);
  apply(key, payload, Judgement::apart, divisor, x);
  weigh(key.stream.origin, summary, Judgement::apart, divisor, now_s);
  return true;
}

uint64_t Exchange::front() const { return std::max(own_interval_, judgement_.front()); }

void Exchange::note_lateness(const PeerId& origin, uint64_t interval) {
  if (!judgement_.is_timed(origin)) return;
  const uint64_t now = front();
  const double behind = static_cast<double>(now - std::min(now, interval));
  const auto [found, is_new] =
      delays_.try_emplace(origin, Delay{.behind = behind, .newest = interval});
  if (is_new) return;
  Delay& delay = found->second;
  const double advance = static_cast<double>(std::max(interval, delay.newest) - delay.newest);
  delay.behind += delay_rate * (behind - delay.behind);
  delay.advance += delay_rate * (advance - delay.advance);
  delay.newest = std::max(delay.newest, interval);
}

double Exchange::lateness() const {
  const uint64_t now = front();
  std::vector<double> exchanges;
  for (const auto& [origin, delay] : delays_) {
    if (delay.newest + horizon_intervals < now || !judgement_.is_timed(origin)) continue;
    exchanges.push_back(delay.behind / std::clamp(delay.advance, advance_least, 1.0));
  }
  if (exchanges.empty()) return 0;
  const auto middle = exchanges.begin() + static_cast<std::ptrdiff_t>((exchanges.size() - 1) / 2);
  std::nth_element(exchanges.begin(), middle, exchanges.end());
  return *middle;
}

// From counting as one of `before` copies to one of `after`; private regions of x stay.
void Exchange::apply(const DeltaKey& key, ByteView payload, uint32_t before, uint32_t after,
                     std::span<float> x) {
  if (is_withheld(key)) {
    for (Base* sum : {&base_, &*withheld_}) {
      if (before != Judgement::apart) sum->withdraw(payload, {}, before);
      if (after != Judgement::apart) sum->apply(payload, {}, after);
    }
    return;
  }
  std::vector<std::pair<const model::Region*, std::vector<float>>> kept;
  for (const model::Region& region : *table_) {
    if (!is_set(is_private_, region.id)) continue;
    const auto begin = x.begin() + region.offset;
    kept.emplace_back(&region, std::vector<float>(begin, begin + region.count));
  }
  if (before != Judgement::apart) base_.withdraw(payload, x, before);
  if (after != Judgement::apart) base_.apply(payload, x, after);
  for (const auto& [region, values] : kept)
    std::copy(values.begin(), values.end(), x.begin() + region->offset);
}

Judged Exchange::judge(const PayloadSource& payloads, std::span<float> x) {
  const Standings before = judgement_.standings();
  std::map<PeerId, size_t> moved;
  Judged judged;
  for (const Judgement::Change& change : judgement_.update(payloads)) {
    const std::optional<Bytes> payload = payloads(change.key);
    if (!payload) {
      judgement_.undo(change);
      ++unreadable_;
      continue;
    }
    apply(change.key, *payload, change.before, change.after, x);
    weigh_again(change.key.stream.origin, *payload, change.before, change.after);
    ++moved[change.key.stream.origin];
    ++judged.deltas;
    if (change.is_oversized) oversized_.push_back(change.key);
  }
  judged.oversized = std::exchange(oversized_, {});
  for (const auto& [origin, standing] : judgement_.standings()) {
    const auto found = before.find(origin);
    const bool was_held = found != before.end() && found->second.is_held;
    if (was_held != standing.is_held) judged.rulings.push_back({origin, standing, moved[origin]});
  }
  return judged;
}

Exchange::Expelled Exchange::expel(const PeerId& origin, const PayloadSource& payloads,
                                   std::span<float> x) {
  Expelled expelled;
  if (judgement_.is_expelled(origin)) return expelled;
  // What was suspended of it is a part of what goes now. Of others too: whoever still spoils x is
  // found again.
  if (is_suspended(origin)) release_suspended(x);
  const std::map<DeltaKey, uint32_t> counted = judgement_.expel(origin);
  const auto withdraw = [&](const DeltaKey& key) {
    const auto found = counted.find(key);
    const uint32_t divisor = found == counted.end() ? 1 : found->second;
    if (divisor == Judgement::apart || divisor == Judgement::absent) return;
    const std::optional<Bytes> payload = payloads(key);
    if (payload) apply(key, *payload, divisor, Judgement::apart, x);
    if (payload) weigh_again(origin, *payload, divisor, Judgement::apart);
    ++(payload ? expelled.withdrawn : expelled.kept);
  };
  for_each_of(applied_, origin, withdraw);
  if (expelled.kept == 0)
    std::erase_if(influence_, [&](const auto& item) { return item.first.second == origin; });
  return expelled;
}

size_t Exchange::reinstate(const PeerId& origin, const PayloadSource& payloads,
                           std::span<float> x) {
  if (!judgement_.is_expelled(origin)) return 0;
  judgement_.reinstate(origin);
  size_t counted = 0;
  for_each_of(applied_, origin, [&](const DeltaKey& key) {
    const std::optional<Bytes> payload = payloads(key);
    if (!payload) return;
    const auto summary = inspect_delta(*table_, *payload);
    assert(summary.has_value());  // it was inspected when it came
    const uint32_t divisor = judgement_.add(key, *summary, *payload);
    apply(key, *payload, Judgement::apart, divisor, x);
    weigh(origin, *summary, Judgement::apart, divisor);
    ++counted;
  });
  return counted;
}

Exchange::Recent Exchange::recent_of(const PeerId& origin, const PayloadSource& payloads) const {
  if (judgement_.is_expelled(origin)) return {};  // b holds nothing of it
  const std::map<DeltaKey, uint32_t> counted = judgement_.counted(origin);
  Base sum(*table_, std::vector<int32_t>(error_.size(), 0));
  Recent recent;
  size_t left = recent_deltas;
  // The newest boot first.
  for (auto at = applied_.streams().rbegin(); at != applied_.streams().rend(); ++at) {
    const auto& [stream, seen] = *at;
    if (stream.origin != origin) continue;
    const uint64_t last =
        seen.bitmap == 0 ? seen.contiguous
                         : seen.contiguous + 1 + static_cast<uint64_t>(std::bit_width(seen.bitmap));
    uint64_t seq = last;
    for (; seq > 0 && left > 0; --seq, --left) {
      const DeltaKey key{stream, seq};
      if (!applied_.contains(key)) continue;
      const auto found = counted.find(key);
      const uint32_t divisor = found == counted.end() ? 1 : found->second;
      if (divisor == Judgement::absent) break;
      if (divisor == Judgement::apart) continue;
      const std::optional<Bytes> payload = payloads(key);
      if (!payload) break;
      sum.apply(*payload, {}, divisor);
      recent.sum.resize(error_.size());
    }
    recent.since[stream] = seq + 1;
  }
  if (!recent.sum.empty()) for_shared([&](size_t i) { recent.sum[i] = sum.values()[i]; });
  return recent;
}

bool Exchange::is_suspended(const PeerId& origin) const {
  const auto found = suspended_since_.lower_bound(Stream{origin, 0});
  return found != suspended_since_.end() && found->first.origin == origin;
}

// Of a boot that began later: everything.
bool Exchange::is_withheld(const DeltaKey& key) const {
  const auto found = suspended_since_.find(key.stream);
  if (found != suspended_since_.end()) return key.seq >= found->second;
  return is_suspended(key.stream.origin);
}

std::set<PeerId> Exchange::suspended() const {
  std::set<PeerId> origins;
  for (const auto& [stream, since] : suspended_since_) origins.insert(stream.origin);
  return origins;
}

void Exchange::suspend(const PeerId& origin, const Recent& recent, std::span<float> x) {
  assert(recent.sum.size() == error_.size() && x.size() == error_.size());
  if (is_suspended(origin)) return;
  suspended_since_.insert(recent.since.begin(), recent.since.end());
  std::vector<int32_t> values = recent.sum;
  for (size_t i = 0; withheld_ && i < values.size(); ++i)
    values[i] = fixed_sum(values[i], withheld_->values()[i]);
  withheld_.emplace(*table_, std::move(values));
  for_shared([&](size_t i) { x[i] -= static_cast<float>(recent.sum[i]) * 0x1.0p-24f; });
}

std::vector<float> Exchange::with_suspended(std::span<const float> x) const {
  std::vector<float> weights(x.begin(), x.end());
  if (withheld_) for_shared([&](size_t i) { weights[i] += withheld_->value(i); });
  return weights;
}

void Exchange::release_suspended(std::span<float> x) {
  const std::vector<float> weights = with_suspended(x);
  std::copy(weights.begin(), weights.end(), x.begin());
  suspended_since_.clear();
  withheld_.reset();
}

std::span<const int32_t> Exchange::withheld() const {
  return withheld_ ? withheld_->values() : std::span<const int32_t>{};
}

float Exchange::target(size_t index) const {
  if (!withheld_) return base_.value(index);
  return static_cast<float>(fixed_difference(base_.values()[index], withheld_->values()[index])) *
         0x1.0p-24f;
}

std::optional<Exchange::Settled> Exchange::settled(const PayloadSource& payloads) const {
  Base copy = base_;
  Judgement judgement = judgement_;
  std::map<Stream, uint64_t> first_open;
  for (const auto& [key, divisor] : judgement_.open_deltas()) {
    const std::optional<Bytes> payload = payloads(key);
    if (!payload) return std::nullopt;
    if (divisor != Judgement::apart) copy.withdraw(*payload, {}, divisor);
    judgement.mark_absent(key);
    const auto [found, is_new] = first_open.emplace(key.stream, key.seq);
    if (!is_new) found->second = std::min(found->second, key.seq);
  }
  Settled settled;
  for (const auto& [stream, seen] : applied_.streams()) {
    const auto found = first_open.find(stream);
    if (found == first_open.end()) {
      settled.applied.set(stream, seen);
      continue;
    }
    const uint64_t contiguous = std::min(seen.contiguous, found->second - 1);
    if (contiguous > 0) settled.applied.set(stream, {contiguous, 0});
    for (uint64_t bit = 0; bit < 64; ++bit) {
      const DeltaKey key{stream, seen.contiguous + 2 + bit};
      if (key.seq < found->second && (seen.bitmap >> bit & 1) != 0) settled.applied.insert(key);
    }
  }
  settled.hash = copy.hash();
  settled.values.assign(copy.values().begin(), copy.values().end());
  settled.judgement = judgement.encode();
  return settled;
}

void Exchange::weigh(const PeerId& origin, const DeltaSummary& summary, uint32_t before,
                     uint32_t after, std::optional<int64_t> now_s) {
  assert(summary.region_tokens.size() == summary.region_norms.size());
  const auto part = [](uint32_t divisor) {
    const bool is_in = divisor != Judgement::apart && divisor != Judgement::absent;
    return is_in ? 1.0 / divisor : 0.0;
  };
  const double was = part(before), is = part(after);
  if (was == is) return;
  for (size_t i = 0; i < summary.region_tokens.size(); ++i) {
    const std::pair place{summary.region_tokens[i].first, origin};
    Influence& influence = influence_[place];
    if (was == 0) ++influence.deltas;
    // One that came with a snapshot was never counted here.
    if (is == 0 && influence.deltas > 0) --influence.deltas;
    const double square = summary.region_norms[i] * summary.region_norms[i];
    influence.squares = std::max(0.0, influence.squares + square * (is * is - was * was));
    influence.last_s = now_s.value_or(influence.last_s);
    if (influence.deltas == 0) influence_.erase(place);
  }
}

void Exchange::weigh_again(const PeerId& origin, ByteView payload, uint32_t before,
                           uint32_t after) {
  const auto summary = inspect_delta(*table_, payload);
  assert(summary.has_value());  // it was inspected when it came
  weigh(origin, *summary, before, after);
}

void Exchange::replace_base(std::vector<int32_t> values, const VersionVector& applied,
                            Judgement judgement, std::span<float> x) {
  Base next(*table_, std::move(values));
  for (size_t i = 0; i < x.size(); ++i) x[i] = next.value(i) + (x[i] - target(i));
  base_ = std::move(next);
  suspended_since_.clear();
  withheld_.reset();
  applied_ = applied;
  judgement_ = std::move(judgement);
}

void Exchange::forget_unsent(std::span<float> x) {
  for_shared([&](size_t i) {
    error_[i] = 0;
    x[i] = target(i);
  });
}

void Exchange::adopt_unsent(std::span<float> x) {
  for (size_t i = 0; i < error_.size(); ++i) {
    x[i] += error_[i];
    error_[i] = 0;
  }
}

void Exchange::restore(std::vector<int32_t> values, std::vector<float> error,
                       const VersionVector& applied, Judgement judgement) {
  assert(error.size() == error_.size());
  base_ = Base(*table_, std::move(values));
  error_ = std::move(error);
  applied_ = applied;
  judgement_ = std::move(judgement);
  suspended_since_.clear();
  withheld_.reset();
}

void Exchange::restore_suspended(std::map<Stream, uint64_t> since, std::vector<int32_t> withheld) {
  assert(!since.empty() && withheld.size() == error_.size());
  suspended_since_ = std::move(since);
  withheld_.emplace(*table_, std::move(withheld));
}

void Exchange::restore_influence(
    std::map<std::pair<model::RegionId, PeerId>, Influence> influence) {
  influence_ = std::move(influence);
}

}  // namespace starling::swarm
