// A checkpoint file of any bytes, and the same bytes under a right checksum: what is accepted is
// exactly what the writer would have written, and every section lies inside the file.
#include <algorithm>
#include <cassert>

#include "node/checkpoint_codec.h"

namespace {
using namespace starling::node;

void expect_canonical(const starling::swarm::Bytes& file) {
  const auto header = check_checkpoint(file);
  if (!header) {
    assert(!header.error().empty());
    return;
  }
  assert(header->file_size == file.size());
  const auto front = encode_checkpoint_header(*header);
  assert(front.size() <= std::min(file.size(), checkpoint_header_size_max));
  assert(std::equal(front.begin(), front.end(), file.begin()));
  uint64_t end = front.size();
  for (const auto& entry : header->entries) {
    assert(entry.offset == end && entry.offset % 8 == 0);
    assert(entry.size <= file.size() && entry.offset + entry.size <= file.size());
    end = (entry.offset + entry.size + 7) / 8 * 8;
  }
  assert(end + checkpoint_digest_size == file.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  starling::swarm::Bytes file(bytes, bytes + size);
  expect_canonical(file);
  const auto digest = starling::swarm::blake2b(file);
  file.insert(file.end(), digest.begin(), digest.end());
  expect_canonical(file);
  return 0;
}
