#include <doctest/doctest.h>
#include <sodium.h>

#include <thread>

#include "node/delta_segment.h"
#include "node/delta_store.h"
#include "tests/node/disk_fixture.h"

namespace starling::node {

namespace {

using swarm::Bytes;
using swarm::DeltaKey;

constexpr std::array<uint8_t, 16> our_swarm = {7, 7, 7};
constexpr uint64_t roomy = 256u << 20;  // bytes; a bound that no test here reaches

// A member that signs deltas, with a key from a number.
class Origin {
 public:
  explicit Origin(uint8_t number) {
    std::array<uint8_t, crypto_sign_SEEDBYTES> seed{number};
    crypto_sign_seed_keypair(public_key_.data(), secret_, seed.data());
  }
  DeltaKey key(uint64_t seq) const { return {{swarm::peer_id_of(public_key_), 3}, seq}; }
  Bytes frame(uint64_t seq, const Bytes& payload,
              const std::array<uint8_t, 16>& swarm_id = our_swarm) const {
    swarm::FrameHeader header;
    header.kind = swarm::FrameKind::delta;
    header.swarm = swarm_id;
    header.epoch = 3;
    header.seq = seq;
    return swarm::seal(header, payload, swarm::Signer(secret_));
  }
  Bytes frame(uint64_t seq, size_t payload_size = 40) const {
    Bytes payload(payload_size);
    for (size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<uint8_t>(seq + i);
    return frame(seq, payload);
  }

 private:
  swarm::PublicKey public_key_{};
  uint8_t secret_[crypto_sign_SECRETKEYBYTES];
};

struct OpenedLog {
  std::unique_ptr<DeltaStore> store;
  std::vector<std::string> reports;
};
OpenedLog open_log(const std::string& path, uint64_t bytes_max = roomy) {
  OpenedLog log;
  auto opened = DeltaStore::open(path, bytes_max, our_swarm, log.reports);
  REQUIRE(opened);
  log.store = std::move(*opened);
  return log;
}

void append(DeltaStore& store, const Origin& origin, uint64_t seq, size_t payload_size = 40) {
  REQUIRE(store.append(origin.key(seq), origin.frame(seq, payload_size)));
}

std::vector<uint64_t> numbers_in(const DeltaStore& store) {
  std::vector<uint64_t> numbers;
  for (const auto& entry : store.entries()) numbers.push_back(entry.key.seq);
  return numbers;
}

bool reads_all(const DeltaStore& store, const Origin& origin, size_t payload_size = 40) {
  for (const auto& entry : store.entries()) {
    auto frame = store.read(entry.key);
    if (!frame || *frame != origin.frame(entry.key.seq, payload_size)) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("deltas come back as signed, in the order of appending, also after opening again") {
  TestFolder folder;
  const Origin ann(1), bob(2);
  {
    auto log = open_log(folder / "log");
    append(*log.store, ann, 2);
    append(*log.store, bob, 9, 100000);
    append(*log.store, ann, 1);
    const uint64_t before = file_bytes_in(folder / "log");
    append(*log.store, ann, 1);
    CHECK(file_bytes_in(folder / "log") == before);  // not written twice
    CHECK(log.store->bytes() == file_bytes_in(folder / "log"));
  }
  auto log = open_log(folder / "log");
  CHECK(log.reports.empty());
  CHECK(numbers_in(*log.store) == std::vector<uint64_t>{2, 9, 1});
  const auto entry = log.store->entries()[1];
  CHECK(entry.key == bob.key(9));
  CHECK(entry.size == bob.frame(9, 100000).size());
  const auto opened_frame = bob.frame(9, 100000);
  const auto opened = swarm::open(opened_frame, our_swarm);
  REQUIRE(opened);
  CHECK(std::equal(entry.hash.begin(), entry.hash.end(), opened->header.payload_hash.begin()));
  auto frame = log.store->read(bob.key(9));
  REQUIRE(frame);
  CHECK(*frame == bob.frame(9, 100000));
  auto missing = log.store->read(bob.key(8));
  REQUIRE(!missing);
  CHECK(says(missing.error(), "delta 8 of "));
  CHECK(log.store->bytes() == file_bytes_in(folder / "log"));
}

TEST_CASE("the bytes of a record are those of the grammar") {
  RecordHead head;
  head.frame_size = 3;
  head.swarm = our_swarm;
  head.key = {{{}, 0x0201}, 0x0403};
  head.key.stream.origin.bytes[0] = 0xee;
  head.hash[0] = 0xdd;
  Bytes expected = {'S', 'L', 'R', '1', 3, 0, 0, 0, 7, 7, 7};
  expected.resize(24);
  expected.push_back(0xee);
  expected.resize(44);
  expected.insert(expected.end(), {1, 2, 0, 0, 0, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0, 0xdd});
  expected.resize(76);
  expected.insert(expected.end(), {'a', 'b', 'c'});
  const auto digest = swarm::blake2b(expected);
  expected.insert(expected.end(), digest.begin(), digest.begin() + 8);
  CHECK(encode_record(head, Bytes{'a', 'b', 'c'}) == expected);
  const auto decoded = decode_record(expected);
  REQUIRE(decoded);
  CHECK(decoded->key == head.key);
  for (size_t size = 0; size < expected.size(); ++size) {
    CHECK(!decode_record(swarm::ByteView(expected).first(size)));
  }
}

TEST_CASE("the log does not take what it could not give back") {
  TestFolder folder;
  auto log = open_log(folder / "log");
  const Origin ann(1), bob(2);
  auto forged = ann.frame(1);
  forged[forged.size() - 1] ^= 1;
  auto refused = log.store->append(ann.key(1), forged);
  REQUIRE(!refused);
  CHECK(says(refused.error(), "bad_payload_hash"));
  CHECK(!log.store->append(ann.key(2), ann.frame(1)));
  CHECK(!log.store->append(bob.key(1), ann.frame(1)));
  CHECK(!log.store->append(ann.key(1), ann.frame(1, Bytes{1}, {8})));
  CHECK(!log.store->append(ann.key(1), Bytes{}));
  CHECK(log.store->entries().empty());
  CHECK(log.store->bytes() == 0);
}

TEST_CASE("a log torn at any byte keeps every whole record and goes on behind the last") {
  TestFolder folder;
  const Origin ann(1);
  {
    auto log = open_log(folder / "whole");
    for (uint64_t seq = 1; seq <= 3; ++seq) append(*log.store, ann, seq);
  }
  const auto whole = bytes_of(folder / "whole/00000001.seg");
  const size_t record = whole.size() / 3;
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string path = folder / "torn";
    std::filesystem::remove_all(path);
    std::filesystem::create_directory(path);
    put_bytes(path + "/00000001.seg",
              {whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)});
    {
      auto log = open_log(path);
      CHECK(log.store->entries().size() == size / record);
      CHECK(log.reports.size() == (size % record == 0 ? 0 : 1));
      CHECK(log.store->bytes() == size / record * record);
      append(*log.store, ann, 4);
    }
    auto log = open_log(path);
    CHECK(log.reports.empty());
    CHECK(log.store->entries().size() == size / record + 1);
    CHECK(reads_all(*log.store, ann));
  }
}

TEST_CASE(
    "any flipped byte costs the record that it hit, and that one is said and can be written "
    "again") {
  TestFolder folder;
  const Origin ann(1);
  const std::string path = folder / "log";
  {
    auto log = open_log(path);
    for (uint64_t seq = 1; seq <= 3; ++seq) append(*log.store, ann, seq);
  }
  const auto whole = bytes_of(path + "/00000001.seg");
  const size_t record = whole.size() / 3;
  for (size_t at = 0; at < whole.size(); ++at) {
    auto bad = whole;
    bad[at] ^= static_cast<uint8_t>(1u << at % 8);
    put_bytes(path + "/00000001.seg", bad);
    auto log = open_log(path);
    CHECK(log.reports.size() == 1);
    std::vector<uint64_t> expected = {1, 2, 3};
    expected.erase(expected.begin() + static_cast<ptrdiff_t>(at / record));
    CHECK_MESSAGE(numbers_in(*log.store) == expected, at);
    CHECK(reads_all(*log.store, ann));
    append(*log.store, ann, at / record + 1);
    CHECK(open_log(path).store->entries().size() == 3);
  }
}

TEST_CASE(
    "a frame that is damaged while the log is open is not served, forgotten, and taken anew") {
  TestFolder folder;
  const Origin ann(1);
  auto log = open_log(folder / "log");
  append(*log.store, ann, 1);
  append(*log.store, ann, 2);
  auto bytes = bytes_of(folder / "log/00000001.seg");
  bytes[record_head_size + 50] ^= 4;
  put_bytes(folder / "log/00000001.seg", bytes);
  auto damaged = log.store->read(ann.key(1));
  REQUIRE(!damaged);
  CHECK(says(damaged.error(), "damaged on disk; it is pulled again"));
  CHECK(numbers_in(*log.store) == std::vector<uint64_t>{2});
  append(*log.store, ann, 1);
  CHECK(log.store->read(ann.key(1)));
  auto again = open_log(folder / "log");
  CHECK(numbers_in(*again.store) == std::vector<uint64_t>{2, 1});
  CHECK(reads_all(*again.store, ann));
}

TEST_CASE("deltas of another swarm and files of other names are left out") {
  TestFolder folder;
  const Origin ann(1);
  {
    std::vector<std::string> reports;
    auto other = DeltaStore::open(folder / "log", roomy, {8}, reports);
    REQUIRE(other);
    REQUIRE((*other)->append(ann.key(1), ann.frame(1, Bytes{1}, {8})));
  }
  put_bytes(folder / "log/notes.txt", {'x'});
  put_bytes(folder / "log/1.seg", {'x'});
  auto log = open_log(folder / "log");
  CHECK(log.store->entries().empty());
  REQUIRE(log.reports.size() == 1);
  CHECK(says(log.reports[0], "1 deltas of another swarm"));
  append(*log.store, ann, 1);
  CHECK(open_log(folder / "log").store->entries().size() == 1);
}

TEST_CASE("a segment that cannot be read costs only its own deltas") {
  TestFolder folder;
  const Origin ann(1);
  {
    auto log = open_log(folder / "log", 1u << 20);  // 64 KiB a segment
    for (uint64_t seq = 1; seq <= 3; ++seq) append(*log.store, ann, seq, 60000);
  }
  std::filesystem::remove(folder / "log/00000002.seg");
  std::filesystem::create_directory(folder / "log/00000002.seg");
  auto log = open_log(folder / "log", 1u << 20);
  CHECK(numbers_in(*log.store) == std::vector<uint64_t>{1, 3});
  REQUIRE(log.reports.size() == 1);
  CHECK(says(log.reports[0], "00000002.seg: it is not a regular file"));
}

TEST_CASE("trim drops the oldest segments only when all they hold is covered") {
  TestFolder folder;
  const Origin ann(1);
  auto log = open_log(folder / "log", 1u << 20);
  for (uint64_t seq = 1; seq <= 20; ++seq) append(*log.store, ann, seq, 60000);
  const uint64_t record = file_bytes_in(folder / "log") / 20;
  CHECK(names_in(folder / "log").size() == 20);
  CHECK(log.store->trim({}).empty());  // nothing is covered

  swarm::VersionVector covered;
  covered.insert(ann.key(1));
  CHECK(log.store->trim(covered) == std::vector<DeltaKey>{ann.key(1)});
  CHECK(log.store->bytes() == 19 * record);
  CHECK(!log.store->read(ann.key(1)));
  for (uint64_t seq = 2; seq <= 20; ++seq) covered.insert(ann.key(seq));
  const auto dropped = log.store->trim(covered);  // down to the bound, and no further
  CHECK(dropped.front() == ann.key(2));
  CHECK(log.store->bytes() <= 1u << 20);
  CHECK(log.store->bytes() > (1u << 20) - record);
  CHECK(dropped.size() == 19 - log.store->bytes() / record);
  CHECK(file_bytes_in(folder / "log") == log.store->bytes());
  CHECK(log.store->trim(covered).empty());
}

TEST_CASE("a log that no snapshot covers stops at twice its bound and says what to do") {
  TestFolder folder;
  const Origin ann(1);
  auto log = open_log(folder / "log", 1u << 20);
  uint64_t seq = 0;
  Result<Done, std::string> appended = Done{};
  while (appended && seq < 100) {
    ++seq;
    appended = log.store->append(ann.key(seq), ann.frame(seq, 60000));
  }
  REQUIRE(!appended);
  CHECK(says(appended.error(), "raise limits.disk_mib"));
  CHECK(log.store->bytes() <= 2u << 20);
  CHECK(log.store->bytes() > (2u << 20) - 61000);
  swarm::VersionVector covered;
  for (uint64_t each = 1; each < seq; ++each) covered.insert(ann.key(each));
  CHECK(!log.store->trim(covered).empty());
  append(*log.store, ann, seq, 60000);
}

TEST_CASE("an append that the disk refuses leaves the log as it was") {
  TestFolder folder;
  const Origin ann(1);
  auto log = open_log(folder / "log");
  append(*log.store, ann, 1, 1000);
  const uint64_t before = log.store->bytes();
  CHECK(holds_with_file_size_limit(before + 300, [&] {
    auto refused = log.store->append(ann.key(2), ann.frame(2, 1000));
    return !refused && says(refused.error(), "cannot write") && log.store->bytes() == before &&
           file_bytes_in(folder / "log") == before && log.store->read(ann.key(1)).has_value();
  }));
  append(*log.store, ann, 3, 1000);
  auto again = open_log(folder / "log");
  CHECK(again.reports.empty());
  CHECK(numbers_in(*again.store) == std::vector<uint64_t>{1, 3});
}

TEST_CASE("killed at any moment of appending, every delta that was acknowledged is found") {
  const Origin ann(1);
  constexpr size_t payload_size = 3u << 20;  // so large that a kill falls into its write
  std::vector<Bytes> frames;                 // made before, so that the child does little but write
  for (uint64_t seq = 1; seq <= 8; ++seq) frames.push_back(ann.frame(seq, payload_size));
  for (int round = 0; round < 14; ++round) {
    TestFolder folder;
    auto log = open_log(folder / "log");
    const int acknowledged = 1 + round % 3;
    uint64_t seq = 0;
    REQUIRE(kill_in_the_middle(acknowledged, round * 983 % 20000, [&] {
      seq = seq % frames.size() + 1;  // beyond the last one there is nothing to write, only to wait
      return log.store->append(ann.key(seq), frames[seq - 1]).has_value();
    }));
    auto again = open_log(folder / "log");
    const auto numbers = numbers_in(*again.store);
    REQUIRE(numbers.size() >= static_cast<size_t>(acknowledged));
    for (size_t i = 0; i < numbers.size(); ++i) CHECK(numbers[i] == i + 1);
    CHECK(again.reports.size() <= 1);
    const uint64_t next = numbers.size() + 1;
    if (next <= frames.size()) REQUIRE(again.store->append(ann.key(next), frames[next - 1]));
    CHECK(reads_all(*open_log(folder / "log").store, ann, payload_size));
  }
}

TEST_CASE("damage that is full of things like records ends the search within its budget") {
  RecordHead head;
  head.frame_size = 1u << 20;
  Bytes bytes;
  const Bytes record = encode_record(head, Bytes(head.frame_size));
  while (bytes.size() < (3u << 20)) bytes.insert(bytes.end(), record.begin(), record.begin() + 76);
  const SegmentScan scan = scan_segment(bytes);  // 40,000 candidates of a MiB each
  CHECK(scan.is_given_up);
  CHECK(scan.records.empty());

  TestFolder folder;
  std::filesystem::create_directory(folder / "log");
  put_bytes(folder / "log/00000001.seg", bytes);
  auto log = open_log(folder / "log");
  CHECK(log.reports.size() == 1);
  append(*log.store, Origin(1), 1);  // in a new segment; the damaged one is not cut
  CHECK(std::filesystem::file_size(folder / "log/00000001.seg") == bytes.size());
  CHECK(open_log(folder / "log").store->entries().size() == 1);
}

TEST_CASE("one thread may append while others read, sync and trim") {
  TestFolder folder;
  const Origin ann(1);
  auto log = open_log(folder / "log", 1u << 20);
  swarm::VersionVector covered;
  for (uint64_t seq = 1; seq <= 40; ++seq) covered.insert(ann.key(seq));
  {
    std::jthread reader([&](std::stop_token stop) {
      while (!stop.stop_requested()) {
        for (const auto& entry : log.store->entries()) {
          auto frame = log.store->read(entry.key);
          if (frame && *frame != ann.frame(entry.key.seq, 40000)) std::abort();
        }
      }
    });
    std::jthread keeper([&](std::stop_token stop) {
      while (!stop.stop_requested()) {
        log.store->sync();
        log.store->trim(covered);
      }
    });
    for (uint64_t seq = 1; seq <= 40; ++seq) {
      // At its bound until the keeper has trimmed: asked again, as a node would.
      while (!log.store->append(ann.key(seq), ann.frame(seq, 40000))) std::this_thread::yield();
    }
  }
  CHECK(log.store->read(ann.key(40)));
  CHECK(reads_all(*log.store, ann, 40000));
}

}  // namespace starling::node
