#pragma once
// The knobs of the protocol, each with unit, default and where the default comes from.
#include <cstdint>
#include <string>
#include <vector>

namespace starling::swarm {

// What may be sent and received. 0 and false: no limit.
struct BudgetLimits {
  uint64_t up_bytes_per_s = 0;
  uint64_t down_bytes_per_s = 0;
  uint64_t day_bytes = 0;        // sent and received together
  bool has_quiet_hours = false;  // when, the driver says (Calendar)
  friend bool operator==(const BudgetLimits&, const BudgetLimits&) = default;
};

struct Config {
  BudgetLimits budget;
  int64_t heartbeat_interval_ms = 2000;  // higher: fewer bytes, slower detection. Guess.
  int64_t digest_delay_ms = 150;         // news of a changed vector is coalesced this long. Guess.
  uint32_t missed_heartbeats_suspect =
      4;  // Lifeguard (arXiv 1707.00788) uses 4 to 5 probe intervals
  uint32_t missed_heartbeats_failed = 16;  // a device that trains may be silent for 30 s
  int64_t redial_delay_min_ms = 500;       // doubles per failure
  int64_t redial_delay_max_ms = 30000;     // a changed address costs at most twice this
  int64_t pull_timeout_ms = 5000;          // then the delta is asked of someone else
  uint32_t pulls_in_flight_max = 64;       // deltas asked for and not yet here
  int64_t origin_active_ms = 600000;       // N counts origins heard within ten minutes. Guess.
  uint32_t active_view_max = 8;            // links; a swarm of one more is a full mesh
  uint32_t passive_view_max = 30;          // HyParView (section 5.1) has 30 for 10,000 nodes
  int64_t overlay_tick_ms = 4000;          // a shuffle every sixth. Guess.
  uint32_t members_max = 1024;             // whose records are kept; more are refused with a reason
  uint32_t reference_window = 64;          // deltas behind the reference norm, as prototyped
  double reference_factor = 4;             // no delta counts for more than this multiple of it
  double norm_max = 1e4;                   // absolute bound on a delta's norm; beyond it is refused
  uint32_t control_per_s_max = 50;         // token bucket per peer, burst twice this
  uint32_t deltas_per_minute_max = 240;    // per origin, burst the same
  // Bytes of an own delta's frame that goes out unasked. Higher: more of it comes twice or to those
  // who wait for other things; lower: more round trips. Guess.
  uint64_t push_size_max = 64u << 10;
};

}  // namespace starling::swarm
