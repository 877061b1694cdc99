#include "node/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

namespace starling::node {

namespace {

constexpr std::string_view temporary_mark = ".tmp";

std::string advice(int number) {
  switch (number) {
    case ENOSPC:
      return "; free some space on that disk";
    case EDQUOT:
      return "; free some space, your quota there is used up";
    case EFBIG:
      return "; the file size limit of this process is too low (ulimit -f)";
    case EROFS:
      return "; the disk is mounted read-only, remount it or choose another directory";
    case EACCES:
    case EPERM:
      return "; check who owns it and its mode (ls -ld)";
    case EIO:
      return "; the disk reports a fault, check it (dmesg)";
    case ENOENT:
      return "; check the path";
    case EMFILE:
    case ENFILE:
      return "; too many files are open (ulimit -n)";
    default:
      return "";
  }
}

// Writes and fsyncs the temporary file. On failure nothing is left of it.
Result<std::string, FileError> write_temporary(const std::string& path, swarm::ByteView bytes,
                                               uint32_t mode) {
  const std::string temporary = temporary_path(path);
  ::unlink(temporary.c_str());  // what a crash of a process of this number left
  File file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!file.is_open()) {
    const int number = errno;
    return Unexpected{FileError{number, file_error("create", temporary, number)}};
  }
  auto written = write_all(file, temporary, bytes);
  if (written) written = sync_file(file, temporary);
  if (!written) {
    ::unlink(temporary.c_str());
    return Unexpected{FileError{EIO, written.error()}};
  }
  return temporary;
}

// A rename that refuses to replace; file systems without it have hard links, which refuse by
// nature.
int move_without_replacing(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  if (::link(from.c_str(), to.c_str()) != 0) return errno;
  ::unlink(from.c_str());
  return 0;
}

}  // namespace

std::string temporary_path(const std::string& path) {
  return path + std::string(temporary_mark) + std::to_string(::getpid());
}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    close();
    descriptor_ = other.release();
  }
  return *this;
}

int File::release() {
  const int descriptor = descriptor_;
  descriptor_ = -1;
  return descriptor;
}

void File::close() {
  if (descriptor_ >= 0) ::close(release());
}

std::string file_error(const std::string& action, const std::string& path, int number) {
  return "cannot " + action + " " + path + ": " + std::generic_category().message(number) +
         advice(number);
}

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<File, FileError> open_regular(const std::string& path) {
  File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat facts {};
  if (!file.is_open() || ::fstat(file.descriptor(), &facts) != 0) {
    const int number = errno;
    return Unexpected{FileError{number, file_error("read", path, number)}};
  }
  if (!S_ISREG(facts.st_mode)) {
    return Unexpected{
        FileError{EINVAL, "cannot read " + path + ": it is not a regular file; move it away"}};
  }
  return file;
}

Result<Done, std::string> read_exactly(const File& file, const std::string& path, uint64_t offset,
                                       std::span<uint8_t> bytes) {
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::pread(file.descriptor(), bytes.data() + filled, bytes.size() - filled,
                                static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Unexpected{file_error("read", path, errno)};
    if (got == 0)
      return Unexpected{"cannot read " + path + ": it ends before byte " +
                        std::to_string(offset + bytes.size())};
    filled += static_cast<size_t>(got);
  }
  return Done{};
}

Result<swarm::Bytes, FileError> read_file(const std::string& path, uint64_t size_max) {
  auto file = open_regular(path);
  if (!file) return Unexpected{file.error()};
  struct stat facts {};
  if (::fstat(file->descriptor(), &facts) != 0) {
    const int number = errno;
    return Unexpected{FileError{number, file_error("read", path, number)}};
  }
  const auto size = static_cast<uint64_t>(facts.st_size);
  if (size > size_max) {
    return Unexpected{FileError{EFBIG, "cannot read " + path + ": " + std::to_string(size) +
                                           " bytes, more than the " + std::to_string(size_max) +
                                           " expected there"}};
  }
  swarm::Bytes bytes(size);
  auto filled = read_exactly(*file, path, 0, bytes);
  if (!filled) return Unexpected{FileError{EIO, filled.error()}};
  return bytes;
}

Result<Done, std::string> write_all(const File& file, const std::string& path,
                                    swarm::ByteView bytes) {
  size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t put = ::write(file.descriptor(), bytes.data() + written, bytes.size() - written);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return Unexpected{file_error("write", path, errno)};
    written += static_cast<size_t>(put);
  }
  return Done{};
}

Result<Done, std::string> sync_file(const File& file, const std::string& path) {
  if (::fsync(file.descriptor()) != 0) return Unexpected{file_error("write", path, errno)};
  return Done{};
}

Result<Done, std::string> sync_directory(const std::string& directory) {
  File file(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.is_open()) return Unexpected{file_error("open", directory, errno)};
  // Some file systems cannot sync a directory and say EINVAL; they order names by themselves.
  if (::fsync(file.descriptor()) != 0 && errno != EINVAL)
    return Unexpected{file_error("write", directory, errno)};
  return Done{};
}

Result<Done, std::string> replace_file(const std::string& path, swarm::ByteView bytes,
                                       uint32_t mode) {
  auto temporary = write_temporary(path, bytes, mode);
  if (!temporary) return Unexpected{temporary.error().message};
  if (::rename(temporary->c_str(), path.c_str()) != 0) {
    const int number = errno;
    ::unlink(temporary->c_str());
    return Unexpected{file_error("write", path, number)};
  }
  return sync_directory(directory_of(path));
}

Result<Done, FileError> create_file(const std::string& path, swarm::ByteView bytes, uint32_t mode) {
  auto temporary = write_temporary(path, bytes, mode);
  if (!temporary) return Unexpected{temporary.error()};
  auto moved = move_new_file(*temporary, path);
  if (!moved) ::unlink(temporary->c_str());
  return moved;
}

Result<Done, FileError> move_new_file(const std::string& from, const std::string& to) {
  const int number = move_without_replacing(from, to);
  if (number != 0) return Unexpected{FileError{number, file_error("create", to, number)}};
  auto synced = sync_directory(directory_of(to));
  if (!synced) return Unexpected{FileError{EIO, synced.error()}};
  return Done{};
}

Result<std::vector<std::string>, FileError> list_directory(const std::string& directory) {
  DIR* stream = ::opendir(directory.c_str());
  if (stream == nullptr) {
    const int number = errno;
    return Unexpected{FileError{number, file_error("read directory", directory, number)}};
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(stream);
  std::sort(names.begin(), names.end());
  return names;
}

void remove_temporaries(const std::string& directory) {
  const auto names = list_directory(directory);
  if (!names) return;
  for (const std::string& name : *names) {
    const size_t mark = name.rfind(temporary_mark);
    if (mark == std::string::npos) continue;
    if (name.find_first_not_of("0123456789", mark + temporary_mark.size()) != std::string::npos)
      continue;
    ::unlink((directory + "/" + name).c_str());
  }
}

uint64_t file_size(const std::string& path) {
  struct stat facts {};
  return ::stat(path.c_str(), &facts) == 0 ? static_cast<uint64_t>(facts.st_size) : 0;
}

Result<Done, std::string> make_directory(const std::string& directory) {
  for (size_t end = 0; end != std::string::npos;) {
    end = directory.find('/', end + 1);
    const std::string part = directory.substr(0, end);
    if (::mkdir(part.c_str(), 0700) == 0) continue;
    const int number = errno;
    struct stat facts {};
    if (::stat(part.c_str(), &facts) != 0)
      return Unexpected{file_error("create directory", part, number)};
    if (!S_ISDIR(facts.st_mode)) {
      return Unexpected{"cannot create directory " + part +
                        ": a file of that name is in the way; move it away"};
    }
  }
  return Done{};
}

}  // namespace starling::node
