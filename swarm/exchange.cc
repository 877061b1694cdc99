#include "swarm/exchange.h"

#include <algorithm>
#include <cassert>

namespace starling::swarm {

namespace {

bool is_set(const std::vector<uint8_t>& flags, model::RegionId id) {
  return !flags.empty() && flags[id] != 0;
}

}  // namespace

Exchange::Exchange(const model::RegionTable& table, std::span<const float> genesis,
                   std::vector<uint8_t> is_private)
    : table_(&table),
      is_private_(std::move(is_private)),
      base_(table, genesis),
      error_(genesis.size(), 0.0f) {
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
  Compressed delta =
      compress(*table_, error_, region_tokens, is_private_,
               {.fraction = std::min(options.budget_fraction, 1.0 / origins),
                .payload_bytes_max = options.payload_bytes_max,
                .sender_scale = static_cast<float>(std::min(1.0, options.outer / origins)),
                .reference_norm = view.reference_norm,
                .steps = options.steps});
  const bool is_worth_sending = !delta.payload.empty();
  if (is_worth_sending) base_.apply(delta.payload, {});
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
  const PeerId self = peer_id_of(publication.header.origin);
  const DeltaKey key{{self, header.epoch}, header.seq};
  const VersionVector::Insert inserted = applied_.insert(key);
  assert(inserted == VersionVector::Insert::added);
  remember(key, publication.summary, now_s);
  return publication;
}

bool Exchange::accept(const DeltaKey& key, const DeltaSummary& summary, ByteView payload,
                      std::span<float> x, int64_t now_s) {
  if (applied_.contains(key)) return false;
  applied_.insert(key);
  std::vector<std::pair<const model::Region*, std::vector<float>>> kept;
  for (const model::Region& region : *table_) {
    if (!is_set(is_private_, region.id)) continue;
    const auto begin = x.begin() + region.offset;
    kept.emplace_back(&region, std::vector<float>(begin, begin + region.count));
  }
  base_.apply(payload, x);
  for (const auto& [region, values] : kept)
    std::copy(values.begin(), values.end(), x.begin() + region->offset);
  remember(key, summary, now_s);
  return true;
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
                            std::span<float> x) {
  Base next(*table_, std::move(values));
  for (size_t i = 0; i < x.size(); ++i) x[i] = next.value(i) + (x[i] - base_.value(i));
  base_ = std::move(next);
  applied_ = applied;
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
                       const VersionVector& applied) {
  assert(error.size() == error_.size());
  base_ = Base(*table_, std::move(values));
  error_ = std::move(error);
  applied_ = applied;
}

void Exchange::restore_influence(
    std::map<std::pair<model::RegionId, PeerId>, Influence> influence) {
  influence_ = std::move(influence);
}

}  // namespace starling::swarm
