#include "model/shape.h"

#include <cassert>

#include "model/parameters.h"

namespace starling::model {

std::string fault_of(const Shape& shape) {
  struct Limit {
    std::string_view name;
    uint32_t value, largest;
  };
  for (const Limit& limit :
       {Limit{"width", shape.width, 8192}, Limit{"layers", shape.layers, 128},
        Limit{"channels", shape.channels, 16384}, Limit{"mlp_width", shape.mlp_width, 32768},
        Limit{"regions", shape.regions, regions_max}, Limit{"chunk", shape.chunk, 1u << 20},
        Limit{"context_tau", shape.context_tau, 1u << 20}})
    if (limit.value == 0 || limit.value > limit.largest)
      return std::string(limit.name) + " is " + std::to_string(limit.value) +
             ", the limits are 1 and " + std::to_string(limit.largest);
  if (shape.channels % 2 != 0)
    return "channels is " + std::to_string(shape.channels) + ", which is odd";
  if (shape.mlp_width % shape.regions != 0)
    return "mlp_width " + std::to_string(shape.mlp_width) + " cannot be divided into " +
           std::to_string(shape.regions) + " equal regions";
  if (shape.regions > 1 && uint64_t{shape.always_awake} + shape.selected == 0)
    return "no region would ever be awake: always_awake and selected are both 0";
  if (!(shape.hysteresis >= 0 && shape.hysteresis <= 1))
    return "hysteresis is not a number from 0 to 1";
  if (parameter_count(shape) > parameters_max)
    return "the shape has " + std::to_string(parameter_count(shape)) +
           " parameters, the limit is " + std::to_string(parameters_max);
  return {};
}

uint64_t parameter_count(const Shape& shape) {
  return uint64_t{Layout(shape).layer_start(shape.layers)};
}

RegionTable region_table(const Shape& shape) {
  assert(is_valid(shape));
  const Layout layout(shape);
  RegionTable table;
  uint32_t offset = 0;
  const auto append = [&](RegionKind kind, uint32_t layer, uint32_t index, size_t count) {
    const auto id = static_cast<RegionId>(table.size());
    table.push_back({id, kind, layer, index, offset, static_cast<uint32_t>(count)});
    offset += static_cast<uint32_t>(count);
  };
  append(RegionKind::embedding, 0, 0, layout.embedding_count());
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    append(RegionKind::mixing, layer, 0, layout.mixing_count());
    for (uint32_t region = 0; region < shape.regions; ++region)
      append(RegionKind::mlp, layer, region, layout.mlp_count());
    append(RegionKind::selection, layer, 0, layout.selection_count());
  }
  assert(offset == parameter_count(shape));
  return table;
}

std::string region_name(const Region& region) {
  const std::string layer = std::to_string(region.layer);
  switch (region.kind) {
    case RegionKind::embedding:
      return "embedding";
    case RegionKind::mixing:
      return "mixing." + layer;
    case RegionKind::mlp:
      return "mlp." + layer + "." + std::to_string(region.index);
    case RegionKind::selection:
      return "selection." + layer;
  }
  return {};
}

std::vector<Tensor> tensors(const Shape& shape) {
  std::vector<Tensor> list;
  uint32_t offset = 0;
  RegionId region = 0;
  const size_t D = shape.width, E = shape.channels, m = shape.mlp_width / shape.regions;
  const bool fixed = shape.decay == Decay::fixed;
  const auto append = [&](std::string_view name, uint32_t layer, size_t count, Learning learning) {
    list.push_back({name, layer, offset, static_cast<uint32_t>(count), region, learning});
    offset += static_cast<uint32_t>(count);
  };
  append("embedding", 0, vocabulary * D, Learning::matrix);
  append("final_norm", 0, D, Learning::vector);
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    ++region;
    append("norm1", layer, D, Learning::vector);
    append("Wu", layer, E * D, Learning::matrix);
    append("Wp", layer, E * D, Learning::matrix);
    if (!fixed) append("Wf", layer, E * D, Learning::matrix);
    append("fb", layer, E, fixed ? Learning::none : Learning::vector);
    append("cw", layer, taps * E, Learning::vector);
    append("cb", layer, E, Learning::vector);
    append("Wo", layer, D * E, Learning::matrix);
    append("norm2", layer, D, Learning::vector);
    for (uint32_t index = 0; index < shape.regions; ++index) {
      ++region;
      append("w1", layer, 2 * m * D, Learning::matrix);
      append("w2", layer, m * D, Learning::matrix);
      // Who is always awake is not selected: its row has no gradient and must not decay.
      append("selector", layer, D, index < awake_count(shape) ? Learning::none : Learning::matrix);
    }
    ++region;
    append("mu", layer, D, Learning::none);
    append("var", layer, D, Learning::none);
    append("bias", layer, shape.regions, Learning::none);
  }
  return list;
}

}  // namespace starling::model
