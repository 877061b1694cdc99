// The format of a run's checkpoint.
#include "sim/run_checkpoint.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "sim/journal.h"
#include "tests/sim/folder.h"

namespace starling::sim {
namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// One node that is up, one that is down, one that nothing is known of.
RunCheckpoint example() {
  RunCheckpoint checkpoint{.identity = {.nodes = 3,
                                        .seed = 7,
                                        .scenario = "0123456789abcdef0123456789abcdef",
                                        .lessons = "fedcba9876543210fedcba9876543210"},
                           .events = 300,
                           .micros = 12'000'000,
                           .trace = "00112233445566778899aabbccddeeff",
                           .qualities = {-1, 0.25},
                           .nodes = std::vector<RunCheckpoint::Node>(3)};
  RunCheckpoint::Node& up = checkpoint.nodes[0];
  up.slices = {{.loss = 5.5, .is_finite = true}, {.loss = 5.25, .is_finite = false}};
  up.publications = {
      {.frame = std::make_shared<const swarm::Bytes>(swarm::Bytes{1, 2, 3}), .is_finite = true},
      {.frame = nullptr, .is_finite = false}};
  up.learner = {.error = {0.5f, -1},
                .sections = {{"x", bytes_of("weights")}, {"m", {}}},
                .interval = bytes_of("rows"),
                .loss = 5.25,
                .is_broken = false};
  checkpoint.nodes[1].disk = {.error = {2}, .sections = {{"x", bytes_of("older")}}};
  return checkpoint;
}

// As if the writer had written these bytes.
void sign(swarm::Bytes& file) {
  const swarm::Digest digest = swarm::blake2b(swarm::ByteView(file).first(file.size() - 32));
  std::copy(digest.begin(), digest.end(), file.end() - 32);
}

}  // namespace

TEST_CASE("a run's checkpoint is read as it was written") {
  const swarm::Bytes file = encode(example());
  const auto read = decode_run_checkpoint(file);
  REQUIRE(read.has_value());
  CHECK(encode(*read) == file);
  CHECK(read->identity.seed == 7);
  CHECK(read->events == 300);
  CHECK(read->qualities == std::vector<double>{-1, 0.25});
  REQUIRE(read->nodes.size() == 3);
  CHECK(read->nodes[0].slices[1].loss == 5.25);
  CHECK_FALSE(read->nodes[0].slices[1].is_finite);
  CHECK(*read->nodes[0].publications[0].frame == swarm::Bytes{1, 2, 3});
  CHECK(read->nodes[0].publications[1].frame == nullptr);
  CHECK(read->nodes[0].learner->sections == example().nodes[0].learner->sections);
  CHECK_FALSE(read->nodes[1].learner.has_value());
  CHECK(read->nodes[1].disk->error == std::vector<float>{2});
  CHECK_FALSE(read->nodes[2].disk.has_value());
}

TEST_CASE("the bytes of a run's checkpoint are these, or its version is another") {
  // Written from the grammar alone.
  const std::string golden =
      read_file(STARLING_SOURCE_DIR "/tests/fuzz/corpus/run_checkpoint/whole");
  const swarm::Bytes file = encode(example());
  CHECK(golden == std::string(file.begin(), file.end()));
}

TEST_CASE("a run's checkpoint that is cut off anywhere is refused") {
  const swarm::Bytes file = encode(example());
  for (size_t size = 0; size < file.size(); ++size) {
    const auto read = decode_run_checkpoint(swarm::ByteView(file).first(size));
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().find("cut off") != std::string::npos);
  }
}

TEST_CASE("a run's checkpoint with any byte changed is refused") {
  const swarm::Bytes file = encode(example());
  for (size_t at = 0; at < file.size(); ++at) {
    swarm::Bytes flipped = file;
    flipped[at] ^= 0x41;
    CHECK_FALSE(decode_run_checkpoint(flipped).has_value());
  }
}

TEST_CASE("under a right checksum nothing is read that could not have been written") {
  const swarm::Bytes file = encode(example());
  size_t refused = 0;
  for (size_t at = 20; at < file.size() - 32; ++at) {
    for (const int change : {0x01, 0x80, 0xff}) {
      swarm::Bytes flipped = file;
      flipped[at] = static_cast<uint8_t>(flipped[at] ^ change);
      sign(flipped);
      const auto read = decode_run_checkpoint(flipped);
      if (read) CHECK(encode(*read) == flipped);
      refused += read ? 0 : 1;
    }
  }
  CHECK(refused > 50);  // counts, flags and the number of nodes
}

TEST_CASE("a checkpoint of another run is refused, and it is said in what it differs") {
  const Folder folder;
  const std::string path = folder / "run.checkpoint";
  REQUIRE(write_run_checkpoint(example(), path).has_value());
  const RunIdentity own = example().identity;
  CHECK(read_run_checkpoint(path, own).has_value());
  const auto refused_for = [&](const RunIdentity& wanted, const std::string& why) {
    const auto read = read_run_checkpoint(path, wanted);
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().code == ExitCode::bad_data);
    CHECK(read.error().message.starts_with(path + ": "));
    CHECK_MESSAGE(read.error().message.find(why) != std::string::npos, read.error().message);
  };
  RunIdentity other = own;
  other.nodes = 4;
  refused_for(other, "a run of 3 nodes, this one has 4");
  other = own;
  other.seed = 8;
  refused_for(other, "seed 7, this one has 8");
  other = own;
  other.scenario[0] = 'f';
  refused_for(other, "another scenario");
  other = own;
  other.lessons[0] = '0';
  refused_for(other, "other data");
}

TEST_CASE("what is written replaces the file before it and leaves nothing else") {
  const Folder folder;
  const std::string path = folder.write("run.checkpoint", "old");
  REQUIRE(try_to_write(path).has_value());
  CHECK(read_file(path) == "old");
  REQUIRE(write_run_checkpoint(example(), path).has_value());
  const swarm::Bytes file = encode(example());
  CHECK(read_file(path) == std::string(file.begin(), file.end()));
  const std::filesystem::directory_iterator entries(folder.path());
  CHECK(std::distance(begin(entries), end(entries)) == 1);
}

TEST_CASE("a checkpoint cannot be a folder or lie in one that is not there") {
  const Folder folder;
  for (const std::string& path : {folder.path(), folder / "none/run.checkpoint"}) {
    const auto tried = try_to_write(path);
    REQUIRE_FALSE(tried.has_value());
    CHECK(tried.error().code == ExitCode::cannot_create);
    CHECK(tried.error().message.starts_with("cannot write " + path + ": "));
  }
  CHECK_FALSE(read_run_checkpoint(folder.path(), example().identity).has_value());
  CHECK_FALSE(read_run_checkpoint(folder / "none", example().identity).has_value());
}

}  // namespace starling::sim
