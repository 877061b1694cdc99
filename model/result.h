#pragma once
// The value-or-error type of the whole house. Its member names are those of std::expected, so that
// it becomes an alias once the compilers have it. Swarm sees it through model/delta.h.
#include <cassert>
#include <utility>
#include <variant>

namespace starling {

template <typename E>
struct Unexpected {
  E error;
};
template <typename E>
Unexpected(E) -> Unexpected<E>;

// Holds a T or an E. Requires (asserted): value() only when has_value(), error() only when not.
template <typename T, typename E>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Unexpected<E> unexpected) : state_(std::in_place_index<1>, std::move(unexpected.error)) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  T& value() & { return assert(has_value()), *std::get_if<0>(&state_); }
  const T& value() const& { return assert(has_value()), *std::get_if<0>(&state_); }
  T&& value() && { return assert(has_value()), std::move(*std::get_if<0>(&state_)); }
  const E& error() const { return assert(!has_value()), *std::get_if<1>(&state_); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, E> state_;
};

// The result of an action that returns nothing but may fail.
using Done = std::monostate;

}  // namespace starling
