#pragma once
// A bounded queue between threads. When full, push says no: the producer decides what that means.
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

namespace starling::node {

template <typename T>
class Queue {
 public:
  explicit Queue(size_t size_max) : size_max_(size_max) {}

  // False: full or closed; the item is dropped. `reserve`: places beyond the bound, for the few
  // items that must not be lost to a flood of others.
  [[nodiscard]] bool push(T item, size_t reserve = 0) {
    {
      std::lock_guard lock(mutex_);
      if (closed_ || items_.size() >= size_max_ + reserve) return false;
      items_.push_back(std::move(item));
    }
    ready_.notify_one();
    return true;
  }

  // The next item; none when `deadline` passes or the queue is closed and empty.
  template <typename Clock, typename Duration>
  std::optional<T> pop_until(std::chrono::time_point<Clock, Duration> deadline) {
    std::unique_lock lock(mutex_);
    ready_.wait_until(lock, deadline, [this] { return closed_ || !items_.empty(); });
    return take();
  }
  std::optional<T> try_pop() {
    std::lock_guard lock(mutex_);
    return take();
  }

  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }
  bool is_closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }
  size_t size() const {
    std::lock_guard lock(mutex_);
    return items_.size();
  }

 private:
  std::optional<T> take() {
    if (items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    return item;
  }

  const size_t size_max_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<T> items_;
  bool closed_ = false;
};

}  // namespace starling::node
