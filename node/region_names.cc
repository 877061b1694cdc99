#include "node/region_names.h"

#include <algorithm>

#include "model/selector.h"
#include "node/nearest.h"

namespace starling::node {

namespace {

bool is_named(const std::string& region, const std::string& name) {
  return region == name || region.starts_with(name + ".");
}

std::string unknown_name(const std::vector<std::string>& known, const std::string& key,
                         const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const bool is_known = std::any_of(known.begin(), known.end(), [&](const std::string& region) {
      return is_named(region, name);
    });
    if (is_known) continue;
    return key + ": there is no region " + name + "; did you mean " + nearest(name, known) +
           "? starling regions shows all";
  }
  return "";
}

}  // namespace

std::vector<uint8_t> region_flags(const model::RegionTable& table,
                                  const std::vector<std::string>& names) {
  std::vector<uint8_t> flags(names.empty() ? 0 : table.size(), 0);
  for (const model::Region& region : table)
    for (const std::string& name : names)
      if (is_named(model::region_name(region), name)) flags[region.id] = 1;
  return flags;
}

model::HostedSet hosted_set(const model::Shape& shape, const Config::Model& config) {
  if (config.hosted_regions.empty()) return {};
  const model::RegionTable table = model::region_table(shape);
  const std::vector<uint8_t> flags = region_flags(table, config.hosted_regions);
  model::HostedSet hosted(shape.layers, model::awake_set(shape));
  for (const model::Region& region : table)
    if (region.kind == model::RegionKind::mlp && flags[region.id] != 0)
      hosted[region.layer] |= uint64_t{1} << region.index;
  return hosted;
}

std::string region_problem(const model::Shape& shape, const Config::Model& config) {
  std::vector<std::string> known;
  for (const model::Region& region : model::region_table(shape))
    known.push_back(model::region_name(region));
  std::string problem = unknown_name(known, "model.private_regions", config.private_regions);
  if (problem.empty()) problem = unknown_name(known, "model.hosted_regions", config.hosted_regions);
  return problem;
}

}  // namespace starling::node
