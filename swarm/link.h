#pragma once
// What the state keeps of a link that is up.
#include <set>
#include <string>

#include "swarm/admissions.h"
#include "swarm/config.h"
#include "swarm/event.h"
#include "swarm/instant.h"
#include "swarm/promises.h"
#include "swarm/replay_window.h"
#include "swarm/token_bucket.h"
#include "swarm/told.h"

namespace starling::swarm {

inline constexpr int64_t served_keys_per_s_max = 1024;  // deltas a peer may pull; burst twice this
inline constexpr int64_t fault_interval_ms = 1000;      // mild faults within it count as one

struct Link {
  Link(const Config& config, const LinkUp& up, Instant now)
      : address(up.address),
        is_dialled(up.dialled),
        control({.per_minute = int64_t{config.control_per_s_max} * 60,
                 .burst = int64_t{config.control_per_s_max} * 2},
                now),
        served({.per_minute = served_keys_per_s_max * 60, .burst = served_keys_per_s_max * 2}, now),
        up_at(now),
        heard_at(now) {}

  std::string address;      // remote host:port
  bool is_dialled = false;  // by us
  bool is_greeted = false;  // its Hello was good
  bool is_met = false;      // it answered ours: what it sends presumes that it has our Hello
  uint32_t version = 0;     // of the protocol, once greeted: the highest that both know
  uint64_t features = 0;    // that both have
  uint64_t epoch = 0;       // of the peer's control frames
  ReplayWindow window;      // of their numbers, in that epoch
  TokenBucket control;      // control frames taken from it
  TokenBucket served;       // deltas served to it
  Instant up_at;
  Instant heard_at;
  Instant fault_at{INT64_MIN};   // the last mild one that was counted
  Instant heartbeat_at = never;  // our next one, or our Hello again
  uint32_t heartbeat_count = 0;
  uint64_t echo_ms = 0;                          // its clock, from its last heartbeat
  Instant echo_at;                               // when that came
  Told told;                                     // of the deltas it has
  Promises promises;                             // to give them
  bool is_have_unsure = false;                   // that does not add up: it is asked for the whole
  bool is_have_wanted = true;                    // it has yet to be told the whole of ours
  std::set<PeerId> owed;                         // members whose records it has yet to get
  std::set<PeerId> suspicions_owed;              // members whose doubted life it has yet to hear of
  std::set<Admissions::ItemId> admissions_owed;  // items it has yet to get
  Instant records_sent_at{INT64_MIN / 2};        // all of them, as its digest was another
  int64_t records_pause_ms = 0;                  // until they may be sent again
  Instant admissions_sent_at{INT64_MIN / 2};     // all of them, as its digest was another
  int64_t admissions_pause_ms = 0;               // until they may be sent again
  Instant diverged_at{INT64_MIN};
  bool is_new = true;                       // it was told of none yet
  uint64_t told_after = 0, told_until = 0;  // the arrivals of our log that it was told of, by hash
};

}  // namespace starling::swarm
