#include "node/home.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "node/file.h"

namespace starling::node {

namespace {

constexpr uint64_t membership_size_max = 4096;  // bytes

Unexpected<HomeError> fail(ExitCode code, std::string message) {
  return Unexpected{HomeError{code, std::move(message)}};
}

bool exists(const std::string& path) {
  struct stat facts {};
  return ::lstat(path.c_str(), &facts) == 0;
}

Result<Done, HomeError> prepare_directory(const HomePaths& paths) {
  auto made = make_directory(paths.directory);
  if (!made) return fail(ExitCode::cannot_create, made.error());
  return check_directory(paths.directory);
}

Result<Done, HomeError> make_rooms(const HomePaths& paths) {
  for (const std::string* room : {&paths.checkpoints, &paths.snapshots, &paths.log, &paths.data}) {
    auto made = make_directory(*room);
    if (!made) return fail(ExitCode::cannot_create, made.error());
  }
  return Done{};
}

Result<Done, HomeError> write_small(const std::string& path, swarm::ByteView bytes) {
  auto written = replace_file(path, bytes, 0600);
  if (!written) return fail(ExitCode::cannot_create, written.error());
  return Done{};
}

Result<Done, HomeError> write_config(const HomePaths& paths, const Config& config) {
  const std::string yaml = default_yaml(config);
  return write_small(paths.config, {reinterpret_cast<const uint8_t*>(yaml.data()), yaml.size()});
}

// Has this home lived in its swarm? Then its log holds deltas of it.
bool has_log(const HomePaths& paths) {
  const auto names = list_directory(paths.log);
  if (!names) return false;
  return std::any_of(names->begin(), names->end(), [&](const std::string& name) {
    return file_size(paths.log + "/" + name) != 0;
  });
}

// An identity is the last file that gets its name: whatever stops init or join before leaves a
// directory that init and join take for new. Until then it lies under a temporary name. Where a
// node has run, a missing one is a loss that no new one replaces.
struct NewIdentity {
  Identity identity;
  std::string temporary;  // empty: it has its name already
};

Result<NewIdentity, HomeError> begin_identity(const HomePaths& paths) {
  if (exists(paths.identity)) {
    auto loaded = Identity::load(paths.identity);
    if (!loaded) return fail(ExitCode::config, loaded.error());
    return NewIdentity{std::move(*loaded), ""};
  }
  if (exists(paths.state_db) || has_log(paths)) {
    return fail(ExitCode::config, paths.identity + ": missing, but a node has run here (" +
                                      paths.state_db + ", " + paths.log +
                                      "); restore it from a backup, or choose another directory");
  }
  const std::string temporary = temporary_path(paths.identity);
  auto created = Identity::create(temporary);
  if (!created) return fail(ExitCode::cannot_create, created.error());
  return NewIdentity{std::move(*created), temporary};
}

Result<Done, HomeError> finish_identity(const HomePaths& paths, const NewIdentity& made) {
  if (made.temporary.empty()) return Done{};
  auto moved = move_new_file(made.temporary, paths.identity);
  if (!moved) return fail(ExitCode::cannot_create, moved.error().message);
  return Done{};
}

Result<Identity, HomeError> load_or_create_swarm_key(const HomePaths& paths) {
  auto key =
      exists(paths.swarm_key) ? Identity::load(paths.swarm_key) : Identity::create(paths.swarm_key);
  if (!key) return fail(ExitCode::cannot_create, key.error());
  return std::move(*key);
}

std::string join_again(const std::string& directory) {
  return "; ask a member for an invite and run: starling join --dir " + directory + " TOKEN";
}

// The config that is there (it may be edited: every value is kept), or the caller's, with preset
// and seeds added.
Result<Config, HomeError> joined_config(const HomePaths& paths, const Config& given,
                                        const swarm::InviteToken& token) {
  Config config = given;
  if (exists(paths.config)) {
    auto text = read_file(paths.config, config_size_max);
    if (!text) return fail(ExitCode::config, text.error().message);
    auto parsed = parse_config({text->begin(), text->end()}, paths.config);
    if (!parsed) return fail(ExitCode::config, parsed.error().message);
    config = std::move(*parsed);
  }
  config.model.preset = token.preset;
  for (const std::string& address : token.addresses) {
    auto& seeds = config.node.seeds;
    if (std::find(seeds.begin(), seeds.end(), address) == seeds.end()) seeds.push_back(address);
  }
  // A token says what its maker wanted; our own rules for a config decide whether it is possible.
  auto possible = parse_config(default_yaml(config), "the invite");
  if (!possible) {
    return fail(ExitCode::bad_data, "this invite cannot be used here: " + possible.error().message +
                                        "; ask for another, or update starling");
  }
  return config;
}

std::string pid_in(int descriptor) {
  char text[32] = {};
  const ssize_t size = ::pread(descriptor, text, sizeof text - 1, 0);
  std::string pid(text, size > 0 ? static_cast<size_t>(size) : 0);
  pid.erase(std::find_if(pid.begin(), pid.end(), [](char c) { return c < '0' || c > '9'; }),
            pid.end());
  return pid.empty() ? "(unknown)" : pid;
}

}  // namespace

HomePaths::HomePaths(std::string directory_path) : directory(std::move(directory_path)) {
  while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
  config = directory + "/starling.yaml";
  identity = directory + "/identity.key";
  membership = directory + "/membership.cert";
  swarm_key = directory + "/swarm.key";
  lock = directory + "/lock";
  state_db = directory + "/state.db";
  checkpoints = directory + "/checkpoints";
  snapshots = directory + "/snapshots";
  log = directory + "/log";
  data = directory + "/data";
  api_socket = directory + "/api.sock";
}

// A directory that another user can write to is not this node's alone, whatever the modes inside
// it.
Result<Done, HomeError> check_directory(const std::string& directory) {
  struct stat facts {};
  if (::stat(directory.c_str(), &facts) != 0) {
    if (errno != ENOENT) return fail(ExitCode::config, file_error("open", directory, errno));
    return fail(ExitCode::config,
                directory + ": there is no such directory; run: starling init --dir " + directory);
  }
  if (!S_ISDIR(facts.st_mode))
    return fail(ExitCode::config, directory + ": not a directory; choose another --dir");
  const std::string uid = std::to_string(::geteuid());
  if (facts.st_uid != ::geteuid()) {
    return fail(ExitCode::config, directory + ": belongs to uid " + std::to_string(facts.st_uid) +
                                      ", but this process runs as uid " + uid +
                                      "; run as its owner, or: chown -R " + uid + " " + directory);
  }
  if ((facts.st_mode & 022) != 0) {
    return fail(ExitCode::config,
                directory + ": other users can write here; run: chmod 700 " + directory);
  }
  return Done{};
}

Result<swarm::Membership, HomeError> load_membership(const HomePaths& paths,
                                                     const Identity& identity) {
  auto bytes = read_file(paths.membership, membership_size_max);
  if (!bytes && bytes.error().number == ENOENT) {
    return fail(ExitCode::config, paths.membership + ": missing" + join_again(paths.directory));
  }
  if (!bytes) return fail(ExitCode::config, bytes.error().message + join_again(paths.directory));
  auto membership = swarm::decode_membership(*bytes);
  if (!membership) {
    return fail(ExitCode::config, paths.membership + ": " +
                                      std::string(admission_error_text(membership.error())) +
                                      join_again(paths.directory));
  }
  auto checked = swarm::check(*membership, swarm::swarm_id_of(membership->invite.root));
  if (!checked) {
    return fail(ExitCode::config, paths.membership + ": " +
                                      std::string(admission_error_text(checked.error())) +
                                      join_again(paths.directory));
  }
  if (membership->identity != identity.public_key()) {
    return fail(ExitCode::config, paths.membership + ": it admits another identity than " +
                                      paths.identity + join_again(paths.directory));
  }
  return std::move(*membership);
}

Result<Done, HomeError> create_home(const std::string& directory, const Config& config) {
  const HomePaths paths(directory);
  if (exists(paths.identity)) {
    return fail(ExitCode::cannot_create, paths.directory + ": there is a node here already (" +
                                             paths.identity +
                                             "); run it with: starling run --dir " +
                                             paths.directory + ", or choose another directory");
  }
  auto done = prepare_directory(paths);
  if (!done) return done;
  auto lock = HomeLock::acquire(paths);
  if (!lock) return Unexpected{lock.error()};
  done = make_rooms(paths);
  if (!done) return done;
  auto root = load_or_create_swarm_key(paths);
  if (!root) return Unexpected{root.error()};
  auto made = begin_identity(paths);
  if (!made) return Unexpected{made.error()};
  const swarm::Bytes membership =
      encode(swarm::admit(root->signer(), made->identity.public_key(), 0));
  done = write_small(paths.membership, membership);
  if (done && !exists(paths.config)) done = write_config(paths, config);
  if (done) done = finish_identity(paths, *made);
  return done;
}

Result<Done, HomeError> join_swarm(const std::string& directory, const Config& config,
                                   const std::string& token_text, int64_t now_s) {
  const HomePaths paths(directory);
  const auto token = swarm::decode_token(token_text);
  if (!token) {
    return fail(ExitCode::bad_data,
                "this invite cannot be used: " + std::string(admission_error_text(token.error())) +
                    "; ask for a new one (starling invite)");
  }
  auto done = prepare_directory(paths);
  if (!done) return done;
  auto lock = HomeLock::acquire(paths);
  if (!lock) return Unexpected{lock.error()};
  auto joined = joined_config(paths, config, *token);
  if (!joined) return Unexpected{joined.error()};
  const swarm::SwarmId swarm = swarm::swarm_id_of(token->certificate.root);
  auto made = begin_identity(paths);
  if (!made) return Unexpected{made.error()};

  const auto present = load_membership(paths, made->identity);
  const bool is_here = present && swarm::swarm_id_of(present->invite.root) == swarm;
  // A member stays what it is (the founder's own certificate is not replaced by an invited one),
  // unless the invite lets it invite more.
  const bool is_member = is_here && present->invite.quota >= token->certificate.quota;
  if (present && !is_here && has_log(paths)) {
    return fail(ExitCode::cannot_create,
                paths.directory +
                    ": this node has learned in another swarm (its log is not "
                    "empty); join from a new directory: starling join --dir NEW TOKEN");
  }
  const auto membership = swarm::accept_invite(*token, made->identity.public_key(), now_s);
  if (!membership) {
    if (!made->temporary.empty()) ::unlink(made->temporary.c_str());
    return fail(ExitCode::bad_data, "this invite cannot be used: " +
                                        std::string(admission_error_text(membership.error())) +
                                        "; ask for a new one (starling invite)");
  }
  done = make_rooms(paths);
  if (done) done = write_config(paths, *joined);
  if (done && !is_member) done = write_small(paths.membership, encode(*membership));
  if (done) done = finish_identity(paths, *made);
  return done;
}

Result<Home, HomeError> open_home(const std::string& directory) {
  HomePaths paths(directory);
  auto checked = check_directory(paths.directory);
  if (!checked) return Unexpected{checked.error()};
  auto identity = Identity::load(paths.identity);
  if (!identity) return fail(ExitCode::config, identity.error());
  auto membership = load_membership(paths, *identity);
  if (!membership) return Unexpected{membership.error()};
  auto config = load_config(paths.config);
  if (!config) return fail(ExitCode::config, config.error().message);
  auto rooms = make_rooms(paths);
  if (!rooms) return Unexpected{rooms.error()};
  const swarm::SwarmId swarm = swarm::swarm_id_of(membership->invite.root);
  return Home{std::move(paths), std::move(*config), std::move(*identity), std::move(*membership),
              swarm};
}

Result<Identity, HomeError> open_swarm_key(const Home& home) {
  const std::string who = "; invites are made on the founder's machine: starling invite --dir DIR";
  if (!exists(home.paths.swarm_key)) {
    return fail(ExitCode::permission,
                home.paths.swarm_key + ": missing, this node did not found its swarm" + who);
  }
  auto key = Identity::load(home.paths.swarm_key);
  if (!key) return fail(ExitCode::config, key.error());
  // A founder that joined another swarm keeps the key of the one it left.
  if (swarm::swarm_id_of(key->public_key()) != home.swarm) {
    return fail(ExitCode::permission,
                home.paths.swarm_key + ": of a swarm that this node left" + who);
  }
  return std::move(*key);
}

Result<HomeLock, HomeError> HomeLock::acquire(const HomePaths& paths) {
  File file(::open(paths.lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.is_open())
    return fail(ExitCode::cannot_create, file_error("create", paths.lock, errno));
  if (::flock(file.descriptor(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK)
      return fail(ExitCode::temporary, file_error("lock", paths.lock, errno));
    return fail(ExitCode::temporary, "locked by pid " + pid_in(file.descriptor()) + " (directory " +
                                         paths.directory + "): a node is already running here");
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(file.descriptor(), 0) != 0) {
    return fail(ExitCode::cannot_create, file_error("write", paths.lock, errno));
  }
  auto written =
      write_all(file, paths.lock, {reinterpret_cast<const uint8_t*>(pid.data()), pid.size()});
  if (!written) return fail(ExitCode::cannot_create, written.error());
  remove_temporaries(paths.directory);
  return HomeLock(file.release());
}

HomeLock::HomeLock(HomeLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
HomeLock& HomeLock::operator=(HomeLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}
HomeLock::~HomeLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace starling::node
