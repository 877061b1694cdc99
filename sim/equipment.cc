#include "sim/equipment.h"

#include <algorithm>
#include <bit>
#include <cassert>

#include "model/selector.h"
#include "sim/chance.h"

namespace starling::sim {
namespace {

constexpr uint32_t length_min = 16;  // as learn.length

// For tests and large swarms: 23 thousand parameters.
constexpr model::Shape micro_shape{.width = 32,
                                   .layers = 1,
                                   .channels = 64,
                                   .mlp_width = 64,
                                   .regions = 4,
                                   .always_awake = 1,
                                   .selected = 1,
                                   .chunk = 16,
                                   .context_tau = 16};

uint32_t selectable_count(const model::Shape& shape) {
  return shape.regions - static_cast<uint32_t>(std::popcount(model::awake_set(shape)));
}

uint64_t bytes_of(const model::Shape& shape, const Equipment& equipment) {
  return model::Trainer::memory_bytes(shape, trainer_options(), equipment.rows, equipment.length);
}

}  // namespace

std::optional<model::Shape> shape_of(const Scenario::Learn& learn) {
  if (learn.kind == "synthetic") return std::nullopt;
  return learn.model == "micro" ? micro_shape : *model::shape_of_preset(learn.model);
}

model::TrainerOptions trainer_options(const model::HostedSet& hosted) {
  model::TrainerOptions options;
  options.working_set = false;
  options.hosted = hosted;
  return options;
}

Equipment usual_equipment(const Scenario::Learn& learn) {
  return {.rows = learn.rows, .length = learn.length};
}

model::HostedSet draw_hosted(const model::Shape& shape, uint32_t count, Rng& rng) {
  model::HostedSet hosted(shape.layers, model::awake_set(shape));
  for (uint64_t& of_layer : hosted) {
    std::vector<uint32_t> others;
    for (uint32_t region = 0; region < shape.regions; ++region) {
      if ((of_layer >> region & 1) == 0) others.push_back(region);
    }
    assert(count < others.size());
    shuffle(others, rng);
    for (uint32_t i = 0; i < count; ++i) of_layer |= uint64_t{1} << others[i];
  }
  return hosted;
}

std::optional<Equipment> fitted(const model::Shape& shape, Equipment equipment,
                                uint64_t bytes_max) {
  while (bytes_of(shape, equipment) > bytes_max) {
    if (equipment.rows > 1) {
      equipment.rows /= 2;
    } else if (equipment.length > length_min) {
      equipment.length = std::max(length_min, equipment.length / 2);
    } else {
      return std::nullopt;
    }
  }
  return equipment;
}

std::string equipment_contradiction(const Scenario& scenario) {
  const Scenario::Devices& devices = scenario.devices;
  const auto shape = shape_of(scenario.learn);
  const bool has_hosting = devices.hosting_share > 0, has_small = devices.small_share > 0;
  const std::string no_model = ": needs a learn.kind that has a model, not synthetic";
  if (has_hosting && !shape) return "devices.hosting_share" + no_model;
  if (has_small && !shape) return "devices.small_share" + no_model;
  if (has_hosting && devices.hosted_regions >= selectable_count(*shape))
    return "devices.hosted_regions: must be less than the " +
           std::to_string(selectable_count(*shape)) + " that a layer of learn.model " +
           scenario.learn.model + " can choose from";
  if (!has_small) return "";
  const auto bytes = static_cast<uint64_t>(devices.small_memory_mib * (1 << 20));
  if (fitted(*shape, usual_equipment(scenario.learn), bytes)) return "";
  const uint64_t least = bytes_of(*shape, {.rows = 1, .length = length_min});
  return "devices.small_memory_mib: must be at least " +
         std::to_string((least + (1 << 20) - 1) >> 20) + ", as even one row of " +
         std::to_string(length_min) + " symbols takes so much with learn.model " +
         scenario.learn.model;
}

}  // namespace starling::sim
