// What waits for the byte budget (budget.h): pushes of own deltas, answers to pulls, chunks of
// snapshots, and our own asking for them.
#include <algorithm>

#include "swarm/state_parts.h"

namespace starling::swarm {

void State::Parts::on(Turn& turn, const Calendar& calendar) {
  const Restraint before = budget.restraint();
  budget.follow(calendar, turn.now);
  if (budget.restraint() != before) want_plan(turn.now);
}

// Unasked to those who want that and as far as the budget goes, to others first the next time. Who
// gets none is told of it like of any other arrival, and asks. A large one goes to nobody unasked:
// it would hold up what is behind it on every link, also to those who got it from elsewhere.
void State::Parts::push_own(Turn& turn, const DeltaKey& key, const SharedBytes& frame) {
  std::vector<PeerId> takers;
  for (const auto& [peer, link] : links) {
    if (link.is_greeted && (link.features & feature_pulls_only) == 0) takers.push_back(peer);
  }
  budget.delta_seen(frame->size());
  if (frame->size() > config.push_size_max) return;
  if (budget.is_limited() && !takers.empty()) {
    const auto first = static_cast<std::ptrdiff_t>(counters.published % takers.size());
    std::rotate(takers.begin(), takers.begin() + first, takers.end());
  }
  for (const PeerId& peer : takers) {
    if (!budget.may_send(turn.released, turn.now)) return;
    turn.outbox.push_back(SendFrame{peer, key, frame});
    turn.released += frame->size();
    budget.delta_sent(frame->size(), turn.now);
  }
}

// Who asks during a restraint asks others then, and us again later.
void State::Parts::serve(Turn& turn, const PeerId& to,
                         std::variant<DeltaKey, ChunkRequest> wanted) {
  const Waiting next{to, std::move(wanted), turn.now};
  if (!budget.is_up_limited()) {
    if (budget.may_send(0, turn.now)) release(turn, next);
    return;
  }
  const auto is_same = [&](const Waiting& other) {
    if (other.to != to || other.wanted.index() != next.wanted.index()) return false;
    if (const DeltaKey* key = std::get_if<DeltaKey>(&next.wanted))
      return *key == std::get<DeltaKey>(other.wanted);
    const ChunkRequest& chunk = std::get<ChunkRequest>(next.wanted);
    const ChunkRequest& known = std::get<ChunkRequest>(other.wanted);
    return chunk.file_hash == known.file_hash && chunk.index == known.index;
  };
  const auto found = std::find_if(waiting.begin(), waiting.end(), is_same);
  if (found != waiting.end()) {
    found->asked_at = turn.now;
  } else if (waiting.size() < waiting_max) {
    waiting.push_back(next);
  }
}

void State::Parts::release(Turn& turn, const Waiting& next) {
  uint64_t size = chunk_size_max;
  if (const DeltaKey* key = std::get_if<DeltaKey>(&next.wanted)) {
    const uint32_t known_size = log.size_of(*key);
    size = known_size > 0 ? known_size : budget.delta_size();
    turn.outbox.push_back(SendStored{next.to, *key});
  } else {
    const ChunkRequest& chunk = std::get<ChunkRequest>(next.wanted);
    turn.outbox.push_back(SendChunk{next.to, chunk.file_hash, chunk.index});
  }
  turn.released += size;
  budget.delta_sent(size, turn.now);
}

void State::Parts::serve_waiting(Turn& turn) {
  std::erase_if(waiting, [&](const Waiting& next) {
    const bool is_late = turn.now.ms - next.asked_at.ms >= config.pull_timeout_ms;
    const DeltaKey* key = std::get_if<DeltaKey>(&next.wanted);
    const bool is_gone = key != nullptr && !log.is_served(*key);
    const auto link = links.find(next.to);
    return is_late || is_gone || link == links.end() || !link->second.is_greeted;
  });
  while (!waiting.empty() && budget.may_send(turn.released, turn.now)) {
    release(turn, waiting.front());
    waiting.pop_front();
  }
}

void State::Parts::ask_chunks(Turn& turn) {
  const uint64_t in_flight_max = budget.coming_max(chunk_size_max, turn.now);
  for (const SnapshotTransfer::Ask& ask : transfer.next_requests(turn.now, in_flight_max)) {
    turn.outbox.push_back(Send{ask.peer, ask.request});
  }
}

Instant State::Parts::budget_next(Instant now) {
  const uint64_t in_flight_max = budget.coming_max(chunk_size_max, now);
  Instant next = std::min(budget.day_ends_at(), transfer.next(now, in_flight_max));
  const bool is_fetching = transfer.phase() == SnapshotTransfer::Phase::fetching;
  if (is_fetching && in_flight_max == 0) next = std::min(next, budget.ask_at(now));
  // What this turn released is not charged yet: then it is a little later, and found out by a turn
  // that does nothing.
  if (!waiting.empty()) next = std::min(next, std::max(budget.send_at(now), now.after(1)));
  return next;
}

}  // namespace starling::swarm
