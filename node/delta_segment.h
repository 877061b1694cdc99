#pragma once
// The bytes of one segment of the log: records, and what a scan finds where they are damaged.
// Grammar on top of delta_segment.cc. Thread: pure.
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "swarm/envelope.h"
#include "swarm/version_vector.h"

namespace starling::node {

inline constexpr size_t record_head_size = 76;     // bytes before the frame
inline constexpr size_t record_checksum_size = 8;  // bytes after the frame
inline constexpr uint32_t record_frame_size_max = swarm::payload_size_max + (1u << 16);  // bytes

struct RecordHead {
  uint32_t frame_size = 0;  // bytes
  std::array<uint8_t, 16> swarm{};
  swarm::DeltaKey key;
  std::array<uint8_t, 16> hash{};  // first half of the payload hash
  size_t record_size() const { return record_head_size + frame_size + record_checksum_size; }
};

// Requires: frame within record_frame_size_max; head.frame_size is its size.
swarm::Bytes encode_record(const RecordHead& head, swarm::ByteView frame);
// The record at the front of `bytes`, if it is there whole and its checksum is right.
std::optional<RecordHead> decode_record(swarm::ByteView bytes);

struct SegmentScan {
  struct Found {
    RecordHead head;
    uint64_t offset = 0;  // of the record
  };
  struct Gap {
    uint64_t offset = 0, size = 0;  // bytes that belong to no whole record
  };
  std::vector<Found> records;
  std::vector<Gap> gaps;     // the last one may reach the end: a torn tail, or damage
  bool is_given_up = false;  // the damage looked so much like records that the search was ended
};

// Every whole record. Behind damage the search goes on at the next magic; it hashes at most four
// times the segment's size in all, so that bytes chosen by a hostile origin cannot make it take for
// ever.
SegmentScan scan_segment(swarm::ByteView bytes);

}  // namespace starling::node
