#include <doctest/doctest.h>

#include <limits>

#include "swarm/wire.h"
#include "tests/swarm/wire_fixture.h"

namespace starling::swarm {
namespace {
using namespace wire_test;

TEST_CASE("every message decodes to what was encoded, byte for byte as it was committed") {
  for (const NamedMessage& one : one_of_each()) {
    CAPTURE(one.name);
    const Message& message = one.message;
    const Bytes bytes = encode_message(message);
    CHECK(hex(bytes) == golden(one.name, bytes));
    auto decoded = decode_message(bytes);
    REQUIRE(decoded.has_value());
    CHECK(decoded->index() == message.index());
    CHECK(encode_message(*decoded) == bytes);
  }
}

TEST_CASE("every truncation of every message is refused") {
  for (const NamedMessage& one : one_of_each()) {
    CAPTURE(one.name);
    const Message& message = one.message;
    const Bytes bytes = encode_message(message);
    for (size_t size = 0; size < bytes.size(); ++size) {
      CHECK_FALSE(decode_message(ByteView(bytes).first(size)).has_value());
    }
    Bytes longer = bytes;
    longer.push_back(0);
    CHECK(decode_message(longer).error() == DropReason::malformed);
  }
}

TEST_CASE("a message with any one byte changed is refused, or is the encoding of another message") {
  for (const NamedMessage& one : one_of_each()) {
    CAPTURE(one.name);
    const Message& message = one.message;
    const Bytes bytes = encode_message(message);
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (int change = 1; change < 256; ++change) {
        Bytes wrong = bytes;
        wrong[i] = static_cast<uint8_t>(wrong[i] ^ change);
        auto decoded = decode_message(wrong);
        if (decoded.has_value() && encode_message(*decoded) != wrong)
          FAIL_CHECK("byte ", i, " change ", change);
      }
    }
  }
}

TEST_CASE("a heartbeat's bytes are those of the grammar, worked out by hand") {
  Heartbeat heartbeat;
  heartbeat.sent_ms = 300;
  heartbeat.step = 5;
  heartbeat.bits_per_byte = -2.0f;
  heartbeat.have.emplace().set({PeerId{filled<20>(7)}, 128}, {2, 4});
  heartbeat.base_hash = filled<32>(9);
  heartbeat.base_count = 3;
  const Bytes expected = joined({{3, 0xac, 0x02, 0, 0, 5, 0, 0, 0, 0xc0, 1, 1},
                                 Bytes(20, 7),
                                 {0x80, 0x01, 2, 4, 0},
                                 Bytes(32, 9),
                                 {3, 0}});
  CHECK(hex(encode_message(heartbeat)) == hex(expected));
  heartbeat.have.reset();
  heartbeat.have_hash = filled<16>(6);
  heartbeat.wants_have = true;
  const Bytes shorter =
      joined({{3, 0xac, 0x02, 0, 0, 5, 0, 0, 0, 0xc0, 0}, Bytes(16, 6), {1}, Bytes(32, 9), {3, 0}});
  CHECK(hex(encode_message(heartbeat)) == hex(shorter));
}

TEST_CASE("a version vector is read only in its one form") {
  const VersionVector vector = some_vector();
  const Bytes bytes = encode(vector);
  auto decoded = decode_version_vector(bytes);
  REQUIRE(decoded.has_value());
  CHECK(decoded->streams() == vector.streams());

  const auto stream = [](uint8_t origin, uint8_t contiguous, uint8_t bitmap) {
    return joined({Bytes(20, origin), {1, contiguous, bitmap}});
  };
  const auto vector_of = [](std::vector<Bytes> streams) {
    Bytes made = {static_cast<uint8_t>(streams.size())};
    for (const Bytes& part : streams) made = joined({made, part});
    return made;
  };
  CHECK(decode_version_vector(vector_of({stream(1, 1, 0), stream(2, 1, 0)})).has_value());
  CHECK_FALSE(
      decode_version_vector(vector_of({stream(2, 1, 0), stream(1, 1, 0)})).has_value());  // order
  CHECK_FALSE(
      decode_version_vector(vector_of({stream(1, 1, 0), stream(1, 1, 0)})).has_value());  // twice
  CHECK_FALSE(decode_version_vector(vector_of({stream(1, 0, 0)})).has_value());           // empty
}

TEST_CASE("numbers have one form") {
  const auto varint = [](Bytes bytes) {
    Reader reader(bytes);
    const uint64_t value = reader.varint();
    return reader.finish() ? std::optional<uint64_t>{} : value;
  };
  CHECK(varint({0}) == 0);
  CHECK(varint({0x7f}) == 127);
  CHECK(varint({0x80, 0x01}) == 128);
  CHECK(varint({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}) == UINT64_MAX);
  CHECK_FALSE(varint({0x80, 0x00}));                                                  // padded
  CHECK_FALSE(varint({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}));  // 65 bits
  CHECK_FALSE(varint({0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}));
  CHECK_FALSE(varint({0x80}));
  CHECK_FALSE(varint({}));
}

TEST_CASE("counts and sizes above their bounds are refused before anything is read") {
  const auto reason = [](Bytes bytes) { return decode_message(bytes).error(); };
  CHECK(reason({2, 65}) == DropReason::oversized);          // members
  CHECK(reason({4, 0x81, 0x02}) == DropReason::oversized);  // 257 keys
  CHECK(reason({8, 0x81, 0x01}) == DropReason::oversized);  // 129 bytes of reason
  // 256 KiB and one byte
  const Bytes chunk = joined({{7}, Bytes(32, 0), {0, 0x81, 0x80, 0x10}});
  CHECK(reason(chunk) == DropReason::oversized);
  CHECK(reason({0}) == DropReason::malformed);
  CHECK(reason({255}) == DropReason::unknown_kind);
}

TEST_CASE("a number that is not finite is refused") {
  Heartbeat heartbeat;
  Bytes bytes = encode_message(heartbeat);
  for (const float value :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    const auto bits = std::bit_cast<uint32_t>(value);
    for (size_t i = 0; i < 4; ++i) bytes[5 + i] = static_cast<uint8_t>(bits >> (8 * i));
    CHECK(decode_message(bytes).error() == DropReason::malformed);
  }
}

TEST_CASE("text is UTF-8 that cannot move a terminal's cursor") {
  for (const char* good :
       {"", "a", "\xc3\xa9", "\xe6\xb1\x89\xe5\xad\x97", "\xf0\x9f\x90\xa6", "a b~"}) {
    CHECK_MESSAGE(is_plain_text(good, 64), good);
    CHECK(make_plain_text(good, 64) == good);
  }
  const std::string bad[] = {"\x1b[2J",
                             "a\nb",
                             "\x7f",
                             "\xc2\x9b",
                             "\xc0\xaf",
                             "\xed\xa0\x80",
                             "\xf4\x90\x80\x80",
                             "\xe2\x80",
                             "\x80",
                             "\xe2\x80\xae",
                             "\xef\xbb\xbf",
                             std::string(1, '\0'),
                             "\xf8\x88\x80\x80\x80",
                             "\xe0\x80\xaf",
                             "\xff"};
  for (const std::string& text : bad) {
    CHECK_FALSE(is_plain_text(text, 64));
    const std::string plain = make_plain_text(text, 64);
    CHECK(is_plain_text(plain, 64));
    CHECK(plain.find('?') != std::string::npos);
    const Bytes goodbye = joined({{8, static_cast<uint8_t>(text.size())}, bytes_of(text)});
    CHECK(decode_message(goodbye).error() == DropReason::malformed);
  }
  CHECK_FALSE(is_plain_text("abc", 2));
  CHECK(make_plain_text("ab\xc3\xa9", 3) == "ab");
  Goodbye rude{"lost:\n" + std::string(1000, 'x')};
  CHECK(decode_message(encode_message(rude)).has_value());
}

TEST_CASE("a member's record is believed only as its member signed it") {
  const Keys root(1), ada(2), bob(3);
  const MemberRecord record = record_of(root, ada);
  const SwarmId swarm = swarm_of(root);
  CHECK(is_authentic(record, swarm));
  CHECK_FALSE(is_authentic(record, swarm_of(bob)));
  MemberRecord wrong = record;
  wrong.incarnation++;
  CHECK_FALSE(is_authentic(wrong, swarm));
  wrong = record;
  wrong.left = true;
  CHECK_FALSE(is_authentic(wrong, swarm));
  wrong = record;
  wrong.addresses.pop_back();
  CHECK_FALSE(is_authentic(wrong, swarm));
  wrong = record;
  wrong.name = "ada\n";
  CHECK_FALSE(is_authentic(sign_record(record, bob.signer()), swarm));
  CHECK_FALSE(is_authentic(wrong, swarm));
  wrong = record;
  wrong.addresses.assign(addresses_max + 1, "192.0.2.7:1");
  CHECK_FALSE(is_authentic(wrong, swarm));
}

}  // namespace
}  // namespace starling::swarm
