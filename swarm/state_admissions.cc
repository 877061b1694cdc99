// Who may be a member: the set of memberships and revocations, how it spreads, and what follows
// from it. New items go to all neighbours at once; what was lost or withheld comes with the next
// comparison of digests, which any honest neighbour answers.
#include <algorithm>
#include <cstdio>

#include "swarm/state_parts.h"

namespace starling::swarm {

void State::Parts::admitted(Instant now, const Membership& membership) {
  added(now, admissions.add(membership));
}

// What came into the set is found by comparing: a membership brings those of its issuers along.
void State::Parts::added(Instant now, Admissions::Taken taken) {
  if (taken != Admissions::Taken::added) return;
  are_admissions_new = true;
  records_at = std::min(records_at, now.after(config.digest_delay_ms));
}

void State::Parts::on(Turn& turn, const Revoke& revoke) {
  added(turn.now, admissions.add(revoke.revocation));
}

void State::Parts::on(Turn& turn, const Accuse& accuse) {
  added(turn.now, admissions.add(accuse.accusation));
}

void State::Parts::on(Turn& turn, const ImportedMessage& imported) {
  const auto refuse = [&] { drop(turn, self, DropReason::bad_signature, 0); };
  if (const auto* news = std::get_if<AdmissionNews>(&imported.message)) {
    for (const Bytes& item : news->items) {
      const Admissions::Taken taken = admissions.add(item);
      if (taken == Admissions::Taken::forged) refuse();
      added(turn.now, taken);
    }
    return;
  }
  for (const MemberRecord& record : std::get<Members>(imported.message).records) {
    if (learn(turn, record, self) == Roster::Learned::forged) refuse();
    has_new_records = true;
  }
}

void State::Parts::take(Turn& turn, const PeerId& from, const AdmissionNews& news) {
  Link& link = links.at(from);
  const size_t known = admissions->items().size();
  for (const Bytes& item : news.items) {
    const Admissions::Taken taken = admissions.add(item);
    if (taken == Admissions::Taken::forged) {
      return drop(turn, from, DropReason::bad_signature, penalty_of(DropReason::bad_signature));
    }
    added(turn.now, taken);
  }
  const bool is_news = admissions->items().size() != known;
  if (are_admissions_new) settle_admissions(turn, true);
  if (!links.contains(from)) return;  // what it told may have shut it out itself
  if (is_news) link.admissions_pause_ms = 0;
  if (news.digest == admissions->digest()) return link.admissions_owed.clear();
  if (turn.now.ms - link.admissions_sent_at.ms < link.admissions_pause_ms) return;
  link.admissions_sent_at = turn.now;
  link.admissions_pause_ms = std::clamp(2 * link.admissions_pause_ms, repeat_ms, repeat_max_ms);
  for (const auto& [id, item] : admissions->items()) link.admissions_owed.insert(id);
  records_at = std::min(records_at, turn.now.after(config.digest_delay_ms));
}

std::string State::Parts::why_outcast(const PeerId& peer) const {
  if (admissions->is_equivocator(peer)) return "it signed two different deltas with one number";
  bool is_displaced = false;
  for (const Membership& membership : admissions->memberships(peer)) {
    is_displaced =
        is_displaced || admissions->standing(membership) == Admissions::Standing::displaced;
  }
  return is_displaced ? "another device joined with the same invite" : "its membership was revoked";
}

void State::Parts::evict(Turn& turn, const PeerId& peer, const std::string& reason) {
  if (links.contains(peer)) close_link(turn, peer, reason);
  if (const Member* const member = roster.find(peer)) outcast_names[peer] = member->record->name;
  roster.forget(peer);
  abandon(turn, peer);
  for (auto& [other, link] : links) link.owed.erase(peer);
  has_new_records = true;
}

void State::Parts::settle_admissions(Turn& turn, bool is_told) {
  are_admissions_new = false;
  const std::set<PeerId> before = admissions->outcasts();
  const std::vector<Admissions::ItemId> fresh = admissions.change().settle();
  for (auto& [peer, link] : links) {
    if (link.is_greeted) link.admissions_owed.insert(fresh.begin(), fresh.end());
  }
  if (is_told) tell_accusations(turn, fresh);
  for (const PeerId& peer : admissions->outcasts()) {
    if (before.contains(peer)) continue;
    const std::string reason = why_outcast(peer);
    if (is_told) turn.outbox.push_back(Notice{Notice::Kind::revoked, peer, reason, {}, 0});
    if (peer != self) evict(turn, peer, reason);
    outcast_at = turn.now;
    std::erase_if(disputed, [&](const auto& item) { return item.first.stream.origin == peer; });
  }
  if (is_told) tell_disputes(turn);
  turn.outbox.push_back(AdmissionsChanged{admissions.share()});
}

// Of every one that is new.
void State::Parts::tell_accusations(Turn& turn, const std::vector<Admissions::ItemId>& fresh) {
  for (const Admissions::ItemId& id : fresh) {
    const auto* accusation = std::get_if<Accusation>(&admissions->items().at(id)->content);
    if (accusation == nullptr) continue;
    const PeerId accuser = peer_id_of(accusation->accuser);
    const Member* const member = roster.find(accuser);
    const Harm harm = harm_of(*accusation);
    char told[120];
    std::snprintf(told, sizeof told, " says: %.2f bits per byte before, %.2f with it, %.2f without",
                  harm.before, harm.with, harm.without);
    const std::string who = accuser == self     ? options.self.name
                            : member != nullptr ? member->record->name
                                                : short_string(accuser);
    turn.outbox.push_back(Notice{Notice::Kind::accused, accusation->accused, who + told, {}, 0});
  }
}

// Of every place that has more claims than it had.
void State::Parts::tell_disputes(Turn& turn) {
  std::vector<Admissions::Dispute> now = admissions->disputes();
  for (const Admissions::Dispute& dispute : now) {
    if (std::find(disputes.begin(), disputes.end(), dispute) != disputes.end()) continue;
    for (const PeerId& peer : dispute.claims) {
      std::string reason =
          std::to_string(dispute.claims.size()) + " devices joined with one invite";
      reason += !dispute.stays           ? "; all are revoked"
                : *dispute.stays == peer ? "; this one stays"
                                         : "; " + short_string(*dispute.stays) + " stays";
      turn.outbox.push_back(Notice{Notice::Kind::invite_disputed, peer, reason, {}, 0});
    }
  }
  disputes = std::move(now);
}

// What came of them last differs between members, and is in no base.
VersionVector State::Parts::without_expelled(const VersionVector& have) const {
  VersionVector rest;
  for (const auto& [stream, seen] : have.streams()) {
    if (!admissions->expelled().contains(stream.origin)) rest.set(stream, seen);
  }
  return rest;
}

// `is_digest_wanted`: also when nothing is owed, so that the peer compares.
void State::Parts::send_admissions(Turn& turn, const PeerId& peer, Link& link,
                                   bool is_digest_wanted) {
  AdmissionNews news{.digest = admissions->digest(), .items = {}};
  for (const Admissions::ItemId& id : link.admissions_owed) {
    const auto item = admissions->items().find(id);
    if (item == admissions->items().end()) continue;
    news.items.push_back(item->second->bytes);
    if (news.items.size() < admission_items_max) continue;
    turn.outbox.push_back(Send{peer, news});
    news.items.clear();
    is_digest_wanted = false;
  }
  link.admissions_owed.clear();
  if (is_digest_wanted || !news.items.empty()) turn.outbox.push_back(Send{peer, std::move(news)});
}

}  // namespace starling::swarm
