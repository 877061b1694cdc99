#include <doctest/doctest.h>
#include <sodium.h>
#include <sqlite3.h>

#include <algorithm>

#include "node/state_db.h"
#include "swarm/codec.h"
#include "tests/node/disk_fixture.h"

namespace starling::node {

namespace {

struct OpenedState {
  std::unique_ptr<StateDb> db;
  std::vector<std::string> reports;
};
OpenedState open_state(const std::string& path) {
  OpenedState state;
  auto opened = StateDb::open(path, state.reports);
  REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().message));
  state.db = std::move(*opened);
  return state;
}

swarm::MemberRecord record_of(uint8_t number) {
  std::array<uint8_t, crypto_sign_SEEDBYTES> seed{number};
  swarm::PublicKey key;
  uint8_t secret[crypto_sign_SECRETKEYBYTES];
  crypto_sign_seed_keypair(key.data(), secret, seed.data());
  const swarm::Signer signer(secret);
  swarm::MemberRecord record;
  record.membership = swarm::admit(signer, key, 0);
  record.name = "node-" + std::to_string(number);
  record.addresses = {"192.0.2.1:7411", "[2001:db8::1]:7411"};
  record.epoch = number;
  record.incarnation = 2;
  return swarm::sign_record(record, signer);
}

std::vector<std::string> names_of(const StateDb& db) {
  std::vector<std::string> names;
  for (const auto& record : db.members()) names.push_back(record.name);
  std::sort(names.begin(), names.end());
  return names;
}

void run_sql(const std::string& path, const std::string& sql) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  REQUIRE(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(database);
}

}  // namespace

TEST_CASE("members and values survive a restart, and the file is its owner's alone") {
  TestFolder folder;
  const std::string path = folder / "state.db";
  {
    auto state = open_state(path);
    CHECK(mode_of(path) == 0600);
    CHECK(!state.db->get("step"));
    state.db->set("step", "1");
    state.db->set("step", std::string("2\0three", 7));
    state.db->save_members({record_of(1), record_of(2), record_of(3)});
    state.db->save_members({record_of(2), record_of(4)});
    CHECK(!state.db->take_fault());
  }
  auto state = open_state(path);
  CHECK(state.reports.empty());
  CHECK(state.db->get("step") == std::string("2\0three", 7));
  CHECK(names_of(*state.db) == std::vector<std::string>{"node-2", "node-4"});
  for (const auto& record : state.db->members()) {
    CHECK(swarm::is_authentic(record, swarm::swarm_id_of(record.membership.invite.root)));
  }
}

TEST_CASE("the boot epoch grows with each boot and is above every one that was seen") {
  TestFolder folder;
  const std::string path = folder / "state.db";
  const auto boot = [&](uint64_t at_least) {
    auto epoch = open_state(path).db->next_epoch(at_least);
    REQUIRE(epoch);
    return *epoch;
  };
  CHECK(boot(0) == 1);
  CHECK(boot(0) == 2);
  CHECK(boot(2) == 3);
  CHECK(boot(1) == 4);
  CHECK(boot(100) == 101);
  std::filesystem::remove(path);
  CHECK(boot(101) == 102);
  auto absurd = open_state(path).db->next_epoch(~uint64_t{0});
  REQUIRE(!absurd);
  CHECK(says(absurd.error(), "beyond all use"));
  CHECK(boot(0) == 103);
}

TEST_CASE("killed at once after an epoch was given, the node never gives it again") {
  TestFolder folder;
  const std::string path = folder / "state.db";
  uint64_t last = 0;
  for (int round = 0; round < 6; ++round) {
    int pipe_ends[2];
    REQUIRE(::pipe(pipe_ends) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      std::vector<std::string> reports;
      auto opened = StateDb::open(path, reports);
      if (opened) (*opened)->save_members({record_of(1)});
      for (;;) {
        auto epoch = opened ? (*opened)->next_epoch(0) : Result<uint64_t, std::string>(uint64_t{0});
        const uint64_t number = epoch ? *epoch : 0;
        if (::write(pipe_ends[1], &number, sizeof number) != sizeof number) ::_exit(1);
      }
    }
    ::close(pipe_ends[1]);
    uint64_t given = 0;
    for (int i = 0; i <= round; ++i) {
      REQUIRE(::read(pipe_ends[0], &given, sizeof given) == sizeof given);
      CHECK(given > last);
      last = given;
    }
    ::kill(child, SIGKILL);
    while (::read(pipe_ends[0], &given, sizeof given) == sizeof given) last = given;
    ::waitpid(child, nullptr, 0);
    ::close(pipe_ends[0]);
    // Even without the journal: the epoch is in the main file.
    std::filesystem::remove(path + "-wal");
    std::filesystem::remove(path + "-shm");
    auto state = open_state(path);
    CHECK(state.reports.empty());
    auto next = state.db->next_epoch(0);
    REQUIRE(next);
    CHECK(*next > last);
    last = *next;
  }
}

TEST_CASE("a damaged file is set aside, said, and begun anew, and two of them are kept") {
  TestFolder folder;
  const std::string path = folder / "state.db";
  for (int round = 1; round <= 4; ++round) {
    {
      auto state = open_state(path);
      state.db->save_members({record_of(1)});
      state.db->set("key", std::string(20000, 'v'));
    }
    auto bytes = bytes_of(path);
    REQUIRE(bytes.size() > 8192);
    if (round == 1) std::fill(bytes.begin(), bytes.begin() + 16, uint8_t{'?'});   // not a database
    if (round == 2) std::fill(bytes.begin() + 4096, bytes.end(), uint8_t{0xff});  // its pages
    if (round == 3) bytes.resize(5000);                                           // cut
    if (round == 4) std::fill(bytes.begin() + 100, bytes.begin() + 4096, uint8_t{0});  // its schema
    put_bytes(path, bytes);
    auto state = open_state(path);
    REQUIRE_MESSAGE(state.reports.size() == 1, round);
    CHECK(says(state.reports[0], "set aside as " + path + ".damaged-" + std::to_string(round)));
    CHECK(bytes_of(path + ".damaged-" + std::to_string(round)) == bytes);
    CHECK(state.db->members().empty());
    CHECK(state.db->next_epoch(41).value() == 42);
  }
  CHECK(!std::filesystem::exists(path + ".damaged-2"));
  CHECK(std::filesystem::exists(path + ".damaged-3"));
  CHECK(open_state(path).reports.empty());
}

TEST_CASE("any page of the file overwritten is either noticed or harmless, never a crash") {
  TestFolder folder;
  const std::string path = folder / "state.db";
  {
    auto state = open_state(path);
    std::vector<swarm::MemberRecord> records;
    for (uint8_t i = 1; i <= 12; ++i) records.push_back(record_of(i));
    state.db->save_members(records);
    REQUIRE(state.db->next_epoch(0));
  }
  const auto good = bytes_of(path);
  for (size_t at = 0; at < good.size(); at += 389) {
    auto bad = good;
    for (size_t i = at; i < std::min(at + 5, bad.size()); ++i) bad[i] ^= 0x5a;
    put_bytes(path, bad);
    std::vector<std::string> reports;
    auto opened = StateDb::open(path, reports);
    if (!opened) {
      CHECK(opened.error().error == StateDb::OpenError::newer_schema);  // hit the version itself
      continue;
    }
    for (const auto& record : (*opened)->members()) CHECK(record.name.size() <= 64);
    CHECK((*opened)->next_epoch(0));
    opened->reset();
    std::filesystem::remove(path + "-wal");
  }
}

TEST_CASE("a database of something else is set aside, an older empty file is used") {
  TestFolder folder;
  const std::string path = folder / "state.db";
  put_bytes(path, {});
  CHECK(open_state(path).reports.empty());
  std::filesystem::remove(path);
  run_sql(path, "CREATE TABLE bookmarks(url TEXT)");
  CHECK(open_state(path).reports.size() == 1);
}

TEST_CASE("a schema of a newer program is refused with the way back, and left untouched") {
  TestFolder folder;
  const std::string path = folder / "state.db";
  open_state(path).db->set("key", "value");
  run_sql(path, "PRAGMA user_version = 2");
  const auto before = bytes_of(path);
  std::vector<std::string> reports;
  auto refused = StateDb::open(path, reports);
  REQUIRE(!refused);
  CHECK(refused.error().error == StateDb::OpenError::newer_schema);
  CHECK(says(refused.error().message, "schema 2, this one knows 1"));
  CHECK(says(refused.error().message, "move this file away"));
  CHECK(reports.empty());
  CHECK(bytes_of(path) == before);
}

TEST_CASE("a file that cannot be used at all is an error for the user") {
  TestFolder folder;
  std::filesystem::create_directory(folder / "state.db");
  std::vector<std::string> reports;
  auto refused = StateDb::open(folder / "state.db", reports);
  REQUIRE(!refused);
  CHECK(refused.error().error == StateDb::OpenError::unusable);
  CHECK(says(refused.error().message, "state.db"));
  CHECK(!StateDb::open(folder / "no/such/place/state.db", reports));
  CHECK(reports.empty());
}

TEST_CASE("writes that the disk refuses leave the old rows and are told") {
  TestFolder folder;
  const std::string path = folder / "state.db";
  auto state = open_state(path);
  state.db->save_members({record_of(1)});
  state.db->set("key", "old");
  REQUIRE(state.db->next_epoch(6));  // journal emptied
  CHECK(holds_with_file_size_limit(20000, [&] {
    std::vector<swarm::MemberRecord> records;
    for (uint8_t i = 1; i <= 200; ++i) records.push_back(record_of(i));
    state.db->save_members(records);
    const auto fault = state.db->take_fault();
    return fault && says(*fault, "cannot write " + path) && !state.db->take_fault() &&
           names_of(*state.db) == std::vector<std::string>{"node-1"};
  }));
}

}  // namespace starling::node
