#include "swarm/liveness.h"

namespace starling::swarm {

std::string_view member_state_name(MemberState state) {
  switch (state) {
    case MemberState::alive:
      return "alive";
    case MemberState::suspect:
      return "suspect";
    case MemberState::left:
      return "left";
    case MemberState::failed:
      return "failed";
    case MemberState::revoked:
      return "revoked";
  }
  return "unknown";
}

Instant silent_at(const Config& config, Instant heard_at) {
  return heard_at.after(config.heartbeat_interval_ms * config.missed_heartbeats_suspect);
}

Instant failed_at(const Config& config, Instant heard_at) {
  return heard_at.after(config.heartbeat_interval_ms * config.missed_heartbeats_failed);
}

MemberState judge(const Evidence& evidence, const Config& config, Instant now) {
  if (evidence.has_left) return MemberState::left;
  const Instant heard_at = evidence.heard_at.value_or(evidence.known_since);
  if (evidence.is_linked) {
    if (now >= failed_at(config, heard_at)) return MemberState::failed;
    return now >= silent_at(config, heard_at) ? MemberState::suspect : MemberState::alive;
  }
  if (!evidence.suspected_at && !evidence.was_lost && evidence.heard_at) return MemberState::alive;
  const Instant since = evidence.suspected_at.value_or(heard_at);
  return now >= failed_at(config, since) ? MemberState::failed : MemberState::suspect;
}

}  // namespace starling::swarm
