// A starling.yaml. What is accepted must come back from default_yaml; what is refused, with a place
// and a short reason.
#include <cassert>
#include <string>

#include "node/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace starling::node;
  const auto config = parse_config({reinterpret_cast<const char*>(bytes), size}, "f");
  if (!config) {
    const std::string& message = config.error().message;
    assert(message.starts_with("f:") && message.size() < 1000);
    for (const char c : message) assert(static_cast<unsigned char>(c) >= 0x20);
    return 0;
  }
  const auto again = parse_config(default_yaml(*config), "again");
  assert(again && *again == *config);
  return 0;
}
