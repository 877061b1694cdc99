#pragma once
// Whether a neighbour keeps what it promises by telling of deltas. Who goes on telling of new ones
// and gives none of what it is asked for is at fault. Who gives something now and then, and who has
// nothing new to tell either (it sleeps, or may not send for hours), is not. Figures are guesses.
#include <cstdint>
#include <deque>
#include <span>

#include "swarm/instant.h"
#include "swarm/version_vector.h"

namespace starling::swarm {

// Silence that a poor line, a nearly empty byte budget or a busy disk may cause.
inline constexpr int64_t promise_patience_ms = 120000;
// Pulls in vain meanwhile, a second's worth counted as one: with half of all asked and answered in
// vain, so many in a row are rare.
inline constexpr uint32_t promises_spared = 8;
// For so long it counts as going on to tell of new ones. Less than the patience, or who falls
// silent would be blamed for what it told before.
inline constexpr int64_t promise_fresh_ms = 60000;
// What was asked of a neighbour and is remembered: an answer may come when another has given it.
inline constexpr size_t promises_max = 128;

class Promises {
 public:
  void asked(std::span<const DeltaKey> keys, Instant now);
  void told_more(Instant now);      // than before, and than we have
  void given(const DeltaKey& key);  // kept, if it was asked for; however late
  void kept();                      // something that was asked of it came
  // A pull ran out. True: that is a fault.
  bool broken(Instant now);

 private:
  std::deque<DeltaKey> asked_;    // the last of them
  Instant unkept_since_ = never;  // the first question since it gave something
  uint32_t broken_count_ = 0;     // since then
  Instant broken_at_{INT64_MIN / 2};
  Instant told_at_{INT64_MIN / 2};
};

}  // namespace starling::swarm
