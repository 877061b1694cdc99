#include "swarm/wire.h"

namespace starling::swarm {
namespace {

// The code point at the start of `text` and its size in bytes; size 0: not UTF-8 (overlong forms,
// surrogates and what lies beyond U+10FFFF included).
struct Scalar {
  uint32_t value = 0;
  size_t size = 0;
};

Scalar first_scalar(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return {};
  uint32_t value = lead & (0x7fu >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3fu);
  }
  static constexpr uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < smallest[size] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return {};
  return {value, size};
}

// Characters that would let a peer's text move the cursor, break a line or hide itself on our
// owner's terminal.
bool is_hostile(uint32_t value) {
  return value < 0x20 || (value >= 0x7f && value < 0xa0) || (value >= 0x200e && value <= 0x200f) ||
         (value >= 0x2028 && value <= 0x202e) || (value >= 0x2066 && value <= 0x2069) ||
         value == 0xfeff;
}

}  // namespace

bool is_plain_text(std::string_view text, size_t size_max) {
  if (text.size() > size_max) return false;
  while (!text.empty()) {
    const Scalar scalar = first_scalar(text);
    if (scalar.size == 0 || is_hostile(scalar.value)) return false;
    text.remove_prefix(scalar.size);
  }
  return true;
}

std::string make_plain_text(std::string_view text, size_t size_max) {
  std::string plain;
  while (!text.empty()) {
    const Scalar scalar = first_scalar(text);
    const bool is_plain = scalar.size > 0 && !is_hostile(scalar.value);
    const std::string_view piece = is_plain ? text.substr(0, scalar.size) : std::string_view("?");
    if (plain.size() + piece.size() > size_max) break;
    plain += piece;
    text.remove_prefix(std::max<size_t>(scalar.size, 1));
  }
  return plain;
}

}  // namespace starling::swarm
