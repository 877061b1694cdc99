// Deltas: publication, acceptance, pulls, snapshots.
#include <algorithm>
#include <cassert>

#include "swarm/state_parts.h"

namespace starling::swarm {
void State::Parts::want_plan(Instant now) {
  plan_at = std::min(plan_at, std::max(now, planned_at.after(pull_gather_ms)));
}

void State::Parts::changed(Instant now) {
  digest_at = std::min(digest_at, now.after(config.digest_delay_ms));
  want_plan(now);
}

// ---- Publication and acceptance

void State::Parts::on(Turn& turn, const Publish& publish) {
  const DeltaKey key{{self, publish.header.epoch}, publish.header.seq};
  assert(publish.header.origin == options.self.membership.identity);
  assert(key.seq > 0 && publish.frame != nullptr);
  log.add(key, {short_hash(publish.header.payload_hash),
                static_cast<uint32_t>(publish.frame->size()), publish.summary.norm});
  turn.outbox.push_back(Store{key, publish.frame});
  push_own(turn, key, publish.frame);
  ++counters.published;
  reference.add(self, believed_norm(publish.summary));
  changed(turn.now);
  // Nothing of it is on its way: who wants it has to hear of it first.
  if (publish.frame->size() > config.push_size_max) digest_at = turn.now;
}

void State::Parts::on(Turn& turn, const ReceivedDelta& received) {
  budget.charge_received(received.frame->size(), turn.now);
  budget.delta_seen(received.frame->size());
  const auto found = links.find(received.from);
  if (found == links.end()) return;  // was under way when we closed the link
  if (!found->second.is_greeted) {
    return drop_mildly(turn, received.from, DropReason::unexpected);
  }
  found->second.heard_at = turn.now;
  if (Member* const sender = roster.find(received.from)) sender->evidence.heard_at = turn.now;
  const DeltaKey key{{peer_id_of(received.header.origin), received.header.epoch},
                     received.header.seq};
  found->second.promises.given(key);
  if (is_admissible(turn, received, key)) admit(turn, received, key);
}

void State::Parts::on(Turn& turn, const ImportedDelta& imported) {
  const ReceivedDelta received{self, imported.header, imported.summary, imported.frame};
  const DeltaKey key{{peer_id_of(imported.header.origin), imported.header.epoch},
                     imported.header.seq};
  if (is_admissible(turn, received, key)) admit(turn, received, key);
}

// Whose deltas belong into the log: a member's, and those of one that lost its place to another
// identity, which count for nothing unless it gets it back. They are pulled only.
bool State::Parts::is_heard(const PeerId& origin) const {
  if (roster.is_banned(origin)) return false;
  return admissions->is_displaced(origin) ||
         (roster.is_member(origin) && !admissions->is_outcast(origin));
}

// Everything that can be said without looking at norms; what is refused has changed nothing.
bool State::Parts::is_admissible(Turn& turn, const ReceivedDelta& received, const DeltaKey& key) {
  const PeerId& from = received.from;
  const PeerId& origin = key.stream.origin;
  const auto no = [&](DropReason reason) {
    refuse(turn, from, origin, reason, key, received.summary.norm);
    return false;
  };
  if (key.seq == 0 || received.header.kind != FrameKind::delta)
    return no(DropReason::malformed);
  const bool is_pushed = from != self && !pulls.is_asked(key);
  const bool is_shut_out =
      admissions->is_displaced(origin) ? is_pushed : admissions->is_outcast(origin);
  if (roster.is_banned(origin) || is_shut_out) return no(DropReason::revoked);
  if (!is_heard(origin)) {  // its record is on the way; the delta is pulled then
    drop(turn, from, DropReason::not_a_member, 0);
    return false;
  }
  if (received.header.fingerprint != options.fingerprint)
    return no(DropReason::wrong_fingerprint);
  const bool is_own = origin == self && key.stream.epoch >= options.self.epoch;
  const DeltaLog::Standing standing = log.standing(key, short_hash(received.header.payload_hash));
  const bool is_stranger_in_own_name = is_own && standing != DeltaLog::Standing::duplicate;
  if (standing == DeltaLog::Standing::equivocation || is_stranger_in_own_name) {
    accuse(turn, received, key);
    return false;
  }
  if (standing == DeltaLog::Standing::duplicate || transfer.is_installing(key)) {
    ++counters.duplicates;
    pulls.arrived(key);
    return false;
  }
  if (standing == DeltaLog::Standing::too_far || standing == DeltaLog::Standing::no_room) {
    drop(turn, from, DropReason::too_far_ahead, 0);
    return false;
  }
  Member* const member = roster.find(origin);
  if (member != nullptr && is_pushed && !member->pushes.take(turn.now)) {
    drop_mildly(turn, from, DropReason::rate_limited);
    return false;
  }
  return true;
}

// The proof shuts the origin out everywhere. Not ourselves: whoever uses our identity elsewhere is
// found out by the others.
void State::Parts::accuse(Turn& turn, const ReceivedDelta& received, const DeltaKey& key) {
  const PeerId& origin = key.stream.origin;
  const int penalty = penalty_of(DropReason::equivocation);
  const bool is_own = origin == self;
  const std::string reason =
      is_own ? "our identity is in use elsewhere" : "two deltas with one number";
  turn.outbox.push_back(
      Notice{Notice::Kind::equivocation, origin, reason, key, received.summary.norm});
  if (Member* const member = roster.find(origin)) member->has_equivocated = true;
  if (!is_own && log.is_served(key)) turn.outbox.push_back(Prove{key, received.frame});
  const bool is_from_it = received.from == origin;
  count_refused(turn, received.from, DropReason::equivocation, is_from_it ? penalty : 0);
  blame(turn, origin, DropReason::equivocation, penalty);
}

// What is missing is pulled; and who was given another delta than we under the same number is asked
// for it.
void State::Parts::take(Turn& turn, const PeerId& from, const Witness& witness) {
  Link& link = links.at(from);
  Pull pull;
  for (const Sighting& sighting : witness.seen) {
    const auto& streams = link.told.have().streams();
    const bool is_room = streams.size() < streams_per_message_max;
    const bool is_taken = is_room || streams.contains(sighting.key.stream);
    if (is_taken && link.told.insert(sighting.key, log.have())) link.promises.told_more(turn.now);
    if (!log.have().contains(sighting.key)) want_plan(turn.now);
    const PeerId& origin = sighting.key.stream.origin;
    if (origin == self || admissions->is_outcast(origin)) continue;
    const std::optional<ShortHash> own = log.hash_of(sighting.key);
    if (!own || std::equal(sighting.hash.begin(), sighting.hash.end(), own->begin())) continue;
    if (disputed.size() >= disputed_max && !disputed.contains(sighting.key)) continue;
    if (pull.keys.size() >= pull_keys_max || disputed[sighting.key]++ >= disputed_asks_max)
      continue;
    pull.keys.push_back(sighting.key);
  }
  if (!pull.keys.empty()) turn.outbox.push_back(Send{from, std::move(pull)});
}

void State::Parts::tell_arrivals(Turn& turn, const PeerId& peer, uint64_t after,
                                 uint64_t until) const {
  Witness witness;
  for (const DeltaKey& key : log.arrived(after, until)) {
    const std::optional<ShortHash> own = log.hash_of(key);
    if (!own) continue;
    Sighting& sighting = witness.seen.emplace_back(Sighting{.key = key, .hash = {}});
    std::copy_n(own->begin(), sighting.hash.size(), sighting.hash.begin());
  }
  if (!witness.seen.empty()) turn.outbox.push_back(Send{peer, std::move(witness)});
}

// A new neighbour is told of the last ones that came before it, and of the rest by the vector.
void State::Parts::tell_new_arrivals(Turn& turn, const PeerId& peer, Link& link) const {
  const uint64_t newest = log.arrivals();
  if (link.is_new || newest - link.told_until > 4 * sightings_max) {
    link.told_until = newest - std::min<uint64_t>(newest, sightings_max);
    link.told_after = link.told_until;
    link.is_have_wanted = true;
    link.is_new = false;
  }
  while (link.told_until < newest) {
    const uint64_t until = std::min(newest, link.told_until + sightings_max);
    tell_arrivals(turn, peer, link.told_until, until);
    link.told_until = until;
  }
}

// Our bases differ: perhaps by what an origin told one of us longer ago.
void State::Parts::tell_older_arrivals(Turn& turn, const PeerId& peer, Link& link) const {
  const uint64_t after = link.told_after - std::min<uint64_t>(link.told_after, sightings_max);
  tell_arrivals(turn, peer, after, link.told_after);
  link.told_after = after;
}

void State::Parts::admit(Turn& turn, const ReceivedDelta& received, const DeltaKey& key) {
  const PeerId& origin = key.stream.origin;
  const DeltaSummary& summary = received.summary;
  if (!has_sound_norms(summary, config)) {
    pulls.put_off(key, turn.now);
    return refuse(turn, received.from, origin, DropReason::bad_norm, key, summary.norm);
  }
  log.add(key, {short_hash(received.header.payload_hash),
                static_cast<uint32_t>(received.frame->size()), summary.norm});
  pulls.arrived(key);
  turn.outbox.push_back(Store{key, received.frame});
  Member* const member = received.from == self ? nullptr : roster.find(origin);
  if (member != nullptr) {
    member->delta_at = turn.now;
    if (key.stream.epoch >= member->record->epoch) member->evidence.heard_at = turn.now;
  }
  turn.outbox.push_back(Deliver{key, summary, received.frame});
  turn.outbox.push_back(Notice{Notice::Kind::delta_accepted, origin, {}, key, summary.norm});
  ++counters.accepted;
  reference.add(origin, believed_norm(summary));
  changed(turn.now);
}

void State::Parts::on(Turn&, const Forgotten& forgotten) { log.forget(forgotten.keys); }

// ---- Pulls

std::vector<PullSource> State::Parts::sources() {
  std::vector<PullSource> sources;
  for (auto& [peer, link] : links) {
    if (!link.is_greeted) continue;
    const bool is_spared = (link.features & feature_waits) != 0;
    sources.push_back({peer, &link.told.have(), &link.told.ahead(log.have()), is_spared});
  }
  return sources;
}

void State::Parts::plan_pulls(Turn& turn) {
  plan_at = never;
  planned_at = turn.now;
  const uint64_t in_flight_max = budget.coming_max(budget.delta_size(), turn.now);
  if (in_flight_max == 0) {  // a restraint's end calls for a plan by itself
    plan_at = budget.ask_at(turn.now);
    return;
  }
  const auto is_wanted = [this](const DeltaKey& key) {
    const Stream& stream = key.stream;
    if (transfer.is_coming(key)) return false;
    if (stream.origin == self) return stream.epoch < options.self.epoch;
    return is_heard(stream.origin);
  };
  for (auto& [peer, keys] : pulls.plan(log.have(), sources(), is_wanted, turn.now, in_flight_max)) {
    links.at(peer).promises.asked(keys, turn.now);
    turn.outbox.push_back(Send{peer, Pull{std::move(keys)}});
  }
  consider_snapshots(turn);
}

bool State::Parts::is_told_by_others(const PeerId& peer, const DeltaKey& key) const {
  size_t others = 0, witnesses = 0;
  for (const auto& [other, link] : links) {
    if (!link.is_greeted || other == peer) continue;
    ++others;
    witnesses += link.told.have().contains(key) ? 1 : 0;
  }
  return 2 * witnesses > others;
}

// Those that ran out together are one fault. Who has said nothing since may be asleep. Who keeps to
// a byte budget may be waiting for bytes, and is at fault only for what few others tell of.
void State::Parts::blame_unkept(Turn& turn, const std::vector<Pulls::Unanswered>& unanswered) {
  std::set<PeerId> broken;
  for (const auto& [peer, key, asked_at] : unanswered) {
    const auto link = links.find(peer);
    if (link == links.end() || link->second.heard_at <= asked_at) continue;
    const bool is_waiting = (link->second.features & feature_waits) != 0;
    if (!is_waiting || !is_told_by_others(peer, key)) broken.insert(peer);
  }
  for (const PeerId& peer : broken) {
    if (links.at(peer).promises.broken(turn.now))
      drop_mildly(turn, peer, DropReason::broken_promise);
  }
}

void State::Parts::take(Turn& turn, const PeerId& from, const Pull& pull) {
  Link& link = links.at(from);
  bool is_folded = false;
  for (const DeltaKey& key : pull.keys) {
    if (!log.have().contains(key)) continue;
    if (!log.is_served(key)) {
      is_folded = true;
      continue;
    }
    if (!link.served.take(turn.now)) return drop_mildly(turn, from, DropReason::rate_limited);
    serve(turn, from, key);
  }
  if (is_folded && !snapshots.empty()) turn.outbox.push_back(Send{from, snapshots.back()});
}

// ---- Snapshots

void State::Parts::on(Turn&, const SnapshotAvailable& available) {
  if (available.offer.size == 0 || available.offer.size > snapshot_size_max) return;
  snapshots.push_back(available.offer);
  if (snapshots.size() > served_snapshots_max) snapshots.pop_front();
}

void State::Parts::take(Turn& turn, const PeerId& from, const SnapshotOffer& offer) {
  if (offer.size == 0 || offer.size > snapshot_size_max) {
    return drop(turn, from, DropReason::oversized, penalty_of(DropReason::oversized));
  }
  const Member* const member = roster.find(from);
  if (member != nullptr && member->has_false_snapshots) {
    pulls.not_served(from, offer.have, turn.now);
    return want_plan(turn.now);
  }
  if (log.have().missing_from(offer.have, 1).empty()) return;  // it came from elsewhere meanwhile
  for (const auto& [stream, seen] : offer.have.streams()) {
    // Nobody but us numbers the deltas of this boot: taken over, these numbers would meet our own.
    const bool is_ours = stream.origin == self && stream.epoch >= options.self.epoch;
    const auto own = log.have().streams().find(stream);
    const Seen written = own == log.have().streams().end() ? Seen{} : own->second;
    if (!is_ours || missing_numbers(written, seen, 1).empty()) continue;
    return drop(turn, from, DropReason::malformed, penalty_of(DropReason::malformed));
  }
  offers[from] = offer;
  pulls.not_served(from, offer.have, turn.now);
  transfer.add_source(offer, from);
  want_plan(turn.now);
}

// More than half of our neighbours, the sender among them, tell of everything that the snapshot
// claims to contain: a single liar cannot make us replace our base by inventing deltas that only
// its snapshot has.
bool State::Parts::is_vouched(const SnapshotOffer& offer) const {
  const VersionVector claimed = without_expelled(offer.have);  // newcomers never get the rest
  size_t neighbours = 0, witnesses = 0;
  for (const auto& [peer, link] : links) {
    if (!link.is_greeted) continue;
    ++neighbours;
    witnesses += link.told.have().missing_from(claimed, 1).empty() ? 1 : 0;
  }
  const auto stated =
      static_cast<size_t>(std::count_if(offers.begin(), offers.end(), [&](const auto& other) {
        return other.second.have == offer.have;
      }));
  return 2 * witnesses > neighbours && 2 * agreeing(offer) > stated;
}

// Equal deltas make equal bases. The files differ: each names the steps of who made it.
size_t State::Parts::agreeing(const SnapshotOffer& offer) const {
  return static_cast<size_t>(std::count_if(offers.begin(), offers.end(), [&](const auto& other) {
    return other.second.have == offer.have && other.second.hash == offer.hash;
  }));
}

void State::Parts::shun_snapshots(Turn& turn, const std::set<PeerId>& peers) {
  for (const PeerId& peer : peers) {
    if (Member* const member = roster.find(peer)) member->has_false_snapshots = true;
    offers.erase(peer);
    transfer.lose_source(peer);
    drop(turn, peer, DropReason::bad_snapshot, penalty_of(DropReason::bad_snapshot));
  }
}

void State::Parts::consider_snapshots(Turn& turn) {
  if (offers.empty()) return;
  const std::vector<PullSource> asked = sources();
  const SnapshotOffer* best = nullptr;
  PeerId sender;
  // One that several state alike comes before one that a single neighbour can have made up.
  const auto worth = [this](const SnapshotOffer& offer) {
    return std::pair(agreeing(offer) > 1, offer.have.delta_count());
  };
  for (const auto& [peer, offer] : offers) {
    if (!transfer.is_welcome(offer, turn.now) || log.have().missing_from(offer.have, 1).empty())
      continue;
    if (!pulls.is_exhausted(offer.have, asked) || !is_vouched(offer)) continue;
    if (best != nullptr && worth(offer) <= worth(*best)) continue;
    best = &offer;
    sender = peer;
  }
  if (best == nullptr) return;
  transfer.begin(*best, sender);
  for (const auto& [peer, offer] : offers) transfer.add_source(offer, peer);
}

void State::Parts::take(Turn& turn, const PeerId& from, const ChunkRequest& request) {
  for (const SnapshotOffer& offer : snapshots) {
    if (offer.file_hash != request.file_hash) continue;
    if (uint64_t{request.index} * chunk_size_max >= offer.size) {
      return drop(turn, from, DropReason::malformed, penalty_of(DropReason::malformed));
    }
    return serve(turn, from, request);
  }
}

void State::Parts::take(Turn& turn, const PeerId& from, const Chunk& chunk) {
  switch (transfer.take(from, chunk)) {
    case SnapshotTransfer::Taken::save:
      links.at(from).promises.kept();
      turn.outbox.push_back(SaveChunk{chunk.file_hash, chunk.index, chunk.bytes});
      return;
    case SnapshotTransfer::Taken::late:
      return;
    case SnapshotTransfer::Taken::unexpected:
      return drop(turn, from, DropReason::unexpected, penalty_of(DropReason::unexpected));
    case SnapshotTransfer::Taken::malformed:
      return drop(turn, from, DropReason::malformed, penalty_of(DropReason::malformed));
  }
}

void State::Parts::on(Turn& turn, const ChunkSaved& saved) {
  if (transfer.saved(saved, turn.now)) turn.outbox.push_back(InstallSnapshot{transfer.offer()});
  want_plan(turn.now);
}

void State::Parts::on(Turn& turn, const SnapshotInstalled& installed) {
  if (transfer.phase() != SnapshotTransfer::Phase::installing) return;
  const SnapshotOffer offer = transfer.offer();
  std::set<PeerId> guilty;
  if (installed.ok) {
    guilty = contradicting(offer);
    log.merge(offer.have);
    for (auto& [peer, link] : links) link.is_have_wanted = true;
    changed(turn.now);
  } else if (installed.fault == SnapshotInstalled::Fault::file) {
    guilty = transfer.offerers();
  } else if (installed.fault == SnapshotInstalled::Fault::chunks) {
    if (transfer.senders().size() == 1) guilty = transfer.senders();
    transfer.spoiled();
  }
  transfer.installed(installed.ok, turn.now);
  shun_snapshots(turn, guilty);
  want_plan(turn.now);
}

// Who states another base for the deltas of one that most stated and that was what they said. Where
// somebody was shut out a base may differ honestly: its deltas can be taken out of it later, or,
// where the log has forgotten them, never.
std::set<PeerId> State::Parts::contradicting(const SnapshotOffer& offer) const {
  std::set<PeerId> others;
  if (agreeing(offer) < 2 || !admissions->expelled().empty()) return others;
  for (const auto& [peer, other] : offers) {
    if (other.have == offer.have && other.hash != offer.hash) others.insert(peer);
  }
  return others;
}

}  // namespace starling::swarm
