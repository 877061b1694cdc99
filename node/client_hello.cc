#include "node/client_hello.h"

#include <optional>

namespace starling::node {
namespace {

constexpr size_t record_header_size = 5;
constexpr uint8_t record_handshake = 22;
constexpr uint8_t handshake_client_hello = 1;
constexpr uint32_t extension_supported_versions = 43;
constexpr uint32_t version_tls13 = 0x0304;

// Reads big-endian numbers from the front; after a read beyond the end everything fails.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  bool is_good() const { return is_good_; }
  bool is_empty() const { return bytes_.empty(); }

  uint32_t number(size_t width) {
    uint32_t value = 0;
    for (const uint8_t byte : take(width)) value = value << 8 | byte;
    return value;
  }
  std::span<const uint8_t> take(size_t size) {
    if (!is_good_ || size > bytes_.size()) {
      is_good_ = false;
      bytes_ = {};
      return {};
    }
    const auto taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  // A block preceded by its size.
  Reader block(size_t width) { return Reader(take(number(width))); }

 private:
  std::span<const uint8_t> bytes_;
  bool is_good_ = true;
};

// None: not a well-formed client hello.
std::optional<bool> offers_tls13(std::span<const uint8_t> record) {
  Reader record_reader(record);
  if (record_reader.number(1) != handshake_client_hello) return std::nullopt;
  Reader hello = record_reader.block(3);
  hello.take(2 + 32);  // legacy version, random
  hello.block(1);      // session id
  hello.block(2);      // cipher suites
  hello.block(1);      // compression methods
  if (!record_reader.is_good() || !hello.is_good()) return std::nullopt;
  if (hello.is_empty()) return false;  // before extensions
  Reader extensions = hello.block(2);
  if (!hello.is_good()) return std::nullopt;
  bool offers = false;
  while (!extensions.is_empty()) {
    const uint32_t type = extensions.number(2);
    Reader body = extensions.block(2);
    if (!extensions.is_good()) return std::nullopt;
    if (type != extension_supported_versions) continue;
    Reader versions = body.block(1);
    while (!versions.is_empty())
      offers |= versions.number(2) == version_tls13 && versions.is_good();
  }
  return offers;
}

}  // namespace

HelloCheck check_client_hello(std::span<const uint8_t> bytes) {
  // What is there of the record header must fit from the first byte on: type, version 3.x, size.
  if (!bytes.empty() && bytes[0] != record_handshake) return {HelloVerdict::not_tls};
  if (bytes.size() > 1 && bytes[1] != 3) return {HelloVerdict::not_tls};
  if (bytes.size() < record_header_size) return {HelloVerdict::incomplete, record_header_size};
  const size_t size = static_cast<size_t>(bytes[3]) << 8 | bytes[4];
  const size_t whole = record_header_size + size;
  if (size < 4 || whole > client_hello_size_max) return {HelloVerdict::not_tls};
  if (bytes.size() < whole) return {HelloVerdict::incomplete, whole};
  const std::optional<bool> offered = offers_tls13(bytes.subspan(record_header_size, size));
  if (!offered) return {HelloVerdict::not_tls};
  return {*offered ? HelloVerdict::tls13 : HelloVerdict::old_tls};
}

}  // namespace starling::node
