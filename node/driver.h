#pragma once
// The protocol thread: it owns the State, feeds it inputs from the transport, the learner and the
// clock, and turns its outputs into deeds (send, dial, store, deliver, say). One of the two
// interpreters of swarm/event.h. Thread: every public function is safe from any thread.
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <variant>

#include "node/delta_store.h"
#include "node/events.h"
#include "node/learner.h"
#include "node/queue.h"
#include "node/state_db.h"
#include "node/transport.h"
#include "swarm/state.h"

namespace starling::node {

struct DriverWiring {
  const Identity* identity = nullptr;  // all pointers outlive the driver
  DeltaStore* log = nullptr;
  StateDb* db = nullptr;
  Events* events = nullptr;
  std::string snapshots;           // directory for incoming snapshot files
  uint64_t snapshot_size_max = 0;  // bytes
  uint64_t seed = 0;
  std::string quiet_hours;
  std::function<void(const swarm::Admissions&)> on_admissions;  // on the protocol thread
};

class Driver {
 public:
  static constexpr size_t queue_max = 1024;      // frames
  static constexpr size_t queue_reserve = 4096;  // more for what does not come from the wire

  explicit Driver(DriverWiring wiring);
  ~Driver();
  // Connects the parts that need the driver themselves. Before start().
  void connect(Transport* transport, Learner* learner);
  // Inputs that come before wait in the queue; `first` goes in before them.
  void start(const swarm::StateOptions& options, std::vector<swarm::Input> first);
  void stop();

  [[nodiscard]] bool push(
      swarm::Input input);        // false: full; what came from a peer is pulled again later
  swarm::SwarmView view() const;  // as of the last input
  // Who was admitted and who is revoked, as of the last change.
  std::shared_ptr<const swarm::Admissions> admissions() const;

  // Makes a snapshot file available to newcomers.
  void offer(const swarm::SnapshotOffer& offer, const std::string& path);

  struct Report {
    std::vector<swarm::MemberView> members;
    swarm::Counters counters;
    swarm::SwarmView view;
    swarm::BudgetView budget;
  };
  // As of now, from the protocol thread. None: it did not answer in time.
  std::optional<Report> report(std::chrono::milliseconds timeout);
  // Who is known and what is had, for a bundle; likewise.
  struct Holdings {
    std::vector<swarm::MemberRecord> members;
    swarm::VersionVector have;
  };
  std::optional<Holdings> holdings(std::chrono::milliseconds timeout);
  // Handles these one after the other and returns what that added to the counters. None: the
  // protocol thread did not get to it in time; it may still.
  std::optional<swarm::Counters> take(std::vector<swarm::Input> inputs,
                                      std::chrono::milliseconds timeout);

 private:
  using Query = std::function<void()>;
  using Item = std::variant<swarm::Input, Query>;

  // Runs `question` on the protocol thread.
  template <typename F>
  auto ask(F question, std::chrono::milliseconds timeout)
      -> std::optional<std::invoke_result_t<F>> {
    auto promise = std::make_shared<std::promise<std::invoke_result_t<F>>>();
    auto future = promise->get_future();
    const bool is_queued =
        queue_.push(Item(Query([promise, question = std::move(question)]() mutable {
                      promise->set_value(question());
                    })),
                    queue_reserve);
    if (!is_queued || future.wait_for(timeout) != std::future_status::ready) return std::nullopt;
    return future.get();
  }
  void run(const std::stop_token& stop);
  void handle(swarm::Input input);
  void act(swarm::Output& output);
  void follow_calendar();
  void send(const swarm::PeerId& to, swarm::SharedBytes frame);
  void send(const swarm::PeerId& to, const swarm::Message& message);
  void send_stored(const swarm::SendStored& request);
  void prove(const swarm::Prove& request);
  void send_chunk(const swarm::SendChunk& request);
  void save_chunk(const swarm::SaveChunk& chunk);
  void install(const swarm::InstallSnapshot& request);
  void notice(const swarm::Notice& notice);
  void follow(const swarm::AdmissionsChanged& changed);
  std::string incoming_path(const swarm::Digest& file_hash) const;

  DriverWiring wiring_;
  swarm::StateOptions options_;
  std::unique_ptr<swarm::State> state_;  // from start() on
  Transport* transport_ = nullptr;
  Learner* learner_ = nullptr;
  Queue<Item> queue_{queue_max};
  uint64_t control_seq_ = 0;
  swarm::Instant calendar_at_{INT64_MIN / 2}, day_saved_at_{INT64_MIN / 2};
  swarm::Digest incoming_{};                   // the snapshot file whose chunks come in
  std::optional<swarm::DeltaKey> not_stored_;  // the last one that the log would not take
  std::vector<swarm::Output> outbox_;
  std::map<swarm::Digest, std::string> snapshot_files_;  // offered, by file hash; at most 3
  std::vector<swarm::Digest> snapshot_order_;
  std::jthread thread_;

  mutable std::mutex mutex_;  // guards what follows
  swarm::SwarmView view_;
  std::shared_ptr<const swarm::Admissions> admissions_;
};

std::string to_hex(std::span<const uint8_t> bytes);

}  // namespace starling::node
