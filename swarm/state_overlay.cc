// With whom to be linked: carries out what overlay.h decides.
#include <algorithm>

#include "swarm/state_parts.h"

namespace starling::swarm {
namespace {

constexpr uint64_t strangers_dialled = 4;  // by so many of those who hear one, about

Wish wish_of(const Hello& hello) {
  const bool is_told = (hello.features & feature_views) != 0 && !hello.extension.empty();
  const bool is_known = is_told && hello.extension[0] <= static_cast<uint8_t>(Wish::join);
  return is_known ? static_cast<Wish>(hello.extension[0]) : Wish::none;
}

}  // namespace

// ---- Dialling

// Whom the views want, and, while there are few links, whom we lost.
bool State::Parts::is_aim(const PeerId& peer) const {
  return overlay.wanted().contains(peer) || (overlay.is_short() && overlay.is_lost(peer));
}

void State::Parts::follow_overlay(Turn& turn) {
  std::erase_if(dialled, [&](const PeerId& peer) {
    if (is_aim(peer) || links.contains(peer)) return false;
    dialling.set_member(peer, {}, turn.now, rng);
    return true;
  });
  const std::set<PeerId> wanted = overlay.wanted();
  for (const PeerId& peer : wanted) dial(turn, peer);
  if (!overlay.is_short()) return;
  const std::vector<PeerId> lost = overlay.lost_peers();
  for (const PeerId& peer : lost) dial(turn, peer);
}

void State::Parts::dial(Turn& turn, const PeerId& peer) {
  if (dialled.contains(peer) || links.contains(peer)) return;
  const Member* const member = roster.find(peer);
  if (member == nullptr || member->evidence.has_left || member->record->addresses.empty())
    return overlay.forget(peer);
  if (scores.refused_until(peer) > turn.now) return overlay.failed(peer, rng);
  dialled.insert(peer);
  dialling.set_member(peer, member->record->addresses, turn.now, rng);
}

// A beacon. While there are few links everybody heard is dialled. With enough of them only who is
// not known is: others may be behind it of whom nobody here has heard. And by some of us only, for
// were all to dial a newcomer, it would drown.
void State::Parts::on(Turn& turn, const Heard& heard) {
  const PeerId& peer = heard.peer;
  if (peer == self || links.contains(peer) || roster.is_banned(peer)) return;
  if (admissions->is_outcast(peer) || scores.refused_until(peer) > turn.now) return;
  if (!overlay.is_short()) {
    if (roster.is_member(peer)) return;
    if (rng.below(roster.members().size() + 1) >= strangers_dialled) return;
  }
  dialling.add_hint(peer, heard.address, turn.now);
}

// It is no member any more, or said goodbye.
void State::Parts::abandon(Turn& turn, const PeerId& peer) {
  overlay.forget(peer);
  dialled.erase(peer);
  dialling.set_member(peer, {}, turn.now, rng);
}

// Somebody of whom a record came: it may be linked some day.
void State::Parts::heard_of(const PeerId& peer, Instant now) {
  const Member* const member = roster.find(peer);
  if (member == nullptr || member->evidence.has_left || member->record->addresses.empty()) return;
  if (judge(member->evidence, config, now) != MemberState::failed) overlay.heard_of(peer, rng);
}

// ---- Links

Bytes State::Parts::wish_for(const PeerId& peer) const {
  const bool is_own_pick = links.at(peer).is_dialled;
  return {static_cast<uint8_t>(is_own_pick ? overlay.wish_for(peer) : Wish::none)};
}

// False: there is no room, and the link is gone.
bool State::Parts::is_taken_in(Turn& turn, const PeerId& peer, const Hello& hello) {
  const Wish wish = wish_of(hello);
  const bool is_own_pick = links.at(peer).is_dialled;
  const Overlay::Verdict verdict = overlay.greeted(peer, is_own_pick, wish, rng);
  if (!verdict.is_accepted) {
    part(turn, peer, "no room for another link");
    return false;
  }
  if (verdict.evicted) part(turn, *verdict.evicted, "made room for another link");
  if (wish != Wish::join || is_own_pick) return true;
  for (const auto& [to, walk] : overlay.begin_join(peer)) send_walk(turn, to, walk);
  return true;
}

// To us the link is gone. The peer closes it when it has read why; what is closed at once would
// take the word with it.
void State::Parts::part(Turn& turn, const PeerId& peer, const std::string& reason) {
  turn.outbox.push_back(Send{peer, Disconnect{}});
  lose_link(turn, peer, reason, true);
  parting[peer] = turn.now.after(config.heartbeat_interval_ms);
}

void State::Parts::close_parted(Turn& turn) {
  std::erase_if(parting, [&](const auto& item) {
    if (item.second > turn.now) return false;
    turn.outbox.push_back(Close{item.first, "no room for the link"});
    return true;
  });
}

void State::Parts::take(Turn& turn, const PeerId& from, const Disconnect&) {
  turn.outbox.push_back(Close{from, "it has no room for the link"});
  lose_link(turn, from, "it has no room for the link", true);
}

// ---- Walks

// The record first, or its name says nothing to the receiver.
void State::Parts::send_walk(Turn& turn, const PeerId& to, const JoinWalk& walk) {
  send_owed(turn, to, links.at(to));
  turn.outbox.push_back(Send{to, walk});
}

void State::Parts::take(Turn& turn, const PeerId& from, const JoinWalk& walk) {
  if (walk.joiner != self && !roster.is_member(walk.joiner)) return;
  if (const auto next = overlay.take(from, walk, rng)) send_walk(turn, next->first, next->second);
}

std::vector<PeerId> State::Parts::known_of(std::vector<PeerId> sample, Instant now) const {
  std::erase_if(sample, [&](const PeerId& peer) {
    const Member* const member = roster.find(peer);
    return member == nullptr || member->evidence.has_left || member->record->addresses.empty() ||
           judge(member->evidence, config, now) == MemberState::failed;
  });
  return sample;
}

void State::Parts::take(Turn& turn, const PeerId& from, const ShuffleWalk& walk) {
  const ShuffleWalk known{walk.token, walk.hops, known_of(walk.sample, turn.now)};
  const Overlay::Shuffled shuffled = overlay.take(from, known, rng);
  if (shuffled.onward) turn.outbox.push_back(Send{shuffled.onward->first, shuffled.onward->second});
  if (shuffled.back) turn.outbox.push_back(Send{shuffled.back->first, shuffled.back->second});
}

void State::Parts::take(Turn& turn, const PeerId& from, const ShuffleAnswer& answer) {
  static_cast<void>(from);
  const auto back = overlay.take({answer.token, known_of(answer.sample, turn.now)}, rng);
  if (back && links.contains(back->first)) turn.outbox.push_back(Send{back->first, back->second});
}

// ---- Time

void State::Parts::tick(Turn& turn) {
  const auto spread = static_cast<uint64_t>(config.overlay_tick_ms / 4 + 1);
  tick_at = turn.now.after(config.overlay_tick_ms - static_cast<int64_t>(rng.below(spread)));
  if (overlay.is_exhausted()) {
    for (const auto& [peer, member] : roster.members()) heard_of(peer, turn.now);
  }
  const auto walk = overlay.tick(rng);
  // Where everybody known is linked there is nobody to tell of.
  const bool is_useful = walk && !overlay.passive().empty();
  if (is_useful) turn.outbox.push_back(Send{walk->first, walk->second});
  doubt_the_silent(turn);
}

}  // namespace starling::swarm
