#include "model/shape.h"

#include <bit>
#include <cassert>

#include "model/parameters.h"

namespace starling::model {
namespace {

struct Preset {
  std::string_view name;
  Shape shape;
};

// Widths and learning rates were measured for the first two; the others scale them up.
constexpr Preset presets[] = {
    {"demo", {.width = 64, .layers = 2, .channels = 128, .mlp_width = 192}},
    {"tiny", {.width = 128, .layers = 4, .channels = 256, .mlp_width = 384}},
    {"small", {.width = 224, .layers = 6, .channels = 448, .mlp_width = 672}},
    {"base", {.width = 384, .layers = 8, .channels = 768, .mlp_width = 1152}},
};

}  // namespace

std::optional<Shape> shape_of_preset(std::string_view preset) {
  for (const Preset& known : presets)
    if (known.name == preset) return known.shape;
  return std::nullopt;
}

std::vector<std::string_view> preset_names() {
  std::vector<std::string_view> names;
  for (const Preset& known : presets) names.push_back(known.name);
  return names;
}

std::string describe(const Shape& shape) {
  std::string line;
  const auto field = [&line](std::string_view name, uint32_t value) {
    if (!line.empty()) line += ' ';
    line.append(name).append("=").append(std::to_string(value));
  };
  field("width", shape.width);
  field("layers", shape.layers);
  field("channels", shape.channels);
  field("mlp_width", shape.mlp_width);
  field("regions", shape.regions);
  field("always_awake", shape.always_awake);
  field("selected", shape.selected);
  field("chunk", shape.chunk);
  field("context_tau", shape.context_tau);
  return line;
}

bool is_valid(const Shape& shape) {
  const auto within = [](uint32_t value, uint32_t largest) {
    return value > 0 && value <= largest;
  };
  return within(shape.width, 8192) && within(shape.layers, 128) && within(shape.channels, 16384) &&
         shape.channels % 2 == 0 && within(shape.mlp_width, 32768) &&
         within(shape.regions, regions_max) && shape.mlp_width % shape.regions == 0 &&
         within(shape.chunk, 1u << 20) && within(shape.context_tau, 1u << 20) &&
         (shape.regions == 1 || shape.always_awake + shape.selected > 0) &&
         parameter_count(shape) <= parameters_max;
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
    append("Wf", layer, E * D, Learning::matrix);
    append("fb", layer, E, Learning::vector);
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
