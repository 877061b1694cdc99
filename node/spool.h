#pragma once
// Bytes that are not kept: written once, read as often as one likes, gone with their owner and with
// the process, since the file has no name. Thread: one.
#include <functional>

#include "node/file.h"

namespace starling::node {

class Spool {
 public:
  // In `directory`, at most `size_max` bytes. Errors: lines for the user.
  static Result<Spool, std::string> open(const std::string& directory, uint64_t size_max);
  Result<Done, std::string> add(swarm::ByteView bytes);
  // Calls `on_piece` for all that was added, in order, until it returns false.
  Result<Done, std::string> read(const std::function<bool(swarm::ByteView)>& on_piece) const;
  uint64_t size() const { return size_; }

 private:
  Spool(File file, std::string directory, uint64_t size_max)
      : file_(std::move(file)), directory_(std::move(directory)), size_max_(size_max) {}
  File file_;
  std::string directory_;
  uint64_t size_max_ = 0;
  uint64_t size_ = 0;
};

}  // namespace starling::node
