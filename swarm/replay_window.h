#pragma once
// Which numbered frames of one sender were seen already: the highest and those below it. Frames may
// overtake each other within the window; what is older, or was seen, is a replay. Source: the
// anti-replay window of IPsec (RFC 4303, section 3.4.3). Of 1024 numbers, as a node numbers what it
// says to all its neighbours in one row: with 64, lines that delay by ten seconds made honest
// members look like replayers.
#include <algorithm>
#include <bitset>
#include <cstdint>

namespace starling::swarm {

inline constexpr uint64_t replay_window_size = 1024;  // numbers below the highest

class ReplayWindow {
 public:
  enum class Verdict : uint8_t { fresh, seen, too_old };

  // Remembers the number if it is fresh.
  Verdict take(uint64_t seq) {
    if (seq > highest_) {
      const uint64_t steps = seq - highest_;
      below_ <<= std::min(steps, replay_window_size);
      if (highest_ != 0 && steps <= replay_window_size) below_.set(steps - 1);
      highest_ = seq;
      return Verdict::fresh;
    }
    if (seq == highest_) return seq == 0 ? Verdict::too_old : Verdict::seen;
    const uint64_t behind = highest_ - seq - 1;  // bit of the number
    if (seq == 0 || behind >= replay_window_size) return Verdict::too_old;
    if (below_.test(behind)) return Verdict::seen;
    below_.set(behind);
    return Verdict::fresh;
  }

 private:
  uint64_t highest_ = 0;
  std::bitset<replay_window_size> below_;  // bit i: highest_ - 1 - i was seen
};

}  // namespace starling::swarm
