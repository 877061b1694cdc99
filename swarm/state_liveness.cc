// Who is alive, where not everybody is linked with everybody. Whoever loses a neighbour without a
// word and cannot reach it again tells its neighbours, who pass it on; so it comes to the one that
// is doubted if anybody reaches it, and that one answers with a record of a higher incarnation.
// Sources: Das, Gupta and Motivala, "SWIM" (DSN 2002), section 4.2, for suspicion and its
// refutation; Dadgar, Phillips and Currey, "Lifeguard" (arXiv 1707.00788), for doubt in oneself.
#include <algorithm>

#include "swarm/state_parts.h"

namespace starling::swarm {
namespace {

constexpr int64_t grace_heartbeats = 2;  // for a link that was lost to come back

}  // namespace

// A process that slept, or that nobody ran, has heard nothing: that is no fault of its peers.
void State::Parts::forgive_own_sleep(Instant now) {
  if (deadline == never || now.ms - deadline.ms < config.heartbeat_interval_ms) return;
  const int64_t slept_ms = now.ms - deadline.ms;
  for (auto& [peer, link] : links) {
    link.up_at = link.up_at.after(slept_ms);
    link.heard_at = link.heard_at.after(slept_ms);
    link.promises.kept();  // perhaps: what came has yet to be read
  }
}

void State::Parts::doubt(Turn& turn, const PeerId& peer, Instant since, const PeerId& from) {
  Member& member = *roster.find(peer);
  member.evidence.suspected_at = since;
  for (auto& [other, link] : links) {
    if (link.is_greeted && other != from && other != peer) link.suspicions_owed.insert(peer);
  }
  records_at = std::min(records_at, turn.now.after(config.digest_delay_ms));
}

void State::Parts::doubt_the_silent(Turn& turn) {
  for (auto at = lately_lost.begin(); at != lately_lost.end();) {
    const PeerId peer = *at;
    const Member* const member = roster.find(peer);
    const bool is_over = member == nullptr || !member->evidence.was_lost ||
                         member->evidence.is_linked || member->evidence.suspected_at ||
                         member->evidence.has_left;
    const int64_t grace_ms = grace_heartbeats * config.heartbeat_interval_ms;
    if (!is_over && turn.now.ms - member->evidence.lost_at.ms < grace_ms) {
      ++at;
      continue;
    }
    at = lately_lost.erase(at);
    if (is_over) continue;
    doubt(turn, peer, member->evidence.heard_at.value_or(member->evidence.lost_at), self);
  }
}

// A neighbour knows the member as we do, and has no doubt of it, or it would have told before.
void State::Parts::vouch(const PeerId& peer, Instant now) {
  Member* const member = roster.find(peer);
  if (member == nullptr || member->evidence.has_left || member->evidence.suspected_at) return;
  if (!member->evidence.heard_at) member->evidence.heard_at = now;
  heard_of(peer, now);
}

void State::Parts::take(Turn& turn, const PeerId& from, const Suspicion& suspicion) {
  for (const Suspect& suspect : suspicion.suspects) {
    if (suspect.peer == self) {
      refute(turn, suspect);
      continue;
    }
    const Member* const member = roster.find(suspect.peer);
    if (member == nullptr || member->evidence.has_left) continue;
    const MemberRecord& record = *member->record;
    const auto known = std::pair(record.epoch, record.incarnation);
    const auto doubted = std::pair(suspect.epoch, suspect.incarnation);
    if (doubted < known) {
      links.at(from).owed.insert(suspect.peer);  // it is refuted already
      records_at = std::min(records_at, turn.now.after(config.digest_delay_ms));
    } else if (member->evidence.is_linked) {
      if (suspect.peer != from) turn.outbox.push_back(Send{suspect.peer, Suspicion{{suspect}}});
    } else if (doubted == known && !member->evidence.suspected_at) {
      const Evidence& evidence = member->evidence;
      const Instant heard_at = evidence.heard_at.value_or(evidence.known_since);
      doubt(turn, suspect.peer, evidence.was_lost ? heard_at : turn.now, from);
    }
  }
}

void State::Parts::refute(Turn& turn, const Suspect& suspect) {
  const MemberRecord& own = options.self;
  const bool is_ours = suspect.epoch == own.epoch && suspect.incarnation >= own.incarnation;
  if (!is_ours || suspect.incarnation == UINT64_MAX || !options.sign) return;
  renew_own_record(turn, suspect.incarnation + 1);
}

void State::Parts::send_suspicions(Turn& turn, const PeerId& peer, Link& link) {
  Suspicion suspicion;
  for (const PeerId& other : link.suspicions_owed) {
    const Member* const member = roster.find(other);
    if (member == nullptr || !member->evidence.suspected_at) continue;
    suspicion.suspects.push_back({other, member->record->epoch, member->record->incarnation});
    if (suspicion.suspects.size() < suspects_max) continue;
    turn.outbox.push_back(Send{peer, std::move(suspicion)});
    suspicion = Suspicion();
  }
  link.suspicions_owed.clear();
  if (!suspicion.suspects.empty()) turn.outbox.push_back(Send{peer, std::move(suspicion)});
}

// To a new neighbour, with what is thought of itself, so that it answers.
void State::Parts::tell_suspicions(Turn& turn, const PeerId& peer, Link& link) {
  for (const auto& [other, member] : roster.members()) {
    if (member.evidence.suspected_at) link.suspicions_owed.insert(other);
  }
  send_suspicions(turn, peer, link);
}

}  // namespace starling::swarm
