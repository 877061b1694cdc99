#include "swarm/base.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>

namespace starling::swarm {
namespace {

size_t parameter_count(const model::RegionTable& table) {
  return table.empty() ? 0 : size_t{table.back().offset} + table.back().count;
}

}  // namespace

Base::Base(const model::RegionTable& table, std::span<const float> genesis) : table_(&table) {
  assert(genesis.size() == parameter_count(table));
  values_.reserve(genesis.size());
  for (const float value : genesis) {
    const float units = value * static_cast<float>(1 << 24);  // a power of two: exact
    assert(units == std::nearbyint(units) && std::abs(units) < 0x1p31f);
    values_.push_back(static_cast<int32_t>(units));
  }
}

Base::Base(const model::RegionTable& table, std::vector<int32_t> values)
    : table_(&table), values_(std::move(values)) {
  assert(values_.size() == parameter_count(table));
}

void Base::apply(ByteView payload, std::span<float> x, uint32_t divisor) {
  apply_delta(*table_, payload, 1, values_, x, divisor);
}

void Base::withdraw(ByteView payload, std::span<float> x, uint32_t divisor) {
  apply_delta(*table_, payload, -1, values_, x, divisor);
}

Digest Base::hash() const {
  if constexpr (std::endian::native == std::endian::little) {
    return blake2b(
        {reinterpret_cast<const uint8_t*>(values_.data()), values_.size() * sizeof(int32_t)});
  }
  Bytes bytes;
  bytes.reserve(values_.size() * sizeof(int32_t));
  for (const int32_t value : values_) {
    for (int i = 0; i < 4; ++i)
      bytes.push_back(static_cast<uint8_t>(static_cast<uint32_t>(value) >> (8 * i)));
  }
  return blake2b(bytes);
}

}  // namespace starling::swarm
