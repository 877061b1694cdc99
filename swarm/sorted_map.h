#pragma once
// A map in one array, sorted by key: found by halving, gone through without following pointers,
// copied in one piece. For tables that are read and copied far more often than they grow: a new key
// moves what is behind it. Inserting and erasing end all iterators and references.
#include <algorithm>
#include <cassert>
#include <span>
#include <utility>
#include <vector>

namespace starling::swarm {

template <typename Key, typename Value>
class SortedMap {
 public:
  using Item = std::pair<Key, Value>;  // the key is not to be changed
  using Iterator = typename std::vector<Item>::iterator;
  using ConstIterator = typename std::vector<Item>::const_iterator;

  Iterator begin() { return items_.begin(); }
  Iterator end() { return items_.end(); }
  ConstIterator begin() const { return items_.begin(); }
  ConstIterator end() const { return items_.end(); }
  auto rbegin() const { return items_.rbegin(); }
  auto rend() const { return items_.rend(); }
  size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }

  Iterator lower_bound(const Key& key) {
    return std::partition_point(items_.begin(), items_.end(),
                                [&](const Item& item) { return item.first < key; });
  }
  ConstIterator lower_bound(const Key& key) const {
    return std::partition_point(items_.begin(), items_.end(),
                                [&](const Item& item) { return item.first < key; });
  }
  ConstIterator upper_bound(const Key& key) const {
    return std::partition_point(items_.begin(), items_.end(),
                                [&](const Item& item) { return !(key < item.first); });
  }
  Iterator find(const Key& key) {
    const auto at = lower_bound(key);
    return at != end() && at->first == key ? at : end();
  }
  ConstIterator find(const Key& key) const {
    const auto at = lower_bound(key);
    return at != end() && at->first == key ? at : end();
  }
  bool contains(const Key& key) const { return find(key) != end(); }
  // Requires: it is there.
  const Value& at(const Key& key) const {
    const auto found = find(key);
    assert(found != end());
    return found->second;
  }

  // The key's value; a new one is as default-made.
  Value& operator[](const Key& key) {
    if (items_.empty() || items_.back().first < key)  // as tables are read, in order
      return items_.emplace_back(key, Value{}).second;
    const auto at = lower_bound(key);
    if (at->first == key) return at->second;
    return items_.emplace(at, key, Value{})->second;
  }
  void erase(ConstIterator at) { items_.erase(at); }
  void erase(const Key& key) {
    const auto found = find(key);
    if (found != end()) items_.erase(found);
  }
  void clear() { items_.clear(); }

  friend bool operator==(const SortedMap&, const SortedMap&) = default;

 private:
  std::vector<Item> items_;
};

// Likewise, where a key has several values: in order of key, then of value.
template <typename Key, typename Value>
class SortedPairs {
 public:
  using Item = std::pair<Key, Value>;

  std::span<const Item> all() const { return items_; }
  std::span<const Item> of(const Key& key) const {
    const auto first = std::partition_point(items_.begin(), items_.end(),
                                            [&](const Item& item) { return item.first < key; });
    auto last = first;
    while (last != items_.end() && last->first == key) ++last;
    return {first, last};
  }
  void insert(const Item& item) {
    items_.insert(std::lower_bound(items_.begin(), items_.end(), item), item);
  }
  void erase(const Item& item) {
    const auto found = std::lower_bound(items_.begin(), items_.end(), item);
    if (found != items_.end() && *found == item) items_.erase(found);
  }

 private:
  std::vector<Item> items_;
};

}  // namespace starling::swarm
