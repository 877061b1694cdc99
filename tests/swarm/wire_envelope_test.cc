#include <doctest/doctest.h>

#include <set>

#include "swarm/signature_memory.h"
#include "tests/swarm/wire_fixture.h"

namespace starling::swarm {
namespace {
using namespace wire_test;

const Bytes payload = {'s', 't', 'a', 'r'};

Bytes sealed(const Keys& root, const Keys& member) {
  FrameHeader header;
  header.kind = FrameKind::delta;
  header.swarm = swarm_of(root);
  header.epoch = 3;
  header.seq = 7;
  header.fingerprint = filled<16>(0xab);
  header.samples = 4096;
  return seal(header, payload, member.signer());
}

DropReason refusal(ByteView frame, const SwarmId& swarm) {
  auto opened = open(frame, swarm);
  REQUIRE_FALSE(opened.has_value());
  return opened.error();
}

TEST_CASE("a peer id survives its text form, in any case and with any dashes") {
  const PeerId id = peer_id_of(Keys(9).public_key);
  const std::string text = to_string(id);
  CHECK(text.size() == 39);
  CHECK(text.starts_with(short_string(id)));
  CHECK(parse_peer_id(text) == id);
  std::string loose;
  for (const char c : text) {
    if (c != '-') loose += static_cast<char>(std::tolower(c));
  }
  CHECK(parse_peer_id(loose) == id);
  CHECK(parse_peer_id(loose.substr(0, 3) + "-" + loose.substr(3) + "-") == id);
}

TEST_CASE("a peer id with any one character wrong, missing or added is refused") {
  const std::string text = to_string(peer_id_of(Keys(10).public_key));
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '-') continue;
    for (int c = 0; c < 256; ++c) {
      if (std::toupper(c) == text[i] || c == '-') continue;
      std::string wrong = text;
      wrong[i] = static_cast<char>(c);
      CHECK_MESSAGE(!parse_peer_id(wrong), wrong);
    }
    CHECK_FALSE(parse_peer_id(text.substr(0, i) + text.substr(i + 1)));
    CHECK_FALSE(parse_peer_id(text.substr(0, i) + "A" + text.substr(i)));
  }
  CHECK_FALSE(parse_peer_id(""));
  CHECK_FALSE(parse_peer_id(std::string(100000, '-')));
}

TEST_CASE("a sealed frame opens to what was sealed") {
  const Keys root(1), ada(2);
  const Bytes frame = sealed(root, ada);
  REQUIRE(frame.size() == header_size + payload.size());
  auto opened = open(frame, swarm_of(root));
  REQUIRE(opened.has_value());
  CHECK(opened->header.kind == FrameKind::delta);
  CHECK(opened->header.origin == ada.public_key);
  CHECK(opened->header.epoch == 3);
  CHECK(opened->header.seq == 7);
  CHECK(opened->header.fingerprint == filled<16>(0xab));
  CHECK(opened->header.samples == 4096);
  CHECK(Bytes(opened->payload.begin(), opened->payload.end()) == payload);
}

TEST_CASE("a frame's layout is the one that is written down") {
  const Keys root(1), ada(2);
  const Bytes frame = sealed(root, ada);
  CHECK(hex(frame) == golden("frame", frame));
  const auto bytes = [](const auto& field) { return Bytes(field.begin(), field.end()); };
  const Bytes header = joined({{1, 2},  // version, kind
                               bytes(swarm_of(root)),
                               bytes(ada.public_key),
                               {3, 0, 0, 0, 0, 0, 0, 0},
                               {7, 0, 0, 0, 0, 0, 0, 0},
                               Bytes(16, 0xab),
                               bytes(blake2b(payload)),
                               {4, 0, 0, 0},
                               {0, 0x10, 0, 0, 0, 0, 0, 0}});
  REQUIRE(header.size() + 64 == header_size);
  const Bytes message = joined({{17}, bytes_of("starling-frame-v1"), header});
  CHECK(crypto_sign_verify_detached(frame.data() + 126, message.data(), message.size(),
                                    ada.public_key.data()) == 0);
  const Bytes expected = joined({header, bytes(ByteView(frame).subspan(126, 64)), payload});
  CHECK(frame == expected);
}

TEST_CASE("a frame with any bit flipped is refused") {
  const Keys root(1), ada(2);
  const Bytes frame = sealed(root, ada);
  for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
    Bytes wrong = frame;
    wrong[bit / 8] = static_cast<uint8_t>(wrong[bit / 8] ^ 1u << bit % 8);
    CHECK_MESSAGE(!open(wrong, swarm_of(root)).has_value(), "bit ", bit);
  }
}

TEST_CASE("a frame cut short or grown is refused, and the reason is exact") {
  const Keys root(1), ada(2);
  Bytes frame = sealed(root, ada);
  for (size_t size = 0; size < frame.size(); ++size) {
    CHECK(refusal(ByteView(frame).first(size), swarm_of(root)) == DropReason::truncated);
  }
  frame.push_back(0);
  CHECK(refusal(frame, swarm_of(root)) == DropReason::malformed);
  CHECK(refusal(Bytes(size_t{header_size} + payload_size_max + 1), swarm_of(root)) ==
        DropReason::oversized);
}

TEST_CASE("each kind of forgery has its own reason") {
  const Keys root(1), ada(2), other_root(3), eve(4);
  const SwarmId swarm = swarm_of(root);
  const Bytes frame = sealed(root, ada);
  CHECK(refusal(frame, swarm_of(other_root)) == DropReason::wrong_swarm);
  Bytes wrong = frame;
  wrong[0] = 2;
  CHECK(refusal(wrong, swarm) == DropReason::bad_version);
  wrong = frame;
  wrong.back() ^= 1;
  CHECK(refusal(wrong, swarm) == DropReason::bad_payload_hash);
  wrong = frame;
  std::copy(eve.public_key.begin(), eve.public_key.end(), wrong.begin() + 18);  // another's origin
  CHECK(refusal(wrong, swarm) == DropReason::bad_signature);
  wrong = frame;
  wrong[1] = 3;
  CHECK(refusal(wrong, swarm) == DropReason::malformed);
  wrong = frame;
  wrong[114 + 3] = 0x7f;  // a payload of 2 GiB
  CHECK(refusal(wrong, swarm) == DropReason::oversized);
  wrong = frame;
  std::fill_n(wrong.begin() + 18, 32, uint8_t{0});  // a key of small order signs anything
  std::fill_n(wrong.begin() + 126, 64, uint8_t{0});
  wrong[126] = 1;
  CHECK(refusal(wrong, swarm) == DropReason::bad_signature);
}

TEST_CASE("a signature counts in its own domain only") {
  const Keys ada(2);
  const Signature signature = ada.signer().sign("starling-frame-v1", payload);
  CHECK(verify("starling-frame-v1", payload, signature, ada.public_key));
  CHECK_FALSE(verify("starling-member-v1", payload, signature, ada.public_key));
  const Bytes longer = joined({{'1'}, payload});
  CHECK_FALSE(verify("starling-frame-v", longer, signature, ada.public_key));
}

TEST_CASE("a signature that was found good once is not checked again while it is remembered") {
  const Keys ada(1), bob(2);
  const std::string_view domain = "starling-frame-v1";
  const Signature signature = ada.signer().sign(domain, payload);
  Signature wrong = signature;
  wrong[5] ^= 1;
  SignatureMemory memory(2);
  {
    const SignatureMemory::Scope scope(memory);
    for (int round = 0; round < 2; ++round) {
      CHECK(verify(domain, payload, signature, ada.public_key));
      CHECK(memory.size() == 1);
      CHECK_FALSE(verify(domain, payload, wrong, ada.public_key));
      CHECK_FALSE(verify(domain, payload, signature, bob.public_key));
      CHECK_FALSE(verify("starling-member-v1", payload, signature, ada.public_key));
      CHECK(memory.size() == 1);
    }
    SignatureMemory inner(8);
    {
      const SignatureMemory::Scope nested(inner);
      CHECK(verify(domain, payload, signature, ada.public_key));
    }
    CHECK(inner.size() == 1);
    for (uint8_t byte = 0; byte < 4; ++byte) {
      const Bytes other = {byte};
      CHECK(verify(domain, other, ada.signer().sign(domain, other), ada.public_key));
      CHECK(memory.size() <= 2);
    }
  }
  CHECK(SignatureMemory::current() == nullptr);
  const size_t size = memory.size();
  CHECK(verify(domain, payload, signature, ada.public_key));
  CHECK(memory.size() == size);
}

TEST_CASE("every reason to refuse a frame has a name of its own") {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(DropReason::unexpected); ++i) {
    names.insert(drop_reason_name(static_cast<DropReason>(i)));
  }
  CHECK(names.size() == static_cast<size_t>(DropReason::unexpected) + 1);
}

}  // namespace
}  // namespace starling::swarm
