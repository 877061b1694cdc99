#pragma once
// Region tables and deltas like a model's, without a model: sizes as in model/shape.h's presets,
// values normally distributed.
#include <vector>

#include "model/rng.h"
#include "swarm/delta_codec.h"

namespace starling::swarm::delta_test {

struct Sizes {
  uint32_t width = 0;
  uint32_t layers = 0;
  uint32_t channels = 0;
  uint32_t mlp_width = 0;
  uint32_t regions = 16;
};
inline constexpr Sizes demo_sizes{64, 2, 128, 192};
inline constexpr Sizes tiny_sizes{128, 4, 256, 384};

class TableBuilder {
 public:
  void add(model::RegionKind kind, uint32_t layer, uint32_t index, uint32_t count) {
    table_.push_back({static_cast<uint32_t>(table_.size()), kind, layer, index, offset_, count});
    offset_ += count;
  }
  model::RegionTable take() { return std::move(table_); }

 private:
  model::RegionTable table_;
  uint32_t offset_ = 0;
};

inline model::RegionTable table_of(const Sizes& sizes) {
  const uint32_t width = sizes.width, channels = sizes.channels;
  TableBuilder builder;
  builder.add(model::RegionKind::embedding, 0, 0, 264 * width + width);
  for (uint32_t layer = 0; layer < sizes.layers; ++layer) {
    builder.add(model::RegionKind::mixing, layer, 0,
                2 * width + 4 * channels * width + 6 * channels);
    for (uint32_t i = 0; i < sizes.regions; ++i) {
      builder.add(model::RegionKind::mlp, layer, i,
                  3 * width * (sizes.mlp_width / sizes.regions) + width);
    }
    builder.add(model::RegionKind::selection, layer, 0, 2 * width + sizes.regions);
  }
  return builder.take();
}

// Two sparse regions (the second ends within a block) and a dense one between them.
inline model::RegionTable small_table() {
  TableBuilder builder;
  builder.add(model::RegionKind::embedding, 0, 0, 512);
  builder.add(model::RegionKind::selection, 0, 0, 20);
  builder.add(model::RegionKind::mlp, 0, 0, 300);
  return builder.take();
}

inline size_t size_of(const model::RegionTable& table) {
  return table.back().offset + table.back().count;
}

// Sum of twelve uniform numbers: near enough to normal, and the same on every machine.
inline float normal(Rng& rng) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += rng.unit();
  return static_cast<float>(sum);
}

inline std::vector<float> normal_delta(const model::RegionTable& table, uint64_t seed,
                                       float deviation) {
  Rng rng(seed);
  std::vector<float> d(size_of(table));
  for (float& value : d) value = deviation * normal(rng);
  return d;
}

inline std::vector<uint64_t> tokens_of(const model::RegionTable& table) {
  std::vector<uint64_t> tokens;
  for (const model::Region& region : table) tokens.push_back(10 + region.id);
  return tokens;
}

inline Compressed compress_all(const model::RegionTable& table, std::span<float> d,
                               const CompressOptions& options) {
  return compress(table, d, tokens_of(table), {}, options);
}

// The values of a delta, in units of the base.
inline std::vector<int32_t> values_of(const model::RegionTable& table, ByteView payload) {
  std::vector<int32_t> values(size_of(table));
  apply_delta(table, payload, 1, values, {});
  return values;
}

}  // namespace starling::swarm::delta_test
