#include "node/text_check.h"

#include <cstdint>

namespace starling::node {

namespace {

// Size of the well-formed sequence at the start of `text`; 0: none. Source: Unicode 15, table 3-7.
size_t sequence_size(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  const auto is_tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const int first = byte(0);
  const int second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return is_tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool is_overlong = first == 0xe0 && second < 0xa0;
    const bool is_surrogate = first == 0xed && second > 0x9f;
    return is_tail(1) && is_tail(2) && !is_overlong && !is_surrogate ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool is_overlong = first == 0xf0 && second < 0x90;
    const bool is_beyond = first == 0xf4 && second > 0x8f;
    return is_tail(1) && is_tail(2) && is_tail(3) && !is_overlong && !is_beyond ? 4 : 0;
  }
  return 0;
}

}  // namespace

size_t utf8_prefix_size(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t size = sequence_size(text.substr(at));
    if (size == 0) break;
    at += size;
  }
  return at;
}

bool is_binary(std::string_view bytes) {
  if (bytes.find('\0') != std::string_view::npos) return true;
  constexpr size_t looked_at_max = 64u << 10;
  const std::string_view head = bytes.substr(0, looked_at_max);
  size_t control = 0;
  for (const char c : head) {
    const bool is_control = (c >= 0 && c < 0x20) || c == 0x7f;
    const bool is_layout =
        c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == '\v' || c == '\b';
    if (is_control && !is_layout) ++control;
  }
  return control * 10 > head.size();
}

std::string printable(std::string_view text, size_t size_max) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t size = sequence_size(text.substr(at));
    if (out.size() + (size == 0 ? 1 : size) > size_max) break;
    const auto first = static_cast<unsigned char>(text[at]);
    // C1 controls (c2 80 .. c2 9f) steer terminals as the C0 ones do.
    const bool is_c1 =
        size == 2 && first == 0xc2 && static_cast<unsigned char>(text[at + 1]) < 0xa0;
    if (size == 0 || first < 0x20 || first == 0x7f || is_c1) {
      out += '?';
    } else {
      out += text.substr(at, size);
    }
    at += size == 0 ? 1 : size;
  }
  return out;
}

}  // namespace starling::node
