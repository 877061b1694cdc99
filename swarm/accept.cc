#include "swarm/accept.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

namespace starling::swarm {

bool has_sound_norms(const DeltaSummary& summary, const Config& config) {
  if (!std::isfinite(summary.norm) || !std::isfinite(summary.raw_norm)) return false;
  return summary.norm >= 0 && summary.raw_norm >= 0 && summary.norm <= config.norm_max;
}

double believed_norm(const DeltaSummary& summary) {
  return std::min(summary.raw_norm, clipping_believed_max * summary.norm);
}

double usual_norm(std::vector<NormVote> votes) {
  if (votes.size() < reference_norms_min) return 0;
  std::sort(votes.begin(), votes.end(), [](const NormVote& a, const NormVote& b) {
    return std::tie(a.norm, a.origin) < std::tie(b.norm, b.origin);
  });
  std::map<PeerId, double> counts;
  for (const NormVote& vote : votes) ++counts[vote.origin];
  // The lower median: half of all votes lie at or below it, but for what rounding loses.
  const double half = static_cast<double>(counts.size()) / 2 - 1e-9;
  double below = 0;
  for (const NormVote& vote : votes) {
    below += 1 / counts.at(vote.origin);
    if (below >= half) return vote.norm;
  }
  return votes.back().norm;
}

ReferenceNorm::ReferenceNorm(const Config& config)
    : window_(std::max(config.reference_window, 1u)), factor_(config.reference_factor) {}

void ReferenceNorm::add(const PeerId& origin, double norm) {
  // A reference of nothing but zeros would hold everybody at nothing for ever.
  const double bound = value_ > 0 ? factor_ * value_ : std::numeric_limits<double>::infinity();
  votes_.push_back({origin, std::min(norm, bound)});
  if (votes_.size() > window_) votes_.pop_front();
  if (votes_.size() < reference_norms_min) return;
  value_ = usual_norm({votes_.begin(), votes_.end()});
}

}  // namespace starling::swarm
