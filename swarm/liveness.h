#pragma once
// Whether a member is alive, judged from what was heard of it: a pure function of the evidence and
// the instant, so that there is no timer to forget. A device that trains may be slow: silence
// counts in heartbeat intervals, and a suspect is a suspect for long.
#include <optional>

#include "swarm/config.h"
#include "swarm/instant.h"
#include "swarm/state.h"

namespace starling::swarm {

struct Evidence {
  bool has_left = false;   // it said goodbye
  bool is_linked = false;  // a greeted link is up
  bool was_lost = false;   // its last link ended without goodbye
  Instant known_since;
  std::optional<Instant> heard_at;  // the last message or new delta of its own
};

Instant silent_at(const Config& config, Instant heard_at);  // when silence becomes suspicion
Instant failed_at(const Config& config, Instant heard_at);  // when suspicion becomes failure
MemberState judge(const Evidence& evidence, const Config& config, Instant now);

}  // namespace starling::swarm
