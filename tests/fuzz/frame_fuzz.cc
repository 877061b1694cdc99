// A frame as it comes off a link, and a payload of any bytes that a member did sign: nothing but
// the three answers.
#include <sodium.h>

#include "swarm/inbound.h"
#include "tests/swarm/delta_fixture.h"

namespace {
using namespace starling::swarm;

struct Member {
  PublicKey key{};
  std::array<uint8_t, 64> secret{};
  Member() {
    const std::array<uint8_t, 32> seed{7};
    crypto_sign_seed_keypair(key.data(), secret.data(), seed.data());
  }
};

void expect_refused_or_signed(const Bytes& bytes, const InboundRules& rules) {
  const auto opened = open(bytes, rules.swarm);
  if (!opened) assert(!drop_reason_name(opened.error()).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const Member member;
  static const auto table = delta_test::small_table();
  InboundRules rules;
  rules.regions = &table;
  const Bytes input(bytes, bytes + size);
  expect_refused_or_signed(input, rules);
  if (size == 0 || size > payload_size_max) return 0;

  FrameHeader header;
  header.kind = bytes[0] % 2 == 0 ? FrameKind::control : FrameKind::delta;
  header.seq = 1;
  const Bytes frame =
      seal(header, starling::swarm::ByteView(input).subspan(1), Signer(member.secret.data()));
  const auto received =
      receive(peer_id_of(member.key), std::make_shared<const Bytes>(frame), rules);
  if (header.kind == FrameKind::control) {
    assert(std::holds_alternative<ReceivedMessage>(received) ||
           std::holds_alternative<ReceivedRefused>(received));
  } else {
    assert(std::holds_alternative<ReceivedDelta>(received) ||
           std::holds_alternative<ReceivedRefused>(received));
  }
  return 0;
}
