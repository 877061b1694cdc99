#include "swarm/dialling.h"

#include <algorithm>

#include "swarm/message.h"

namespace starling::swarm {

Dialling::Dialling(const Config& config, const PeerId& self,
                   const std::vector<std::string>& own_addresses)
    : config_(config), self_(self), own_addresses_(own_addresses.begin(), own_addresses.end()) {}

bool Dialling::belongs(const Target& target, const Attempt& attempt, const PeerId& peer) const {
  return target.expected == peer || (!target.expected && attempt.reached == peer);
}

void Dialling::pause(Attempt& attempt, Instant now, Rng& rng) const {
  const int64_t doubled_ms = config_.redial_delay_min_ms << std::min(attempt.failures, 16u);
  const int64_t delay_ms = std::min(doubled_ms, config_.redial_delay_max_ms);
  // Between three quarters and the whole of it, and never under the smallest.
  const auto quarter = static_cast<uint64_t>(delay_ms / 4 + 1);
  const int64_t jittered_ms = delay_ms - static_cast<int64_t>(rng.below(quarter));
  attempt.is_under_way = false;
  attempt.due = now.after(std::max(jittered_ms, config_.redial_delay_min_ms));
  ++attempt.failures;
}

// An address that was ours may be another's now.
void Dialling::set_own_addresses(const std::vector<std::string>& addresses, Instant now) {
  own_addresses_ = {addresses.begin(), addresses.end()};
  for (auto& [target, attempt] : attempts_) {
    if (attempt.reached != self_) continue;
    attempt.reached.reset();
    attempt.due = now;
  }
}

void Dialling::add_seed(const std::string& address, Instant now) {
  if (address.empty() || address.size() > address_size_max) return;
  if (own_addresses_.contains(address)) return;
  const auto seeds = std::count_if(attempts_.begin(), attempts_.end(),
                                   [](const auto& item) { return !item.first.expected; });
  if (static_cast<size_t>(seeds) >= seeds_max) return;
  attempts_.emplace(Target{std::nullopt, address}, Attempt{.reached = {}, .due = now});
}

void Dialling::add_hint(const PeerId& peer, const std::string& address, Instant now) {
  if (peer == self_ || address.empty() || address.size() > address_size_max) return;
  if (own_addresses_.contains(address) || linked_.contains(peer)) return;
  const Target target{peer, address};
  if (const auto known = attempts_.find(target); known != attempts_.end()) {
    // Its pause was for want of a sign of life.
    if (!known->second.is_under_way) known->second.due = now;
    return;
  }
  const auto hints = std::count_if(attempts_.begin(), attempts_.end(),
                                   [](const auto& item) { return item.second.is_hint; });
  if (static_cast<size_t>(hints) >= hints_max) return;
  attempts_.emplace(target, Attempt{.reached = {}, .is_hint = true, .due = now});
}

void Dialling::set_member(const PeerId& peer, const std::vector<std::string>& addresses,
                          Instant now, Rng& rng) {
  std::erase_if(attempts_, [&](const auto& item) {
    const bool is_kept =
        std::find(addresses.begin(), addresses.end(), item.first.address) != addresses.end();
    return item.first.expected == peer && !is_kept;
  });
  if (peer == self_) return;
  for (const std::string& address : addresses) {
    if (address.empty() || own_addresses_.contains(address)) continue;
    Attempt attempt;
    const auto spread = static_cast<uint64_t>(config_.redial_delay_min_ms + 1);
    if (!linked_.contains(peer)) attempt.due = now.after(static_cast<int64_t>(rng.below(spread)));
    attempts_.emplace(Target{peer, address}, attempt).first->second.is_hint = false;
  }
}

void Dialling::linked(const PeerId& peer, const std::string& address, bool dialled) {
  linked_.insert(peer);
  std::erase_if(attempts_, [&](const auto& item) {
    return item.second.is_hint && item.first.expected == peer;
  });
  for (auto& [target, attempt] : attempts_) {
    if (dialled && !target.expected && target.address == address) {
      attempt.reached = peer;
      if (peer == self_) own_addresses_.insert(address);
    }
    if (!belongs(target, attempt, peer)) continue;
    attempt.is_under_way = false;
    attempt.due = never;
  }
}

void Dialling::greeted(const PeerId& peer) {
  for (auto& [target, attempt] : attempts_) {
    if (belongs(target, attempt, peer)) attempt.failures = 0;
  }
}

void Dialling::unlinked(const PeerId& peer, Instant not_before, Instant now, Rng& rng) {
  linked_.erase(peer);
  for (auto& [target, attempt] : attempts_) {
    if (!belongs(target, attempt, peer)) continue;
    pause(attempt, now, rng);
    attempt.due =
        own_addresses_.contains(target.address) ? never : std::max(attempt.due, not_before);
  }
}

std::vector<PeerId> Dialling::failed(const std::string& address, Instant now, Rng& rng) {
  std::erase_if(attempts_, [&](const auto& item) {
    return item.second.is_hint && item.second.is_under_way && item.first.address == address;
  });
  std::vector<PeerId> meant;
  for (auto& [target, attempt] : attempts_) {
    if (target.address != address || !attempt.is_under_way) continue;
    pause(attempt, now, rng);
    if (target.expected) meant.push_back(*target.expected);
    if (!target.expected && attempt.reached) meant.push_back(*attempt.reached);
  }
  return meant;
}

std::vector<Open> Dialling::due(Instant now, Rng& rng, bool with_seeds) {
  std::vector<Open> opens;
  std::set<std::string> busy_addresses;
  std::set<PeerId> busy_peers;
  std::erase_if(attempts_, [&](const auto& item) {
    return item.second.is_hint && item.second.is_under_way && item.second.due <= now;
  });
  for (auto& [target, attempt] : attempts_) {
    if (attempt.is_under_way && attempt.due <= now) pause(attempt, now, rng);
    if (!attempt.is_under_way) continue;
    busy_addresses.insert(target.address);
    if (target.expected) busy_peers.insert(*target.expected);
  }
  for (auto& [target, attempt] : attempts_) {
    if (attempt.is_under_way || attempt.due > now) continue;
    if (attempt.reached && !with_seeds) {
      attempt.due = now.after(config_.redial_delay_max_ms);
      continue;
    }
    const bool is_busy = busy_addresses.contains(target.address) ||
                         (target.expected && busy_peers.contains(*target.expected));
    if (is_busy) {
      attempt.due = now.after(config_.redial_delay_min_ms);
      continue;
    }
    attempt.is_under_way = true;
    attempt.due = now.after(dial_timeout_ms);
    busy_addresses.insert(target.address);
    if (target.expected) busy_peers.insert(*target.expected);
    opens.push_back({target.address, target.expected});
  }
  return opens;
}

Instant Dialling::next() const {
  Instant earliest = never;
  for (const auto& [target, attempt] : attempts_) earliest = std::min(earliest, attempt.due);
  return earliest;
}

}  // namespace starling::swarm
