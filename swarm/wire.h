#pragma once
// Writing and reading the bytes of every format in swarm/: little endian, canonical varints (LEB128
// without padding bytes), strings of valid UTF-8 that a terminal can show. Thread: none shared.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "swarm/bytes.h"
#include "swarm/envelope.h"

namespace starling::swarm {

// Valid UTF-8 of at most `size_max` bytes without control, line-separating or direction-changing
// characters.
bool is_plain_text(std::string_view text, size_t size_max);
// The closest plain text: what is not plain becomes '?', the rest is cut at a character's border.
std::string make_plain_text(std::string_view text, size_t size_max);

class Writer {
 public:
  void u8(uint8_t value) { out_.push_back(value); }
  void u16(uint16_t value) { little_endian(value, 2); }
  void u32(uint32_t value) { little_endian(value, 4); }
  void u64(uint64_t value) { little_endian(value, 8); }
  void f32(float value) { u32(std::bit_cast<uint32_t>(value)); }
  void flag(bool value) { u8(value ? 1 : 0); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) u8(static_cast<uint8_t>(value | 0x80));
    u8(static_cast<uint8_t>(value));
  }
  void raw(ByteView bytes) {
    const size_t at = out_.size();
    out_.resize(at + bytes.size());
    std::copy(bytes.begin(), bytes.end(), out_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  void text(std::string_view text, size_t size_max) {
    assert(is_plain_text(text, size_max));
    varint(text.size());
    for (const char c : text) u8(static_cast<uint8_t>(c));
  }
  const Bytes& bytes() const { return out_; }
  Bytes take() { return std::move(out_); }

 private:
  void little_endian(uint64_t value, int count) {
    for (int i = 0; i < count; ++i) u8(static_cast<uint8_t>(value >> (8 * i)));
  }
  Bytes out_;
};

// Remembers the first fault and gives zeros from then on, so that a decoder reads straight through
// and asks once. The view must outlive the reader.
class Reader {
 public:
  explicit Reader(ByteView bytes) : rest_(bytes) {}

  uint8_t u8() { return static_cast<uint8_t>(little_endian(1)); }
  uint16_t u16() { return static_cast<uint16_t>(little_endian(2)); }
  uint32_t u32() { return static_cast<uint32_t>(little_endian(4)); }
  uint64_t u64() { return little_endian(8); }
  float finite_f32() {
    const float value = std::bit_cast<float>(u32());
    if (!std::isfinite(value)) return fail(DropReason::malformed), 0.0f;
    return value;
  }
  bool flag() {
    const uint8_t value = u8();
    if (value > 1) fail(DropReason::malformed);
    return value == 1;
  }
  uint64_t varint(uint64_t value_max = UINT64_MAX) {
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const uint8_t byte = u8();
      if (shift == 63 && byte > 1) return fail(DropReason::malformed), 0;
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte >= 0x80) continue;
      if (byte == 0 && shift > 0) return fail(DropReason::malformed), 0;  // a shorter form exists
      break;
    }
    if (value > value_max) return fail(DropReason::oversized), 0;
    return fault_ ? 0 : value;
  }
  ByteView raw(size_t size) {
    if (fault_ || rest_.size() < size) return fail(DropReason::truncated), ByteView{};
    const ByteView bytes = rest_.first(size);
    rest_ = rest_.subspan(size);
    return bytes;
  }
  template <size_t N>
  std::array<uint8_t, N> array() {
    std::array<uint8_t, N> value{};
    const ByteView bytes = raw(N);
    std::copy(bytes.begin(), bytes.end(), value.begin());
    return value;
  }
  std::string text(size_t size_max) {
    const ByteView bytes = raw(varint(size_max));
    std::string value(bytes.begin(), bytes.end());
    if (!is_plain_text(value, size_max)) return fail(DropReason::malformed), std::string{};
    return value;
  }
  void fail(DropReason reason) {
    if (!fault_) fault_ = reason;
  }
  // The first fault; bytes left over are one.
  std::optional<DropReason> finish() {
    if (!rest_.empty()) fail(DropReason::malformed);
    return fault_;
  }
  std::optional<DropReason> fault() const { return fault_; }
  ByteView rest() const { return rest_; }

 private:
  uint64_t little_endian(size_t count) {
    uint64_t value = 0;
    const ByteView bytes = raw(count);
    for (size_t i = 0; i < bytes.size(); ++i) value |= uint64_t{bytes[i]} << (8 * i);
    return value;
  }
  ByteView rest_;
  std::optional<DropReason> fault_;
};

}  // namespace starling::swarm
