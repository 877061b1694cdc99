#include <doctest/doctest.h>

#include "node/home.h"
#include "tests/node/disk_fixture.h"

namespace starling::node {

namespace {

// A day in the life of the invites here; the clock is an argument.
constexpr int64_t now_s = 1'800'000'000;

std::string invite_from(const std::string& directory, std::vector<std::string> addresses,
                        int64_t expires_s = 0, const std::string& preset = "small") {
  auto home = open_home(directory);
  REQUIRE(home);
  auto root = open_swarm_key(*home);
  REQUIRE(root);
  return swarm::encode_token(
      swarm::make_invite(root->signer(), preset, std::move(addresses), expires_s));
}

Config named(const std::string& name) {
  Config config;
  config.node.name = name;
  return config;
}

void check_refused(const Result<Done, HomeError>& result, ExitCode code, const std::string& part) {
  REQUIRE(!result);
  CHECK(result.error().code == code);
  CHECK_MESSAGE(says(result.error().message, part), result.error().message);
}

void check_unopened(const std::string& directory, const std::string& part) {
  auto home = open_home(directory);
  REQUIRE(!home);
  CHECK(home.error().code == ExitCode::config);
  CHECK_MESSAGE(says(home.error().message, part), home.error().message);
}

}  // namespace

TEST_CASE("a founded home opens with its own swarm, and nobody else may look into it") {
  TestFolder folder;
  const std::string directory = folder / "deep/a";
  REQUIRE(create_home(directory + "/", named("ann")));
  CHECK(mode_of(directory) == 0700);
  for (const char* name : {"checkpoints", "snapshots", "log", "data"}) {
    CHECK(mode_of(directory + "/" + name) == 0700);
  }
  for (const char* name : {"identity.key", "swarm.key", "membership.cert", "starling.yaml"}) {
    CHECK(mode_of(directory + "/" + name) == 0600);
  }
  auto home = open_home(directory);
  REQUIRE(home);
  CHECK(home->config.node.name == "ann");
  auto root = open_swarm_key(*home);
  REQUIRE(root);
  CHECK(home->swarm == swarm::swarm_id_of(root->public_key()));
  CHECK(home->membership.identity == home->identity.public_key());
  CHECK(swarm::check(home->membership, home->swarm));
}

TEST_CASE("init refuses a directory that has a node, and changes nothing in it") {
  TestFolder folder;
  REQUIRE(create_home(folder / "a", named("ann")));
  const auto identity = bytes_of(folder / "a/identity.key");
  const auto membership = bytes_of(folder / "a/membership.cert");
  check_refused(create_home(folder / "a", named("bob")), ExitCode::cannot_create, "starling run");
  CHECK(bytes_of(folder / "a/identity.key") == identity);
  CHECK(bytes_of(folder / "a/membership.cert") == membership);
}

TEST_CASE("init that was stopped half-way can be run again") {
  TestFolder folder;
  REQUIRE(create_home(folder / "a", named("ann")));
  // The identity gets its name last: this is how a crash before that looks.
  std::filesystem::rename(folder / "a/identity.key", folder / "a/identity.key.tmp4194999");
  REQUIRE(create_home(folder / "a", named("ann")));
  CHECK(open_home(folder / "a"));
  CHECK(!std::filesystem::exists(folder / "a/identity.key.tmp4194999"));
}

TEST_CASE("where a node has run, neither init nor join makes a new identity for a lost one") {
  TestFolder folder;
  REQUIRE(create_home(folder / "a", named("ann")));
  const auto token = invite_from(folder / "a", {"192.0.2.1:7411"});
  for (const char* trace : {"state.db", "log/00000001.seg"}) {
    const std::string home = folder / (std::string("b-") + trace[0]);
    REQUIRE(join_swarm(home, named("bob"), token, now_s));
    std::filesystem::remove(home + "/identity.key");
    put_bytes(home + "/" + trace, {'x'});
    check_refused(create_home(home, named("bob")), ExitCode::config, "identity.key: missing");
    check_refused(join_swarm(home, named("bob"), token, now_s), ExitCode::config, "from a backup");
    CHECK(!std::filesystem::exists(home + "/identity.key"));
  }
}

TEST_CASE("a directory that others can write to, or that is none, is refused with the fix") {
  TestFolder folder;
  std::filesystem::create_directory(folder / "open");
  ::chmod((folder / "open").c_str(), 0777);
  check_refused(create_home(folder / "open", {}), ExitCode::config, "chmod 700 " + folder / "open");
  put_bytes(folder / "file", {'x'});
  check_refused(create_home(folder / "file", {}), ExitCode::cannot_create, "in the way");
  check_unopened(folder / "none", "starling init --dir");
  REQUIRE(create_home(folder / "a", {}));
  ::chmod((folder / "a").c_str(), 0770);
  check_unopened(folder / "a", "chmod 700");
  if (::geteuid() == 0) {
    ::chmod((folder / "a").c_str(), 0700);
    REQUIRE(::chown((folder / "a").c_str(), 12345, 0) == 0);
    check_unopened(folder / "a", "uid 12345");
  }
}

TEST_CASE("an invited node is a member, with the swarm's preset and seeds in its config") {
  TestFolder folder;
  REQUIRE(create_home(folder / "a", named("ann")));
  const auto token = invite_from(folder / "a", {"192.0.2.1:7411", "[2001:db8::1]:7411"});
  REQUIRE(join_swarm(folder / "b", named("bob"), token, now_s));
  auto ann = open_home(folder / "a");
  auto bob = open_home(folder / "b");
  REQUIRE(bob);
  CHECK(bob->swarm == ann->swarm);
  CHECK(bob->identity.public_key() != ann->identity.public_key());
  CHECK(bob->config.node.name == "bob");
  CHECK(bob->config.model.preset == "small");
  CHECK(bob->config.node.seeds == std::vector<std::string>{"192.0.2.1:7411", "[2001:db8::1]:7411"});
  auto key = open_swarm_key(*bob);
  REQUIRE(!key);
  CHECK(key.error().code == ExitCode::permission);
  CHECK(says(key.error().message, "founder"));
}

TEST_CASE("joining keeps what was edited in starling.yaml and adds seeds once") {
  TestFolder folder;
  REQUIRE(create_home(folder / "a", named("ann")));
  Config edited = named("bob");
  edited.learn.rows = 3;
  edited.limits.hours = "22:00-06:00";
  edited.node.seeds = {"192.0.2.9:1"};
  REQUIRE(create_home(folder / "b", edited));
  const auto token = invite_from(folder / "a", {"192.0.2.1:7411"});
  REQUIRE(join_swarm(folder / "b", named("ignored"), token, now_s));
  const auto certificate = bytes_of(folder / "b/membership.cert");
  REQUIRE(join_swarm(folder / "b", named("ignored"), token, now_s));  // again: nothing more
  CHECK(bytes_of(folder / "b/membership.cert") == certificate);
  auto bob = open_home(folder / "b");
  REQUIRE(bob);
  edited.model.preset = "small";
  edited.node.seeds.push_back("192.0.2.1:7411");
  CHECK(bob->config == edited);

  put_bytes(folder / "b/starling.yaml", {'n', 'o', 'd', 'e', ':', ' ', '['});
  const auto broken = bytes_of(folder / "b/starling.yaml");
  check_refused(join_swarm(folder / "b", {}, token, now_s), ExitCode::config, "starling.yaml");
  CHECK(bytes_of(folder / "b/starling.yaml") == broken);
}

TEST_CASE("a founder may join another swarm while its log is empty, not later") {
  TestFolder folder;
  REQUIRE(create_home(folder / "a", {}));
  REQUIRE(create_home(folder / "b", {}));
  const auto token = invite_from(folder / "a", {});
  put_bytes(folder / "b/log/00000001.seg", {'x'});
  check_refused(join_swarm(folder / "b", {}, token, now_s), ExitCode::cannot_create,
                "join from a new directory");
  put_bytes(folder / "b/log/00000001.seg", {});
  const auto identity = bytes_of(folder / "b/identity.key");
  REQUIRE(join_swarm(folder / "b", {}, token, now_s));
  CHECK(bytes_of(folder / "b/identity.key") == identity);
  auto bob = open_home(folder / "b");
  REQUIRE(bob);
  CHECK(bob->swarm == open_home(folder / "a")->swarm);
  auto key = open_swarm_key(*bob);  // still the key of the swarm it left: no invites with it
  REQUIRE(!key);
  CHECK(key.error().code == ExitCode::permission);
}

TEST_CASE("invites that are damaged, expired or impossible are refused and leave no node behind") {
  TestFolder folder;
  REQUIRE(create_home(folder / "a", {}));
  const auto token = invite_from(folder / "a", {"192.0.2.1:7411"}, now_s + 60);
  for (const std::string& bad : {std::string("hello"), std::string(), token.substr(0, 50),
                                 token + "x", token.substr(0, 40) + "1" + token.substr(41)}) {
    if (bad == token) continue;
    check_refused(join_swarm(folder / "b", {}, bad, now_s), ExitCode::bad_data, "invite");
    CHECK(!std::filesystem::exists(folder / "b"));
  }
  check_refused(join_swarm(folder / "b", {}, token, now_s + 61), ExitCode::bad_data, "expire");
  CHECK(!std::filesystem::exists(folder / "b/identity.key"));
  const auto strange = invite_from(folder / "a", {}, 0, "gigantic");
  check_refused(join_swarm(folder / "b", {}, strange, now_s), ExitCode::bad_data, "gigantic");
  CHECK(!std::filesystem::exists(folder / "b/identity.key"));
  REQUIRE(join_swarm(folder / "b", {}, token, now_s + 59));
  REQUIRE(open_home(folder / "b"));
}

TEST_CASE("a home with a part missing or damaged does not open, says which, and makes none anew") {
  TestFolder folder;
  REQUIRE(create_home(folder / "a", {}));
  REQUIRE(create_home(folder / "b", {}));
  const auto certificate = bytes_of(folder / "a/membership.cert");
  for (size_t at = 0; at < certificate.size(); ++at) {
    auto bad = certificate;
    bad[at] ^= 0x40;
    put_bytes(folder / "a/membership.cert", bad);
    check_unopened(folder / "a", "starling join --dir " + folder / "a");
  }
  for (size_t size = 0; size < certificate.size(); size += 7) {
    put_bytes(folder / "a/membership.cert",
              {certificate.begin(), certificate.begin() + static_cast<ptrdiff_t>(size)});
    check_unopened(folder / "a", "membership.cert");
  }
  put_bytes(folder / "a/membership.cert", bytes_of(folder / "b/membership.cert"));
  check_unopened(folder / "a", "another identity");
  std::filesystem::remove(folder / "a/membership.cert");
  check_unopened(folder / "a", "membership.cert: missing");
  put_bytes(folder / "a/membership.cert", certificate);
  REQUIRE(open_home(folder / "a"));

  std::filesystem::remove(folder / "a/starling.yaml");
  check_unopened(folder / "a", "starling.yaml");
  std::filesystem::remove(folder / "a/identity.key");
  check_unopened(folder / "a", "identity.key: missing");
  CHECK(!std::filesystem::exists(folder / "a/identity.key"));
}

TEST_CASE("one process at a time holds a home, the other learns who does") {
  TestFolder folder;
  REQUIRE(create_home(folder / "a", {}));
  const HomePaths paths(folder / "a");
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = HomeLock::acquire(paths);
    if (::write(pipe_ends[1], lock ? "y" : "n", 1) == 1) ::pause();
    ::_exit(1);
  }
  char answer = 0;
  REQUIRE(::read(pipe_ends[0], &answer, 1) == 1);
  CHECK(answer == 'y');
  {
    auto refused = HomeLock::acquire(paths);
    REQUIRE(!refused);
    CHECK(refused.error().code == ExitCode::temporary);
    CHECK(refused.error().message == "locked by pid " + std::to_string(child) + " (directory " +
                                         folder / "a" + "): a node is already running here");
    check_refused(join_swarm(folder / "a", {}, invite_from(folder / "a", {}), now_s),
                  ExitCode::temporary, "locked by pid");
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
  auto lock = HomeLock::acquire(paths);  // no file to clean up after a crash
  REQUIRE(lock);
  CHECK(!HomeLock::acquire(paths));
  {
    const HomeLock moved = std::move(*lock);
    CHECK(!HomeLock::acquire(paths));
  }
  CHECK(HomeLock::acquire(paths));
}

}  // namespace starling::node
