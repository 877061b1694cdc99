#include <doctest/doctest.h>
#include <sys/mount.h>

#include <algorithm>
#include <cstddef>

#include "node/checkpoint_codec.h"
#include "node/checkpoint_store.h"
#include "tests/node/disk_fixture.h"

namespace starling::node {

namespace {

constexpr std::array<uint8_t, 16> ours = {1, 2, 3, 4};
constexpr std::array<uint8_t, 16> theirs = {9};

model::Section section(const std::string& name, const std::vector<uint8_t>& bytes) {
  return {name, {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}};
}

std::vector<uint8_t> filled(size_t size, uint8_t first) {
  std::vector<uint8_t> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(first + i * 7);
  return bytes;
}

bool equals(const model::Section& got, const std::vector<uint8_t>& bytes) {
  return std::equal(got.bytes.begin(), got.bytes.end(), bytes.begin(), bytes.end(),
                    [](std::byte a, uint8_t b) { return std::to_integer<uint8_t>(a) == b; });
}

void put_number(std::vector<uint8_t>& file, size_t at, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) file[at + i] = static_cast<uint8_t>(value >> (8 * i));
}

// Puts the right checksum under changed content, so that only the grammar can refuse it.
std::vector<uint8_t> with_digest(std::vector<uint8_t> file) {
  file.resize(file.size() - checkpoint_digest_size);
  const auto digest = swarm::blake2b(file);
  file.insert(file.end(), digest.begin(), digest.end());
  return file;
}

}  // namespace

TEST_CASE("a checkpoint comes back as it was written, each section aligned for floats") {
  TestFolder folder;
  CheckpointStore store(folder / "checkpoints", ".ckpt", 3, ours);
  CHECK(mode_of(folder / "checkpoints") == 0700);
  const auto weights = filled(1003, 1), moments = filled(4096, 2), nothing = filled(0, 0);
  const auto big = filled((3u << 20) + 5, 3);
  auto path = store.write(345, {section("weights", weights), section("empty", nothing),
                                section("moments.0", moments), section("big", big)});
  REQUIRE(path);
  CHECK(*path == folder / "checkpoints/00000001-step000345.ckpt");
  CHECK(mode_of(*path) == 0600);
  std::vector<std::string> refused;
  auto loaded = store.load_newest(refused);
  REQUIRE(loaded);
  CHECK(refused.empty());
  CHECK(loaded->step == 345);
  CHECK(loaded->path == *path);
  REQUIRE(loaded->sections.size() == 4);
  CHECK(loaded->sections[2].name == "moments.0");
  CHECK(equals(loaded->sections[0], weights));
  CHECK(equals(loaded->sections[1], nothing));
  CHECK(equals(loaded->sections[2], moments));
  CHECK(equals(loaded->sections[3], big));
  const LoadedCheckpoint moved = std::move(*loaded);  // what the sections borrow moves along
  for (const auto& each : moved.sections) {
    CHECK(reinterpret_cast<uintptr_t>(each.bytes.data()) % 8 == 0);
  }
  CHECK(equals(moved.sections[3], big));
  CHECK(store.bytes() == std::filesystem::file_size(*path));
}

TEST_CASE("the bytes of a checkpoint are those of the grammar") {
  TestFolder folder;
  CheckpointStore store(folder.path(), ".ckpt", 1, ours);
  auto path = store.write(0x0102030405, {section("ab", {0xaa, 0xbb, 0xcc})});
  REQUIRE(path);
  std::vector<uint8_t> expected = {'S', 'T', 'A', 'R', 'C', 'K', 'P', 'T', 1, 0, 0, 0, 1,  0,
                                   0,   0,   1,   2,   3,   4,   0,   0,   0, 0, 0, 0, 0,  0,
                                   0,   0,   0,   0,   5,   4,   3,   2,   1, 0, 0, 0, 160};
  expected.resize(48);
  expected.insert(expected.end(), {'a', 'b'});
  expected.resize(48 + 64);
  expected.push_back(3);
  expected.resize(48 + 72);
  expected.insert(expected.end(), {0xaa, 0xbb, 0xcc, 0, 0, 0, 0, 0});
  const auto digest = swarm::blake2b(expected);
  expected.insert(expected.end(), digest.begin(), digest.end());
  CHECK(bytes_of(*path) == expected);
}

TEST_CASE("only so many generations stay, and the counter orders them even when steps go back") {
  TestFolder folder;
  CheckpointStore store(folder.path(), ".ckpt", 3, ours);
  CheckpointStore snapshots(folder.path(), ".snap", 1, ours);
  REQUIRE(snapshots.write(1, {}));
  for (const uint64_t step : {100, 200, 300, 50, 60}) REQUIRE(store.write(step, {}));
  const auto paths = store.list();
  REQUIRE(paths.size() == 3);
  CHECK(paths[0] == folder / "00000005-step000060.ckpt");
  CHECK(paths[1] == folder / "00000004-step000050.ckpt");
  CHECK(paths[2] == folder / "00000003-step000300.ckpt");
  CHECK(snapshots.list().size() == 1);
  std::vector<std::string> refused;
  auto loaded = store.load_newest(refused);
  REQUIRE(loaded);
  CHECK(loaded->step == 60);
  // Beyond eight digits names no longer sort as text; the counter still does.
  std::filesystem::rename(paths[0], folder / "100000000-step000060.ckpt");
  REQUIRE(store.write(70, {}));
  CHECK(store.list()[0] == folder / "100000001-step000070.ckpt");
}

TEST_CASE(
    "a checkpoint with any byte flipped or of any other length is refused and the one before is "
    "used") {
  TestFolder folder;
  CheckpointStore store(folder.path(), ".ckpt", 3, ours);
  REQUIRE(store.write(1, {section("x", filled(9, 1))}));
  auto newest = store.write(2, {section("x", filled(21, 2)), section("y", filled(8, 3))});
  REQUIRE(newest);
  const auto good = bytes_of(*newest);
  const auto check_refused = [&](const std::string& what) {
    std::vector<std::string> refused;
    auto loaded = store.load_newest(refused);
    REQUIRE_MESSAGE(loaded, what);
    CHECK_MESSAGE(loaded->step == 1, what);
    REQUIRE_MESSAGE(refused.size() == 1, what);
    CHECK(says(refused[0], *newest + ": "));
  };
  for (size_t at = 0; at < good.size(); ++at) {
    for (const uint8_t flip : std::initializer_list<uint8_t>{0x01, 0x80, 0xff}) {
      auto bad = good;
      bad[at] ^= flip;
      put_bytes(*newest, bad);
      check_refused("byte " + std::to_string(at));
    }
  }
  for (size_t size = 0; size < good.size(); ++size) {
    put_bytes(*newest, {good.begin(), good.begin() + static_cast<ptrdiff_t>(size)});
    check_refused("size " + std::to_string(size));
  }
  auto longer = good;
  longer.push_back(0);
  put_bytes(*newest, longer);
  check_refused("longer");
  put_bytes(*newest, good);
  std::vector<std::string> refused;
  auto loaded = store.load_newest(refused);
  REQUIRE(loaded);
  CHECK(loaded->step == 2);
}

TEST_CASE("sizes and names that lie are refused by the grammar even under a right checksum") {
  TestFolder folder;
  CheckpointStore store(folder.path(), ".ckpt", 1, ours);
  auto path = store.write(1, {section("ab", filled(5, 1)), section("cd", filled(8, 2))});
  REQUIRE(path);
  const auto good = bytes_of(*path);
  CHECK(check_checkpoint(with_digest(good)));
  constexpr size_t count_at = 12, file_size_at = 40, name_at = 48, size_at = 112,
                   second_name_at = 120;
  struct Lie {
    size_t at;
    uint64_t value;
    size_t size;
  };
  for (const Lie& lie : {Lie{count_at, 65, 4}, Lie{count_at, 0xffffffff, 4}, Lie{count_at, 1, 4},
                         Lie{file_size_at, 1, 8}, Lie{file_size_at, ~uint64_t{0}, 8},
                         Lie{size_at, 9, 8}, Lie{size_at, ~uint64_t{0}, 8},
                         Lie{size_at, uint64_t{1} << 32, 8}, Lie{size_at, ~uint64_t{0} - 200, 8},
                         Lie{name_at, 0, 2}, Lie{name_at, '/', 1}, Lie{name_at + 3, 'x', 1},
                         Lie{second_name_at, 'a' | 'b' << 8, 2}, Lie{8, 2, 4}, Lie{197, 1, 1}}) {
    auto bad = good;
    put_number(bad, lie.at, lie.value, lie.size);
    CHECK_MESSAGE(!check_checkpoint(with_digest(bad)), lie.at << " = " << lie.value);
  }
}

TEST_CASE("checkpoints of another model and files of no known name are refused with their reason") {
  TestFolder folder;
  CheckpointStore foreign(folder.path(), ".ckpt", 3, theirs);
  REQUIRE(foreign.write(1, {section("x", filled(9, 1))}));
  put_bytes(folder / "copy of it.ckpt", {'?'});
  CheckpointStore store(folder.path(), ".ckpt", 3, ours);
  std::vector<std::string> refused;
  auto loaded = store.load_newest(refused);
  REQUIRE(!loaded);
  REQUIRE(refused.size() == 2);
  CHECK(says(refused[0], "copy of it.ckpt: not a name"));
  CHECK(says(refused[1], "another model (fingerprint 09000000, this node's is 01020304)"));
  CHECK(says(loaded.error(), "none of the 1 .ckpt files"));
}

TEST_CASE("an empty or missing directory is no checkpoint, and says so") {
  TestFolder folder;
  CheckpointStore store(folder / "deep/checkpoints", ".ckpt", 3, ours);
  std::vector<std::string> refused;
  auto none = store.load_newest(refused);
  REQUIRE(!none);
  CHECK(says(none.error(), "there is no .ckpt file in"));
  std::filesystem::remove_all(folder / "deep");
  CHECK(!store.load_newest(refused));
  CHECK(refused.empty());
  CHECK(store.write(1, {}));  // and the directory is back
}

TEST_CASE("sections beyond the limits are refused before anything is written") {
  TestFolder folder;
  CheckpointStore store(folder.path(), ".ckpt", 3, ours);
  const auto one = filled(1, 1);
  std::vector<model::Section> many;
  for (int i = 0; i < 64; ++i) many.push_back(section("s" + std::to_string(i), one));
  CHECK(store.write(1, many));
  many.push_back(section("last", one));
  CHECK(!store.write(2, many));
  CHECK(!store.write(2, {section(std::string(65, 'a'), one)}));
  CHECK(!store.write(2, {section("", one)}));
  CHECK(!store.write(2, {section("a", one), section("a", one)}));
  CHECK(names_in(folder.path()).size() == 1);
}

TEST_CASE("what a crash left unfinished is removed when the store is opened") {
  TestFolder folder;
  put_bytes(folder / "00000007-step000001.ckpt.tmp", {'x'});
  put_bytes(folder / "00000007-step000001.snap.tmp", {'x'});
  CheckpointStore store(folder.path(), ".ckpt", 3, ours);
  CHECK(names_in(folder.path()) == std::vector<std::string>{"00000007-step000001.snap.tmp"});
}

TEST_CASE(
    "a checkpoint that does not fit on the disk leaves nothing behind and the old ones valid") {
  TestFolder folder;
  CheckpointStore store(folder.path(), ".ckpt", 2, ours);
  REQUIRE(store.write(1, {}));
  REQUIRE(store.write(2, {}));
  CHECK(holds_with_file_size_limit(100000, [&] {
    auto written = store.write(3, {section("x", filled(200000, 1))});
    return !written && says(written.error(), "cannot write") && says(written.error(), "limit") &&
           names_in(folder.path()).size() == 2;
  }));
  std::vector<std::string> refused;
  auto loaded = store.load_newest(refused);
  REQUIRE(loaded);
  CHECK(loaded->step == 2);
  CHECK(refused.empty());
}

TEST_CASE("a full disk is named, and space given back is enough to go on") {
  TestFolder folder;
  const std::string mount_point = folder / "small";
  std::filesystem::create_directory(mount_point);
  if (::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=1m") != 0) return;  // only root may
  {
    CheckpointStore store(mount_point + "/checkpoints", ".ckpt", 3, ours);
    REQUIRE(store.write(1, {section("x", filled(300000, 1))}));
    put_bytes(mount_point + "/ballast", filled(600000, 1));
    auto full = store.write(2, {section("x", filled(300000, 2))});
    REQUIRE(!full);
    CHECK(says(full.error(), "No space left"));
    CHECK(says(full.error(), "free some space"));
    CHECK(names_in(mount_point + "/checkpoints").size() == 1);
    std::filesystem::remove(mount_point + "/ballast");
    CHECK(store.write(2, {section("x", filled(300000, 2))}));
  }
  CHECK(::umount(mount_point.c_str()) == 0);
}

TEST_CASE(
    "killed at any moment of writing, the newest complete generation is found and no rest of "
    "another") {
  TestFolder folder;
  const auto weights = filled(2u << 20, 1);
  uint64_t step = 0;
  for (int round = 0; round < 25; ++round) {
    const uint64_t first_step = step;
    const bool was_killed = kill_in_the_middle(round % 3, round * 137 % 2500, [&] {
      CheckpointStore store(folder.path(), ".ckpt", 2, ours);
      return store.write(++step, {section("x", weights)}).has_value();
    });
    REQUIRE(was_killed);
    CheckpointStore store(folder.path(), ".ckpt", 2, ours);
    std::vector<std::string> refused;
    auto loaded = store.load_newest(refused);
    CHECK(refused.empty());
    if (round % 3 > 0) REQUIRE(loaded);
    if (loaded) {
      CHECK(loaded->step >= first_step + static_cast<uint64_t>(round % 3));
      CHECK(equals(loaded->sections[0], weights));
      step = loaded->step;
    }
    CHECK(names_in(folder.path()).size() == store.list().size());
    CHECK(store.list().size() <=
          3);  // one more than kept: killed between the rename and the pruning
  }
}

}  // namespace starling::node
