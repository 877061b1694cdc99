#include "node/spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace starling::node {

namespace {

constexpr size_t piece_size_max = 256u << 10;

}  // namespace

Result<Spool, std::string> Spool::open(const std::string& directory, uint64_t size_max) {
  std::string path = temporary_path(directory + "/spool") + ".XXXXXX";
  const int descriptor = mkostemp(path.data(), O_CLOEXEC);
  if (descriptor < 0) return Unexpected{file_error("write", path, errno)};
  unlink(path.c_str());
  return Spool(File(descriptor), directory, size_max);
}

Result<Done, std::string> Spool::add(swarm::ByteView bytes) {
  if (bytes.size() > size_max_ - size_) {
    return Unexpected{"more than " + std::to_string(size_max_ >> 20) +
                      " MiB, which is as much as is taken at once"};
  }
  if (auto written = write_all(file_, directory_, bytes); !written) return written;
  size_ += bytes.size();
  return Done{};
}

Result<Done, std::string> Spool::read(const std::function<bool(swarm::ByteView)>& on_piece) const {
  swarm::Bytes piece;
  for (uint64_t at = 0; at < size_; at += piece.size()) {
    piece.resize(static_cast<size_t>(std::min<uint64_t>(piece_size_max, size_ - at)));
    if (auto done = read_exactly(file_, directory_, at, piece); !done) return done;
    if (!on_piece(piece)) break;
  }
  return Done{};
}

}  // namespace starling::node
