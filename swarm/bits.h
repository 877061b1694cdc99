#pragma once
// Bit streams, least significant bit first, and Rice codes: a number is its quotient by 2^r in
// unary (zeros closed by a one), then its r low bits. Source: Rice and Plaunt, "Adaptive
// variable-length coding" (1971).
#include <bit>
#include <cassert>
#include <cstring>

#include "swarm/bytes.h"

namespace starling::swarm {

// Small signed numbers to small unsigned ones: 0, -1, 1, -2 become 0, 1, 2, 3.
constexpr uint32_t zigzag(int32_t value) {
  return (static_cast<uint32_t>(value) << 1) ^ static_cast<uint32_t>(value >> 31);
}
constexpr int32_t unzigzag(uint32_t value) {
  return static_cast<int32_t>(value >> 1) ^ -static_cast<int32_t>(value & 1);
}
constexpr uint64_t low_bits(unsigned count) { return (uint64_t{1} << count) - 1; }

// Appends to `out`. The last bits reach it with pad().
class BitWriter {
 public:
  explicit BitWriter(Bytes& out) : out_(&out) {}

  // Requires: count <= 32, value < 2^count.
  void put(uint64_t value, unsigned count) {
    pending_ |= value << used_;
    used_ += count;
    if (used_ >= 32) flush_word();
  }
  void put_rice(uint32_t value, unsigned rice) {
    uint32_t quotient = value >> rice;
    for (; quotient >= 31; quotient -= 31) put(0, 31);
    put(uint64_t{1} << quotient, quotient + 1);
    put(value & low_bits(rice), rice);
  }
  // Zeros up to the next byte.
  void pad() {
    for (; used_ > 0; used_ -= used_ < 8 ? used_ : 8, pending_ >>= 8) {
      out_->push_back(static_cast<uint8_t>(pending_));
    }
  }

 private:
  void flush_word() {
    const size_t size = out_->size();
    out_->resize(size + 4);
    for (unsigned i = 0; i < 4; ++i) (*out_)[size + i] = static_cast<uint8_t>(pending_ >> (8 * i));
    pending_ >>= 32;
    used_ -= 32;
  }

  Bytes* out_;  // outlives the writer
  uint64_t pending_ = 0;
  unsigned used_ = 0;  // bits in pending_, below 32 between calls
};

// Reads zeros beyond the end and remembers that it did: a decoder runs on and asks is_overrun()
// where it matters.
class BitReader {
 public:
  explicit BitReader(ByteView bytes) : data_(bytes.data()), size_(bytes.size()) {}

  static constexpr unsigned window = 56;  // bits of peek() that count

  uint64_t peek() const {
    const size_t byte = position_ >> 3;
    uint64_t word = 0;
    if (byte + 8 <= size_) {
      if constexpr (std::endian::native == std::endian::little) {
        std::memcpy(&word, data_ + byte, 8);
      } else {
        for (unsigned i = 0; i < 8; ++i) word |= uint64_t{data_[byte + i]} << (8 * i);
      }
    } else {
      for (unsigned i = 0; byte + i < size_; ++i) word |= uint64_t{data_[byte + i]} << (8 * i);
    }
    return word >> (position_ & 7);
  }
  void skip(size_t count) { position_ += count; }
  // Requires: count <= window.
  uint64_t take(unsigned count) {
    const uint64_t value = peek() & low_bits(count);
    skip(count);
    return value;
  }
  // A Rice code of at most value_max; anything above gives value_max + 1. Requires: rice < 16.
  uint32_t take_rice(unsigned rice, uint32_t value_max) {
    uint32_t quotient = 0;
    for (;;) {
      const uint64_t word = peek() & low_bits(window);
      const unsigned zeros = static_cast<unsigned>(std::countr_zero(word));
      if (zeros + 1 + rice <= window) {
        skip(zeros + 1 + rice);
        quotient += zeros;
        const auto low = static_cast<uint32_t>(word >> (zeros + 1) & low_bits(rice));
        const uint32_t value = quotient << rice | low;
        return value <= value_max ? value : value_max + 1;
      }
      quotient += 32;  // a long run of zeros; look again further on
      skip(32);
      if (quotient > value_max) return value_max + 1;
    }
  }
  bool is_overrun() const { return position_ > size_ * 8; }
  // The byte in which reading stopped counts as read.
  size_t bytes_read() const { return (position_ + 7) >> 3; }
  // Whether the unread bits of the last byte are zeros.
  bool is_padded() const {
    return (position_ & 7) == 0 || data_[position_ >> 3] >> (position_ & 7) == 0;
  }

 private:
  const uint8_t* data_;  // outlives the reader
  size_t size_;
  size_t position_ = 0;  // bits
};

}  // namespace starling::swarm
