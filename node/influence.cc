#include "node/influence.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace starling::node {

std::vector<InfluenceRow> influence_rows(const swarm::Exchange& exchange) {
  std::map<swarm::PeerId, InfluenceRow> by_origin;
  double squares = 0;  // of everyone
  for (const auto& [place, influence] : exchange.influence()) {
    InfluenceRow& row = by_origin[place.second];
    row.deltas = std::max(row.deltas, influence.deltas);
    row.norm += influence.squares;  // its root below
    row.last_s = std::max(row.last_s, influence.last_s);
    squares += influence.squares;
  }
  for (const auto& [origin, count] : exchange.judgement().apart_counts())
    by_origin[origin].held_deltas = count;
  for (const auto& [origin, standing] : exchange.judgement().standings()) {
    const auto found = by_origin.find(origin);
    if (found == by_origin.end()) continue;
    found->second.is_held = standing.is_held;
    found->second.copies = standing.share;
    found->second.agreement = standing.agreement;
  }
  std::vector<InfluenceRow> rows;
  for (auto& [origin, row] : by_origin) {
    row.origin = swarm::to_string(origin);
    row.share = squares > 0 ? row.norm / squares : 0;
    row.norm = std::sqrt(row.norm);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace starling::node
