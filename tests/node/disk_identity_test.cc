#include <doctest/doctest.h>
#include <sys/wait.h>

#include "node/identity.h"
#include "tests/node/disk_fixture.h"

namespace starling::node {

TEST_CASE("an identity that was created loads as the same one and signs") {
  TestFolder folder;
  const std::string path = folder / "identity.key";
  auto created = Identity::create(path);
  REQUIRE(created);
  CHECK(mode_of(path) == 0600);
  CHECK(names_in(folder.path()) == std::vector<std::string>{"identity.key"});

  auto loaded = Identity::load(path);
  REQUIRE(loaded);
  CHECK(loaded->public_key() == created->public_key());
  CHECK(loaded->id() == created->id());
  const std::vector<uint8_t> message = {1, 2, 3};
  const auto signature = loaded->signer().sign("test", message);
  CHECK(swarm::verify("test", message, signature, created->public_key()));
}

TEST_CASE("a key is never replaced, whatever the file holds") {
  TestFolder folder;
  const std::string path = folder / "identity.key";
  put_bytes(path, {'x'});
  auto refused = Identity::create(path);
  REQUIRE(!refused);
  CHECK(says(refused.error(), "never replaced"));
  CHECK(bytes_of(path) == std::vector<uint8_t>{'x'});
  CHECK(names_in(folder.path()).size() == 1);
}

TEST_CASE("a missing identity is an error that names the file, and nothing is created") {
  TestFolder folder;
  auto missing = Identity::load(folder / "identity.key");
  REQUIRE(!missing);
  CHECK(says(missing.error(), "identity.key: missing"));
  CHECK(names_in(folder.path()).empty());
}

TEST_CASE("an identity that others may read is refused with the command that mends it") {
  TestFolder folder;
  const std::string path = folder / "identity.key";
  REQUIRE(Identity::create(path));
  for (const mode_t mode : {0644, 0640, 0604, 0660, 0601, 0610, 0620}) {
    ::chmod(path.c_str(), mode);
    auto refused = Identity::load(path);
    REQUIRE(!refused);
    CHECK(says(refused.error(), "chmod 600 " + path));
  }
  ::chmod(path.c_str(), 0400);
  CHECK(Identity::load(path));
}

TEST_CASE("an identity of another owner is refused with both user ids") {
  if (::geteuid() != 0) return;  // only root can give a file away
  TestFolder folder;
  const std::string path = folder / "identity.key";
  REQUIRE(Identity::create(path));
  REQUIRE(::chown(path.c_str(), 12345, 0) == 0);
  auto refused = Identity::load(path);
  REQUIRE(!refused);
  CHECK(says(refused.error(), "uid 12345"));
  CHECK(says(refused.error(), "chown 0 " + path));
}

TEST_CASE("an identity with any byte changed, any length, or a strange kind is refused") {
  TestFolder folder;
  const std::string path = folder / "identity.key";
  REQUIRE(Identity::create(path));
  const auto good = bytes_of(path);
  for (size_t at = 0; at < good.size(); ++at) {
    for (const uint8_t flip : std::initializer_list<uint8_t>{0x01, 0x20, 0x80}) {
      auto bad = good;
      bad[at] ^= flip;
      put_bytes(path, bad);
      CHECK_MESSAGE(!Identity::load(path), "byte " << at << " changed by " << int{flip});
    }
  }
  for (size_t size = 0; size < good.size(); ++size) {
    put_bytes(path, {good.begin(), good.begin() + static_cast<ptrdiff_t>(size)});
    auto refused = Identity::load(path);
    REQUIRE(!refused);
    CHECK(says(refused.error(), "truncated to " + std::to_string(size)));
  }
  auto longer = good;
  longer.push_back('\n');
  put_bytes(path, longer);
  CHECK(!Identity::load(path));
  put_bytes(path, good);
  CHECK(Identity::load(path));

  const std::string pipe = folder / "pipe.key";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(!Identity::load(pipe));  // and does not wait for a writer
}

TEST_CASE("a swapped public key is noticed even with a right checksum") {
  TestFolder folder;
  REQUIRE(Identity::create(folder / "a.key"));
  REQUIRE(Identity::create(folder / "b.key"));
  auto mixed = bytes_of(folder / "a.key");
  const auto other = bytes_of(folder / "b.key");
  const std::string text(mixed.begin(), mixed.end());
  const size_t at = text.find("public ");
  const size_t end = text.find("checksum ");
  std::copy(other.begin() + static_cast<ptrdiff_t>(at), other.begin() + static_cast<ptrdiff_t>(end),
            mixed.begin() + static_cast<ptrdiff_t>(at));
  const auto digest = swarm::blake2b({mixed.data(), end});
  const std::string digits = "0123456789abcdef";
  for (size_t i = 0; i < digest.size(); ++i) {
    mixed[end + 9 + 2 * i] = static_cast<uint8_t>(digits[digest[i] >> 4]);
    mixed[end + 10 + 2 * i] = static_cast<uint8_t>(digits[digest[i] & 15]);
  }
  put_bytes(folder / "mixed.key", mixed);
  auto refused = Identity::load(folder / "mixed.key");
  REQUIRE(!refused);
  CHECK(says(refused.error(), "does not belong to its seed"));
}

TEST_CASE("of several processes that create the same identity exactly one succeeds") {
  TestFolder folder;
  const std::string path = folder / "identity.key";
  int made = 0;
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(Identity::create(path).has_value() ? 1 : 0);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    made += WEXITSTATUS(status);
  }
  CHECK(made == 1);
  CHECK(Identity::load(path));
}

}  // namespace starling::node
