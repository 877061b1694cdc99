#pragma once
// The mind's own small sections of a checkpoint: who moved what, and counters.
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "swarm/exchange.h"

namespace starling::node {

using InfluenceMap = std::map<std::pair<model::RegionId, swarm::PeerId>, swarm::Influence>;

struct Counts {
  double learned_seconds = 0;
  std::vector<uint64_t> sent, received;  // deltas a region, in table order
};

inline swarm::ByteView as_byte_view(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

swarm::Bytes encode_influence(const InfluenceMap& influence);
std::optional<InfluenceMap> decode_influence(swarm::ByteView bytes, size_t region_count);
swarm::Bytes encode_suspended(const std::map<swarm::Stream, uint64_t>& since);
// None: damaged, or nobody.
std::optional<std::map<swarm::Stream, uint64_t>> decode_suspended(swarm::ByteView bytes);
swarm::Bytes encode_counts(const Counts& counts);
std::optional<Counts> decode_counts(swarm::ByteView bytes, size_t region_count);

}  // namespace starling::node
