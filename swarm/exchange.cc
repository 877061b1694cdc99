#include "swarm/exchange.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace starling::swarm {

namespace {

bool is_set(const std::vector<uint8_t>& flags, model::RegionId id) {
  return !flags.empty() && flags[id] != 0;
}

}  // namespace

Exchange::Exchange(const model::RegionTable& table, std::span<const float> genesis,
                   std::vector<uint8_t> is_private, const JudgementRules& rules)
    : table_(&table),
      is_private_(std::move(is_private)),
      base_(table, genesis),
      error_(genesis.size(), 0.0f),
      judgement_(table, rules) {
  assert(is_private_.empty() || is_private_.size() == table.size());
}

std::optional<Publish> Exchange::publish(std::span<float> x,
                                         std::span<const uint64_t> region_tokens,
                                         const SwarmView& view, const PublishOptions& options,
                                         const FrameHeader& header, const Signer& signer,
                                         int64_t now_s) {
  assert(x.size() == error_.size());
  // The error memory becomes d in place, and compress() leaves the new error memory behind.
  for (const model::Region& region : *table_) {
    if (is_set(is_private_, region.id)) continue;
    for (size_t i = region.offset; i < region.offset + region.count; ++i)
      error_[i] += x[i] - base_.value(i);
  }
  const double origins = std::max(1u, view.active_origins);
  const PeerId self = peer_id_of(signer.public_key());
  Compressed delta =
      compress(*table_, error_, region_tokens, is_private_,
               {.fraction = std::min(options.budget_fraction, 1.0 / origins),
                .payload_bytes_max = options.payload_bytes_max,
                .sender_scale = static_cast<float>(std::min(1.0, options.outer / origins)),
                .reference_norm = view.reference_norm,
                .steps = options.steps,
                .interval = judgement_.next_interval(self)});
  const bool is_worth_sending = !delta.payload.empty();
  const DeltaKey key{{self, header.epoch}, header.seq};
  if (is_worth_sending) {
    const uint32_t divisor = judgement_.add(key, delta.summary, delta.payload);
    if (divisor != Judgement::apart) base_.apply(delta.payload, {}, divisor);
  }
  // The unsent part lives in e alone from here on; keeping it in x too would count it twice.
  for (const model::Region& region : *table_) {
    if (is_set(is_private_, region.id)) continue;
    for (size_t i = region.offset; i < region.offset + region.count; ++i) x[i] = base_.value(i);
  }
  if (!is_worth_sending) return std::nullopt;

  auto frame = std::make_shared<const Bytes>(seal(header, delta.payload, signer));
  const Result<Opened, DropReason> opened = open(*frame, header.swarm);
  assert(opened.has_value());
  Publish publication{
      .header = opened->header, .summary = std::move(delta.summary), .frame = std::move(frame)};
  const VersionVector::Insert inserted = applied_.insert(key);
  assert(inserted == VersionVector::Insert::added);
  remember(key, publication.summary, now_s);
  return publication;
}

bool Exchange::accept(const DeltaKey& key, const DeltaSummary& summary, ByteView payload,
                      std::span<float> x, int64_t now_s) {
  if (applied_.contains(key)) return false;
  applied_.insert(key);
  const uint32_t divisor = judgement_.add(key, summary, payload);
  const bool is_held = divisor == Judgement::apart;
  if (is_held && judgement_.is_oversized(summary.interval, summary.norm)) oversized_.push_back(key);
  apply(payload, Judgement::apart, divisor, x);
  if (!judgement_.is_expelled(key.stream.origin)) remember(key, summary, now_s);
  return true;
}

// From counting as one of `before` copies to one of `after`; private regions of x stay.
void Exchange::apply(ByteView payload, uint32_t before, uint32_t after, std::span<float> x) {
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
    apply(*payload, change.before, change.after, x);
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
  const std::map<DeltaKey, uint32_t> counted = judgement_.expel(origin);
  const auto withdraw = [&](const DeltaKey& key) {
    const auto found = counted.find(key);
    const uint32_t divisor = found == counted.end() ? 1 : found->second;
    if (divisor == Judgement::apart || divisor == Judgement::absent) return;
    const std::optional<Bytes> payload = payloads(key);
    if (payload) apply(*payload, divisor, Judgement::apart, x);
    ++(payload ? expelled.withdrawn : expelled.kept);
  };
  for (const auto& [stream, seen] : applied_.streams()) {
    if (stream.origin != origin) continue;
    for (uint64_t seq = 1; seq <= seen.contiguous; ++seq) withdraw({stream, seq});
    for (uint64_t bit = 0; bit < 64; ++bit) {
      if ((seen.bitmap >> bit & 1) != 0) withdraw({stream, seen.contiguous + 2 + bit});
    }
  }
  if (expelled.kept == 0)
    std::erase_if(influence_, [&](const auto& item) { return item.first.second == origin; });
  return expelled;
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
    for (uint64_t bit = 0; bit < 64; ++bit) {
      const DeltaKey key{stream, seen.contiguous + 2 + bit};
      if (key.seq < found->second && (seen.bitmap >> bit & 1) != 0) settled.applied.insert(key);
    }
    const uint64_t contiguous = std::min(seen.contiguous, found->second - 1);
    if (contiguous > 0) settled.applied.set(stream, {contiguous, 0});
  }
  settled.hash = copy.hash();
  settled.values.assign(copy.values().begin(), copy.values().end());
  settled.judgement = judgement.encode();
  return settled;
}

void Exchange::remember(const DeltaKey& key, const DeltaSummary& summary, int64_t now_s) {
  assert(summary.region_tokens.size() == summary.region_norms.size());
  for (size_t i = 0; i < summary.region_tokens.size(); ++i) {
    Influence& influence = influence_[{summary.region_tokens[i].first, key.stream.origin}];
    ++influence.deltas;
    influence.squares += summary.region_norms[i] * summary.region_norms[i];
    influence.last_s = now_s;
  }
}

void Exchange::replace_base(std::vector<int32_t> values, const VersionVector& applied,
                            Judgement judgement, std::span<float> x) {
  Base next(*table_, std::move(values));
  for (size_t i = 0; i < x.size(); ++i) x[i] = next.value(i) + (x[i] - base_.value(i));
  base_ = std::move(next);
  applied_ = applied;
  judgement_ = std::move(judgement);
}

void Exchange::forget_unsent(std::span<float> x) {
  for (const model::Region& region : *table_) {
    if (is_set(is_private_, region.id)) continue;
    for (size_t i = region.offset; i < region.offset + region.count; ++i) {
      error_[i] = 0;
      x[i] = base_.value(i);
    }
  }
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
}

void Exchange::restore_influence(
    std::map<std::pair<model::RegionId, PeerId>, Influence> influence) {
  influence_ = std::move(influence);
}

}  // namespace starling::swarm
