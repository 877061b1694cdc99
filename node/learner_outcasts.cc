// What the learner does with members that were shut out: their deltas leave the base, and come back
// with one that has its place again.
#include "node/learner.h"
#include "node/log.h"

namespace starling::node {

void Learner::follow_admissions(std::shared_ptr<const swarm::Admissions> admissions) {
  const bool is_queued = queue_.push(Task([this, admissions = std::move(admissions)](Mind&) {
    admissions_ = admissions;
    follow_outcasts();
  }));
  if (!is_queued)
    log_error("learner stuck", {{"effect", "a revoked member's deltas stay until the next start"}});
}

void Learner::follow_outcasts() {
  if (admissions_ == nullptr) return;
  const bool is_less = expel_outcasts(), is_more = reinstate_members();
  if (!is_less && !is_more) return;
  ++change_;
  ++base_change_;
  judge();
  // A newcomer must not get them from an old snapshot.
  if (!wiring_.snapshots->list().empty()) offer_snapshot();
}

// A node that was shut out itself keeps what it taught: nobody has to agree with it any more.
bool Learner::expel_outcasts() {
  Mind& mind = *wiring_.mind;
  bool is_changed = false;
  for (const swarm::PeerId& peer : admissions_->outcasts()) {
    if (peer == wiring_.identity->id() || mind.exchange().judgement().is_expelled(peer)) continue;
    const auto expelled = mind.expel(peer, [this](const auto& key) { return payload(key); });
    is_changed = true;
    if (expelled.withdrawn + expelled.kept == 0) continue;
    const std::string who = swarm::short_string(peer);
    const std::string withdrawn = std::to_string(expelled.withdrawn);
    const std::string kept = std::to_string(expelled.kept);
    wiring_.events->add("deltas_withdrawn", {{"peer", who}, {"deltas", withdrawn}, {"kept", kept}});
    log_info("deltas withdrawn", {{"peer", who}, {"deltas", withdrawn}, {"kept", kept}});
    if (expelled.kept > 0) {
      trouble_ = kept +
                 " deltas of a member that was shut out are older than this log and stay in the "
                 "base";
    }
  }
  return is_changed;
}

// Only whom the set knows as a member: a snapshot may leave out what this node has not heard of.
bool Learner::reinstate_members() {
  Mind& mind = *wiring_.mind;
  bool is_changed = false;
  const std::set<swarm::PeerId> expelled = mind.exchange().judgement().expelled();
  for (const swarm::PeerId& peer : expelled) {
    if (!admissions_->is_in_good_standing(peer)) continue;
    const size_t count = mind.reinstate(peer, [this](const auto& key) { return payload(key); });
    is_changed = true;
    const std::string who = swarm::short_string(peer), deltas = std::to_string(count);
    wiring_.events->add("deltas_reinstated", {{"peer", who}, {"deltas", deltas}});
    log_info("deltas reinstated", {{"peer", who}, {"deltas", deltas}});
  }
  return is_changed;
}

}  // namespace starling::node
