#pragma once
// Regions as a configuration names them: by their names as `starling regions` shows them, or by
// what these begin with ("mlp.2" is all MLP regions of layer 2).
#include <string>
#include <vector>

#include "model/delta.h"
#include "model/shape.h"
#include "node/config.h"

namespace starling::node {

// One flag a region; empty: nothing was named.
std::vector<uint8_t> region_flags(const model::RegionTable& table,
                                  const std::vector<std::string>& names);
// What model.hosted_regions leaves to be computed; empty: everything.
model::HostedSet hosted_set(const model::Shape& shape, const Config::Model& config);
// Empty: each name of private_regions and hosted_regions names something. Otherwise the key, the
// name, and the nearest one that there is.
std::string region_problem(const model::Shape& shape, const Config::Model& config);

}  // namespace starling::node
