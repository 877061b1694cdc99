#include "swarm/region_shares.h"

#include <algorithm>
#include <cmath>

namespace starling::swarm {
namespace {

constexpr size_t elsewhere = SIZE_MAX;
constexpr size_t origins_max = 1024;
constexpr float share_rate = 0.25f;

float share_of(uint64_t tokens, uint64_t total) {
  return static_cast<float>(static_cast<double>(tokens) / static_cast<double>(total));
}

}  // namespace

RegionShares::RegionShares(const model::RegionTable& table)
    : table_(&table), place_(table.size(), elsewhere) {
  for (const model::Region& region : table)
    if (region.kind == model::RegionKind::mlp) place_[region.id] = count_++;
}

void RegionShares::note(const PeerId& origin, uint64_t interval,
                        std::span<const std::pair<model::RegionId, uint64_t>> region_tokens) {
  uint64_t total = 0;
  for (const auto& [region, tokens] : region_tokens) total = std::max(total, tokens);
  if (total == 0 || count_ == 0) return;
  const bool is_new = !uses_.contains(origin);
  if (is_new && uses_.size() >= origins_max) {
    uses_.erase(std::min_element(uses_.begin(), uses_.end(), [](const auto& a, const auto& b) {
      return a.second.newest < b.second.newest;
    }));
  }
  Use& use = uses_[origin];
  std::vector<float> shares(count_);
  for (const auto& [region, tokens] : region_tokens)
    if (place_[region] != elsewhere) shares[place_[region]] = share_of(tokens, total);
  use.newest = std::max(use.newest, interval);
  if (is_new) {
    use.shares = std::move(shares);
    return;
  }
  for (size_t i = 0; i < count_; ++i) use.shares[i] += share_rate * (shares[i] - use.shares[i]);
}

std::vector<float> RegionShares::weights(const PeerId& self, uint64_t since) const {
  std::vector<float> weights(table_->size(), 1.0f);
  const auto own = uses_.find(self);
  if (own == uses_.end()) return weights;
  for (const model::Region& region : *table_) {
    const size_t place = place_[region.id];
    if (place == elsewhere || own->second.shares[place] == 0) continue;
    double sum = 0, squares = 0, origins = 0;
    for (const auto& [origin, use] : uses_) {
      if (origin != self && use.newest < since) continue;
      const auto share = static_cast<double>(use.shares[place]);
      sum += share;
      squares += share * share;
      ++origins;
    }
    const double rho = std::sqrt(sum * sum / (origins * squares));
    const double weight = rho * static_cast<double>(own->second.shares[place]) * origins / sum;
    weights[region.id] = std::min(region_weight_max, static_cast<float>(weight));
  }
  return weights;
}

}  // namespace starling::swarm
