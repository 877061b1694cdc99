#pragma once
// Which numbered frames of one sender were seen already: the highest and the 64 below it. Frames
// may overtake each other within the window; what is older, or was seen, is a replay. Source: the
// anti-replay window of IPsec (RFC 4303, section 3.4.3).
#include <cstdint>

namespace starling::swarm {

class ReplayWindow {
 public:
  enum class Verdict : uint8_t { fresh, seen, too_old };

  // Remembers the number if it is fresh.
  Verdict take(uint64_t seq) {
    if (seq > highest_) {
      const uint64_t steps = seq - highest_;
      below_ = steps >= 64 ? 0 : below_ << steps;
      if (highest_ != 0 && steps <= 64) below_ |= uint64_t{1} << (steps - 1);
      highest_ = seq;
      return Verdict::fresh;
    }
    if (seq == highest_) return seq == 0 ? Verdict::too_old : Verdict::seen;
    const uint64_t behind = highest_ - seq - 1;  // bit of the number
    if (seq == 0 || behind >= 64) return Verdict::too_old;
    if ((below_ >> behind & 1) != 0) return Verdict::seen;
    below_ |= uint64_t{1} << behind;
    return Verdict::fresh;
  }

 private:
  uint64_t highest_ = 0;
  uint64_t below_ = 0;  // bit i: highest_ - 1 - i was seen
};

}  // namespace starling::swarm
