#include "swarm/promises.h"

#include <algorithm>

namespace starling::swarm {

void Promises::asked(std::span<const DeltaKey> keys, Instant now) {
  unkept_since_ = std::min(unkept_since_, now);
  asked_.insert(asked_.end(), keys.begin(), keys.end());
  while (asked_.size() > promises_max) asked_.pop_front();
}

void Promises::told_more(Instant now) { told_at_ = now; }

void Promises::given(const DeltaKey& key) {
  const auto found = std::find(asked_.begin(), asked_.end(), key);
  if (found == asked_.end()) return;
  asked_.erase(found);
  kept();
}

void Promises::kept() {
  unkept_since_ = never;
  broken_count_ = 0;
}

bool Promises::broken(Instant now) {
  constexpr int64_t burst_ms = 1000;
  if (unkept_since_ == never) return false;  // what it gave came in the meantime
  if (now.ms - broken_at_.ms >= burst_ms) {
    ++broken_count_;
    broken_at_ = now;
  }
  return now.ms - unkept_since_.ms >= promise_patience_ms && broken_count_ > promises_spared &&
         now.ms - told_at_.ms < promise_fresh_ms;
}

}  // namespace starling::swarm
