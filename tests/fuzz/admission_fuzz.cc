// First byte 0: a token's text. 1: a membership. 2, 3: the inside of a token of version 1, 2, to
// which version, size, checksum and base58 are added here, because no mutation would ever guess a
// checksum. 4: a revocation. 5: a proof of equivocation. 6: an accusation.
#include <algorithm>

#include "swarm/admissions.h"
#include "swarm/wire.h"

namespace {
using namespace starling::swarm;

std::string base58(ByteView bytes) {
  static constexpr std::string_view alphabet =
      "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  static constexpr size_t chars[] = {0, 2, 3, 5, 6, 7, 9, 10, 11};
  std::string text;
  for (; !bytes.empty(); bytes = bytes.subspan(std::min<size_t>(8, bytes.size()))) {
    const size_t size = std::min<size_t>(8, bytes.size());
    uint64_t number = 0;
    for (size_t i = 0; i < size; ++i) number = number << 8 | bytes[i];
    std::string block(chars[size], '1');
    for (size_t i = block.size(); i-- > 0; number /= 58) block[i] = alphabet[number % 58];
    text += block;
  }
  return text;
}

std::string wrapped(uint8_t version, ByteView content) {
  Writer writer;
  writer.u8(version);
  writer.u16(static_cast<uint16_t>(content.size() + 7));
  writer.raw(content);
  const Digest digest = blake2b(writer.bytes());
  writer.raw(ByteView(digest).first(4));
  return "starling1:" + base58(writer.bytes());
}

void check_token(std::string_view text) {
  const auto token = decode_token(text);
  if (!token) {
    assert(!admission_error_text(token.error()).empty());
    return;
  }
  assert(encode_token(token.value()) == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  const ByteView input(bytes + 1, size - 1);
  if (bytes[0] == 0) check_token({reinterpret_cast<const char*>(input.data()), input.size()});
  if (bytes[0] == 1) {
    const auto membership = decode_membership(input);
    if (!membership) return 0;
    const Bytes again = encode(membership.value());
    assert(std::equal(again.begin(), again.end(), input.begin(), input.end()));
    (void)check(membership.value(), swarm_id_of(membership.value().invite.root));
  }
  if (bytes[0] == 2 || bytes[0] == 3) {
    const auto version = static_cast<uint8_t>(bytes[0] - 1);
    check_token(wrapped(version, input.first(std::min<size_t>(input.size(), 60000))));
  }
  if (bytes[0] == 4) {
    const auto revocation = decode_revocation(input);
    if (!revocation) return 0;
    const Bytes again = encode(revocation.value());
    assert(std::equal(again.begin(), again.end(), input.begin(), input.end()));
    (void)check(revocation.value(), swarm_id_of(revocation->root));
  }
  if (bytes[0] == 5) {
    const auto proof = decode_equivocation(input);
    if (!proof) return 0;
    const Bytes again = encode(proof.value());
    assert(std::equal(again.begin(), again.end(), input.begin(), input.end()));
    (void)check(proof.value(), SwarmId{});
  }
  if (bytes[0] == 6) {
    const auto accusation = decode_accusation(input);
    if (!accusation) return 0;
    const Bytes again = encode(accusation.value());
    assert(std::equal(again.begin(), again.end(), input.begin(), input.end()));
    (void)check(accusation.value(), SwarmId{});
  }
  return 0;
}
