#include "node/learner.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "node/clock.h"
#include "node/file_hash.h"
#include "node/log.h"
#include "node/mind_sections.h"

namespace starling::node {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr double average_decay = 0.9;  // of the loss that is shown: about the last ten steps
constexpr uint32_t failed_steps_max = 10;
constexpr milliseconds idle_wait{1000};
constexpr milliseconds announce_interval{500};
// What answers read is renewed so often, and not so often that it takes more than such a share of
// the time.
constexpr std::chrono::seconds renew_interval{2};
constexpr int renew_share_used = 50, renew_share_unused = 200;  // one in so many
constexpr std::chrono::seconds served_unused_max{30};
constexpr int learner_nice = 10;  // answering comes before learning

double seconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

void average(double& mean, double value) {
  mean = mean == 0 ? value : average_decay * mean + (1 - average_decay) * value;
}

}  // namespace

Learner::Learner(LearnerWiring wiring)
    : wiring_(std::move(wiring)),
      schedule_(wiring_.config),
      paused_(wiring_.is_paused),
      trouble_(wiring_.trouble) {
  finished_ = schedule_.is_finite() &&
              schedule_.is_over(wiring_.mind->step_count(), wiring_.mind->learned_seconds());
  deltas_at_snapshot_ = wiring_.mind->exchange().applied().delta_count();
  started_ = exchanged_ = saved_ = announced_at_ = rest_until_ = renew_at_ = guard_at_ = asked_at_ =
      steady_clock::now();
}

Learner::~Learner() { stop(); }

void Learner::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

bool Learner::stop() {
  if (!thread_.joinable()) return is_saved_;
  thread_.request_stop();
  queue_.close();
  thread_.join();
  return is_saved_;
}

bool Learner::deliver(swarm::Deliver delivery, bool is_in_log) {
  if (is_in_log && queue_.size() > queue_frames_max) delivery.frame = nullptr;
  return queue_.push(std::move(delivery));
}

bool Learner::install(const swarm::SnapshotOffer& offer, const std::string& path) {
  return queue_.push(Install{offer, path});
}

LearnerReport Learner::report() const {
  std::lock_guard lock(mutex_);
  return report_;
}

void Learner::run(const std::stop_token& stop) {
  // Per thread on Linux: the threads that answer keep their priority.
  setpriority(PRIO_PROCESS, 0, learner_nice);
  Cores cores(wiring_.config.model.threads);
  ForeignLoad foreign;
  started_ = saved_ = steady_clock::now();
  if (!is_log_complete()) offer_snapshot();  // a newcomer could not be served from the log alone
  judge();
  tell_base();  // not only after the first exchange
  while (!stop.stop_requested()) {
    while (std::optional<Command> command = queue_.try_pop()) execute(std::move(*command));
    after_commands();
    std::string state;
    const std::string reason = why_not_learning(state);
    announce_base(reason.empty() && !personal_since_);
    guard_at_rest(reason.empty() && !personal_since_);
    renew_served(reason.empty());
    if (reason.empty() && steady_clock::now() >= rest_until_) {
      learn_one_step();
      const auto now = steady_clock::now();
      cores.stepped({.foreign = foreign.cores(now), .answers = wiring_.answers()}, now);
      continue;
    }
    cores.give_back();
    if (!reason.empty()) {
      // A short text ends between two exchanges; what it taught is for the others too.
      if (state == "serving" && has_unsent() && !personal_since_) exchange();
      if (state != "waiting-for-peers") wiring_.mind->rest();
      set_state(state, reason,
                state == "idle"     ? "starling learn FILE gives it something to learn"
                : state == "paused" ? "starling resume lets it learn again, also after a restart"
                                    : what_waits());
    }
    const auto wake =
        reason.empty()
            ? std::min(rest_until_, steady_clock::now() + idle_wait)
            : steady_clock::now() + (base_change_ != announced_ ? announce_interval : idle_wait);
    if (std::optional<Command> command = queue_.pop_until(wake)) execute(std::move(*command));
  }
  cores.give_back();
  set_state("stopping", "asked to stop", "a last checkpoint, then the end");
  while (std::optional<Command> command = queue_.try_pop()) execute(std::move(*command));
  const auto saved = save();
  is_saved_ = saved.has_value();
  if (!saved) log_error("checkpoint", {{"error", saved.error().message}});
}

bool Learner::is_log_complete() const {
  swarm::VersionVector logged;
  for (const DeltaStore::Entry& entry : wiring_.log->entries()) logged.insert(entry.key);
  return logged.missing_from(wiring_.mind->exchange().applied(), 1).empty();
}

void Learner::execute(Command command) {
  if (auto* delivery = std::get_if<swarm::Deliver>(&command)) {
    take_in(*delivery);
  } else if (auto* install = std::get_if<Install>(&command)) {
    install_now(*install);
  } else {
    std::get<Task>(command)(*wiring_.mind);
  }
}

void Learner::take_in(swarm::Deliver& delivery) {
  if (!delivery.frame) {
    apply_stored(delivery.key);
    return;
  }
  const auto opened = swarm::open(*delivery.frame, wiring_.mind->swarm());
  assert(opened.has_value());  // verified on arrival
  if (wiring_.mind->accept(delivery.key, delivery.summary, opened->payload, unix_s())) {
    ++change_;
    ++base_change_;
  }
}

bool Learner::apply_stored(const swarm::DeltaKey& key) {
  const Result<swarm::Bytes, std::string> frame = wiring_.log->read(key);
  if (!frame) {
    trouble_ = "a delta could not be read back: " + frame.error();
    return false;
  }
  const bool applied = wiring_.mind->accept_frame(key, *frame, unix_s());
  change_ += applied;
  base_change_ += applied;
  return applied;
}

// Of a delta in the log.
std::optional<swarm::Bytes> Learner::payload(const swarm::DeltaKey& key) const {
  const Result<swarm::Bytes, std::string> frame = wiring_.log->read(key);
  if (!frame) return std::nullopt;
  const auto opened = swarm::open(*frame, wiring_.mind->swarm());
  if (!opened) return std::nullopt;
  return swarm::Bytes(opened->payload.begin(), opened->payload.end());
}

// Puts a snapshot in place of the base and adds again what the old base held beyond it. Refused,
// with the reason, when something of that is in the log no more: it would be lost.
std::string Learner::take_over(Mind::Known known) {
  Mind& mind = *wiring_.mind;
  const swarm::VersionVector& held = known.applied;
  const swarm::VersionVector before = mind.exchange().applied();
  swarm::VersionVector after = held;
  std::vector<swarm::DeltaKey> again;
  for (const DeltaStore::Entry& entry : wiring_.log->entries()) {
    if (!before.contains(entry.key) || held.contains(entry.key)) continue;
    after.insert(entry.key);
    again.push_back(entry.key);
  }
  if (!after.missing_from(before, 1).empty()) return "it lacks deltas that our log no longer holds";
  mind.replace_base(std::move(known));
  for (const swarm::DeltaKey& key : again) apply_stored(key);
  return "";
}

void Learner::install_now(const Install& install) {
  Mind& mind = *wiring_.mind;
  std::string failure;
  auto fault = swarm::SnapshotInstalled::Fault::file;
  const Result<LoadedCheckpoint, std::string> file = wiring_.snapshots->load(install.path);
  if (!file) {
    failure = file.error();
  } else if (auto base = mind.read_base_sections(file->sections); !base) {
    failure = base.error();
  } else if (failure = mind.difference(*base, install.offer); failure.empty()) {
    fault = swarm::SnapshotInstalled::Fault::here;
    failure = take_over(std::move(*base));
  }
  if (failure.empty()) {
    follow_outcasts();
    ++change_;
    ++base_change_;
  }
  if (!failure.empty()) log_error("snapshot refused", {{"file", install.path}, {"error", failure}});
  std::error_code ignored_missing;
  std::filesystem::remove(install.path, ignored_missing);
  wiring_.events->add("snapshot",
                      {{"installed", failure.empty() ? "true" : "false"}, {"error", failure}});
  (void)wiring_.to_swarm(swarm::SnapshotInstalled{install.offer, failure.empty(), failure, fault});
  if (failure.empty()) offer_snapshot();  // our log cannot serve what came with it
}

// Empty: it may learn now. Otherwise the reason, and the state that goes with it.
std::string Learner::why_not_learning(std::string& state) const {
  if (paused_)
    return state = "paused", "paused by its owner: it learns nothing, answers and exchanges";
  if (failed_steps_ >= failed_steps_max) return state = "degraded", trouble_;
  if (finished_)
    return state = "serving",
           "finished its " + std::to_string(wiring_.mind->step_count()) + " steps";
  if (!wiring_.mind->has_data()) return state = "idle", "has nothing to learn yet";
  if (schedule_.is_rested_out(wiring_.mind->passes())) {
    return state = "serving",
           "has read all it was given " + std::to_string(wiring_.mind->passes()) + " times";
  }
  if (!schedule_.is_allowed_at(minute_of_day()))
    return state = "serving", "learns only at " + schedule_.hours();
  const Config::Swarm& swarm = wiring_.config.swarm;
  if (swarm.exchange && !has_waited_ && seconds_since(started_) < swarm.wait_s) {
    const uint32_t here = wiring_.view().neighbours + 1;
    if (here < swarm.wait_for_members) {
      return state = "waiting-for-peers", std::to_string(here) + " of " +
                                              std::to_string(swarm.wait_for_members) +
                                              " members are here";
    }
  }
  return {};
}

bool Learner::is_over() const {
  const Mind& mind = *wiring_.mind;
  if (personal_since_) return mind.step_count() - *personal_since_ >= schedule_.personal_steps();
  if (!wiring_.config.swarm.exchange || !schedule_.has_steps()) {
    return schedule_.is_over(mind.step_count(), mind.learned_seconds());
  }
  return schedule_.is_over_in_swarm(mind.step_count(), wiring_.view().median_step);
}

void Learner::learn_one_step() {
  has_waited_ = true;
  Mind& mind = *wiring_.mind;
  const std::string waits = what_waits();
  set_state(trouble_.empty() ? "learning" : "degraded", trouble_,
            !waits.empty() ? waits
                           : "exchange in " +
                                 std::to_string(wiring_.config.swarm.steps_per_exchange -
                                                steps_since_exchange_) +
                                 " steps");
  const auto start = steady_clock::now();
  // A node that lags behind cools with the others: its full steps would undo what they have
  // settled. One that is new among old ones has its own run before it.
  const uint64_t own_step = mind.step_count(), median_step = wiring_.view().median_step;
  const uint64_t swarm_step =
      own_step >= median_step / 2 ? std::max(own_step, median_step) : own_step;
  const double rate = personal_since_
                          ? schedule_.personal_rate(own_step - *personal_since_)
                          : schedule_.learning_rate({.own_step = own_step,
                                                     .swarm_step = swarm_step,
                                                     .learned_seconds = mind.learned_seconds(),
                                                     .pace = mind.pace().share(),
                                                     .trust = mind.pace().trust()});
  const auto outcome = mind.step(rate);
  if (!outcome) {
    ++failed_steps_;
    trouble_ = "a step failed: " + outcome.error().what;
    log_error("step failed", {{"error", outcome.error().what}});
    if (undo_if_diverged()) return;
    if (failed_steps_ >= failed_steps_max) publish_report();
    return;
  }
  failed_steps_ = 0;
  ++change_;
  tokens_ += outcome->predicted;
  average(loss_, outcome->loss);
  if (outcome->is_text_only) average(bits_per_byte_, outcome->loss);
  ++steps_since_exchange_;
  const bool is_due = steps_since_exchange_ >= wiring_.config.swarm.steps_per_exchange;
  if (is_due && !personal_since_) exchange();
  const double seconds = seconds_since(start);
  mind.add_learned_seconds(seconds);
  if (const double rest = schedule_.rest_after(seconds); rest > 0) {
    rest_until_ = steady_clock::now() + std::chrono::duration_cast<steady_clock::duration>(
                                            std::chrono::duration<double>(rest));
  }
  if (is_over()) end_part();
}

// The shared part is followed by the personal one, if there is one, and that by the end.
void Learner::end_part() {
  if (personal_since_ || schedule_.personal_steps() == 0 || !wiring_.config.swarm.exchange) {
    return finish();
  }
  exchange();
  wiring_.mind->adopt_unsent();
  ++change_;
  personal_since_ = wiring_.mind->step_count();
}

void Learner::exchange() {
  if (undo_if_diverged()) return;
  steps_since_exchange_ = 0;
  Mind& mind = *wiring_.mind;
  wiring_.events->add(
      "learned", {{"step", std::to_string(mind.step_count())}, {"loss", std::to_string(loss_)}});
  if (!wiring_.config.swarm.exchange) {
    mind.end_interval_alone();
    return;
  }
  judge();
  tell_base();
  const swarm::SwarmView view = wiring_.view();
  const std::optional<uint64_t> payload_bytes = payload_bytes_max(view);
  owes_delta_ = !payload_bytes;
  if (owes_delta_) return;  // what was learned is in the next one
  exchanged_ = steady_clock::now();
  std::optional<swarm::Publish> publication =
      mind.publish(view, *payload_bytes, wiring_.identity->signer(), unix_s());
  ++change_;
  if (!publication) return;
  ++base_change_;
  wiring_.events->add("delta_sent", {{"seq", std::to_string(publication->header.seq)},
                                     {"bytes", std::to_string(publication->frame->size())},
                                     {"norm", std::to_string(publication->summary.norm)}});
  // The own log first: a delta that others have and we lost would be pulled back, but it need not
  // come to that.
  const swarm::DeltaKey key{{wiring_.identity->id(), publication->header.epoch},
                            publication->header.seq};
  if (const auto stored = wiring_.log->append(key, *publication->frame); !stored)
    trouble_ = stored.error();
  if (!wiring_.to_swarm(std::move(*publication))) trouble_ = "the protocol thread does not keep up";
}

void Learner::finish() {
  if (steps_since_exchange_ > 0 && !personal_since_) exchange();
  finished_ = true;
  wiring_.mind->rest();
  if (const auto saved = save(); !saved)
    log_error("checkpoint", {{"error", saved.error().message}});
}

void Learner::after_commands() {
  if (wiring_.mind->exchange().applied().delta_count() >= deltas_at_snapshot_ + deltas_per_snapshot)
    offer_snapshot();
  if (seconds_since(saved_) >= wiring_.config.checkpoint.interval_s &&
      (change_ > 1 || !wiring_.trouble.empty())) {
    if (const auto saved = save(); !saved)
      log_error("checkpoint", {{"error", saved.error().message}});
  }
  publish_report();
}

// While it learns, only as of the last exchange: judging again for every delta that comes would
// cost more than it tells. A hash is told only of a base that has been judged.
void Learner::announce_base(bool is_learning) {
  if (is_learning || announced_ == base_change_) return;
  if (steady_clock::now() - announced_at_ < announce_interval) return;
  judge();
  tell_base();
}

void Learner::tell_base() {
  if (announced_ == base_change_) return;
  announced_ = base_change_;
  announced_at_ = steady_clock::now();
  const swarm::Exchange& exchange = wiring_.mind->exchange();
  const swarm::Digest hash = exchange.base().hash();
  {
    std::lock_guard lock(mutex_);
    report_.base_hash = hash;
    report_.deltas = exchange.applied().delta_count();
    report_.held = exchange.judgement().apart_count();
    report_.lateness = exchange.lateness();
  }
  (void)wiring_.to_swarm(swarm::BaseReached{exchange.applied(), hash});
  (void)wiring_.to_swarm(swarm::Progress{wiring_.mind->step_count(),
                                         static_cast<float>(bits_per_byte_),
                                         !finished_ && !paused_ && wiring_.mind->has_data()});
}

void Learner::offer_snapshot() {
  Mind& mind = *wiring_.mind;
  const auto settled = mind.exchange().settled([this](const auto& key) { return payload(key); });
  deltas_at_snapshot_ = mind.exchange().applied().delta_count();
  if (!settled) {
    trouble_ = "no snapshot for newcomers: a delta could not be read back";
    return;
  }
  const Result<std::string, std::string> path =
      wiring_.snapshots->write(mind.step_count(), mind.base_sections(*settled));
  if (!path) {
    trouble_ = "no snapshot for newcomers: " + path.error();
    return;
  }
  const std::optional<FileFacts> facts = hash_file(*path);
  if (!facts) {
    trouble_ = "the snapshot " + *path + " cannot be read back";
    return;
  }
  const swarm::VersionVector& applied = settled->applied;
  wiring_.events->add("snapshot",
                      {{"file", *path}, {"deltas", std::to_string(applied.delta_count())}});
  wiring_.offer({settled->hash, facts->hash, facts->size, applied}, *path);
  if (std::vector<swarm::DeltaKey> dropped = wiring_.log->trim(applied); !dropped.empty()) {
    (void)wiring_.to_swarm(swarm::Forgotten{std::move(dropped)});
  }
}

Result<std::string, Failure> Learner::save() {
  saved_ = steady_clock::now();
  (void)undo_if_diverged();  // what is saved is good
  wiring_.log->sync();
  const Result<std::string, std::string> path =
      wiring_.checkpoints->write(wiring_.mind->step_count(), wiring_.mind->sections());
  if (!path) {
    trouble_ = "no checkpoint: " + path.error();
    return Unexpected{Failure{FailureKind::exhausted, path.error()}};
  }
  if (trouble_.starts_with("no checkpoint")) trouble_.clear();
  // What was damaged when it started is behind it: what there is now is whole on disk.
  if (trouble_ == wiring_.trouble) trouble_.clear();
  wiring_.trouble.clear();
  return *path;
}

// The weights as they are now.
std::shared_ptr<const Served> Learner::served() {
  if (served_ && served_change_ == change_) return served_;
  auto fresh = std::make_shared<const Served>(wiring_.mind->snapshot(),
                                              wiring_.config.serve.weights == "int8");
  served_change_ = change_;
  std::lock_guard lock(mutex_);
  return served_ = std::move(fresh);
}

// While it learns there is always something to answer from, so that nobody who asks waits for a
// step to end, nor for its quantising. Otherwise it is there while somebody asks.
void Learner::renew_served(bool is_learning) {
  const auto start = steady_clock::now();
  bool is_used = false;
  {
    std::lock_guard lock(mutex_);
    is_used = start - asked_at_ < served_unused_max;
    if (!is_learning && !is_used) served_ = nullptr;
  }
  const bool is_changed = !served_ || served_change_ != change_;
  if (start < renew_at_ || !is_changed || (!is_learning && !served_)) return;
  (void)served();
  const auto end = steady_clock::now();
  const auto least = (end - start) * (is_used ? renew_share_used : renew_share_unused);
  renew_at_ = end + std::max<steady_clock::duration>(renew_interval, least);
}

void Learner::set_state(const std::string& state, const std::string& reason,
                        const std::string& next) {
  std::string before;
  {
    std::lock_guard lock(mutex_);
    before = report_.state;
    report_.reason = trouble_.empty() || reason == trouble_ ? reason
                     : reason.empty()                       ? trouble_
                                                            : reason + "; trouble: " + trouble_;
    report_.next = next;
    if (before == state) return;
    report_.state = state;
    report_.since_s = unix_s();
  }
  wiring_.events->add("state_changed", {{"from", before}, {"to", state}, {"reason", reason}});
  log_info("state", {{"from", before}, {"to", state}, {"reason", reason}});
}

void Learner::publish_report() {
  const Mind& mind = *wiring_.mind;
  std::lock_guard lock(mutex_);
  report_.step = mind.step_count();
  report_.loss = loss_;
  report_.tokens = tokens_;
  report_.bits_per_byte = bits_per_byte_;
  report_.published = mind.published();
  report_.bits_per_parameter = mind.bits_per_parameter();
  report_.is_finished = finished_;
  report_.is_paused = paused_;
  report_.sources = mind.sources();
}

}  // namespace starling::node
