#include "swarm/overlay.h"

#include <algorithm>
#include <cassert>

namespace starling::swarm {
namespace {

bool has(const std::vector<PeerId>& peers, const PeerId& peer) {
  return std::find(peers.begin(), peers.end(), peer) != peers.end();
}

// Up to `count` of them, drawn; the rest of the list is lost.
std::vector<PeerId> draw(std::vector<PeerId> peers, size_t count, Rng& rng) {
  count = std::min(count, peers.size());
  for (size_t i = 0; i < count; ++i) std::swap(peers[i], peers[i + rng.below(peers.size() - i)]);
  peers.resize(count);
  return peers;
}

void add_bounded(std::vector<PeerId>& peers, const PeerId& peer, size_t max, Rng& rng) {
  if (peers.size() < max) {
    peers.push_back(peer);
  } else {
    peers[rng.below(peers.size())] = peer;
  }
}

}  // namespace

Overlay::Overlay(const Config& config, const PeerId& self)
    : active_max_(config.active_view_max),
      active_low_((config.active_view_max + 1) / 2 + 1),
      passive_max_(config.passive_view_max),
      self_(self),
      ticks_(self.bytes.back()) {  // so that a swarm's ticks fall apart
  assert(active_max_ > 0 && passive_max_ > 0);
  active_low_ = std::min(active_low_, active_max_);
}

bool Overlay::is_lost(const PeerId& peer) const { return has(lost_, peer); }

std::vector<PeerId> Overlay::active() const {
  std::vector<PeerId> peers;
  for (const auto& [peer, is_own_pick] : active_) peers.push_back(peer);
  return peers;
}

// ---- Links

PeerId Overlay::pick_victim(Rng& rng) const {
  const auto own_picks = static_cast<size_t>(
      std::count_if(active_.begin(), active_.end(), [](const auto& item) { return item.second; }));
  std::vector<PeerId> candidates;
  for (const auto& [peer, is_own_pick] : active_) {
    if (!is_own_pick || own_picks > own_picks_min) candidates.push_back(peer);
  }
  if (candidates.empty()) candidates = active();
  return candidates[rng.below(candidates.size())];
}

Overlay::Verdict Overlay::greeted(const PeerId& peer, bool is_own_pick, Wish wish, Rng& rng) {
  assert(peer != self_);
  const bool is_sought = sought_.contains(peer);
  const bool is_pressing = is_own_pick ? is_sought : wish == Wish::urgent || wish == Wish::join;
  wanted_.erase(peer);
  sought_.erase(peer);
  std::erase(lost_, peer);
  Verdict verdict;
  if (!active_.contains(peer) && active_.size() >= active_max_) {
    if (!is_pressing) {
      heard_of(peer, rng);
      tried_.insert(peer);
      return verdict;
    }
    verdict.evicted = pick_victim(rng);
    lost(*verdict.evicted, true, rng);
  }
  std::erase(passive_, peer);
  active_[peer] = is_own_pick;
  verdict.is_accepted = true;
  fill(rng);
  return verdict;
}

void Overlay::lost(const PeerId& peer, bool is_kept, Rng& rng) {
  const bool was_known = active_.erase(peer) + wanted_.erase(peer) > 0;
  sought_.erase(peer);
  tried_.insert(peer);
  if (is_kept) {
    heard_of(peer, rng);
  } else if (was_known) {
    remember_lost(peer, rng);
  }
  fill(rng);
}

void Overlay::failed(const PeerId& peer, Rng& rng) {
  if (!wanted_.contains(peer)) return;
  lost(peer, false, rng);
}

Wish Overlay::wish_for(const PeerId& peer) const {
  if (active_.empty()) return Wish::join;
  const bool is_urgent = sought_.contains(peer) || active_.size() < own_picks_min;
  return is_urgent ? Wish::urgent : Wish::neighbour;
}

// ---- Whom to dial

void Overlay::heard_of(const PeerId& peer, Rng& rng) {
  if (peer == self_ || active_.contains(peer) || has(passive_, peer)) return;
  add_bounded(passive_, peer, passive_max_, rng);
  fill(rng);
}

void Overlay::forget(const PeerId& peer) {
  active_.erase(peer);
  std::erase(passive_, peer);
  std::erase(lost_, peer);
  wanted_.erase(peer);
  sought_.erase(peer);
  tried_.erase(peer);
}

void Overlay::remember_lost(const PeerId& peer, Rng& rng) {
  std::erase(passive_, peer);
  if (!has(lost_, peer)) add_bounded(lost_, peer, lost_peers_max, rng);
}

void Overlay::want(const PeerId& peer) {
  if (peer == self_ || active_.contains(peer)) return;
  wanted_.insert(peer);
  tried_.insert(peer);
}

bool Overlay::is_exhausted() const {
  return is_short() && active_.size() + wanted_.size() < active_low_;
}

size_t Overlay::known_count() const {
  size_t count = active_.size() + passive_.size();
  for (const PeerId& peer : wanted_) count += has(passive_, peer) ? 0 : 1;
  return count;
}

// Incoming links take what is between the low mark and the bound: were everyone to dial until it is
// full, the last ones would be refused for ever. Where there is room for all, nobody is refused.
void Overlay::fill(Rng& rng) {
  std::vector<PeerId> untried;
  const size_t linked = active_.size() + wanted_.size();
  const size_t goal = known_count() <= active_max_ ? active_max_ : active_low_;
  if (linked >= goal) return;
  // Whoever is alone asks those again who refused it before: now they make room.
  const bool is_alone = linked == 0;
  for (const PeerId& peer : passive_) {
    const bool is_new = !wanted_.contains(peer) && !tried_.contains(peer);
    if (is_alone || is_new) untried.push_back(peer);
  }
  for (const PeerId& peer : draw(std::move(untried), goal - linked, rng)) want(peer);
}

// ---- Walks

std::optional<PeerId> Overlay::pick_active(const std::set<PeerId>& without, Rng& rng) const {
  std::vector<PeerId> candidates;
  for (const auto& [peer, is_own_pick] : active_) {
    if (!without.contains(peer)) candidates.push_back(peer);
  }
  if (candidates.empty()) return std::nullopt;
  return candidates[rng.below(candidates.size())];
}

std::vector<std::pair<PeerId, JoinWalk>> Overlay::begin_join(const PeerId& joiner) const {
  std::vector<std::pair<PeerId, JoinWalk>> walks;
  for (const auto& [peer, is_own_pick] : active_) {
    if (peer != joiner) walks.emplace_back(peer, JoinWalk{joiner, walk_hops_max});
  }
  return walks;
}

Passed<JoinWalk> Overlay::take(const PeerId& from, const JoinWalk& walk, Rng& rng) {
  if (walk.joiner == self_) return std::nullopt;
  const auto next = pick_active({from, walk.joiner}, rng);
  if (walk.hops == 0 || !next) {
    // The end of the walk takes the joiner as a neighbour, if it has room.
    if (active_.size() + wanted_.size() < active_max_) {
      want(walk.joiner);
    } else {
      heard_of(walk.joiner, rng);
    }
    return std::nullopt;
  }
  if (walk.hops == walk_hops_passive) heard_of(walk.joiner, rng);
  return std::pair(*next, JoinWalk{walk.joiner, std::min(walk.hops, walk_hops_max) - 1});
}

std::vector<PeerId> Overlay::sample_passive(size_t count, Rng& rng) const {
  return draw(passive_, count, rng);
}

void Overlay::remember_way(uint64_t token, const PeerId& from) {
  ways_back_.emplace_back(token, from);
  if (ways_back_.size() > shuffles_under_way_max) ways_back_.pop_front();
}

Overlay::Shuffled Overlay::take(const PeerId& from, const ShuffleWalk& walk, Rng& rng) {
  Shuffled shuffled;
  const auto next = pick_active({from}, rng);
  if (walk.hops > 0 && next) {
    remember_way(walk.token, from);
    const uint32_t hops = std::min(walk.hops, walk_hops_max) - 1;
    shuffled.onward = std::pair(*next, ShuffleWalk{walk.token, hops, walk.sample});
    return shuffled;
  }
  const size_t count = std::min(walk.sample.size(), shuffle_sample_max);
  shuffled.back = std::pair(from, ShuffleAnswer{walk.token, sample_passive(count, rng)});
  for (size_t i = 0; i < count; ++i) heard_of(walk.sample[i], rng);
  return shuffled;
}

Passed<ShuffleAnswer> Overlay::take(const ShuffleAnswer& answer, Rng& rng) {
  // The newest first: a walk may have come by twice, and goes back as it came.
  const auto way = std::find_if(ways_back_.rbegin(), ways_back_.rend(),
                                [&](const auto& item) { return item.first == answer.token; });
  if (way == ways_back_.rend()) return std::nullopt;
  const PeerId back = way->second;
  ways_back_.erase(std::next(way).base());
  if (back != self_) return std::pair(back, answer);
  const size_t count = std::min(answer.sample.size(), shuffle_sample_max);
  for (size_t i = 0; i < count; ++i) heard_of(answer.sample[i], rng);
  return std::nullopt;
}

void Overlay::seek_one_of(const std::vector<PeerId>& peers, Rng& rng) {
  if (peers.empty()) return;
  const PeerId peer = peers[rng.below(peers.size())];
  want(peer);
  if (wanted_.contains(peer)) sought_.insert(peer);
}

Passed<ShuffleWalk> Overlay::tick(Rng& rng) {
  tried_ = wanted_;
  fill(rng);
  if (++ticks_ % ticks_per_shuffle != 0) return std::nullopt;
  seek_one_of(ticks_ % ticks_per_mix == 0 ? passive_ : lost_, rng);
  const auto next = pick_active({}, rng);
  if (!next) return std::nullopt;
  ShuffleWalk walk{rng.next(), walk_hops_max, {self_}};
  for (const PeerId& peer : draw(active(), shuffle_active, rng)) walk.sample.push_back(peer);
  for (const PeerId& peer : sample_passive(shuffle_passive, rng)) walk.sample.push_back(peer);
  remember_way(walk.token, self_);
  return std::pair(*next, std::move(walk));
}

}  // namespace starling::swarm
