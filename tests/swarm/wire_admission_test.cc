#include <doctest/doctest.h>

#include "swarm/foreseeable_invite.h"
#include "tests/swarm/wire_fixture.h"

namespace starling::swarm {
namespace {
using namespace wire_test;

InviteToken some_invite(const Keys& root, int64_t expires_s = 0) {
  return make_invite(root.signer(), "tiny", {"192.0.2.7:7400", "home.example:7400"}, expires_s);
}

AdmissionError refusal(std::string_view text) {
  auto decoded = decode_token(text);
  REQUIRE_FALSE(decoded.has_value());
  return decoded.error();
}

TEST_CASE("an invite travels as one line and admits its bearer") {
  const Keys root(1), bob(5);
  const InviteToken token = some_invite(root);
  const std::string line = encode_token(token);
  CHECK(line.starts_with("starling1:"));
  CHECK(line.find_first_of(" \n\t") == std::string::npos);
  auto decoded = decode_token(line);
  REQUIRE(decoded.has_value());
  CHECK(decoded->preset == "tiny");
  CHECK(decoded->addresses == token.addresses);
  CHECK(decoded->invite_seed == token.invite_seed);
  CHECK(encode_token(*decoded) == line);

  auto membership = accept_invite(*decoded, bob.public_key, 1700000000);
  REQUIRE(membership.has_value());
  CHECK(check(*membership, swarm_of(root)).has_value());
  CHECK(membership->identity == bob.public_key);
}

TEST_CASE(
    "an invite of a secret that the caller chose is the same again, and admits as any other") {
  const Keys root(1), bob(5);
  const std::array<uint8_t, 32> secret{1, 2, 3};
  const InviteToken token = make_foreseeable_invite(root.signer(), nullptr, {}, secret);
  const InviteToken again = make_foreseeable_invite(root.signer(), nullptr, {}, secret);
  CHECK(encode_token(token) == encode_token(again));
  const auto membership = accept_invite(token, bob.public_key, 1700000000);
  REQUIRE(membership.has_value());
  CHECK(check(*membership, swarm_of(root)).has_value());
}

TEST_CASE("two invites of one root are never the same") {
  const Keys root(1);
  CHECK(encode_token(some_invite(root)) != encode_token(some_invite(root)));
}

TEST_CASE("an invite with any bit of its text flipped is refused") {
  const std::string line = encode_token(some_invite(Keys(1)));
  for (size_t bit = 0; bit < line.size() * 8; ++bit) {
    std::string wrong = line;
    wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ 1 << bit % 8);
    CHECK_MESSAGE(!decode_token(wrong).has_value(), wrong);
  }
}

TEST_CASE("an invite with one character exchanged for another says that it is damaged") {
  const std::string line = encode_token(some_invite(Keys(1)));
  const size_t start = std::string("starling1:").size();
  for (size_t i = start + 6; i < line.size(); ++i) {  // the first six hold version and size
    std::string wrong = line;
    wrong[i] = line[i] == '2' ? '3' : '2';
    CHECK_MESSAGE(refusal(wrong) == AdmissionError::bad_checksum, i);
  }
  for (size_t i = start; i < start + 6; ++i) {
    std::string wrong = line;
    wrong[i] = line[i] == '2' ? '3' : '2';
    CHECK_FALSE(decode_token(wrong).has_value());
  }
}

TEST_CASE("an invite cut short at any place says so") {
  const std::string line = encode_token(some_invite(Keys(1)));
  for (size_t size = 1; size < line.size(); ++size) {
    CHECK_MESSAGE(refusal(line.substr(0, size)) == AdmissionError::truncated, size);
  }
  CHECK(refusal("") == AdmissionError::not_an_invite);
  CHECK(refusal("hello") == AdmissionError::not_an_invite);
  CHECK(refusal(line + "2222") == AdmissionError::bad_checksum);
  CHECK(refusal("starling1:" + std::string(1000000, '2')) == AdmissionError::not_an_invite);
}

TEST_CASE("an invite of another version is told from a damaged one") {
  // Version 3, seven bytes in all, and a right checksum; seven bytes are ten characters.
  Bytes bytes = {3, 7, 0};
  const Digest digest = blake2b(bytes);
  for (size_t i = 0; i < 4; ++i) bytes.push_back(digest[i]);
  uint64_t number = 0;
  for (const uint8_t byte : bytes) number = number << 8 | byte;
  static constexpr std::string_view alphabet =
      "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  std::string block(10, '1');
  for (size_t i = block.size(); i-- > 0; number /= 58) block[i] = alphabet[number % 58];
  CHECK(refusal("starling1:" + block) == AdmissionError::bad_version);
}

TEST_CASE("an expired invite is refused by whoever has a clock, and only by them") {
  const Keys root(1), bob(5);
  const InviteToken token = some_invite(root, 1700000000);
  CHECK(accept_invite(token, bob.public_key, 1699999999).has_value());
  CHECK(accept_invite(token, bob.public_key, 0).has_value());
  auto late = accept_invite(token, bob.public_key, 1700000000);
  REQUIRE_FALSE(late.has_value());
  CHECK(late.error() == AdmissionError::expired);
}

TEST_CASE("an invite that its stated root did not sign is refused") {
  const Keys root(1), eve(6);
  InviteToken token = some_invite(eve);
  token.certificate.root = root.public_key;
  CHECK(refusal(encode_token(token)) == AdmissionError::bad_root_signature);
  token = some_invite(root);
  token.invite_seed[0] ^= 1;
  CHECK(refusal(encode_token(token)) == AdmissionError::bad_binding);
}

TEST_CASE("a membership is believed only whole, for its own swarm and its own identity") {
  const Keys root(1), ada(2), eve(6);
  const Membership membership = admit(root.signer(), ada.public_key, 0);
  CHECK(check(membership, swarm_of(root)).has_value());
  CHECK(check(membership, swarm_of(eve)).error() == AdmissionError::wrong_swarm);
  Membership wrong = membership;
  wrong.identity = eve.public_key;
  CHECK(check(wrong, swarm_of(root)).error() == AdmissionError::bad_binding);
  wrong = membership;
  wrong.invite.expires_s = 1;
  CHECK(check(wrong, swarm_of(root)).error() == AdmissionError::bad_root_signature);
  wrong = admit(eve.signer(), eve.public_key, 0);  // a swarm of one's own
  wrong.invite.root = root.public_key;
  CHECK(check(wrong, swarm_of(root)).error() == AdmissionError::bad_root_signature);
}

TEST_CASE(
    "the same root admits the same identity with the same bytes, and no two identities share an "
    "invite") {
  const Keys root(1), ada(2), bob(5);
  CHECK(encode(admit(root.signer(), ada.public_key, 0)) ==
        encode(admit(root.signer(), ada.public_key, 0)));
  CHECK(admit(root.signer(), ada.public_key, 0).invite.invite !=
        admit(root.signer(), bob.public_key, 0).invite.invite);
}

TEST_CASE("a membership's bytes decode to itself, and nothing shorter, longer or newer does") {
  const Membership membership = admit(Keys(1).signer(), Keys(2).public_key, 1800000000);
  Bytes bytes = encode(membership);
  CHECK(hex(bytes) == golden("membership", bytes));
  auto decoded = decode_membership(bytes);
  REQUIRE(decoded.has_value());
  CHECK(encode(*decoded) == bytes);
  CHECK(check(*decoded, swarm_of(Keys(1))).has_value());
  for (size_t size = 0; size < bytes.size(); ++size) {
    CHECK(decode_membership(ByteView(bytes).first(size)).error() == AdmissionError::truncated);
  }
  for (size_t bit = 8; bit < bytes.size() * 8; ++bit) {  // every bit is signed
    Bytes wrong = bytes;
    wrong[bit / 8] = static_cast<uint8_t>(wrong[bit / 8] ^ 1u << bit % 8);
    CHECK_FALSE(check(*decode_membership(wrong), swarm_of(Keys(1))).has_value());
  }
  bytes[0] = 3;
  CHECK(decode_membership(bytes).error() == AdmissionError::bad_version);
}

TEST_CASE("every admission error has a line for the user") {
  for (int i = 0; i <= static_cast<int>(AdmissionError::malformed); ++i) {
    CHECK_FALSE(admission_error_text(static_cast<AdmissionError>(i)).empty());
  }
}

}  // namespace
}  // namespace starling::swarm
