// Files of checkpoints: written whole or not at all, read with a bound.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "sim/journal.h"

namespace starling::sim {
namespace {

std::string temporary_of(const std::string& path) {
  return path + ".tmp" + std::to_string(::getpid());
}

Failure cannot_write(const std::string& path, int number) {
  return {
      ExitCode::cannot_create,
      "cannot write " + path + ": " + std::generic_category().message(number) +
          "; check that its folder is there, is yours and has room, or give another --checkpoint"};
}

int write_all(int descriptor, swarm::ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return 0;
}

// 0, or what went wrong; then nothing is left of it.
int write_temporary(const std::string& temporary, swarm::ByteView bytes) {
  ::unlink(temporary.c_str());  // of a process that had this number and died
  const int file =
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (file < 0) return errno;
  int number = write_all(file, bytes);
  if (number == 0 && ::fsync(file) != 0) number = errno;
  if (::close(file) != 0 && number == 0) number = errno;
  if (number != 0) ::unlink(temporary.c_str());
  return number;
}

void sync_folder(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  const int file =
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return;
  (void)::fsync(file);  // some file systems cannot; they order names by themselves
  ::close(file);
}

Result<swarm::Bytes, std::string> read_bounded(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return Unexpected{"cannot be read: " + std::generic_category().message(errno)};
  struct stat facts {};
  const bool is_file = ::fstat(file, &facts) == 0 && S_ISREG(facts.st_mode);
  const auto size = is_file ? static_cast<uint64_t>(facts.st_size) : 0;
  swarm::Bytes bytes(size <= run_checkpoint_size_max ? size : 0);
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(file, bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    filled += static_cast<size_t>(got);
  }
  ::close(file);
  if (!is_file) return Unexpected{std::string("is not a file")};
  if (size > run_checkpoint_size_max)
    return Unexpected{"is larger than " + std::to_string(run_checkpoint_size_max >> 30) + " GiB"};
  bytes.resize(filled);
  return bytes;
}

// Empty when they are of the same run.
std::string difference(const RunIdentity& was, const RunIdentity& wanted) {
  if (was.nodes != wanted.nodes)
    return "is of a run of " + std::to_string(was.nodes) + " nodes, this one has " +
           std::to_string(wanted.nodes) + "; give the same --nodes";
  if (was.seed != wanted.seed)
    return "is of a run with seed " + std::to_string(was.seed) + ", this one has " +
           std::to_string(wanted.seed) + "; give the same --seed";
  if (was.scenario != wanted.scenario)
    return "is of another scenario, or a key of it was changed since; give the same";
  if (was.lessons != wanted.lessons)
    return "was learned from other data: the scenario's files have changed since; give the same";
  return {};
}

}  // namespace

Result<Done, Failure> try_to_write(const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) == 0 && !S_ISREG(facts.st_mode))
    return Unexpected{cannot_write(path, S_ISDIR(facts.st_mode) ? EISDIR : EEXIST)};
  const std::string temporary = temporary_of(path);
  if (const int number = write_temporary(temporary, {}); number != 0)
    return Unexpected{cannot_write(path, number)};
  ::unlink(temporary.c_str());
  return Done{};
}

Result<Done, Failure> write_run_checkpoint(const RunCheckpoint& checkpoint,
                                           const std::string& path) {
  const std::string temporary = temporary_of(path);
  if (const int number = write_temporary(temporary, encode(checkpoint)); number != 0)
    return Unexpected{cannot_write(path, number)};
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int number = errno;
    ::unlink(temporary.c_str());
    return Unexpected{cannot_write(path, number)};
  }
  sync_folder(path);
  return Done{};
}

Result<RunCheckpoint, Failure> read_run_checkpoint(const std::string& path,
                                                   const RunIdentity& wanted) {
  const auto fail = [&](const std::string& what) {
    return Unexpected{Failure{ExitCode::bad_data, path + ": " + what}};
  };
  const auto bytes = read_bounded(path);
  if (!bytes) return fail(bytes.error());
  auto checkpoint = decode_run_checkpoint(*bytes);
  if (!checkpoint) return fail(checkpoint.error());
  const std::string different = difference(checkpoint->identity, wanted);
  if (!different.empty()) return fail(different);
  return std::move(*checkpoint);
}

}  // namespace starling::sim
