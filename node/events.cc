#include "node/events.h"

#include <chrono>

#include "node/clock.h"

namespace starling::node {

void Events::add(const std::string& kind, std::map<std::string, std::string> fields) {
  {
    std::lock_guard lock(mutex_);
    events_.push_back({++last_seq_, unix_ms(), kind, std::move(fields)});
    if (events_.size() > kept_max) events_.pop_front();
  }
  added_.notify_all();
}

std::vector<Event> Events::wait(uint64_t after_seq, int64_t timeout_ms) {
  std::unique_lock lock(mutex_);
  // A number from the future (the node was restarted since) starts from the beginning.
  if (after_seq > last_seq_) after_seq = 0;
  added_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                  [&] { return closed_ || last_seq_ > after_seq; });
  std::vector<Event> found;
  for (const Event& event : events_) {
    if (event.seq > after_seq) found.push_back(event);
    if (found.size() == batch_max) break;
  }
  return found;
}

void Events::close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  added_.notify_all();
}

}  // namespace starling::node
