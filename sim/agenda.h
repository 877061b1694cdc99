#pragma once
// What is still to happen, by time; what was put down first comes first at one time. A heap of
// small entries: what happens, which is large, lies still until it is due.
#include <algorithm>
#include <cassert>
#include <cstdint>
#include <utility>
#include <vector>

namespace starling::sim {

template <typename What>
class Agenda {
 public:
  void put(int64_t at, What what) {
    uint32_t place = static_cast<uint32_t>(places_.size());
    if (free_.empty()) {
      places_.push_back(std::move(what));
    } else {
      place = free_.back();
      free_.pop_back();
      places_[place] = std::move(what);
    }
    heap_.push_back({at, order_++, place});
    std::push_heap(heap_.begin(), heap_.end(), is_later);
  }
  bool empty() const { return heap_.empty(); }
  int64_t next_at() const { return heap_.front().at; }  // requires: it is not empty
  // What is due first, which is gone from here then. Requires: it is not empty.
  std::pair<int64_t, What> take() {
    assert(!heap_.empty());
    std::pop_heap(heap_.begin(), heap_.end(), is_later);
    const Entry entry = heap_.back();
    heap_.pop_back();
    free_.push_back(entry.place);
    return {entry.at, std::move(places_[entry.place])};
  }

 private:
  struct Entry {
    int64_t at;
    uint64_t order;
    uint32_t place;
  };
  static bool is_later(const Entry& a, const Entry& b) {  // for a heap: the earliest on top
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }
  std::vector<Entry> heap_;
  std::vector<What> places_;
  std::vector<uint32_t> free_;
  uint64_t order_ = 0;
};

}  // namespace starling::sim
