// Whatever decodes encodes to the same bytes.
#include "swarm/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace starling::swarm;
  const ByteView input(bytes, size);
  const auto message = decode_message(input);
  if (!message) return 0;
  const Bytes again = encode_message(message.value());
  assert(std::equal(again.begin(), again.end(), input.begin(), input.end()));
  if (const auto* hello = std::get_if<Hello>(&message.value())) (void)is_authentic(hello->self, {});
  return 0;
}
