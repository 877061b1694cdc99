// Links: greeting, members, heartbeats, loss.
#include <algorithm>

#include "swarm/codec.h"
#include "swarm/state_parts.h"

namespace starling::swarm {
namespace {

std::string hex_start(const std::array<uint8_t, 16>& bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  constexpr size_t shown = 4;  // bytes
  std::string text;
  for (size_t i = 0; i < shown; ++i) {
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text;
}

std::string range(uint32_t min, uint32_t max) {
  return min == max ? std::to_string(min) : std::to_string(min) + " to " + std::to_string(max);
}

// What people read must fit the message that might carry it.
std::string cut(std::string text) {
  if (text.size() > reason_size_max) text.resize(reason_size_max);
  return text;
}

}  // namespace

// ---- Up and down

void State::Parts::on(Turn& turn, const LinkUp& up) {
  if (links.contains(up.peer)) lose_link(turn, up.peer, "replaced by a newer link", true);
  parting.erase(up.peer);
  dialling.linked(up.peer, up.address, up.dialled);
  const bool is_crowded = links.size() >= config.active_view_max + spare_links_max;
  Link& link = links.emplace(up.peer, Link(config, up, turn.now)).first->second;
  if (up.peer == self) return close_link(turn, up.peer, "that address is our own");
  if (roster.is_banned(up.peer)) return close_link(turn, up.peer, "banned here");
  if (admissions->standing(up.membership) != Admissions::Standing::good)
    return close_link(turn, up.peer, why_outcast(up.peer));
  if (is_crowded) return close_link(turn, up.peer, "too many links");
  const Instant refused_until = scores.refused_until(up.peer);
  if (refused_until > turn.now) {
    const int64_t seconds = (refused_until.ms - turn.now.ms + 999) / 1000;
    return close_link(turn, up.peer,
                      "refused for " + std::to_string(seconds) + " s more: it misbehaved");
  }
  send_hello(turn, up.peer);
  link.heartbeat_at = turn.now.after(config.heartbeat_interval_ms);
}

void State::Parts::on(Turn& turn, const LinkDown& down) {
  parting.erase(down.peer);
  if (links.contains(down.peer)) lose_link(turn, down.peer, cut(down.reason));
}

void State::Parts::on(Turn& turn, const DialFailed& failed) {
  for (const PeerId& peer : dialling.failed(failed.address, turn.now, rng)) {
    overlay.failed(peer, rng);
    Member* const member = roster.find(peer);
    if (member == nullptr || member->evidence.is_linked) continue;
    member->meet().lost_reason = cut(failed.address + ": " + failed.reason);
    if (!member->evidence.was_lost) member->evidence.lost_at = turn.now;
    member->evidence.was_lost = !member->evidence.has_left;
    lately_lost.insert(peer);
  }
}

void State::Parts::close_link(Turn& turn, const PeerId& peer, const std::string& reason) {
  turn.outbox.push_back(Close{peer, reason});
  lose_link(turn, peer, reason);
}

void State::Parts::lose_link(Turn& turn, const PeerId& peer, const std::string& reason,
                             bool is_kept) {
  const bool was_greeted = links.at(peer).is_greeted;
  links.erase(peer);
  offers.erase(peer);
  pulls.lost(peer, turn.now);
  transfer.lose_source(peer);
  want_plan(turn.now);
  dialling.unlinked(peer, scores.refused_until(peer), turn.now, rng);
  overlay.lost(peer, is_kept, rng);
  if (Member* const member = roster.find(peer)) {
    member->meet().lost_reason = reason;
    member->evidence.is_linked = false;
    member->evidence.was_lost = !is_kept && !member->evidence.has_left;
    member->evidence.lost_at = turn.now;
    lately_lost.insert(peer);
  }
  if (was_greeted) turn.outbox.push_back(Notice{Notice::Kind::peer_lost, peer, reason, {}, 0});
}

// ---- The own record

// Neighbours pass it on. Who is not linked now gets it with the Hello.
void State::Parts::renew_own_record(Turn& turn, uint64_t incarnation) {
  MemberRecord& own = options.self;
  own.incarnation = incarnation;
  own = options.sign(own);
  for (const auto& [peer, link] : links) {
    if (link.is_greeted) turn.outbox.push_back(Send{peer, Members{{own}}});
  }
}

void State::Parts::on(Turn& turn, const Readdressed& moved) {
  MemberRecord& own = options.self;
  const bool can_renew = options.sign && own.incarnation < UINT64_MAX;
  if (moved.addresses == own.addresses || !can_renew) return;
  own.addresses = moved.addresses;
  dialling.set_own_addresses(own.addresses, turn.now);
  for (const PeerId& peer : dialled) {  // somebody may be where we were
    if (const Member* const member = roster.find(peer))
      dialling.set_member(peer, member->record->addresses, turn.now, rng);
  }
  renew_own_record(turn, own.incarnation + 1);
}

// ---- Messages

bool State::Parts::is_in_order(Turn& turn, Link& link, const ReceivedMessage& received) {
  const FrameHeader& header = received.header;
  const Member* const member = roster.find(received.from);
  const uint64_t known_epoch = std::max(link.epoch, member != nullptr ? member->record->epoch : 0);
  if (header.epoch < known_epoch) {
    drop(turn, received.from, DropReason::replayed, penalty_of(DropReason::replayed));
    const bool is_greeting = std::holds_alternative<Hello>(received.message);
    if (is_greeting && links.contains(received.from) && !link.is_greeted) {
      close_link(turn, received.from,
                 "its boot number " + std::to_string(header.epoch) + " is behind " +
                     std::to_string(known_epoch) +
                     ", which we have seen: its directory is an old copy");
    }
    return false;
  }
  if (header.epoch > link.epoch) {
    link.epoch = header.epoch;
    link.window = ReplayWindow();
  }
  switch (link.window.take(header.seq)) {
    case ReplayWindow::Verdict::fresh:
      break;
    case ReplayWindow::Verdict::seen:  // a network may deliver twice: no fault of the peer's
      drop(turn, received.from, DropReason::replayed, 0);
      return false;
    case ReplayWindow::Verdict::too_old:
      drop(turn, received.from, DropReason::replayed, penalty_of(DropReason::replayed));
      return false;
  }
  link.heard_at = turn.now;
  if (!link.control.take(turn.now)) {
    drop_mildly(turn, received.from, DropReason::rate_limited);
    return false;
  }
  return true;
}

void State::Parts::on(Turn& turn, const ReceivedMessage& received) {
  budget.charge_received(received.size, turn.now);
  const auto found = links.find(received.from);
  if (found == links.end()) return;  // was under way when we closed the link
  Link& link = found->second;
  if (!is_in_order(turn, link, received)) return;
  const bool is_greeting = std::holds_alternative<Hello>(received.message);
  const bool is_refusal = std::holds_alternative<Disconnect>(received.message);
  if (!is_greeting && !(is_refusal && !link.is_greeted)) {
    if (!link.is_greeted) {
      return drop_mildly(turn, received.from, DropReason::unexpected);
    }
    link.is_met = true;
    if (Member* const member = roster.find(received.from)) member->evidence.heard_at = turn.now;
  }
  std::visit([&](const auto& message) { take(turn, received.from, message); }, received.message);
}

void State::Parts::take(Turn& turn, const PeerId& from, const Hello& hello) {
  if (peer_id_of(hello.self.membership.identity) != from) {
    drop(turn, from, DropReason::malformed, penalty_of(DropReason::malformed));
    if (links.contains(from)) close_link(turn, from, "its record is another member's");
    return;
  }
  switch (learn(turn, hello.self, from)) {
    case Roster::Learned::known:
    case Roster::Learned::added:
    case Roster::Learned::renewed:
      break;
    case Roster::Learned::forged:
      drop(turn, from, DropReason::bad_signature, penalty_of(DropReason::bad_signature));
      if (links.contains(from)) close_link(turn, from, "its record is not authentic");
      return;
    case Roster::Learned::full:
      return close_link(turn, from,
                        "no room: " + std::to_string(config.members_max) + " members are known");
    case Roster::Learned::banned:
      return close_link(turn, from, roster.is_banned(from) ? "banned here" : why_outcast(from));
  }
  const uint32_t version = std::min(hello.version_max, options.version_max);
  if (version < std::max(hello.version_min, options.version_min)) {
    return close_link(turn, from,
                      "no common protocol version: theirs " +
                          range(hello.version_min, hello.version_max) + ", ours " +
                          range(options.version_min, options.version_max));
  }
  if (hello.fingerprint != options.fingerprint) {
    return close_link(turn, from,
                      "different model (theirs " + hex_start(hello.fingerprint) + ", ours " +
                          hex_start(options.fingerprint) + ")");
  }
  Member* const member = roster.find(from);
  if (member == nullptr) return;
  member->meet().software = hello.software;
  Link& link = links.at(from);
  link.version = version;
  link.features = hello.features & features_own;
  if (!link.is_greeted) greet(turn, from, hello);
}

void State::Parts::greet(Turn& turn, const PeerId& peer, const Hello& hello) {
  if (!is_taken_in(turn, peer, hello)) return;
  Link& link = links.at(peer);
  Member& member = *roster.find(peer);
  link.is_greeted = true;
  dialling.greeted(peer);
  member.evidence.has_left = false;
  member.evidence.is_linked = true;
  member.evidence.was_lost = false;
  tell_suspicions(turn, peer, link);
  member.evidence.suspected_at.reset();
  member.evidence.heard_at = turn.now;
  member.meet().link_address = link.address;
  member.meet().lost_reason.clear();
  turn.outbox.push_back(Notice{Notice::Kind::peer_joined, peer, {}, {}, 0});
  turn.outbox.push_back(Send{peer, Members{{}, roster.digest(options.self)}});
  send_admissions(turn, peer, link, true);
  send_heartbeat(turn, peer, link);
  want_plan(turn.now);
}

Roster::Learned State::Parts::learn(Turn& turn, const MemberRecord& record, const PeerId& from) {
  const PeerId peer = peer_id_of(record.membership.identity);
  if (admissions->is_outcast(peer)) return Roster::Learned::banned;
  const Roster::Learned learned = roster.learn(record, turn.now);
  if (learned != Roster::Learned::added && learned != Roster::Learned::renewed) return learned;
  admitted(turn.now, record.membership);
  Evidence& evidence = roster.find(peer)->evidence;
  if (from != self) {  // it has spoken since
    evidence.heard_at = turn.now;
    evidence.suspected_at.reset();
    evidence.was_lost = false;
  }
  if (record.left && !links.contains(peer)) abandon(turn, peer);
  if (dialled.contains(peer) && !record.left)
    dialling.set_member(peer, record.addresses, turn.now, rng);
  heard_of(peer, turn.now);
  for (auto& [other, link] : links) {
    if (link.is_greeted && other != from && other != peer) link.owed.insert(peer);
  }
  has_new_records = has_new_records || from != self;
  records_at = std::min(records_at, turn.now.after(config.digest_delay_ms));
  want_plan(turn.now);  // its deltas may be taken now
  return learned;
}

void State::Parts::take(Turn& turn, const PeerId& from, const Members& members) {
  bool is_news = false;
  for (const MemberRecord& record : members.records) {
    const Roster::Learned learned = learn(turn, record, from);
    if (learned == Roster::Learned::forged)
      return drop(turn, from, DropReason::bad_signature, penalty_of(DropReason::bad_signature));
    if (learned == Roster::Learned::known) vouch(peer_id_of(record.membership.identity), turn.now);
    is_news = is_news || learned == Roster::Learned::added || learned == Roster::Learned::renewed;
  }
  compare_records(turn, from, members, is_news);
}

// Whose digest is another gets all that we know, ever more seldom if that brings nothing.
void State::Parts::compare_records(Turn& turn, const PeerId& from, const Members& members,
                                   bool is_news) {
  Link& link = links.at(from);
  if (is_news) link.records_pause_ms = 0;
  if (members.digest == ShortHash{}) return;
  if (members.digest == roster.digest(options.self)) {
    link.owed.clear();
    for (const auto& [peer, member] : roster.members()) vouch(peer, turn.now);
    return;
  }
  if (turn.now.ms - link.records_sent_at.ms < link.records_pause_ms) return;
  link.records_sent_at = turn.now;
  link.records_pause_ms = std::clamp(2 * link.records_pause_ms, repeat_ms, repeat_max_ms);
  owe_all(from, link);
  send_owed(turn, from, link);
}

// What it tells of, or whether what it told of is all. Until that is known it is not compared.
void State::Parts::follow_have(Turn& turn, Link& link, const Heartbeat& heartbeat) {
  if (heartbeat.have) {
    VersionVector known = link.told.have();
    known.merge(log.have());
    if (!known.missing_from(*heartbeat.have, 1).empty()) link.promises.told_more(turn.now);
    link.told.replace(*heartbeat.have, log.have());
  }
  const VersionVector& have = link.told.have();
  link.is_have_unsure =
      !heartbeat.have && (have == log.have() ? told_hash() : hash_of(have)) != heartbeat.have_hash;
  link.is_have_wanted = link.is_have_wanted || heartbeat.wants_have;
  if (!link.told.ahead(log.have()).empty()) want_plan(turn.now);
}

void State::Parts::take(Turn& turn, const PeerId& from, const Heartbeat& heartbeat) {
  Link& link = links.at(from);
  Member* const member = roster.find(from);
  if (member == nullptr) return;
  link.echo_ms = heartbeat.sent_ms;
  link.echo_at = turn.now;
  follow_have(turn, link, heartbeat);
  constexpr uint64_t plausible_ms = 600000;
  const auto now_ms = static_cast<uint64_t>(turn.now.ms);
  const bool is_echo = heartbeat.echo_ms != 0 && heartbeat.echo_ms <= now_ms;
  if (is_echo && heartbeat.echo_delay_ms <= now_ms - heartbeat.echo_ms) {
    const uint64_t rtt_ms = now_ms - heartbeat.echo_ms - heartbeat.echo_delay_ms;
    const auto measured = static_cast<double>(rtt_ms);
    // Smoothed by an eighth, as TCP does (RFC 6298).
    if (rtt_ms <= plausible_ms) {
      double& known_ms = member->meet().rtt_ms;
      known_ms = known_ms < 0 ? measured : known_ms + (measured - known_ms) / 8;
    }
  }
  member->meet().step = heartbeat.step;
  member->meet().bits_per_byte = heartbeat.bits_per_byte;
  member->meet().base_hash = heartbeat.base_hash;
  member->meet().base_count = heartbeat.base_count;
  // Equal sets of deltas, all of them in both bases: then the bases must be equal too.
  const bool is_complete =
      heartbeat.base_hash != Digest{} && base.hash != Digest{} && !link.is_have_unsure &&
      heartbeat.base_count == link.told.have().delta_count() && base.have == log.have();
  if (!is_complete || heartbeat.base_hash == base.hash) return;
  if (turn.now.ms - outcast_at.ms < outcast_settle_ms) return;
  if (without_expelled(link.told.have()) != without_expelled(log.have())) return;
  if (turn.now.ms - diverged_interval_ms < link.diverged_at.ms) return;
  link.diverged_at = turn.now;
  const std::string reason =
      "its base differs from ours after the same " + std::to_string(base_count) + " deltas";
  turn.outbox.push_back(Notice{Notice::Kind::diverged, from, reason, {}, 0});
  tell_older_arrivals(turn, from, link);
}

void State::Parts::take(Turn& turn, const PeerId& from, const Goodbye& goodbye) {
  if (Member* const member = roster.find(from)) member->evidence.has_left = true;
  close_link(turn, from, cut("left: " + goodbye.reason));
  abandon(turn, from);
}

// ---- Sending

void State::Parts::send_hello(Turn& turn, const PeerId& peer) {
  Hello hello;
  hello.version_min = options.version_min;
  hello.version_max = options.version_max;
  hello.features = feature_views;
  if (Budget::wants_pulls_only(config.budget)) hello.features |= feature_pulls_only;
  if (Budget::waits_to_send(config.budget)) hello.features |= feature_waits;
  hello.extension = wish_for(peer);
  hello.fingerprint = options.fingerprint;
  hello.software = options.software;
  hello.self = options.self;
  turn.outbox.push_back(Send{peer, std::move(hello)});
}

void State::Parts::owe_all(const PeerId& peer, Link& link) {
  for (const auto& [other, member] : roster.members()) {
    if (other != peer) link.owed.insert(other);
  }
}

void State::Parts::send_owed(Turn& turn, const PeerId& peer, Link& link) {
  Members members;
  for (const PeerId& other : link.owed) {
    const Member* const member = roster.find(other);
    if (member == nullptr) continue;
    members.records.push_back(*member->record);
    if (members.records.size() < members_per_message_max) continue;
    turn.outbox.push_back(Send{peer, std::move(members)});
    members = Members();
  }
  link.owed.clear();
  if (!members.records.empty()) turn.outbox.push_back(Send{peer, std::move(members)});
}

VersionVector State::Parts::told_vector() const {
  VersionVector told;
  for (const auto& [stream, seen] : log.have().streams()) {
    if (told.streams().size() >= streams_per_message_max) break;
    told.set(stream, seen);
  }
  return told;
}

const ShortHash& State::Parts::told_hash() {
  if (!hashed || hashed->first != log.changes())
    hashed = std::pair(log.changes(), hash_of(told_vector()));
  return hashed->second;
}

void State::Parts::send_heartbeat(Turn& turn, const PeerId& peer, Link& link) {
  tell_new_arrivals(turn, peer, link);  // or the hash would say more than was told
  Heartbeat heartbeat;
  heartbeat.sent_ms = static_cast<uint64_t>(turn.now.ms);
  heartbeat.echo_ms = link.echo_ms;
  if (link.echo_ms != 0)
    heartbeat.echo_delay_ms = static_cast<uint64_t>(turn.now.ms - link.echo_at.ms);
  heartbeat.step = progress.step;
  heartbeat.bits_per_byte = progress.bits_per_byte;
  heartbeat.is_learning = progress.is_learning;
  heartbeat.base_hash = base.hash;
  heartbeat.base_count = base_count;
  if (link.is_have_wanted) {
    heartbeat.have = told_vector();
  } else {
    heartbeat.have_hash = told_hash();
  }
  heartbeat.wants_have = link.is_have_unsure;
  link.is_have_wanted = false;
  turn.outbox.push_back(Send{peer, std::move(heartbeat)});
  // Between 90 and 110 % of the interval, so that the swarm's heartbeats do not fall in step.
  // Twice as rare while the budget is in debt: half of what makes us suspect.
  const int64_t interval_ms =
      config.heartbeat_interval_ms * (budget.send_at(turn.now) > turn.now ? 2 : 1);
  const auto spread = static_cast<uint64_t>(interval_ms / 5 + 1);
  const int64_t delay_ms = interval_ms - interval_ms / 10 + static_cast<int64_t>(rng.below(spread));
  link.heartbeat_at = turn.now.after(std::max<int64_t>(1, delay_ms));
}

void State::Parts::run_links(Turn& turn) {
  std::vector<std::pair<PeerId, std::string>> silent;
  for (const auto& [peer, link] : links) {
    const Instant since = link.is_greeted ? link.heard_at : link.up_at;
    if (failed_at(config, since) > turn.now) continue;
    const std::string seconds = std::to_string((turn.now.ms - since.ms) / 1000);
    silent.emplace_back(peer, link.is_greeted ? "silent for " + seconds + " s"
                                              : "no greeting for " + seconds + " s");
  }
  for (const auto& [peer, reason] : silent) close_link(turn, peer, reason);
  const bool is_digest = digest_at <= turn.now;
  if (is_digest) digest_at = never;
  for (auto& [peer, link] : links) {
    const bool is_due = link.heartbeat_at <= turn.now;
    // A digest puts the next heartbeat off: in a lively swarm the Hello would never come again.
    const bool is_unmet = !link.is_met && (is_due || (is_digest && link.is_greeted));
    if (is_unmet) send_hello(turn, peer);
    if (is_due && !link.is_greeted)
      link.heartbeat_at = turn.now.after(config.heartbeat_interval_ms);
    if (!link.is_greeted || !(is_due || is_digest)) continue;
    if (is_digest) tell_new_arrivals(turn, peer, link);
    if (!is_due) continue;
    if (++link.heartbeat_count % compare_heartbeats == 0) {
      turn.outbox.push_back(Send{peer, Members{{}, roster.digest(options.self)}});
      send_admissions(turn, peer, link, true);
    }
    send_heartbeat(turn, peer, link);
  }
  if (records_at > turn.now) return;
  records_at = never;
  for (auto& [peer, link] : links) {
    if (!link.suspicions_owed.empty()) send_suspicions(turn, peer, link);
    if (!link.owed.empty()) send_owed(turn, peer, link);
    send_admissions(turn, peer, link, false);
  }
  if (has_new_records) turn.outbox.push_back(SaveMembers{roster.records()});
  has_new_records = false;
}

}  // namespace starling::swarm
