#pragma once
// The running node as its local API sees it. Every call is safe from any thread; those that have to
// wait for the learner or the protocol thread wait here, with a deadline. local_server.cc maps
// these onto gRPC and nothing else.
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/session.h"
#include "node/applicants.h"
#include "node/config.h"
#include "swarm/state.h"

namespace starling::node {

struct Status {
  std::string name, id, swarm;
  std::string state;    // starting waiting-for-peers learning serving idle paused degraded stopping
  int64_t since_s = 0;  // Unix seconds
  std::string reason;   // why it is in this state
  std::string next;     // what it does next, when
  struct {
    std::string preset;
    uint64_t parameters = 0, step = 0;
    double loss = 0;           // bits per predicted position, recent training mean; 0: none yet
    double bits_per_byte = 0;  // the same on text only; 0: none yet
    std::string fingerprint;
    uint64_t tokens = 0;  // positions predicted by training steps since start
  } model;
  struct {
    uint64_t members = 0, neighbours = 0, sent_bytes = 0, received_bytes = 0;
    uint64_t accepted = 0, held = 0, refused = 0, duplicates = 0, published = 0;
    std::string base_hash;                              // hex
    uint64_t deltas = 0;                                // applied to the base
    std::map<std::string, uint64_t> refused_by_reason;  // frames, deltas and handshakes
    double lateness = 0;                                // of the others' deltas, in exchanges
    double bits_per_parameter =
        0;  // mean over own published frames, headers and signatures included
    swarm::BudgetView budget;
    std::string quiet_hours;
  } swarm_state;
  struct {
    uint64_t memory_bytes = 0;  // resident
    double cpu_percent = 0;     // since start, of one core
    uint64_t disk_bytes = 0;    // this node's directory
    uint64_t uptime_s = 0;
  } resources;
  std::string listen;          // host:port actually bound
  uint64_t steps_planned = 0;  // 0: endless
  bool is_finished = false;    // a finite run has done its steps and published
  bool is_paused = false;
};

struct RegionRow {
  std::string region;  // region_name
  uint32_t layer = 0;
  std::string kind;
  uint64_t parameters = 0;
  double active = 0;                // share of tokens that woke it, 0..1
  double changed = 0;               // L2 norm of base - genesis
  uint64_t sent = 0, received = 0;  // deltas that held it
  uint32_t hosts = 0;               // members that keep its part of the sum
  bool is_private = false;
  bool is_hosted = true;  // computed here (model.hosted_regions)
};

struct ProvenanceRow {
  std::string region, origin, name;
  uint64_t deltas = 0;
  double norm = 0;     // root of the summed squares of its moves of this region
  int64_t last_s = 0;  // Unix seconds
};

// What one origin's deltas did to the base, as far as they count in it.
struct InfluenceRow {
  std::string origin;
  uint64_t deltas = 0;              // in the region that most of them moved
  double norm = 0;                  // root of the summed squares of its moves
  double share = 0;                 // of everyone's summed squares, 0..1
  int64_t last_s = 0;               // Unix seconds; 0: never
  bool is_held = false;             // judged to work against the others
  uint64_t held_deltas = 0;         // kept apart now, for that or for their norm
  uint32_t copies = 1;              // as one of so many its deltas count; 1: in full
  std::optional<double> agreement;  // with the others, -1..1; none: not judged yet
};

// Numbered from 1 without holes; a gap in what a watcher sees means that it was too slow.
struct Event {
  uint64_t seq = 0;
  int64_t time_ms = 0;  // Unix
  std::string kind;     // learned delta_sent delta_accepted delta_held delta_refused peer_fault
                        // peer_joined peer_lost snapshot rollback state_changed revoked
                        // invite_disputed deltas_withdrawn diverged
  std::map<std::string, std::string> fields;
};

enum class FailureKind : uint8_t {
  bad_data,
  not_found,
  unavailable,
  timeout,
  permission,
  exhausted,
  internal
};
struct Failure {
  FailureKind kind = FailureKind::internal;
  std::string message;  // what, where, what to do
};

enum class DataKind : uint8_t {
  automatic,
  text,
  pairs
};  // automatic: pairs if every line is PROMPT<TAB>ANSWER

struct LearnOutcome {
  uint64_t bytes = 0, pairs = 0;
  DataKind kind = DataKind::text;
  std::string note;  // such as "thinned to 32 MiB"
};
struct TeachOutcome {
  bool learned = false;  // answers rightly now
  uint32_t steps = 0;
  std::string answer;  // what it answers now
};
struct InviteOptions {
  int64_t valid_for_s = 0;    // 0: for ever
  uint32_t quota = 0;         // members that the bearer may invite in turn
  bool may_delegate = false;  // also ones that may invite
};
struct RevokeOptions {
  std::string id;  // or name
  bool is_with_invited = false;
};
struct RevokeOutcome {
  std::string id;
  bool is_everywhere = false;  // false: this node alone shuts it out
};
// Since when, and what a bundle holds (swarm/bundle.h).
struct ExportOptions {
  std::vector<uint8_t> since;  // what need not be in it: an encoded version vector; empty: nothing
};
struct ExportOutcome {
  uint64_t deltas = 0;
  uint64_t members = 0;  // their records
  uint64_t folded = 0;   // deltas that count here, wanted, and no longer in the log
};
struct ImportOutcome {
  uint64_t added = 0, known = 0;                      // deltas
  std::map<std::string, uint64_t> refused_by_reason;  // deltas and records
};
struct EvaluateOutcome {
  DataKind kind = DataKind::text;
  double bits_per_byte = 0;  // text
  double accuracy = 0;       // pairs: exact match, 0..1
  uint64_t bytes = 0, examples = 0;
};
struct AskOptions {
  std::string prompt;
  uint32_t bytes_max = 256;
  model::SamplerOptions sampler;
  uint64_t seed = 1;
  bool stop_at_newline = true;
};

class Daemon {
 public:
  virtual ~Daemon() = default;
  virtual Status status() = 0;
  virtual std::vector<swarm::MemberView> members() = 0;
  virtual std::vector<Applicant> pending() = 0;  // who may not enter, the last that came first
  virtual std::vector<RegionRow> regions() = 0;
  virtual std::vector<ProvenanceRow> provenance(const std::string& region) = 0;  // "": all
  virtual std::vector<InfluenceRow> influence() = 0;
  // Events after `after_seq`, waiting up to timeout_ms for the first; at most 256.
  virtual std::vector<Event> events(uint64_t after_seq, int64_t timeout_ms) = 0;

  // Calls `on_bytes` for each piece; stops early when it returns false.
  virtual Result<Done, Failure> ask(const AskOptions& options,
                                    const std::function<bool(const std::string&)>& on_bytes) = 0;
  virtual Result<LearnOutcome, Failure> learn(const std::string& name, DataKind kind,
                                              std::vector<uint8_t> bytes) = 0;
  virtual Result<TeachOutcome, Failure> teach(const std::string& prompt,
                                              const std::string& answer) = 0;
  // Ends early, with no outcome, when `goes_on` returns false.
  virtual Result<EvaluateOutcome, Failure> evaluate(DataKind kind, std::vector<uint8_t> bytes,
                                                    const std::function<bool()>& goes_on) = 0;

  virtual Result<Done, Failure> pause() = 0;
  virtual Result<Done, Failure> resume() = 0;
  virtual Result<std::string, Failure> snapshot() = 0;  // the checkpoint's path
  virtual Result<std::string, Failure> rollback() = 0;  // the checkpoint's path it went back to
  virtual Result<std::string, Failure> create_invite(const InviteOptions& options) = 0;
  virtual Result<RevokeOutcome, Failure> revoke(const RevokeOptions& options) = 0;
  // Calls `on_bytes` for each piece of the bundle; ends early when it returns false.
  virtual Result<ExportOutcome, Failure> export_deltas(
      const ExportOptions& options, const std::function<bool(const std::string&)>& on_bytes) = 0;
  // `next_bytes` gives the bundle piece by piece, and nothing at its end.
  virtual Result<ImportOutcome, Failure> import_deltas(
      const std::function<std::optional<std::string>()>& next_bytes) = 0;
  virtual Result<Done, Failure> leave() = 0;  // says goodbye and stops
  virtual Result<Done, Failure> set_log_level(const std::string& level) = 0;
};

}  // namespace starling::node
