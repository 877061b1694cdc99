#pragma once
// Which origin uses which region how much, and what an own delta's regions therefore weigh. Only a
// few nodes wake a region that has specialised: a sum over all N of outer / N of each would dilute
// what they teach it. u_jr is the share of origin j's tokens that woke region r, a running mean;
// over the N origins that were heard of late, own included,
//   weight_r = rho_r u_r / mean_j(u_jr),  rho_r = sqrt((sum_j u_jr)^2 / (N sum_j u_jr^2))
// 1 where all use a region alike, sqrt(N) where one alone does, less than 1 for who uses a region
// less than others: in between equal weights and weights by use, of which the one dilutes and the
// other lets specialised regions outrun the rest. Shares, not counts: who claims a billion tokens
// moves a mean by 1 / N at most. Selectable MLP regions only; others weigh 1.
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "model/delta.h"
#include "swarm/peer_id.h"

namespace starling::swarm {

inline constexpr float region_weight_max = 8;

class RegionShares {
 public:
  // Requires: `table` outlives this.
  explicit RegionShares(const model::RegionTable& table);

  // A delta of the origin: regions present, with n_r.
  void note(const PeerId& origin, uint64_t interval,
            std::span<const std::pair<model::RegionId, uint64_t>> region_tokens);
  // For the next delta of `self`, among the origins whose last one states `since` or a later
  // interval. In table order, 0 to region_weight_max; 1 before the first one of `self`.
  std::vector<float> weights(const PeerId& self, uint64_t since) const;

 private:
  struct Use {
    uint64_t newest = 0;        // interval
    std::vector<float> shares;  // of the MLP regions, in order
  };
  const model::RegionTable* table_;
  std::vector<size_t> place_;  // in Use::shares, in table order; elsewhere: no MLP region
  size_t count_ = 0;
  std::map<PeerId, Use> uses_;  // at most origins_max; who is new replaces who is silent longest
};

}  // namespace starling::swarm
