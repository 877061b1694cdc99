#pragma once
// The vocabulary of the wire tests: members made from small numbers, one message of each kind, hex.
#include <sodium.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "swarm/codec.h"

namespace starling::swarm::wire_test {

struct Keys {
  PublicKey public_key{};
  std::array<uint8_t, 64> secret{};
  explicit Keys(uint8_t seed) {
    std::array<uint8_t, 32> bytes{};
    bytes.fill(seed);
    crypto_sign_seed_keypair(public_key.data(), secret.data(), bytes.data());
  }
  Signer signer() const { return Signer(secret.data()); }
};

inline SwarmId swarm_of(const Keys& root) { return swarm_id_of(root.public_key); }

template <size_t N>
std::array<uint8_t, N> filled(uint8_t value) {
  std::array<uint8_t, N> bytes{};
  bytes.fill(value);
  return bytes;
}

inline Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes whole;
  for (const Bytes& part : parts) {
    for (const uint8_t byte : part) whole.push_back(byte);
  }
  return whole;
}
inline Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

inline MemberRecord record_of(const Keys& root, const Keys& member) {
  MemberRecord record;
  record.membership = admit(root.signer(), member.public_key, 0);
  record.name = "nid d\xe2\x80\x99\xc3\xa9tourneau";
  record.addresses = {"192.0.2.7:7400", "[2001:db8::7]:7400"};
  record.epoch = 3;
  record.incarnation = 300;
  return sign_record(record, member.signer());
}

inline VersionVector some_vector() {
  VersionVector vector;
  vector.set({PeerId{filled<20>(1)}, 1}, {5, 0});
  vector.set({PeerId{filled<20>(1)}, 2}, {1000, 0x8000000000000001});
  vector.set({PeerId{filled<20>(2)}, 300}, {0, 2});
  return vector;
}

struct NamedMessage {
  std::string name;
  Message message;
};

inline std::vector<NamedMessage> one_of_each() {
  const Keys root(1), ada(2), bob(3);
  Hello hello;
  hello.fingerprint = filled<16>(0xab);
  hello.software = "0.1.0";
  hello.features = 0x81;
  hello.self = record_of(root, ada);
  hello.extension = {1, 2, 3};
  Heartbeat heartbeat;
  heartbeat.sent_ms = 123456789;
  heartbeat.echo_ms = 127;
  heartbeat.echo_delay_ms = 128;
  heartbeat.step = 0;
  heartbeat.bits_per_byte = 2.25f;
  heartbeat.have = some_vector();
  heartbeat.base_hash = filled<32>(0xcd);
  heartbeat.base_count = 1008;
  heartbeat.is_learning = true;
  Heartbeat short_heartbeat;
  short_heartbeat.have_hash = filled<16>(0x44);
  short_heartbeat.wants_have = true;
  const Digest file_hash = filled<32>(0x11);
  return {
      {"hello", hello},
      {"members", Members{{record_of(root, ada), record_of(root, bob)}, filled<16>(0x55)}},
      {"heartbeat", heartbeat},
      {"heartbeat_hash", short_heartbeat},
      {"pull", Pull{{{{PeerId{filled<20>(2)}, 300}, 1}, {{PeerId{filled<20>(1)}, 1}, 6}}}},
      {"snapshot_offer", SnapshotOffer{filled<32>(0xee), file_hash, 1u << 20, some_vector()}},
      {"chunk_request", ChunkRequest{file_hash, 300}},
      {"chunk", Chunk{file_hash, 2, {1, 2, 3, 4, 5}}},
      {"goodbye", Goodbye{"leaving the swarm"}},
      {"admission_news", AdmissionNews{filled<32>(0x22), {Bytes{1, 2, 3}, Bytes{}}}},
      {"witness", Witness{{{{{PeerId{filled<20>(2)}, 300}, 1}, filled<8>(0x33)}}}},
      {"join_walk", JoinWalk{PeerId{filled<20>(4)}, 6}},
      {"shuffle_walk", ShuffleWalk{300, 5, {PeerId{filled<20>(5)}, PeerId{filled<20>(6)}}}},
      {"shuffle_answer", ShuffleAnswer{300, {PeerId{filled<20>(7)}}}},
      {"disconnect", Disconnect{}},
      {"suspicion", Suspicion{{{PeerId{filled<20>(8)}, 300, 2}}}},
  };
}

inline std::string hex(ByteView bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
    if (i % 32 == 31 || i + 1 == bytes.size()) text += '\n';
  }
  return text;
}

// The committed bytes of tests/golden/swarm/NAME.hex. With STARLING_WRITE_GOLDEN set, writes
// `bytes` there first: do that only when a format changes on purpose, together with its version.
inline std::string golden(const std::string& name, ByteView bytes) {
  const auto path =
      std::filesystem::path(STARLING_SOURCE_DIR) / "tests/golden/swarm" / (name + ".hex");
  if (std::getenv("STARLING_WRITE_GOLDEN") != nullptr) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << hex(bytes);
  }
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace starling::swarm::wire_test
