#include "swarm/accept.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace starling::swarm {

ReferenceNorm::ReferenceNorm(const Config& config)
    : window_(std::max(config.reference_window, 1u)), factor_(config.reference_factor) {}

void ReferenceNorm::add(double raw_norm) {
  norms_.push_back(std::min(raw_norm, bound()));
  if (norms_.size() > window_) norms_.pop_front();
  if (norms_.size() < std::min<size_t>(reference_norms_min, window_)) return;
  std::vector<double> sorted(norms_.begin(), norms_.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>((sorted.size() - 1) / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  value_ = *middle;
}

double ReferenceNorm::bound() const {
  // A reference of nothing but zeros would hold everything for ever.
  return value_ > 0 ? factor_ * value_ : std::numeric_limits<double>::infinity();
}

Verdict judge(const DeltaSummary& summary, const ReferenceNorm& reference, const Config& config) {
  const double raw_norm = summary.raw_norm;
  if (!std::isfinite(summary.norm) || !std::isfinite(raw_norm)) return Verdict::refuse;
  if (summary.norm < 0 || raw_norm < 0 || summary.norm > config.norm_max) return Verdict::refuse;
  return summary.norm > reference.bound() ? Verdict::hold : Verdict::accept;
}

void HeldDeltas::add(const DeltaKey& key, const DeltaSummary& summary) {
  held_.emplace(arrivals_++, std::pair(key, summary));
}

std::optional<std::pair<DeltaKey, DeltaSummary>> HeldDeltas::take(double bound,
                                                                  const VersionVector& skip) {
  for (auto at = held_.begin(); at != held_.end(); ++at) {
    if (at->second.second.norm > bound || skip.contains(at->second.first)) continue;
    std::pair<DeltaKey, DeltaSummary> taken = std::move(at->second);
    held_.erase(at);
    return taken;
  }
  return std::nullopt;
}

void HeldDeltas::forget(const VersionVector& included) {
  std::erase_if(held_, [&](const auto& item) { return included.contains(item.second.first); });
}

}  // namespace starling::swarm
