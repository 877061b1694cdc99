#pragma once
// Something for every delta, by stream and number: a sorted list for each stream, as its deltas
// come nearly in order and are asked for by number. What is taken away leaves a hole, and the holes
// of a stream go when they are more than half of it.
#include <algorithm>
#include <cassert>
#include <optional>
#include <utility>
#include <vector>

#include "swarm/version_vector.h"

namespace starling::swarm {

template <typename Value>
class Shelves {
 public:
  // Null: there is none. Until the next put() or erase().
  const Value* find(const DeltaKey& key) const {
    const auto shelf = shelves_.find(key.stream);
    if (shelf == shelves_.end()) return nullptr;
    const auto& slots = shelf->second.slots;
    const auto at = place_of(slots, key.seq);
    return at != slots.end() && at->first == key.seq && at->second ? &*at->second : nullptr;
  }
  bool contains(const DeltaKey& key) const { return find(key) != nullptr; }
  // False: there is one, which stays.
  bool put(const DeltaKey& key, Value value) {
    Shelf& shelf = shelves_[key.stream];
    const auto at = place_of(shelf.slots, key.seq);
    if (at == shelf.slots.end() || at->first != key.seq) {
      shelf.slots.insert(at, {key.seq, std::move(value)});
    } else if (at->second) {
      return false;
    } else {
      shelf.slots[static_cast<size_t>(at - shelf.slots.begin())].second = std::move(value);
      --shelf.holes;
    }
    ++size_;
    return true;
  }
  void erase(const DeltaKey& key) {
    const auto found = shelves_.find(key.stream);
    if (found == shelves_.end()) return;
    Shelf& shelf = found->second;
    const auto at = place_of(shelf.slots, key.seq);
    if (at == shelf.slots.end() || at->first != key.seq || !at->second) return;
    shelf.slots[static_cast<size_t>(at - shelf.slots.begin())].second.reset();
    --size_;
    if (2 * ++shelf.holes <= shelf.slots.size()) return;
    std::erase_if(shelf.slots, [](const Slot& slot) { return !slot.second; });
    shelf.holes = 0;
    if (shelf.slots.empty()) shelves_.erase(found);
  }
  size_t size() const { return size_; }

 private:
  using Slot = std::pair<uint64_t, std::optional<Value>>;
  struct Shelf {
    std::vector<Slot> slots;  // in order of number
    size_t holes = 0;
  };
  static auto place_of(const std::vector<Slot>& slots, uint64_t seq) {
    if (slots.empty() || slots.back().first < seq) return slots.end();
    return std::partition_point(slots.begin(), slots.end(),
                                [&](const Slot& slot) { return slot.first < seq; });
  }

  SortedMap<Stream, Shelf> shelves_;
  size_t size_ = 0;
};

}  // namespace starling::swarm
