#pragma once
// Pictures of a report that are no curves: what went wrong when, which links broke, who is
// linked to whom, which regions whose tokens woke.
#include <string>

#include "sim/outcome.h"

namespace starling::sim {

// A row for each kind, a mark for each fault; a sentence where nothing went wrong.
std::string fault_timeline(const Outcome& outcome);
// A row for each cause, a cell for each span of time, the darker the more links broke in it.
std::string link_breaks(const Outcome& outcome);
// Nodes on a circle, in their order clockwise from the top, and their links; at the end.
std::string topology(const Outcome& outcome);
// Nodes by regions. Requires: something was learned.
std::string region_usage(const Outcome& outcome);

}  // namespace starling::sim
