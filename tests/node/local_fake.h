#pragma once
// A Daemon that says what the test wants, and notes what it was told; behind a real LocalServer in
// a folder of its own.
#include <doctest/doctest.h>

#include <condition_variable>
#include <mutex>
#include <sstream>

#include "node/cli.h"
#include "node/local_server.h"
#include "tests/node/local_folder.h"

namespace starling::node {

class FakeDaemon final : public Daemon {
 public:
  Status status() override;
  std::vector<swarm::MemberView> members() override;
  std::vector<Applicant> pending() override { return applicants; }
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
  Result<Done, Failure> pause() override { return note("pause"); }
  Result<Done, Failure> resume() override { return note("resume"); }
  Result<std::string, Failure> snapshot() override { return path("snapshot"); }
  Result<std::string, Failure> rollback() override { return path("rollback"); }
  Result<std::string, Failure> create_invite(const InviteOptions& options) override;
  Result<RevokeOutcome, Failure> revoke(const RevokeOptions& options) override;
  Result<ExportOutcome, Failure> export_deltas(
      const ExportOptions& options,
      const std::function<bool(const std::string&)>& on_bytes) override;
  Result<ImportOutcome, Failure> import_deltas(
      const std::function<std::optional<std::string>()>& next_bytes) override;
  Result<Done, Failure> leave() override { return note("leave"); }
  Result<Done, Failure> set_log_level(const std::string& level) override {
    return note("log " + level);
  }

  std::vector<std::string> told() const;  // what it was told, in order

  // Set before the calls that they concern.
  std::string state = "learning";
  std::optional<Failure> failure;    // every call that can fail does
  std::atomic<bool> is_hung{false};  // status, ask and teach wait for `release`
  std::vector<std::string> pieces = {"XL", "VII", "\n"};
  std::atomic<uint64_t> pieces_given{0};
  std::vector<Applicant> applicants;
  std::string foreign_id;  // of a member that this node may not revoke
  uint64_t neighbours = 1;
  bool is_linked = false;  // drossel
  std::atomic<uint64_t> tokens{0};
  bool is_held = false;  // drossel's influence
  bool is_learned = true;
  std::string bundle = std::string(600000, 'b');  // what it exports
  std::string imported;                           // what it was given last
  void release();

 private:
  Result<Done, Failure> note(const std::string& what);
  Result<std::string, Failure> path(const std::string& what);
  void wait_while_hung();
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> told_;
};

// A running "node": the fake behind the real server.
struct FakeNode {
  explicit FakeNode(const std::string& below = "", const std::string& api = "",
                    uint32_t requests_max = 4);
  ~FakeNode() { daemon.release(); }
  Folder folder;
  std::string directory;
  FakeDaemon daemon;
  std::unique_ptr<LocalServer> server;
};

// What `starling ARGUMENTS` printed and answered.
struct Ran {
  int code = 0;
  std::string out, err;
};
Ran starling(const std::vector<std::string>& arguments, const std::string& in = "",
             bool is_terminal = false);

}  // namespace starling::node
