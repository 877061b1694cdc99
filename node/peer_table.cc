#include "node/peer_table.h"

#include <algorithm>

namespace starling::node {
namespace {

constexpr char banned_name[] = "banned";
constexpr char revoked_name[] = "revoked";
constexpr char displaced_name[] = "displaced_member";
constexpr char stopping_text[] = "this node is stopping";
constexpr char itself_text[] = "it is this node itself";
constexpr char replaced_text[] = "replaced by a newer link";

std::string text_of(const std::string& unwelcome) {
  if (unwelcome == banned_name) return "it is banned here";
  if (unwelcome == revoked_name) return "its membership was revoked";
  return "another device joined with the same invite";
}

}  // namespace

std::optional<std::string> PeerTable::reserve(const PeerProof& proof, uint64_t dial) {
  std::lock_guard lock(mutex_);
  if (is_stopped_) return stopping_text;
  if (proof.id == self_) return itself_text;
  if (const auto name = unwelcome(proof)) return text_of(*name);
  const auto linked = links_.find(proof.id);
  if (linked != links_.end() && linked->second->proof().boot == proof.boot) return "already linked";
  const bool is_dialled = std::any_of(dialling_.begin(), dialling_.end(), [&](const auto& entry) {
    return entry.second == proof.id && entry.first != dial;
  });
  if (is_dialled) return "already being dialled";
  dialling_[dial] = proof.id;
  return std::nullopt;
}

void PeerTable::release(uint64_t dial) {
  std::lock_guard lock(mutex_);
  dialling_.erase(dial);
}

// Makes `link` the peer's link and returns the one it replaces, whose stream the caller ends
// without the lock.
std::shared_ptr<PeerLink> PeerTable::put(const std::shared_ptr<PeerLink>& link) {
  std::shared_ptr<PeerLink>& place = links_[link->proof().id];
  std::shared_ptr<PeerLink> old = std::exchange(place, link);
  if (old != nullptr) old->end(replaced_text);
  link->begin();
  return old;
}

std::optional<std::string> PeerTable::admit_inbound(const std::shared_ptr<PeerLink>& link) {
  const swarm::PeerId& peer = link->proof().id;
  std::shared_ptr<PeerLink> old;
  {
    std::lock_guard lock(mutex_);
    if (is_stopped_) return stopping_text;
    if (peer == self_) return itself_text;
    if (const auto name = unwelcome(link->proof())) return text_of(*name);
    if (!inbound_.take(peer, std::chrono::steady_clock::now())) return "too many streams at once";
    if (self_ < peer) {
      const bool is_dialled = std::any_of(dialling_.begin(), dialling_.end(),
                                          [&](const auto& entry) { return entry.second == peer; });
      if (is_dialled) return "both dialled, and the other link stays";
      const auto linked = links_.find(peer);
      if (linked != links_.end()) {
        const PeerLink& current = *linked->second;
        const bool is_young =
            std::chrono::steady_clock::now() - current.begun_at() < crossing_time_;
        if (current.is_dialled() && current.proof().boot == link->proof().boot && is_young) {
          return "both dialled, and the other link stays";
        }
      }
    }
    old = put(link);
  }
  if (old != nullptr) old->stop_stream(replaced_text);
  return std::nullopt;
}

std::optional<std::string> PeerTable::admit_dialled(const std::shared_ptr<PeerLink>& link,
                                                    uint64_t dial) {
  std::shared_ptr<PeerLink> old;
  {
    std::lock_guard lock(mutex_);
    dialling_.erase(dial);
    if (is_stopped_) return stopping_text;
    if (const auto name = unwelcome(link->proof())) return text_of(*name);
    old = put(link);
  }
  if (old != nullptr) old->stop_stream(replaced_text);
  return std::nullopt;
}

void PeerTable::drop(PeerLink& link, const std::string& reason) {
  std::lock_guard lock(mutex_);
  const auto linked = links_.find(link.proof().id);
  if (linked != links_.end() && linked->second.get() == &link) {
    link.end(reason);
    links_.erase(linked);
  }
}

void PeerTable::dial_failed(const std::string& address, const std::string& reason) {
  std::lock_guard lock(mutex_);
  if (!is_stopped_) sink_(swarm::DialFailed{.address = address, .reason = reason});
}

void PeerTable::met_itself(const PeerProof& proof, const std::string& address) {
  std::lock_guard lock(mutex_);
  if (is_stopped_) return;
  sink_(swarm::LinkUp{
      .peer = proof.id, .membership = proof.membership, .address = address, .dialled = true});
  sink_(swarm::LinkDown{.peer = proof.id, .reason = itself_text});
}

std::shared_ptr<PeerLink> PeerTable::find(const swarm::PeerId& peer) const {
  std::lock_guard lock(mutex_);
  const auto linked = links_.find(peer);
  return linked == links_.end() ? nullptr : linked->second;
}

void PeerTable::send(const swarm::PeerId& to, swarm::SharedBytes frame) {
  if (const std::shared_ptr<PeerLink> link = find(to)) link->send(std::move(frame));
}

void PeerTable::close(const swarm::PeerId& peer, const std::string& reason) {
  if (const std::shared_ptr<PeerLink> link = find(peer)) link->close(reason);
}

void PeerTable::ban(const swarm::PeerId& peer) {
  {
    std::lock_guard lock(mutex_);
    banned_.insert(peer);
  }
  close(peer, "banned");
}

void PeerTable::set_admissions(std::shared_ptr<const swarm::Admissions> admissions) {
  std::lock_guard lock(mutex_);
  admissions_ = std::move(admissions);
}

std::optional<std::string> PeerTable::unwelcome(const PeerProof& proof) const {
  if (banned_.contains(proof.id)) return banned_name;
  if (admissions_ == nullptr) return std::nullopt;
  if (admissions_->expelled().contains(proof.id)) return revoked_name;
  switch (admissions_->standing(proof.membership)) {
    case swarm::Admissions::Standing::good:
      return std::nullopt;
    case swarm::Admissions::Standing::revoked:
      return revoked_name;
    case swarm::Admissions::Standing::displaced:
      return displaced_name;
  }
  return std::nullopt;
}

std::optional<std::string> PeerTable::why_unwelcome(const PeerProof& proof) const {
  std::lock_guard lock(mutex_);
  return unwelcome(proof);
}

void PeerTable::stop(const std::string& reason) {
  Links links;
  {
    std::lock_guard lock(mutex_);
    is_stopped_ = true;
    links.swap(links_);
    for (const auto& [peer, link] : links) link->end(reason);
  }
  for (const auto& [peer, link] : links) link->stop_stream(reason);
}

}  // namespace starling::node
