// Whom the learner believes, and what it does when the model has become worse: its own doing is
// undone, what others did is left out, and everybody is told.
#include <algorithm>

#include "node/learner.h"
#include "node/log.h"

namespace starling::node {

using std::chrono::steady_clock;

// Decides anew whom to believe, and tells of every change of mind.
void Learner::judge() {
  const swarm::Judged judged =
      wiring_.mind->judge([this](const auto& key) { return payload(key); });
  if (judged.deltas > 0) {
    ++change_;
    ++base_change_;
  }
  for (const swarm::Ruling& ruling : judged.rulings) {
    char reason[96];
    std::snprintf(reason, sizeof reason,
                  ruling.standing.is_held
                      ? "works against the others: agreement %.2f; what the window held is out"
                      : "works with the others again: agreement %.2f",
                  ruling.standing.agreement);
    const std::string peer = swarm::short_string(ruling.origin);
    const char* event = ruling.standing.is_held ? "delta_held" : "delta_accepted";
    wiring_.events->add(
        event, {{"peer", peer}, {"reason", reason}, {"deltas", std::to_string(ruling.deltas)}});
    log_info(event, {{"peer", peer}, {"reason", reason}});
  }
  for (const swarm::DeltaKey& key : judged.oversized) {
    const std::string peer = swarm::short_string(key.stream.origin);
    const char* reason = "its norm is over four times what is usual";
    wiring_.events->add("delta_held", {{"peer", peer}, {"reason", reason}});
    log_info("delta_held", {{"peer", peer}, {"reason", reason}});
  }
}

// True: the steps since the last exchange made the model worse and are gone.
bool Learner::undo_if_diverged() {
  const std::optional<Mind::Repair> repair =
      wiring_.mind->guard([this](const auto& key) { return payload(key); });
  if (!repair) return false;
  ++change_;
  if (!repair->suspended.empty()) {
    tell_suspended(*repair);
    return false;
  }
  steps_since_exchange_ = 0;
  const std::string reason = "learning diverged: the probe rose from " +
                             std::to_string(repair->good_loss) + " to " +
                             std::to_string(repair->loss) + " bits per byte, undone to " +
                             std::to_string(repair->loss_now);
  const std::string share = std::to_string(wiring_.mind->pace().trust());
  const std::string from = std::to_string(repair->from_step);
  const std::string step = std::to_string(repair->to_step);
  wiring_.events->add(
      "rollback", {{"reason", reason}, {"from_step", from}, {"step", step}, {"rate_share", share}});
  log_warning("rollback",
              {{"reason", reason}, {"from_step", from}, {"step", step}, {"rate_share", share}});
  return true;
}

// What others send can spoil a model that learns nothing itself. While it learns, every exchange
// looks after it.
void Learner::guard_at_rest(bool is_learning) {
  constexpr std::chrono::seconds interval_min{2};
  constexpr int share = 20;  // of the time, one in so many
  const auto start = steady_clock::now();
  if (is_learning || start < guard_at_) return;
  (void)undo_if_diverged();
  const auto end = steady_clock::now();
  guard_at_ = end + std::max<steady_clock::duration>(interval_min, (end - start) * share);
}

void Learner::tell_suspended(const Mind::Repair& repair) {
  char reason[160];
  std::snprintf(
      reason, sizeof reason,
      "the probe rose from %.2f to %.2f bits per byte; without what it sent of late it is "
      "%.2f, so this node goes without",
      repair.good_loss, repair.loss, repair.loss_now);
  for (const swarm::PeerId& origin : repair.suspended) {
    const std::string peer = swarm::short_string(origin);
    wiring_.events->add("delta_held", {{"peer", peer}, {"reason", reason}});
    log_warning("delta_held", {{"peer", peer}, {"reason", reason}});
    const swarm::Harm harm{repair.good_loss, repair.loss, repair.loss_now};
    (void)wiring_.to_swarm(swarm::Accuse{
        swarm::accuse(wiring_.identity->signer(), wiring_.mind->swarm(), origin, harm)});
  }
}

}  // namespace starling::node
