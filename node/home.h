#pragma once
// A node's directory: what lies where, who may use it, how it comes to be.
//   starling.yaml  identity.key (0600)  membership.cert  swarm.key (0600, the founder only)  lock
//   state.db  checkpoints/  snapshots/  log/  data/  api.sock (0600)
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "node/config.h"
#include "node/identity.h"
#include "swarm/admission.h"

namespace starling::node {

// Exit codes that users' scripts rely on (sysexits).
enum class ExitCode : int {
  ok = 0,
  failed = 1,
  usage = 2,
  bad_data = 65,
  unreachable = 69,
  internal = 70,
  cannot_create = 73,
  temporary = 75,
  permission = 77,
  config = 78,
};
struct HomeError {
  ExitCode code;
  std::string message;  // what, where, the fix
};

struct HomePaths {
  explicit HomePaths(std::string directory);
  std::string directory, config, identity, membership, swarm_key, lock, state_db, checkpoints,
      snapshots, log, data, api_socket;
};

// `starling init`: directory 0700, starling.yaml, identity, a swarm of its own (root key + own
// membership). Refuses a directory that already has an identity.
Result<Done, HomeError> create_home(const std::string& directory, const Config& config);
// `starling join`: creates what is missing, accepts the invite, writes membership.cert, the swarm's
// preset and the seeds into starling.yaml. A home that founded its own swarm may still join another
// while it is alone in it (it has no log yet); otherwise refused. A member's certificate is
// replaced by one that lets it invite more.
Result<Done, HomeError> join_swarm(const std::string& directory, const Config& config,
                                   const std::string& token, int64_t now_s);

struct Home {
  HomePaths paths;
  Config config;
  Identity identity;
  swarm::Membership membership;
  swarm::SwarmId swarm{};
};
// Checks modes, owner and parts. Never creates or replaces an identity (exit 78 with the fix).
Result<Home, HomeError> open_home(const std::string& directory);
// The directory is there, and this user's alone.
Result<Done, HomeError> check_directory(const std::string& directory);
// Requires: `identity` is that of the home.
Result<swarm::Membership, HomeError> load_membership(const HomePaths& paths,
                                                     const Identity& identity);
// The founder's root key, for invites. Errors: not the founder (exit 77).
Result<Identity, HomeError> open_swarm_key(const Home& home);

// An flock on `lock` holding the pid; released by the destructor. Errors: exit 75 "locked by pid
// N".
class HomeLock {
 public:
  static Result<HomeLock, HomeError> acquire(const HomePaths& paths);
  HomeLock(HomeLock&& other) noexcept;
  HomeLock& operator=(HomeLock&& other) noexcept;
  ~HomeLock();

 private:
  explicit HomeLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace starling::node
