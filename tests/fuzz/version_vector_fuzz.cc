// Whatever decodes encodes to the same bytes, and its streams are in order.
#include "swarm/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace starling::swarm;
  const ByteView input(bytes, size);
  const auto vector = decode_version_vector(input);
  if (!vector) return 0;
  assert(vector.value().streams().size() <= streams_per_message_max);
  const Bytes again = encode(vector.value());
  assert(std::equal(again.begin(), again.end(), input.begin(), input.end()));
  return 0;
}
