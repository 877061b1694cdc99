#pragma once
// Time as the protocol sees it: an argument, never read. Node passes CLOCK_BOOTTIME, the simulator
// its own.
#include <cstdint>

namespace starling::swarm {

struct Instant {
  int64_t ms = 0;
  friend auto operator<=>(const Instant&, const Instant&) = default;
  Instant after(int64_t delay_ms) const { return {ms + delay_ms}; }
};
inline constexpr Instant never{INT64_MAX};

}  // namespace starling::swarm
