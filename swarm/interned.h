#pragma once
// One copy of values that are the same, for a program that plays many nodes at once: each of them
// would keep its own. While a Scope lives on a thread, of() gives the copy that is there already; a
// node of its own needs none of this. Values that nobody holds any more are forgotten.
#include <algorithm>
#include <map>
#include <memory>
#include <utility>

namespace starling::swarm {

// Values of one id are equal, as the id is a hash of all that makes the value.
template <typename Id, typename Value>
class Interned {
 public:
  size_t size() const { return values_.size(); }  // at most twice as many as are held, and 64

  class Scope {
   public:
    // Requires: `values` outlives this; scopes of a thread end in the reverse of their order.
    explicit Scope(Interned& values) : outer_(std::exchange(innermost, &values)) {}
    ~Scope() { innermost = outer_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Interned* outer_;
  };

  static std::shared_ptr<const Value> of(const Id& id, std::shared_ptr<const Value> value) {
    return innermost == nullptr ? value : innermost->first(id, std::move(value));
  }
  static std::shared_ptr<const Value> of(const Id& id, Value value) {
    return of(id, std::make_shared<const Value>(std::move(value)));
  }

 private:
  std::shared_ptr<const Value> first(const Id& id, std::shared_ptr<const Value> value) {
    std::weak_ptr<const Value>& known = values_[id];
    if (auto held = known.lock()) return held;
    known = value;
    if (values_.size() > prune_at_) {
      std::erase_if(values_, [](const auto& item) { return item.second.expired(); });
      prune_at_ = 2 * values_.size() + 64;
    }
    return value;
  }

  static inline thread_local Interned* innermost = nullptr;
  std::map<Id, std::weak_ptr<const Value>> values_;
  size_t prune_at_ = 64;
};

}  // namespace starling::swarm
