// Grammar of a segment (integers little-endian):
//   segment  = record*
//   record   = magic(4) frame_size(u32) swarm(16) origin(20) epoch(u64) seq(u64) hash(16) frame
//   checksum frame    = frame_size bytes: the delta as its origin signed it (swarm/envelope.cc)
//   checksum = first 8 bytes of BLAKE2b-256 over all bytes of the record before it
// magic = "SLR1"; another version of the format gets another magic. The head repeats what the frame
// says, so that opening a log needs no signature check for each frame; a frame is verified when it
// is read.
#include "node/delta_segment.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace starling::node {

namespace {

constexpr uint8_t magic[4] = {'S', 'L', 'R', '1'};
constexpr uint64_t scan_factor_max = 4;  // bytes hashed behind damage, in sizes of the segment

void put(swarm::Bytes& bytes, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

uint64_t take(swarm::ByteView bytes, size_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value |= uint64_t{bytes[at + i]} << (8 * i);
  return value;
}

// The head alone, if there is room for the whole record; the checksum is not looked at.
std::optional<RecordHead> decode_head(swarm::ByteView bytes) {
  if (bytes.size() < record_head_size + record_checksum_size) return std::nullopt;
  if (std::memcmp(bytes.data(), magic, sizeof magic) != 0) return std::nullopt;
  RecordHead head;
  head.frame_size = static_cast<uint32_t>(take(bytes, 4, 4));
  if (head.frame_size > record_frame_size_max || head.record_size() > bytes.size())
    return std::nullopt;
  std::memcpy(head.swarm.data(), bytes.data() + 8, 16);
  std::memcpy(head.key.stream.origin.bytes.data(), bytes.data() + 24, 20);
  head.key.stream.epoch = take(bytes, 44, 8);
  head.key.seq = take(bytes, 52, 8);
  std::memcpy(head.hash.data(), bytes.data() + 60, 16);
  return head;
}

bool is_checksum_right(swarm::ByteView record) {
  const size_t size = record.size() - record_checksum_size;
  const swarm::Digest digest = swarm::blake2b(record.first(size));
  return std::memcmp(digest.data(), record.data() + size, record_checksum_size) == 0;
}

}  // namespace

swarm::Bytes encode_record(const RecordHead& head, swarm::ByteView frame) {
  assert(frame.size() == head.frame_size && frame.size() <= record_frame_size_max);
  swarm::Bytes bytes;
  bytes.reserve(head.record_size());
  bytes.insert(bytes.end(), magic, magic + sizeof magic);
  put(bytes, head.frame_size, 4);
  bytes.insert(bytes.end(), head.swarm.begin(), head.swarm.end());
  bytes.insert(bytes.end(), head.key.stream.origin.bytes.begin(),
               head.key.stream.origin.bytes.end());
  put(bytes, head.key.stream.epoch, 8);
  put(bytes, head.key.seq, 8);
  bytes.insert(bytes.end(), head.hash.begin(), head.hash.end());
  assert(bytes.size() == record_head_size);
  bytes.insert(bytes.end(), frame.begin(), frame.end());
  const swarm::Digest digest = swarm::blake2b(bytes);
  bytes.insert(bytes.end(), digest.begin(), digest.begin() + record_checksum_size);
  return bytes;
}

std::optional<RecordHead> decode_record(swarm::ByteView bytes) {
  const auto head = decode_head(bytes);
  if (!head || !is_checksum_right(bytes.first(head->record_size()))) return std::nullopt;
  return head;
}

SegmentScan scan_segment(swarm::ByteView bytes) {
  SegmentScan scan;
  uint64_t budget = scan_factor_max * bytes.size();
  uint64_t gap_at = 0;
  uint64_t at = 0;
  while (at < bytes.size()) {
    const auto head = decode_head(bytes.subspan(at));
    if (head && head->record_size() > budget) {
      scan.is_given_up = true;
      break;
    }
    if (head && is_checksum_right(bytes.subspan(at, head->record_size()))) {
      if (gap_at < at) scan.gaps.push_back({gap_at, at - gap_at});
      scan.records.push_back({*head, at});
      at += head->record_size();
      gap_at = at;
      continue;
    }
    if (head) budget -= head->record_size();
    const auto next = std::search(bytes.begin() + static_cast<ptrdiff_t>(at) + 1, bytes.end(),
                                  magic, magic + sizeof magic);
    at = static_cast<uint64_t>(next - bytes.begin());
  }
  if (gap_at < bytes.size()) scan.gaps.push_back({gap_at, bytes.size() - gap_at});
  return scan;
}

}  // namespace starling::node
