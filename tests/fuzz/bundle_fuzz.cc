// In pieces and at once a bundle is read alike; what is read writes the same bytes again.
#include "swarm/bundle.h"

#include <algorithm>
#include <cassert>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace starling::swarm;
  const ByteView input(bytes, size);
  BundleReader whole, halves;
  const auto parts = whole.take(input);
  const auto first = halves.take(input.first(size / 2));
  const auto second = halves.take(input.subspan(size / 2));
  assert(parts.has_value() == (first.has_value() && second.has_value()));
  if (!parts || !whole.finish()) return 0;
  assert(halves.finish() && parts->size() == first->size() + second->size());
  BundleWriter writer;
  Bytes again = writer.head(*whole.head());
  const auto add = [&again](const Bytes& more) {
    again.insert(again.end(), more.begin(), more.end());
  };
  for (const BundlePart& part : *parts) add(writer.part(part.kind, part.bytes));
  add(writer.end());
  assert(std::equal(again.begin(), again.end(), input.begin(), input.end()));
  return 0;
}
