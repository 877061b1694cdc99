#include "swarm/score.h"

namespace starling::swarm {

int penalty_of(DropReason reason) {
  switch (reason) {
    case DropReason::truncated:
    case DropReason::oversized:
    case DropReason::bad_version:
    case DropReason::wrong_swarm:
    case DropReason::bad_signature:
    case DropReason::bad_payload_hash:
    case DropReason::malformed:
    case DropReason::unknown_region:
    case DropReason::bad_scale:
    case DropReason::bad_norm:
    case DropReason::equivocation:
    case DropReason::bad_snapshot:
      return 10;
    case DropReason::unexpected:
    case DropReason::wrong_fingerprint:
      return 2;
    case DropReason::replayed:
    case DropReason::rate_limited:
    case DropReason::broken_promise:
      return 1;
    case DropReason::not_a_member:
    case DropReason::revoked:
    case DropReason::duplicate:
    case DropReason::too_far_ahead:
    case DropReason::unknown_kind:
      return 0;
  }
  return 0;
}

Scores::Entry Scores::decayed(Entry entry, Instant now) {
  constexpr int64_t minute_ms = 60000;
  constexpr int64_t forgotten_after_minutes = 200;  // 0.9^200 of any score is nothing
  int64_t minutes = (now.ms - entry.decayed_at.ms) / minute_ms;
  if (minutes <= 0) return entry;
  entry.decayed_at = entry.decayed_at.after(minutes * minute_ms);
  if (minutes > forgotten_after_minutes) entry.score = 0;
  while (minutes-- > 0 && entry.score != 0) entry.score *= 0.9;
  return entry;
}

void Scores::make_room(Instant now) {
  if (entries_.size() < scores_max) return;
  auto best = entries_.begin();
  for (auto at = entries_.begin(); at != entries_.end(); ++at) {
    at->second = decayed(at->second, now);
    const bool was_refused = best->second.refused_until > now;
    const bool is_refused = at->second.refused_until > now;
    const bool is_better =
        is_refused == was_refused ? at->second.score > best->second.score : was_refused;
    if (is_better) best = at;
  }
  entries_.erase(best);
}

bool Scores::lower(const PeerId& peer, int penalty, Instant now) {
  if (penalty <= 0) return false;
  auto found = entries_.find(peer);
  if (found == entries_.end()) {
    make_room(now);
    found = entries_.emplace(peer, Entry{0, now, now}).first;
  }
  Entry& entry = found->second;
  entry = decayed(entry, now);
  entry.score -= penalty;
  if (entry.score >= score_floor || entry.refused_until > now) return false;
  entry.refused_until = now.after(refusal_ms);
  return true;
}

double Scores::at(const PeerId& peer, Instant now) const {
  const auto found = entries_.find(peer);
  return found == entries_.end() ? 0 : decayed(found->second, now).score;
}

std::map<PeerId, double> Scores::all(Instant now) const {
  std::map<PeerId, double> scores;
  for (const auto& [peer, entry] : entries_) scores[peer] = decayed(entry, now).score;
  return scores;
}

Instant Scores::refused_until(const PeerId& peer) const {
  const auto found = entries_.find(peer);
  return found == entries_.end() ? Instant{INT64_MIN} : found->second.refused_until;
}

}  // namespace starling::swarm
