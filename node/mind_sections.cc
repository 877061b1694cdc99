// Grammar (little endian; a file of fixed-size records behind the checkpoint's own hash):
//   influence = { region u32, origin 20 bytes, deltas u64, squares f64, last_s i64 }*
//   suspended = { origin 20 bytes, epoch u64, first number that is withheld u64 }+
//   counts    = learned_seconds f64, { sent u64, received u64 } for each region
#include "node/mind_sections.h"

#include <cmath>
#include <cstring>
#include <type_traits>

namespace starling::node {

namespace {

constexpr size_t influence_record_size = 4 + 20 + 8 + 8 + 8;
constexpr size_t suspended_record_size = 20 + 8 + 8;

template <typename T>
requires std::is_trivially_copyable_v<T>
void put(swarm::Bytes& bytes, const T& value) {
  const auto* raw = reinterpret_cast<const uint8_t*>(&value);
  bytes.insert(bytes.end(), raw, raw + sizeof(T));
}

template <typename T>
requires std::is_trivially_copyable_v<T> T take(swarm::ByteView& bytes) {
  assert(bytes.size() >= sizeof(T));
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  bytes = bytes.subspan(sizeof(T));
  return value;
}

}  // namespace

swarm::Bytes encode_influence(const InfluenceMap& influence) {
  swarm::Bytes bytes;
  bytes.reserve(influence.size() * influence_record_size);
  for (const auto& [key, entry] : influence) {
    put(bytes, uint32_t{key.first});
    put(bytes, key.second.bytes);
    put(bytes, entry.deltas);
    put(bytes, entry.squares);
    put(bytes, entry.last_s);
  }
  return bytes;
}

std::optional<InfluenceMap> decode_influence(swarm::ByteView bytes, size_t region_count) {
  if (bytes.size() % influence_record_size != 0) return std::nullopt;
  InfluenceMap influence;
  while (!bytes.empty()) {
    const auto region = take<uint32_t>(bytes);
    const swarm::PeerId origin{take<std::array<uint8_t, 20>>(bytes)};
    swarm::Influence entry;
    entry.deltas = take<uint64_t>(bytes);
    entry.squares = take<double>(bytes);
    entry.last_s = take<int64_t>(bytes);
    if (region >= region_count || !std::isfinite(entry.squares) || entry.squares < 0)
      return std::nullopt;
    influence[{region, origin}] = entry;
  }
  return influence;
}

swarm::Bytes encode_suspended(const std::map<swarm::Stream, uint64_t>& since) {
  swarm::Bytes bytes;
  for (const auto& [stream, first] : since) {
    put(bytes, stream.origin.bytes);
    put(bytes, stream.epoch);
    put(bytes, first);
  }
  return bytes;
}

std::optional<std::map<swarm::Stream, uint64_t>> decode_suspended(swarm::ByteView bytes) {
  if (bytes.empty() || bytes.size() % suspended_record_size != 0) return std::nullopt;
  std::map<swarm::Stream, uint64_t> since;
  while (!bytes.empty()) {
    swarm::Stream stream{swarm::PeerId{take<std::array<uint8_t, 20>>(bytes)}, 0};
    stream.epoch = take<uint64_t>(bytes);
    since[stream] = take<uint64_t>(bytes);
  }
  return since;
}

swarm::Bytes encode_counts(const Counts& counts) {
  assert(counts.sent.size() == counts.received.size());
  swarm::Bytes bytes;
  put(bytes, counts.learned_seconds);
  for (size_t i = 0; i < counts.sent.size(); ++i) {
    put(bytes, counts.sent[i]);
    put(bytes, counts.received[i]);
  }
  return bytes;
}

std::optional<Counts> decode_counts(swarm::ByteView bytes, size_t region_count) {
  if (bytes.size() != sizeof(double) + region_count * 16) return std::nullopt;
  Counts counts;
  counts.learned_seconds = take<double>(bytes);
  if (!std::isfinite(counts.learned_seconds) || counts.learned_seconds < 0) return std::nullopt;
  while (!bytes.empty()) {
    counts.sent.push_back(take<uint64_t>(bytes));
    counts.received.push_back(take<uint64_t>(bytes));
  }
  return counts;
}

}  // namespace starling::node
