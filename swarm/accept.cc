#include "swarm/accept.h"

#include <algorithm>
#include <cmath>
#include <limits>
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
  // The origins in order, each with the number of its votes: a window has thousands of them.
  std::sort(votes.begin(), votes.end(),
            [](const NormVote& a, const NormVote& b) { return a.origin < b.origin; });
  struct Ballot {
    double norm = 0;
    uint32_t origin = 0;  // by its place in that order
    uint32_t votes = 0;   // that it has
  };
  std::vector<Ballot> ballots;
  ballots.reserve(votes.size());
  uint32_t origins = 0;
  for (size_t begin = 0, end = 0; begin < votes.size(); begin = end, ++origins) {
    while (end < votes.size() && votes[end].origin == votes[begin].origin) ++end;
    for (size_t i = begin; i < end; ++i)
      ballots.push_back({votes[i].norm, origins, static_cast<uint32_t>(end - begin)});
  }
  std::sort(ballots.begin(), ballots.end(), [](const Ballot& a, const Ballot& b) {
    return std::tie(a.norm, a.origin) < std::tie(b.norm, b.origin);
  });
  // The lower median: half of all votes lie at or below it, but for what rounding loses.
  const double half = static_cast<double>(origins) / 2 - 1e-9;
  double below = 0;
  for (const Ballot& ballot : ballots) {
    below += 1 / static_cast<double>(ballot.votes);
    if (below >= half) return ballot.norm;
  }
  return ballots.back().norm;
}

ReferenceNorm::ReferenceNorm(const Config& config)
    : window_(std::max(config.reference_window, 1u)), factor_(config.reference_factor) {}

void ReferenceNorm::add(const PeerId& origin, double norm) {
  // A reference of nothing but zeros would hold everybody at nothing for ever.
  const double bound = value_ > 0 ? factor_ * value_ : std::numeric_limits<double>::infinity();
  const Vote vote{std::min(norm, bound), seat(origin)};
  votes_.push_back(vote);
  const auto at =
      std::upper_bound(sorted_.begin(), sorted_.end(), vote,
                       [this](const Vote& a, const Vote& b) { return is_before(a, b); });
  sorted_.insert(at, vote);
  if (votes_.size() > window_) drop_oldest();
  if (votes_.size() >= reference_norms_min) value_ = usual();
}

bool ReferenceNorm::is_before(const Vote& a, const Vote& b) const {
  return std::tie(a.norm, speakers_[a.speaker].origin) <
         std::tie(b.norm, speakers_[b.speaker].origin);
}

// One more vote of that origin.
uint32_t ReferenceNorm::seat(const PeerId& origin) {
  const auto is_its = [&](const Speaker& each) { return each.votes > 0 && each.origin == origin; };
  auto found = std::find_if(speakers_.begin(), speakers_.end(), is_its);
  if (found == speakers_.end()) {
    found = std::find_if(speakers_.begin(), speakers_.end(),
                         [](const Speaker& each) { return each.votes == 0; });
    if (found == speakers_.end()) found = speakers_.insert(found, Speaker{});
    found->origin = origin;
  }
  ++found->votes;
  return static_cast<uint32_t>(found - speakers_.begin());
}

void ReferenceNorm::drop_oldest() {
  const Vote oldest = votes_.front();
  votes_.pop_front();
  sorted_.erase(
      std::lower_bound(sorted_.begin(), sorted_.end(), oldest,
                       [this](const Vote& a, const Vote& b) { return is_before(a, b); }));
  --speakers_[oldest.speaker].votes;
}

// As usual_norm(), which sorts and counts all anew.
double ReferenceNorm::usual() const {
  const auto count = static_cast<double>(
      std::count_if(speakers_.begin(), speakers_.end(),
                    [](const Speaker& speaker) { return speaker.votes > 0; }));
  const double half = count / 2 - 1e-9;
  double below = 0;
  for (const Vote& vote : sorted_) {
    below += 1 / static_cast<double>(speakers_[vote.speaker].votes);
    if (below >= half) return vote.norm;
  }
  return sorted_.back().norm;
}

}  // namespace starling::swarm
