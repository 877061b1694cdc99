#pragma once
// A token bucket per key, for a bounded number of keys: a full bucket is as good as none and is
// forgotten; when all are in use, the one that rested longest goes. One thread, or under a lock.
#include <algorithm>
#include <chrono>
#include <map>

namespace starling::node {

template <typename Key>
class TokenBuckets {
 public:
  using Clock = std::chrono::steady_clock;
  struct Rate {
    double per_s = 1;  // tokens that come back
    double burst = 1;  // tokens of a full bucket
    size_t keys_max = 1024;
  };
  explicit TokenBuckets(const Rate& rate) : rate_(rate) {}

  // False: the key's bucket is empty.
  bool take(const Key& key, Clock::time_point now) {
    if (buckets_.size() >= rate_.keys_max && !buckets_.contains(key)) make_room(now);
    Bucket& bucket =
        buckets_.try_emplace(key, Bucket{.tokens = rate_.burst, .last = now}).first->second;
    bucket = {.tokens = filled(bucket, now), .last = now};
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
  size_t size() const { return buckets_.size(); }

 private:
  struct Bucket {
    double tokens = 0;
    Clock::time_point last;
  };
  double filled(const Bucket& bucket, Clock::time_point now) const {
    const double elapsed_s = std::chrono::duration<double>(now - bucket.last).count();
    return std::min(rate_.burst, bucket.tokens + elapsed_s * rate_.per_s);
  }
  void make_room(Clock::time_point now) {
    std::erase_if(buckets_,
                  [&](const auto& entry) { return filled(entry.second, now) >= rate_.burst; });
    if (buckets_.size() < rate_.keys_max) return;
    buckets_.erase(std::min_element(
        buckets_.begin(), buckets_.end(),
        [](const auto& left, const auto& right) { return left.second.last < right.second.last; }));
  }

  const Rate rate_;
  std::map<Key, Bucket> buckets_;
};

}  // namespace starling::node
