#pragma once
// Whether a member is alive, judged from what was heard of it: a pure function of the evidence and
// the instant, so that there is no timer to forget. A device that trains may be slow: silence
// counts in heartbeat intervals, and a suspect is a suspect for long. Who is no neighbour is alive
// until somebody doubts it.
#include <optional>

#include "swarm/config.h"
#include "swarm/instant.h"
#include "swarm/state.h"

namespace starling::swarm {

struct Evidence {
  bool has_left = false;   // it said goodbye
  bool is_linked = false;  // a greeted link is up
  bool was_lost = false;   // its last link ended without a word, or it could not be dialled
  Instant lost_at{};       // when
  Instant known_since;
  std::optional<Instant> heard_at;      // the last message, record or new delta of its own
  std::optional<Instant> suspected_at;  // somebody lost it, as it seems, and told
};

Instant silent_at(const Config& config, Instant heard_at);  // when silence becomes suspicion
Instant failed_at(const Config& config, Instant heard_at);  // when suspicion becomes failure
MemberState judge(const Evidence& evidence, const Config& config, Instant now);

}  // namespace starling::swarm
