// What the owner asks of the learner: each is a task in its queue.
#include "node/learner.h"
#include "node/log.h"

namespace starling::node {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

Result<std::string, Failure> Learner::go_back() {
  const std::vector<std::string> paths = wiring_.checkpoints->list();
  // The newest is what it is now, or close to it: the one before is what "back" means.
  for (size_t i = 1; i < paths.size(); ++i) {
    const Result<LoadedCheckpoint, std::string> file = wiring_.checkpoints->load(paths[i]);
    if (!file) continue;
    // The base is the swarm's and stays; only what this node made of it goes back.
    Mind::Known known = wiring_.mind->known();
    if (const auto restored = wiring_.mind->restore(file->sections); !restored) continue;
    wiring_.mind->replace_base(std::move(known));
    finished_ = schedule_.is_finite() &&
                schedule_.is_over(wiring_.mind->step_count(), wiring_.mind->learned_seconds());
    ++change_;
    ++base_change_;
    steps_since_exchange_ = 0;
    failed_steps_ = 0;
    trouble_.clear();
    if (const auto saved = save(); !saved) return Unexpected{saved.error()};
    const std::string step = std::to_string(file->step);
    wiring_.events->add("rollback", {{"file", paths[i]}, {"step", step}});
    log_info("rollback", {{"file", paths[i]}, {"step", step}});
    return paths[i];
  }
  return Unexpected{
      Failure{FailureKind::not_found, "there is no earlier checkpoint to go back to"}};
}

std::optional<Result<TeachOutcome, Failure>> Learner::teach(const model::Pair& pair,
                                                            uint32_t steps_max,
                                                            milliseconds timeout) {
  const auto should_stop = [stop = thread_.get_stop_token()] { return stop.stop_requested(); };
  return call(
      [this, pair, steps_max, should_stop](Mind& mind) {
        ++change_;
        return mind.teach(pair, steps_max, should_stop);
      },
      timeout);
}

bool Learner::follow(const Config& fresh, milliseconds timeout) {
  const auto take_over = [this, fresh](Mind&) {
    Config& own = wiring_.config;
    own.limits.cpu_percent = fresh.limits.cpu_percent;
    own.limits.hours = fresh.limits.hours;
    own.checkpoint.interval_s = fresh.checkpoint.interval_s;
    schedule_ = Schedule(own);
    rest_until_ = steady_clock::now();
    return true;
  };
  return call(take_over, timeout).has_value();
}

bool Learner::set_paused(bool paused, milliseconds timeout) {
  return call([this, paused](Mind&) { return paused_ = paused, true; }, timeout).has_value();
}

std::optional<Result<std::string, Failure>> Learner::write_checkpoint(milliseconds timeout) {
  const auto save_and_tell = [this](Mind& mind) {
    Result<std::string, Failure> path = save();
    if (path) {
      const std::string step = std::to_string(mind.step_count());
      wiring_.events->add("snapshot", {{"file", *path}, {"step", step}});
      log_info("checkpoint written", {{"file", *path}, {"step", step}});
    }
    return path;
  };
  return call(save_and_tell, timeout);
}

std::optional<Result<std::string, Failure>> Learner::roll_back(milliseconds timeout) {
  const auto go_back_and_serve = [this](Mind&) {
    Result<std::string, Failure> path = go_back();
    if (path) (void)served();
    return path;
  };
  return call(go_back_and_serve, timeout);
}

std::shared_ptr<const Served> Learner::snapshot(bool is_exact, milliseconds timeout) {
  {
    std::lock_guard lock(mutex_);
    asked_at_ = steady_clock::now();
    if (!is_exact && served_) return served_;
  }
  auto fresh = call([this](Mind&) { return served(); }, timeout);
  return fresh ? *fresh : nullptr;
}

}  // namespace starling::node
