#include "swarm/pulls.h"

#include <algorithm>

#include "swarm/budget.h"
#include "swarm/message.h"

namespace starling::swarm {
namespace {

bool is_in(const std::vector<PeerId>& peers, const PeerId& peer) {
  return std::find(peers.begin(), peers.end(), peer) != peers.end();
}

bool has_source(const std::vector<PullSource>& sources, const PeerId& peer) {
  return std::any_of(sources.begin(), sources.end(),
                     [&](const PullSource& source) { return source.peer == peer; });
}

// What `source` has and we can take (the window of the version vector), as (distance, key): the
// oldest of every stream come before the second oldest of any, so that one long stream starves
// nobody.
std::vector<std::pair<uint64_t, DeltaKey>> offered(const VersionVector& mine,
                                                   const PullSource& source, size_t each_max) {
  constexpr uint64_t window = 65;
  std::vector<std::pair<uint64_t, DeltaKey>> keys;
  const auto offer = [&](const Stream& stream, const Seen& seen) {
    const auto known = mine.streams().find(stream);
    const Seen own = known == mine.streams().end() ? Seen{} : known->second;
    if (own == seen) return;
    for (const uint64_t seq : missing_numbers(own, seen, each_max)) {
      if (seq - own.contiguous > window) break;
      keys.emplace_back(seq - own.contiguous, DeltaKey{stream, seq});
    }
  };
  if (source.ahead == nullptr) {
    for (const auto& [stream, seen] : source.have->streams()) offer(stream, seen);
  } else {
    for (const Stream& stream : *source.ahead)
      offer(stream, source.have->streams().find(stream)->second);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace

// ---- When each is due, also counted by time: what is next is asked at every event

void Pulls::set_due(Want& want, Instant due) {
  if (want.due == due) return;
  const auto old = dues_.find(want.due);
  if (old != dues_.end() && --old->second == 0) dues_.erase(old);
  want.due = due;
  ++dues_[due];
}

std::map<DeltaKey, Pulls::Want>::iterator Pulls::forget(std::map<DeltaKey, Want>::iterator at) {
  const auto due = dues_.find(at->second.due);
  if (--due->second == 0) dues_.erase(due);
  return wants_.erase(at);
}

void Pulls::arrived(const DeltaKey& key) {
  const auto found = wants_.find(key);
  if (found != wants_.end()) forget(found);
}

bool Pulls::make_room() {
  if (wants_.size() < wants_max) return true;
  auto worst = wants_.end();
  for (auto at = wants_.begin(); at != wants_.end(); ++at) {
    if (at->second.asked || at->second.rounds == 0) continue;
    if (worst == wants_.end() || at->second.rounds > worst->second.rounds) worst = at;
  }
  if (worst == wants_.end()) return false;
  forget(worst);
  return true;
}

void Pulls::admit(const VersionVector& mine, const std::vector<PullSource>& sources,
                  const std::function<bool(const DeltaKey&)>& is_wanted, Instant now) {
  for (const PullSource& source : sources) {
    size_t admitted = 0;
    for (const auto& [distance, key] : offered(mine, source, config_.pulls_in_flight_max)) {
      if (admitted >= config_.pulls_in_flight_max) break;
      const auto found = wants_.find(key);
      if (found != wants_.end()) {
        // The origin itself says that it has sent it: it is not on its way any more.
        Want& want = found->second;
        const bool is_first = !want.asked && want.rounds == 0 && want.tried.empty();
        if (is_first && source.peer == key.stream.origin) set_due(want, std::min(want.due, now));
        continue;
      }
      if (!is_wanted(key) || !make_room()) continue;
      Want want;
      const bool is_pushed = !Budget::wants_pulls_only(config_.budget) &&
                             source.peer != key.stream.origin &&
                             has_source(sources, key.stream.origin);
      want.due = is_pushed ? now.after(push_grace_ms) : now;
      ++dues_[want.due];
      wants_.emplace(key, std::move(want));
      ++admitted;
    }
  }
}

void Pulls::rest(Want& want, Instant now) {
  want.asked.reset();
  want.tried.clear();
  const int64_t pause_ms = pull_retry_min_ms << std::min(want.rounds, 8u);
  set_due(want, now.after(std::min(pause_ms, pull_retry_max_ms)));
  ++want.rounds;
}

Pulls::Asks Pulls::plan(const VersionVector& mine, const std::vector<PullSource>& sources,
                        const std::function<bool(const DeltaKey&)>& is_wanted, Instant now,
                        uint64_t in_flight_max) {
  for (auto at = wants_.begin(); at != wants_.end();) {
    const bool is_over = mine.contains(at->first) || (!at->second.asked && !is_wanted(at->first));
    at = is_over ? forget(at) : std::next(at);
  }
  admit(mine, sources, is_wanted, now);
  std::map<PeerId, size_t> load;
  size_t total = 0;
  std::vector<std::pair<uint64_t, DeltaKey>> ready;
  for (const auto& [key, want] : wants_) {
    if (want.asked) {
      ++load[*want.asked];
      ++total;
    } else if (want.due <= now) {
      const auto found = mine.streams().find(key.stream);
      ready.emplace_back(key.seq - (found == mine.streams().end() ? 0 : found->second.contiguous),
                         key);
    }
  }
  std::sort(ready.begin(), ready.end());
  in_flight_max = std::min<uint64_t>(in_flight_max, config_.pulls_in_flight_max);
  // No single peer may fill the flight with promises it does not keep.
  const uint64_t share_max =
      sources.size() > 1 ? std::max<uint64_t>(1, in_flight_max / 2) : in_flight_max;
  Asks asks;
  for (const auto& [distance, key] : ready) {
    if (total >= in_flight_max) break;
    Want& want = wants_.at(key);
    const PullSource* chosen = nullptr;
    bool is_told_of = false, is_untried = false;
    for (const PullSource& source : sources) {
      if (!source.have->contains(key)) continue;
      is_told_of = true;
      if (is_in(want.tried, source.peer)) continue;
      is_untried = true;
      if (load[source.peer] >= share_max || asks[source.peer].size() >= pull_keys_max) continue;
      const auto cost = [&](const PullSource& one) {
        return std::pair(one.is_spared, load[one.peer]);
      };
      if (chosen == nullptr || cost(source) < cost(*chosen)) chosen = &source;
    }
    if (!is_told_of) {
      arrived(key);
    } else if (!is_untried) {
      rest(want, now);
    } else if (chosen != nullptr) {
      want.asked = chosen->peer;
      set_due(want, now.after(config_.pull_timeout_ms));
      ++load[chosen->peer];
      ++total;
      asks[chosen->peer].push_back(key);
    }
  }
  std::erase_if(asks, [](const auto& item) { return item.second.empty(); });
  return asks;
}

bool Pulls::is_asked(const DeltaKey& key) const {
  const auto found = wants_.find(key);
  if (found == wants_.end()) return false;
  const Want& want = found->second;
  return want.asked || want.rounds > 0 || !want.tried.empty();
}

void Pulls::put_off(const DeltaKey& key, Instant now) {
  const auto found = wants_.find(key);
  if (found != wants_.end()) rest(found->second, now);
}

void Pulls::lost(const PeerId& peer, Instant now) {
  for (auto& [key, want] : wants_) {
    if (want.asked != peer) continue;
    want.asked.reset();
    set_due(want, now);
  }
}

void Pulls::not_served(const PeerId& peer, const VersionVector& folded, Instant now) {
  for (auto& [key, want] : wants_) {
    if (!folded.contains(key)) continue;
    if (!is_in(want.tried, peer)) want.tried.push_back(peer);
    if (want.asked != peer) continue;
    want.asked.reset();
    set_due(want, now);
  }
}

Pulls::Expired Pulls::expire(Instant now) {
  Expired expired;
  const auto next_due = dues_.upper_bound(expired_at_);
  if (next_due == dues_.end() || next_due->first > now) {
    expired_at_ = now;
    return expired;
  }
  for (auto& [key, want] : wants_) {
    if (want.due > now) continue;
    if (want.asked) {
      if (!is_in(want.tried, *want.asked)) want.tried.push_back(*want.asked);
      expired.unanswered.push_back({*want.asked, key, want.due.after(-config_.pull_timeout_ms)});
      want.asked.reset();
      expired.has_work = true;
    } else if (want.due > expired_at_) {
      expired.has_work = true;
    }
  }
  expired_at_ = now;
  return expired;
}

bool Pulls::is_exhausted(const VersionVector& folded,
                         const std::vector<PullSource>& sources) const {
  for (const auto& [key, want] : wants_) {
    if (want.asked || !folded.contains(key)) continue;
    if (want.tried.empty() && want.rounds == 0) continue;
    bool is_left = false;
    for (const PullSource& source : sources) {
      is_left = is_left || (source.have->contains(key) && !is_in(want.tried, source.peer));
    }
    if (!is_left || want.rounds > 0) return true;
  }
  return false;
}

Instant Pulls::next() const {
  // Those that may be asked already wait for room, not for time.
  const auto next_due = dues_.upper_bound(expired_at_);
  return next_due == dues_.end() ? never : next_due->first;
}

size_t Pulls::in_flight() const {
  return static_cast<size_t>(std::count_if(wants_.begin(), wants_.end(), [](const auto& item) {
    return item.second.asked.has_value();
  }));
}

}  // namespace starling::swarm
