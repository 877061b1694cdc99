#pragma once
// The bytes of a checkpoint file, apart from files: what is refused and why. Grammar on top of
// checkpoint_codec.cc. Thread: pure.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "model/trainer.h"
#include "swarm/bytes.h"

namespace starling::node {

using Fingerprint = std::array<uint8_t, 16>;

inline constexpr uint32_t checkpoint_sections_max = 64;
inline constexpr size_t checkpoint_name_size_max = 64;              // bytes of a section's name
inline constexpr uint64_t checkpoint_size_max = uint64_t{4} << 30;  // bytes of the whole file
inline constexpr size_t checkpoint_digest_size = 32;                // bytes at the end of the file

struct CheckpointHeader {
  struct Entry {
    std::string name;
    uint64_t size = 0;    // bytes
    uint64_t offset = 0;  // in the file; a multiple of 8, so that floats can be read in place
  };
  Fingerprint fingerprint{};
  uint64_t step = 0;
  std::vector<Entry> entries;
  uint64_t file_size = 0;  // bytes, digest included
};

// How many bytes at the front of any file decode_checkpoint_header may want.
extern const size_t checkpoint_header_size_max;

// Lays out the file for these sections. Errors: too many, too large, a bad or double name; a line
// for the user.
Result<CheckpointHeader, std::string> plan_checkpoint(const Fingerprint& fingerprint, uint64_t step,
                                                      const std::vector<model::Section>& sections);
swarm::Bytes encode_checkpoint_header(const CheckpointHeader& header);

// `front` is the file's first min(file_size, checkpoint_header_size_max) bytes. Refuses (with the
// reason) whatever encode_checkpoint_header would not write, before anything of the stated sizes is
// allocated.
Result<CheckpointHeader, std::string> decode_checkpoint_header(swarm::ByteView front,
                                                               uint64_t file_size);

// The whole file: header, zero padding, digest.
Result<CheckpointHeader, std::string> check_checkpoint(swarm::ByteView file);

}  // namespace starling::node
