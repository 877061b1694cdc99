#include "node/local_path.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace starling::node {

LocalPath::LocalPath(const std::string& directory)
    : fd_(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

LocalPath::LocalPath(LocalPath&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

LocalPath& LocalPath::operator=(LocalPath&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

LocalPath::~LocalPath() {
  if (fd_ >= 0) close(fd_);
}

std::string LocalPath::below(const std::string& name) const {
  return "/proc/self/fd/" + std::to_string(fd_) + "/" + name;
}

}  // namespace starling::node
