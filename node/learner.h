#pragma once
// The one thread that owns the mind: it trains, publishes every H steps, takes in what the swarm
// delivers between two steps, and writes checkpoints. Nobody waits for it to train: what others ask
// of it is a task in its queue, done before the next step; serving reads the snapshots that it
// publishes. Thread: every public function is safe from any thread.
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <variant>

#include "node/checkpoint_store.h"
#include "node/cores.h"
#include "node/delta_store.h"
#include "node/events.h"
#include "node/identity.h"
#include "node/mind.h"
#include "node/queue.h"
#include "node/schedule.h"
#include "node/serving.h"

namespace starling::node {

// What others may know of the learner without waiting for it.
struct LearnerReport {
  std::string state = "starting", reason, next;
  int64_t since_s = 0;
  uint64_t step = 0;
  uint64_t tokens = 0;                 // predicted by steps since start
  double loss = 0, bits_per_byte = 0;  // moving averages; 0: none yet
  swarm::Digest base_hash{};
  uint64_t deltas = 0;  // known to the base: counted in it, or held
  uint64_t held = 0;    // of them
  uint64_t published = 0;
  double bits_per_parameter = 0;
  double lateness = 0;  // of the others' deltas, in exchanges
  bool is_finished = false, is_paused = false;
  uint64_t sources = 0;
};

struct LearnerWiring {
  std::unique_ptr<Mind> mind;
  CheckpointStore* checkpoints = nullptr;  // all pointers outlive the learner
  CheckpointStore* snapshots = nullptr;
  DeltaStore* log = nullptr;
  Events* events = nullptr;
  const Identity* identity = nullptr;
  Config config;
  std::string trouble;     // found at start (a damaged file, say): shown until it is mended
  bool is_paused = false;  // by its owner, before this start
  std::function<bool(swarm::Input)> to_swarm;  // false: the protocol thread does not keep up
  std::function<void(const swarm::SnapshotOffer&, const std::string& path)> offer;
  std::function<swarm::SwarmView()> view;
  std::function<uint32_t()> answers;  // that are being worked on
};

class Learner {
 public:
  static constexpr size_t queue_max = 16384;  // tasks and deliveries
  static constexpr size_t queue_frames_max =
      64;  // beyond this many, deliveries are read back from the log
  static constexpr uint64_t deltas_per_snapshot = 256;

  explicit Learner(LearnerWiring wiring);
  ~Learner();
  void start();
  // Finishes the step, writes a last checkpoint, joins. False: that checkpoint failed.
  bool stop();

  // False: the queue is full. `is_in_log`: its frame can be read back later.
  bool deliver(swarm::Deliver delivery, bool is_in_log);
  bool install(const swarm::SnapshotOffer& offer, const std::string& path);
  // Takes out of the base what these taught, and whatever of them comes.
  void follow_admissions(std::shared_ptr<const swarm::Admissions> admissions);
  LearnerReport report() const;

  // Runs `task` on the learner's thread between two steps. None: it did not get to it before the
  // deadline; then it never will.
  template <typename F>
  auto call(F task, std::chrono::milliseconds timeout)
      -> std::optional<std::invoke_result_t<F, Mind&>> {
    using R = std::invoke_result_t<F, Mind&>;
    struct Shared {
      std::promise<R> promise;
      std::atomic<bool> is_claimed = false;  // by the learner, which runs it, or by us, who gave up
    };
    auto shared = std::make_shared<Shared>();
    std::future<R> future = shared->promise.get_future();
    const bool is_queued = queue_.push(Task([shared, task = std::move(task)](Mind& mind) {
      if (!shared->is_claimed.exchange(true)) shared->promise.set_value(task(mind));
    }));
    if (!is_queued) return std::nullopt;
    if (future.wait_for(timeout) == std::future_status::ready) return future.get();
    if (!shared->is_claimed.exchange(true)) return std::nullopt;
    return future.get();  // it has begun: what it changes must be known to the caller
  }

  // What answers read. `is_exact`: as of now, for which it waits until the step is done; otherwise
  // the published one may serve, which is a few seconds old. Null: the learner did not get to it in
  // time.
  std::shared_ptr<const Served> snapshot(bool is_exact, std::chrono::milliseconds timeout);
  // An immutable copy of the weights as of now, in fp32; null likewise.
  std::shared_ptr<const model::Snapshot> weights(std::chrono::milliseconds timeout) {
    return call([](Mind& mind) { return mind.snapshot(); }, timeout).value_or(nullptr);
  }

  std::optional<Result<TeachOutcome, Failure>> teach(const model::Pair& pair, uint32_t steps_max,
                                                     std::chrono::milliseconds timeout);
  // Upload budget, share of the processor, hours and the checkpoints' interval; the rest stays.
  bool follow(const Config& fresh, std::chrono::milliseconds timeout);
  bool set_paused(bool paused, std::chrono::milliseconds timeout);
  std::optional<Result<std::string, Failure>> write_checkpoint(std::chrono::milliseconds timeout);
  std::optional<Result<std::string, Failure>> roll_back(std::chrono::milliseconds timeout);

 private:
  using Task = std::function<void(Mind&)>;
  struct Install {
    swarm::SnapshotOffer offer;
    std::string path;
  };
  using Command = std::variant<swarm::Deliver, Install, Task>;

  void run(const std::stop_token& stop);
  void execute(Command command);
  void take_in(swarm::Deliver& delivery);
  std::string take_over(Mind::Known known);
  std::optional<swarm::Bytes> payload(const swarm::DeltaKey& key) const;
  void judge();
  bool is_log_complete() const;
  void install_now(const Install& install);
  void follow_outcasts();
  bool expel_outcasts();
  bool reinstate_members();
  bool apply_stored(const swarm::DeltaKey& key);
  std::string why_not_learning(std::string& state) const;
  bool is_over() const;
  void end_part();
  void learn_one_step();
  std::optional<uint64_t> payload_bytes_max(const swarm::SwarmView& view) const;
  std::string what_waits() const;
  bool undo_if_diverged();
  void guard_at_rest(bool is_learning);
  void tell_suspended(const Mind::Repair& repair);
  bool has_unsent() const;
  void exchange();
  void finish();
  void after_commands();
  std::shared_ptr<const Served> served();
  void renew_served(bool is_learning);
  void announce_base(bool is_learning);
  void tell_base();
  void offer_snapshot();
  Result<std::string, Failure> save();
  Result<std::string, Failure> go_back();
  void set_state(const std::string& state, const std::string& reason, const std::string& next);
  void publish_report();

  LearnerWiring wiring_;
  Schedule schedule_;
  Queue<Command> queue_{queue_max};
  std::jthread thread_;

  // Owned by the thread.
  uint64_t steps_since_exchange_ = 0;
  uint64_t change_ = 1;     // counts changes of the weights
  uint64_t announced_ = 0;  // change of the base last announced
  uint64_t base_change_ = 1;
  uint64_t deltas_at_snapshot_ = 0;
  uint64_t served_change_ = 0;  // change of the weights in served_
  uint32_t failed_steps_ = 0;
  std::optional<uint64_t> personal_since_;               // the step at which publishing ended
  std::shared_ptr<const swarm::Admissions> admissions_;  // none: nothing is known yet
  bool paused_ = false;
  bool finished_ = false;
  bool is_saved_ = true;     // the last checkpoint went well
  bool has_waited_ = false;  // for members, once
  bool owes_delta_ = false;  // the budget was too short for the last one
  std::string trouble_;      // why the state is degraded; empty: it is not
  std::chrono::steady_clock::time_point started_, exchanged_, saved_, announced_at_, rest_until_,
      renew_at_, guard_at_;
  double loss_ = 0, bits_per_byte_ = 0;
  uint64_t tokens_ = 0;  // predicted by steps

  mutable std::mutex mutex_;  // guards what follows
  LearnerReport report_;
  std::shared_ptr<const Served> served_;  // written by the thread alone
  std::chrono::steady_clock::time_point asked_at_;
};

}  // namespace starling::node
