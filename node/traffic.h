#pragma once
// The transport's counters. Thread: safe from any.
#include <atomic>
#include <mutex>
#include <string>

#include "node/transport.h"

namespace starling::node {

class Traffic {
 public:
  void add_sent(uint64_t bytes) { sent_bytes_ += bytes; }
  void add_received(uint64_t bytes) { received_bytes_ += bytes; }
  void add_accepted() { ++accepted_connections_; }
  // The reasons are a closed set of names, so the map stays small.
  void add_refused(const std::string& reason) {
    std::lock_guard lock(mutex_);
    ++refused_[reason];
  }
  TransportCounters snapshot() const {
    std::lock_guard lock(mutex_);
    return {.sent_bytes = sent_bytes_,
            .received_bytes = received_bytes_,
            .accepted_connections = accepted_connections_,
            .refused = refused_};
  }

 private:
  std::atomic<uint64_t> sent_bytes_ = 0, received_bytes_ = 0, accepted_connections_ = 0;
  mutable std::mutex mutex_;
  std::map<std::string, uint64_t> refused_;
};

}  // namespace starling::node
