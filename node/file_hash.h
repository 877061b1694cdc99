#pragma once
// BLAKE2b-256 and size of a file, read in pieces.
#include <cstdint>
#include <optional>
#include <string>

#include "swarm/bytes.h"

namespace starling::node {

struct FileFacts {
  swarm::Digest hash{};
  uint64_t size = 0;  // bytes
};

std::optional<FileFacts> hash_file(const std::string& path);  // none: it cannot be read

}  // namespace starling::node
