// What the learner does with members that were revoked: their deltas leave the base.
#include "node/learner.h"
#include "node/log.h"

namespace starling::node {

void Learner::expel(std::set<swarm::PeerId> revoked) {
  const bool is_queued = queue_.push(Task([this, revoked = std::move(revoked)](Mind&) {
    revoked_ = revoked;
    expel_now();
  }));
  if (!is_queued)
    log_error("learner stuck", {{"effect", "a revoked member's deltas stay until the next start"}});
}

// A node that was revoked itself keeps what it taught: nobody has to agree with it any more.
void Learner::expel_now() {
  Mind& mind = *wiring_.mind;
  bool is_changed = false;
  for (const swarm::PeerId& peer : revoked_) {
    if (peer == wiring_.identity->id() || mind.exchange().judgement().is_expelled(peer)) continue;
    const auto expelled = mind.expel(peer, [this](const auto& key) { return payload(key); });
    is_changed = true;
    if (expelled.withdrawn + expelled.kept == 0) continue;
    const std::string withdrawn = std::to_string(expelled.withdrawn);
    const std::string kept = std::to_string(expelled.kept);
    const std::map<std::string, std::string> fields{
        {"peer", swarm::short_string(peer)}, {"deltas", withdrawn}, {"kept", kept}};
    wiring_.events->add("deltas_withdrawn", fields);
    log_info("deltas withdrawn",
             {{"peer", swarm::short_string(peer)}, {"deltas", withdrawn}, {"kept", kept}});
    if (expelled.kept > 0) {
      trouble_ = kept + " deltas of a revoked member are older than this log and stay in the base";
    }
  }
  if (!is_changed) return;
  ++change_;
  ++base_change_;
  judge();
  // A newcomer must not get them from an old snapshot.
  if (!wiring_.snapshots->list().empty()) offer_snapshot();
}

}  // namespace starling::node
