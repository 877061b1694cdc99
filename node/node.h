#pragma once
// The node: everything that runs in one process, put together from its directory, behind the Daemon
// interface. Order of starting: stores, mind (newest valid checkpoint, then the log's rest),
// protocol, transport, learner. Order of stopping: the reverse, with a goodbye to the peers and a
// last checkpoint.
#include <atomic>
#include <functional>
#include <memory>

#include "node/daemon.h"
#include "node/driver.h"
#include "node/home.h"
#include "node/lan.h"
#include "node/learner.h"
#include "node/spool.h"
#include "swarm/bundle.h"

namespace starling::node {

class Node : public Daemon {
 public:
  // Errors carry the exit code that `starling run` ends with.
  static Result<std::unique_ptr<Node>, HomeError> start(Home home, HomeLock lock);
  ~Node() override;
  // False: the last checkpoint could not be written (the log says why).
  bool stop();
  // Takes over what a running node can of a changed configuration (reload.h). False: it was busy.
  bool follow(const Config& fresh);
  bool is_leaving() const { return is_leaving_; }
  const Home& home() const { return home_; }

  Status status() override;
  std::vector<swarm::MemberView> members() override;
  std::vector<Applicant> pending() override;
  std::vector<RegionRow> regions() override;
  std::vector<ProvenanceRow> provenance(const std::string& region) override;
  std::vector<InfluenceRow> influence() override;
  std::vector<Event> events(uint64_t after_seq, int64_t timeout_ms) override;
  Result<Done, Failure> ask(const AskOptions& options,
                            const std::function<bool(const std::string&)>& on_bytes) override;
  Result<LearnOutcome, Failure> learn(const std::string& name, DataKind kind,
                                      std::vector<uint8_t> bytes) override;
  Result<TeachOutcome, Failure> teach(const std::string& prompt,
                                      const std::string& answer) override;
  Result<EvaluateOutcome, Failure> evaluate(DataKind kind, std::vector<uint8_t> bytes,
                                            const std::function<bool()>& goes_on) override;
  Result<Done, Failure> pause() override;
  Result<Done, Failure> resume() override;
  Result<std::string, Failure> snapshot() override;
  Result<std::string, Failure> rollback() override;
  Result<std::string, Failure> create_invite(const InviteOptions& options) override;
  Result<RevokeOutcome, Failure> revoke(const RevokeOptions& options) override;
  Result<ExportOutcome, Failure> export_deltas(
      const ExportOptions& options,
      const std::function<bool(const std::string&)>& on_bytes) override;
  Result<ImportOutcome, Failure> import_deltas(
      const std::function<std::optional<std::string>()>& next_bytes) override;
  Result<Done, Failure> leave() override;
  Result<Done, Failure> set_log_level(const std::string& level) override;

 private:
  Node(Home home, HomeLock lock);
  Result<Done, HomeError> open_stores();
  Result<Done, HomeError> open_mind();
  Result<Done, HomeError> add_sources();
  void add_kept_data();
  void recover_mind();
  swarm::Recovered recovered() const;
  Result<Done, HomeError> open_links();
  void open_lan();
  void follow_addresses(const std::vector<LocalAddress>& all);
  std::vector<std::string> advertised(uint16_t port) const;
  std::vector<std::string> advertised(uint16_t port, const std::vector<LocalAddress>& all) const;
  swarm::StateOptions state_options() const;
  void note_trouble(const std::string& what);
  Result<swarm::InviteToken, Failure> invite_as_issuer(const swarm::InviteTerms& terms);
  bool revoke_everywhere(const swarm::Admissions& admissions, const swarm::PeerId& peer,
                         bool is_with_invited);
  void honour_accusations(const swarm::Admissions& admissions);
  Result<Done, Failure> ban(const swarm::PeerId& peer);
  std::optional<std::string> foreign(const swarm::BundleHead& head) const;
  Result<Done, Failure> read_bundle(
      const Spool& spool, const std::function<Result<Done, Failure>(swarm::Input)>& on_input) const;
  static constexpr const char* paused_key = "paused";  // in state.db: "1" or "0"
  Result<Done, Failure> keep_paused(bool is_paused);
  std::string keep_data(const Source& source, const std::vector<uint8_t>& bytes);

  Home home_;
  HomeLock lock_;
  model::Shape shape_;
  std::array<uint8_t, 16> fingerprint_{};
  uint64_t parameters_ = 0;
  uint64_t epoch_ = 0;
  std::string trouble_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  Events events_;
  std::unique_ptr<StateDb> db_;
  std::unique_ptr<DeltaStore> log_;
  std::unique_ptr<CheckpointStore> checkpoints_, snapshots_;
  std::unique_ptr<Mind> mind_;  // until the learner takes it
  model::RegionTable table_;    // the transport's threads read it
  std::unique_ptr<Driver> driver_;
  std::unique_ptr<Learner> learner_;
  Applicants applicants_;  // the transport notes them
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Lan> lan_;
  std::vector<std::string> told_addresses_;  // where we take links, as members know; the Lan's
  std::string listen_;                       // host:port actually bound
  std::atomic<uint32_t> answering_ = 0;      // calls that are being worked on, each on a thread
  std::atomic<bool> is_leaving_ = false;
  std::atomic<bool> is_stopped_ = false;
  std::mutex data_mutex_;  // one writer to data/ at a time
};

}  // namespace starling::node
