#pragma once
// How much each origin has moved the swarm's sum, and how it is judged.
#include <vector>

#include "node/daemon.h"
#include "swarm/exchange.h"

namespace starling::node {

// In order of id; whoever moved nothing, and is not held, is left out.
std::vector<InfluenceRow> influence_rows(const swarm::Exchange& exchange);

}  // namespace starling::node
