// Text form of a peer id, after Syncthing's device ids: 160 bits are 32 characters of RFC 4648
// base32; every eight are followed by a Luhn mod 32 check character, so that each single wrong
// character, and most swaps of neighbours, are found:  AAAAAAAAc-AAAAAAAAc-AAAAAAAAc-AAAAAAAAc
#include "swarm/peer_id.h"

#include <algorithm>

#include "swarm/envelope.h"

namespace starling::swarm {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr size_t group_size = 8;  // characters before each check character
constexpr size_t groups = 4;
constexpr size_t text_size_max = 64;  // with as many dashes as a person may have typed

// Doubling every other digit and folding the carry is a permutation of 0..31: every single error
// shows.
uint8_t luhn_check(const uint8_t* digits) {
  unsigned sum = 0;
  for (size_t i = 0; i < group_size; ++i) {
    const unsigned factor = i % 2 == 1 ? 2 : 1;  // the digit before the check character is doubled
    const unsigned addend = digits[i] * factor;
    sum += addend / 32 + addend % 32;
  }
  return static_cast<uint8_t>((32 - sum % 32) % 32);
}

std::array<uint8_t, group_size> group_digits(const PeerId& id, size_t group) {
  uint64_t bits = 0;  // eight digits are five bytes
  for (size_t i = 0; i < 5; ++i) bits = bits << 8 | id.bytes[group * 5 + i];
  std::array<uint8_t, group_size> digits{};
  for (size_t i = 0; i < group_size; ++i) digits[i] = bits >> (35 - 5 * i) & 31;
  return digits;
}

void append_group(const PeerId& id, size_t group, std::string& text) {
  const auto digits = group_digits(id, group);
  for (const uint8_t digit : digits) text += alphabet[digit];
  text += alphabet[luhn_check(digits.data())];
}

}  // namespace

PeerId peer_id_of(const PublicKey& key) {
  static constexpr std::string_view domain = "starling-id-v1";
  Bytes message(domain.begin(), domain.end());
  message.insert(message.end(), key.begin(), key.end());
  const Digest digest = blake2b(message);
  PeerId id;
  std::copy_n(digest.begin(), id.bytes.size(), id.bytes.begin());
  return id;
}

std::string to_string(const PeerId& id) {
  std::string text;
  for (size_t group = 0; group < groups; ++group) {
    if (group > 0) text += '-';
    append_group(id, group, text);
  }
  return text;
}

std::string short_string(const PeerId& id) {
  std::string text;
  append_group(id, 0, text);
  return text;
}

std::optional<PeerId> parse_peer_id(std::string_view text) {
  if (text.size() > text_size_max) return std::nullopt;
  std::array<uint8_t, groups*(group_size + 1)> digits{};
  size_t count = 0;
  for (char c : text) {
    if (c == '-') continue;
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    const size_t digit = alphabet.find(c);
    if (digit == std::string_view::npos || count == digits.size()) return std::nullopt;
    digits[count++] = static_cast<uint8_t>(digit);
  }
  if (count != digits.size()) return std::nullopt;
  PeerId id;
  for (size_t group = 0; group < groups; ++group) {
    const uint8_t* start = digits.data() + group * (group_size + 1);
    if (luhn_check(start) != start[group_size]) return std::nullopt;
    uint64_t bits = 0;
    for (size_t i = 0; i < group_size; ++i) bits = bits << 5 | start[i];
    for (size_t i = 0; i < 5; ++i)
      id.bytes[group * 5 + i] = static_cast<uint8_t>(bits >> (32 - 8 * i));
  }
  return id;
}

}  // namespace starling::swarm
