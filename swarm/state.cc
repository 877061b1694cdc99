#include "swarm/state.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "swarm/state_parts.h"

namespace starling::swarm {

State::Parts::Parts(const StateOptions& given, Rng generator, Instant now)
    : options(given),
      config(options.config),
      rng(generator),
      self(peer_id_of(given.self.membership.identity)),
      roster(given.config, given.swarm, given.self),
      overlay(given.config, self),
      dialling(given.config, self, given.self.addresses),
      reference(given.config),
      budget(given.config.budget, now),
      pulls(given.config),
      transfer(given.config, now),
      admissions(given.swarm),
      tick_at(now.after(given.config.overlay_tick_ms)) {
  assert(config.heartbeat_interval_ms > 0 && config.redial_delay_min_ms > 0);
  assert(config.pull_timeout_ms > 0 && config.digest_delay_ms > 0);
  admissions.add(options.self.membership);
  admissions.change().settle();
}

// ---- Faults

// How many of its kind are to be told of now.
uint64_t State::Parts::count_refused(Turn& turn, const PeerId& from, DropReason reason,
                                     int penalty) {
  ++counters.refused;
  ++counters.refused_by_reason[static_cast<size_t>(reason)];
  turn.outbox.push_back(Drop{from, reason, penalty});
  return refusals.add(from, reason, turn.now);
}

void State::Parts::drop(Turn& turn, const PeerId& from, DropReason reason, int penalty) {
  const uint64_t count = count_refused(turn, from, reason, penalty);
  if (from != self && count > 0 && penalty_of(reason) > 0) {
    const std::string text(drop_reason_name(reason));
    turn.outbox.push_back(Notice{Notice::Kind::peer_fault, from, text, {}, 0, count});
  }
  blame(turn, from, reason, penalty);
}

// A delta of `origin`, or a frame that might have been one.
void State::Parts::refuse(Turn& turn, const PeerId& from, const PeerId& origin, DropReason reason,
                          std::optional<DeltaKey> key, double norm) {
  const int penalty = penalty_of(reason);
  const uint64_t count = count_refused(turn, from, reason, penalty);
  // What costs nothing is the only kind that can go on for ever.
  if (count > 0 || penalty > 0) {
    const std::string text(drop_reason_name(reason));
    turn.outbox.push_back(Notice{Notice::Kind::delta_refused, origin, text, key, norm, count});
  }
  blame(turn, from, reason, penalty);
}

// For faults that come in bursts when a device or a line slept: a second's worth of them costs as
// much as one.
void State::Parts::drop_mildly(Turn& turn, const PeerId& from, DropReason reason) {
  const auto link = links.find(from);
  const bool is_counted =
      link != links.end() && turn.now.ms - fault_interval_ms >= link->second.fault_at.ms;
  if (is_counted) link->second.fault_at = turn.now;
  drop(turn, from, reason, is_counted ? penalty_of(reason) : 0);
}

void State::Parts::blame(Turn& turn, const PeerId& peer, DropReason reason, int penalty) {
  if (peer == self || !scores.lower(peer, penalty, turn.now)) return;
  if (links.contains(peer)) {
    close_link(turn, peer, "misbehaving: " + std::string(drop_reason_name(reason)));
  } else {
    dialling.unlinked(peer, scores.refused_until(peer), turn.now, rng);
  }
}

void State::Parts::on(Turn& turn, const ReceivedRefused& refused) {
  budget.charge_received(refused.size, turn.now);
  const auto link = links.find(refused.from);
  if (link == links.end()) return;
  if (refused.reason == DropReason::unknown_kind) {
    // Said by a later version that also speaks ours: a sign of life and no fault, unless it floods.
    link->second.heard_at = turn.now;
    if (!link->second.control.take(turn.now))
      return drop_mildly(turn, refused.from, DropReason::rate_limited);
    return drop(turn, refused.from, refused.reason, 0);
  }
  refuse(turn, refused.from, refused.from, refused.reason, {}, 0);
}

// ---- Commands

void State::Parts::on(Turn& turn, const Recovered& recovered) {
  log.merge(recovered.have);
  for (const Recovered::Entry& entry : recovered.stored) {
    log.restore(entry.key, {entry.hash, 0, entry.raw_norm});
    if (std::isfinite(entry.raw_norm) && entry.raw_norm > 0)
      reference.add(entry.key.stream.origin, entry.raw_norm);
  }
  budget.restore(recovered.today);
  for (const Bytes& item : recovered.admissions) admissions.add(item);
  settle_admissions(turn, false);
  for (const MemberRecord& record : recovered.members) learn(turn, record, self);
}

void State::Parts::on(Turn& turn, const Ban& ban) {
  if (ban.peer == self) return;
  if (links.contains(ban.peer)) close_link(turn, ban.peer, "banned here");
  roster.ban(ban.peer);
  abandon(turn, ban.peer);
  for (auto& [peer, link] : links) link.owed.erase(ban.peer);
  has_new_records = true;
  records_at = std::min(records_at, turn.now.after(config.digest_delay_ms));
}

// The own record tells those that are no neighbours. Neighbours close when they have read it: what
// is closed here would take the words with it.
void State::Parts::on(Turn& turn, const Leave&) {
  Members last;
  if (options.sign) {
    MemberRecord own = options.self;
    ++own.incarnation;
    own.left = true;
    last.records.push_back(options.sign(own));
  }
  std::erase_if(links, [&](const auto& item) {
    if (!item.second.is_greeted) turn.outbox.push_back(Close{item.first, "leaving"});
    return !item.second.is_greeted;
  });
  for (const auto& [peer, link] : links) {
    if (!last.records.empty()) turn.outbox.push_back(Send{peer, last});
    turn.outbox.push_back(Send{peer, Goodbye{"leaving"}});
  }
  is_leaving = true;
}

void State::Parts::on(Turn&, const BaseReached& reached) {
  base = reached;
  base_count = base.have.delta_count();
}

void State::Parts::on(Turn&, const Progress& news) {
  progress = news;
  if (!std::isfinite(progress.bits_per_byte)) progress.bits_per_byte = 0;
}

void State::Parts::on(Turn& turn, const AddAddress& seed) {
  dialling.add_seed(seed.address, turn.now);
}

void State::Parts::on(Turn&, const Wake&) {}

// ---- Time

void State::Parts::run_due(Turn& turn) {
  if (are_admissions_new) settle_admissions(turn, true);
  if (tick_at <= turn.now) tick(turn);
  close_parted(turn);
  run_links(turn);
  follow_overlay(turn);
  for (Open& open : dialling.due(turn.now, rng, overlay.is_short()))
    turn.outbox.push_back(std::move(open));
  const Pulls::Expired expired = pulls.expire(turn.now);
  if (expired.has_work) want_plan(turn.now);
  blame_unkept(turn, expired.unanswered);
  if (plan_at <= turn.now) plan_pulls(turn);
  ask_chunks(turn);
  serve_waiting(turn);
}

Instant State::Parts::earliest(Instant now) {
  if (is_leaving) return never;
  Instant next = std::min(
      {tick_at, digest_at, records_at, plan_at, dialling.next(), pulls.next(), budget_next(now)});
  for (const auto& [peer, closing_at] : parting) next = std::min(next, closing_at);
  for (const auto& [peer, link] : links) {
    const Instant silent = failed_at(config, link.is_greeted ? link.heard_at : link.up_at);
    next = std::min({next, link.heartbeat_at, silent});
  }
  return next;
}

Counters difference(const Counters& later, const Counters& earlier) {
  Counters added{.accepted = later.accepted - earlier.accepted,
                 .refused = later.refused - earlier.refused,
                 .duplicates = later.duplicates - earlier.duplicates,
                 .published = later.published - earlier.published};
  for (size_t i = 0; i < added.refused_by_reason.size(); ++i)
    added.refused_by_reason[i] = later.refused_by_reason[i] - earlier.refused_by_reason[i];
  return added;
}

// ---- The front door

State::State(const StateOptions& options, Rng rng, Instant now)
    : parts_(std::make_unique<Parts>(options, rng, now)) {}
State::~State() = default;

void State::handle(Input input, Instant now, std::vector<Output>& outbox) {
  Turn turn{now, outbox};
  if (parts_->is_leaving) {
    if (const LinkUp* up = std::get_if<LinkUp>(&input))
      outbox.push_back(Close{up->peer, "leaving"});
    if (const LinkDown* down = std::get_if<LinkDown>(&input)) parts_->links.erase(down->peer);
    return;
  }
  parts_->forgive_own_sleep(now);
  if (parts_->budget.advance(now)) parts_->want_plan(now);
  std::visit([&](const auto& event) { parts_->on(turn, event); }, input);
  if (!parts_->is_leaving) parts_->run_due(turn);
  parts_->deadline = parts_->earliest(now);
  assert(parts_->deadline > now);  // or the driver would wake us for ever
}

Instant State::next_deadline() const { return parts_->deadline; }

void State::charge_sent(uint64_t bytes, Instant now) { parts_->budget.charge_sent(bytes, now); }

SwarmView State::view(Instant now) const {
  const Parts& parts = *parts_;
  SwarmView view;
  std::vector<uint64_t> steps;
  for (const auto& [peer, member] : parts.roster.members()) {
    if (member.evidence.has_left) continue;
    ++view.members;
    const bool is_recent =
        member.delta_at && now.ms - member.delta_at->ms < parts.config.origin_active_ms;
    const bool is_alive = judge(member.evidence, parts.config, now) == MemberState::alive;
    if (is_recent || is_alive) ++view.active_origins;
    if (is_alive && member.evidence.is_linked) steps.push_back(member.met().step);
  }
  for (const auto& [peer, link] : parts.links) view.neighbours += link.is_greeted ? 1 : 0;
  if (!steps.empty()) {
    const auto middle = steps.begin() + static_cast<std::ptrdiff_t>(steps.size() / 2);
    std::nth_element(steps.begin(), middle, steps.end());
    view.median_step = *middle;
  }
  view.reference_norm = parts.reference.value();
  view.deltas = parts.log.have().delta_count();
  view.own_bytes_per_s = parts.budget.own_bytes_per_s(view.active_origins - 1, now);
  view.restraint = parts.budget.restraint();
  return view;
}

std::vector<MemberView> State::members(Instant now) const {
  const Parts& parts = *parts_;
  std::vector<MemberView> rows;
  const MemberRecord& own = parts.options.self;
  MemberView own_row;
  own_row.id = parts.self;
  own_row.name = own.name;
  own_row.address = own.addresses.empty() ? "" : own.addresses.front();
  own_row.is_self = true;
  if (parts.admissions->is_outcast(parts.self)) {
    own_row.state = MemberState::revoked;
    own_row.lost_reason = parts.why_outcast(parts.self);
  }
  own_row.software = parts.options.software;
  own_row.step = parts.progress.step;
  own_row.bits_per_byte = parts.progress.bits_per_byte;
  own_row.deltas = parts.log.count_of(parts.self);
  own_row.base_hash = parts.base.hash;
  own_row.base_count = parts.base_count;
  rows.push_back(own_row);
  for (const auto& [peer, member] : parts.roster.members()) {
    MemberView row;
    row.id = peer;
    row.name = member.record->name;
    row.address = !member.record->addresses.empty() ? member.record->addresses.front()
                                                    : member.met().link_address;
    row.state = judge(member.evidence, parts.config, now);
    row.is_linked = member.evidence.is_linked;
    row.rtt_ms = member.met().rtt_ms;
    row.score = parts.scores.at(peer, now);
    row.refused = parts.refusals.of(peer);
    row.software = member.met().software;
    row.step = member.met().step;
    row.bits_per_byte = member.met().bits_per_byte;
    if (member.delta_at) row.last_delta_age_ms = now.ms - member.delta_at->ms;
    row.deltas = parts.log.count_of(peer);
    row.lost_reason = row.is_linked ? "" : member.met().lost_reason;
    row.base_hash = member.met().base_hash;
    row.base_count = member.met().base_count;
    for (const Accusation& accusation : parts.admissions->accusations(peer))
      row.accused_by.push_back(peer_id_of(accusation.accuser));
    row.voices_against = parts.admissions->voices_against(peer);
    rows.push_back(row);
  }
  for (const PeerId& peer : parts.admissions->outcasts()) {
    if (peer == parts.self) continue;
    MemberView row;
    row.id = peer;
    const auto name = parts.outcast_names.find(peer);
    if (name != parts.outcast_names.end()) row.name = name->second;
    row.state = MemberState::revoked;
    row.refused = parts.refusals.of(peer);
    row.deltas = parts.log.count_of(peer);
    row.lost_reason = parts.why_outcast(peer);
    rows.push_back(row);
  }
  return rows;
}

std::map<PeerId, double> State::scores(Instant now) const { return parts_->scores.all(now); }

const Counters& State::counters() const { return parts_->counters; }

BudgetView State::budget(Instant now) const { return parts_->budget.view(now); }

std::vector<MemberRecord> State::records() const {
  std::vector<MemberRecord> records{parts_->options.self};
  for (const SharedRecord& record : parts_->roster.records()) records.push_back(*record);
  return records;
}

const VersionVector& State::have() const { return parts_->log.have(); }

const Admissions& State::admissions() const { return *parts_->admissions; }

bool State::is_member(const PublicKey& key) const { return parts_->roster.is_member(key); }

}  // namespace starling::swarm
