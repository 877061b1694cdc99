#pragma once
// What happened here, numbered without holes, for `starling watch`. Keeps the last 4096; a watcher
// that is slower sees the gap in the numbers. Thread: any.
#include <condition_variable>
#include <deque>
#include <mutex>

#include "node/daemon.h"

namespace starling::node {

class Events {
 public:
  static constexpr size_t kept_max = 4096;
  static constexpr size_t batch_max = 256;

  void add(const std::string& kind, std::map<std::string, std::string> fields);
  // Events after `after_seq`, waiting up to timeout_ms for the first.
  std::vector<Event> wait(uint64_t after_seq, int64_t timeout_ms);
  void close();  // wakes every waiter; later waits return at once

 private:
  std::mutex mutex_;
  std::condition_variable added_;
  std::deque<Event> events_;
  uint64_t last_seq_ = 0;
  bool closed_ = false;
};

}  // namespace starling::node
