// A simulated run's checkpoint of any bytes, and the same bytes under a right size and checksum:
// what is accepted is exactly what the writer would have written.
#include <algorithm>
#include <cassert>

#include "sim/run_checkpoint.h"

namespace {
using namespace starling::sim;

constexpr size_t size_at = 12;  // behind magic and version

void expect_canonical(const starling::swarm::Bytes& file) {
  const auto checkpoint = decode_run_checkpoint(file);
  if (!checkpoint) {
    assert(!checkpoint.error().empty());
    return;
  }
  assert(encode(*checkpoint) == file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  starling::swarm::Bytes file(bytes, bytes + size);
  expect_canonical(file);
  if (size < size_at + 8) return 0;
  for (size_t i = 0; i < 8; ++i)
    file[size_at + i] = static_cast<uint8_t>(uint64_t{size + 32} >> (8 * i));
  const auto digest = starling::swarm::blake2b(file);
  file.insert(file.end(), digest.begin(), digest.end());
  expect_canonical(file);
  return 0;
}
