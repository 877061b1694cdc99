#pragma once
// What a device has to learn with: the regions that it computes, as a node's model.hosted_regions
// says, and the batches that its memory has room for.
#include <optional>
#include <string>

#include "model/rng.h"
#include "model/trainer.h"
#include "sim/scenario.h"

namespace starling::sim {

struct Equipment {
  model::HostedSet hosted = {};  // empty: all
  uint32_t rows = 8, length = 128;
};

// None: synthetic.
std::optional<model::Shape> shape_of(const Scenario::Learn& learn);
// As a simulated node's trainer is made.
model::TrainerOptions trainer_options(const model::HostedSet& hosted = {});

Equipment usual_equipment(const Scenario::Learn& learn);
// Of each layer `count` of the regions that are not always awake, and those that are.
// Requires: there are more.
model::HostedSet draw_hosted(const model::Shape& shape, uint32_t count, Rng& rng);
// As somebody with less memory configures a node that refuses to start: fewer rows, then shorter
// ones, each half as many as before, until a trainer needs no more. None: it does not fit at all.
std::optional<Equipment> fitted(const model::Shape& shape, Equipment equipment, uint64_t bytes_max);

// What a scenario says of equipment that cannot be; "" when nothing is wrong.
std::string equipment_contradiction(const Scenario& scenario);

}  // namespace starling::sim
