#pragma once
// The state's inside, shared by state.cc (inputs, time, views), state_links.cc (links, greeting,
// members, heartbeats), state_overlay.cc (with whom to be linked), state_liveness.cc (who is
// alive), state_deltas.cc (deltas, pulls, snapshots), state_budget.cc (what waits for the byte
// budget) and state_admissions.cc (who may be a member).
// Nothing else includes it.
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "swarm/accept.h"
#include "swarm/budget.h"
#include "swarm/delta_log.h"
#include "swarm/dialling.h"
#include "swarm/link.h"
#include "swarm/overlay.h"
#include "swarm/pulls.h"
#include "swarm/refusals.h"
#include "swarm/roster.h"
#include "swarm/score.h"
#include "swarm/shared_admissions.h"
#include "swarm/snapshot_transfer.h"
#include "swarm/state.h"

namespace starling::swarm {

inline constexpr uint32_t compare_heartbeats = 15;      // between two comparisons of digests
inline constexpr int64_t pull_gather_ms = 100;          // pulls go out at most this often
inline constexpr int64_t diverged_interval_ms = 60000;  // one notice per peer
inline constexpr size_t served_snapshots_max = 3;       // as many as the driver keeps
// Between two sendings of all, per link; twice as long after each that brought nothing back.
inline constexpr int64_t repeat_ms = 10000;
inline constexpr int64_t repeat_max_ms = 600000;
// For so long after someone was shut out bases may differ: each takes out its deltas when it can.
inline constexpr int64_t outcast_settle_ms = 60000;
// Deltas of which neighbours tell another hash: asked for so often, and so many kept account of.
inline constexpr uint32_t disputed_asks_max = 3;
inline constexpr size_t disputed_max = 256;
inline constexpr size_t spare_links_max =
    16;  // links beyond the active view, until their Hello is refused

inline constexpr size_t waiting_max =
    1024;  // answers that wait for the budget; the rest is asked again

// One call of handle().
struct Turn {
  Instant now;
  std::vector<Output>& outbox;
  uint64_t released = 0;  // bytes of deltas and chunks among the outputs, not charged yet
};

// What was asked of us and waits for the budget, until the one who asked gives up.
struct Waiting {
  PeerId to;
  std::variant<DeltaKey, ChunkRequest> wanted;
  Instant asked_at;
};

struct State::Parts {
  Parts(const StateOptions& given, Rng generator, Instant now);

  // state.cc
  void on(Turn& turn, const ReceivedRefused& refused);
  void on(Turn& turn, const Recovered& recovered);
  void on(Turn& turn, const Ban& ban);
  void on(Turn& turn, const Leave& leave);
  void on(Turn& turn, const BaseReached& reached);
  void on(Turn& turn, const Progress& news);
  void on(Turn& turn, const AddAddress& seed);
  void on(Turn& turn, const Wake& wake);
  uint64_t count_refused(Turn& turn, const PeerId& from, DropReason reason, int penalty);
  void drop(Turn& turn, const PeerId& from, DropReason reason, int penalty);
  void refuse(Turn& turn, const PeerId& from, const PeerId& origin, DropReason reason,
              std::optional<DeltaKey> key, double norm);
  void drop_mildly(Turn& turn, const PeerId& from, DropReason reason);
  void blame(Turn& turn, const PeerId& peer, DropReason reason, int penalty);
  void run_due(Turn& turn);
  Instant earliest(Instant now);

  // state_links.cc
  void on(Turn& turn, const LinkUp& up);
  void on(Turn& turn, const LinkDown& down);
  void on(Turn& turn, const Readdressed& moved);
  void on(Turn& turn, const DialFailed& failed);
  void on(Turn& turn, const ReceivedMessage& received);
  void take(Turn& turn, const PeerId& from, const Hello& hello);
  void take(Turn& turn, const PeerId& from, const Members& members);
  void take(Turn& turn, const PeerId& from, const Heartbeat& heartbeat);
  void take(Turn& turn, const PeerId& from, const Goodbye& goodbye);
  bool is_in_order(Turn& turn, Link& link, const ReceivedMessage& received);
  void greet(Turn& turn, const PeerId& peer, const Hello& hello);
  Roster::Learned learn(Turn& turn, const MemberRecord& record, const PeerId& from);
  void close_link(Turn& turn, const PeerId& peer, const std::string& reason);
  // `is_kept`: by choice, so that the peer may be linked again some day.
  void lose_link(Turn& turn, const PeerId& peer, const std::string& reason, bool is_kept = false);
  void renew_own_record(Turn& turn, uint64_t incarnation);
  void send_hello(Turn& turn, const PeerId& peer);
  void send_owed(Turn& turn, const PeerId& peer, Link& link);
  void send_heartbeat(Turn& turn, const PeerId& peer, Link& link);
  void run_links(Turn& turn);
  void owe_all(const PeerId& peer, Link& link);
  void compare_records(Turn& turn, const PeerId& from, const Members& members, bool is_news);
  void follow_have(Turn& turn, Link& link, const Heartbeat& heartbeat);
  VersionVector told_vector() const;
  const ShortHash& told_hash();  // of it

  // state_overlay.cc
  void on(Turn& turn, const Heard& heard);
  void take(Turn& turn, const PeerId& from, const JoinWalk& walk);
  void take(Turn& turn, const PeerId& from, const ShuffleWalk& walk);
  void take(Turn& turn, const PeerId& from, const ShuffleAnswer& answer);
  void take(Turn& turn, const PeerId& from, const Disconnect& disconnect);
  bool is_aim(const PeerId& peer) const;
  void follow_overlay(Turn& turn);
  void dial(Turn& turn, const PeerId& peer);
  void abandon(Turn& turn, const PeerId& peer);
  void heard_of(const PeerId& peer, Instant now);
  Bytes wish_for(const PeerId& peer) const;
  bool is_taken_in(Turn& turn, const PeerId& peer, const Hello& hello);
  void part(Turn& turn, const PeerId& peer, const std::string& reason);
  void close_parted(Turn& turn);
  void send_walk(Turn& turn, const PeerId& to, const JoinWalk& walk);
  std::vector<PeerId> known_of(std::vector<PeerId> sample, Instant now) const;
  void tick(Turn& turn);

  // state_liveness.cc
  void take(Turn& turn, const PeerId& from, const Suspicion& suspicion);
  void forgive_own_sleep(Instant now);
  void doubt(Turn& turn, const PeerId& peer, Instant since, const PeerId& from);
  void doubt_the_silent(Turn& turn);
  void vouch(const PeerId& peer, Instant now);
  void refute(Turn& turn, const Suspect& suspect);
  void send_suspicions(Turn& turn, const PeerId& peer, Link& link);
  void tell_suspicions(Turn& turn, const PeerId& peer, Link& link);

  // state_deltas.cc
  void on(Turn& turn, const ReceivedDelta& received);
  void on(Turn& turn, const Publish& publish);
  void on(Turn& turn, const ImportedDelta& imported);
  void on(Turn& turn, const Forgotten& forgotten);
  void on(Turn& turn, const SnapshotAvailable& available);
  void on(Turn& turn, const SnapshotInstalled& installed);
  void on(Turn& turn, const ChunkSaved& saved);
  void take(Turn& turn, const PeerId& from, const Pull& pull);
  void take(Turn& turn, const PeerId& from, const SnapshotOffer& offer);
  void take(Turn& turn, const PeerId& from, const ChunkRequest& request);
  void take(Turn& turn, const PeerId& from, const Chunk& chunk);
  void take(Turn& turn, const PeerId& from, const Witness& witness);
  void tell_arrivals(Turn& turn, const PeerId& peer, uint64_t after, uint64_t until) const;
  void tell_new_arrivals(Turn& turn, const PeerId& peer, Link& link) const;
  void tell_older_arrivals(Turn& turn, const PeerId& peer, Link& link) const;
  void accuse(Turn& turn, const ReceivedDelta& received, const DeltaKey& key);
  bool is_heard(const PeerId& origin) const;
  bool is_admissible(Turn& turn, const ReceivedDelta& received, const DeltaKey& key);
  void admit(Turn& turn, const ReceivedDelta& received, const DeltaKey& key);
  void plan_pulls(Turn& turn);
  void blame_unkept(Turn& turn, const std::vector<Pulls::Unanswered>& unanswered);
  bool is_told_by_others(const PeerId& peer, const DeltaKey& key) const;
  void consider_snapshots(Turn& turn);
  bool is_vouched(const SnapshotOffer& offer) const;
  size_t agreeing(const SnapshotOffer& offer) const;
  std::set<PeerId> contradicting(const SnapshotOffer& offer) const;
  void shun_snapshots(Turn& turn, const std::set<PeerId>& peers);
  std::vector<PullSource> sources();
  void want_plan(Instant now);
  void changed(Instant now);  // our vector grew: tell soon, and see what else is missing

  // state_budget.cc
  void on(Turn& turn, const Calendar& calendar);
  void push_own(Turn& turn, const DeltaKey& key, const SharedBytes& frame);
  void serve(Turn& turn, const PeerId& to, std::variant<DeltaKey, ChunkRequest> wanted);
  void release(Turn& turn, const Waiting& next);
  void serve_waiting(Turn& turn);
  void ask_chunks(Turn& turn);
  Instant budget_next(Instant now);

  // state_admissions.cc
  void on(Turn& turn, const Revoke& revoke);
  void on(Turn& turn, const Accuse& accuse);
  void on(Turn& turn, const ImportedMessage& imported);
  void take(Turn& turn, const PeerId& from, const AdmissionNews& news);
  void admitted(Instant now, const Membership& membership);
  void added(Instant now, Admissions::Taken taken);
  void tell_accusations(Turn& turn, const std::vector<Admissions::ItemId>& fresh);
  void settle_admissions(Turn& turn, bool is_told);  // of: to the owner
  void tell_disputes(Turn& turn);
  VersionVector without_expelled(const VersionVector& have) const;
  void evict(Turn& turn, const PeerId& peer, const std::string& reason);
  std::string why_outcast(const PeerId& peer) const;
  void send_admissions(Turn& turn, const PeerId& peer, Link& link, bool is_digest_wanted);

  StateOptions options;
  const Config& config;  // of the options
  Rng rng;
  PeerId self;
  Roster roster;
  Overlay overlay;
  Dialling dialling;
  std::set<PeerId> dialled;  // members whose addresses it has
  Scores scores;
  Refusals refusals;
  DeltaLog log;
  ReferenceNorm reference;
  Budget budget;
  std::deque<Waiting> waiting;
  Pulls pulls;
  SnapshotTransfer transfer;
  SharedAdmissions admissions;
  bool are_admissions_new = false;              // since they were last settled
  std::map<PeerId, std::string> outcast_names;  // of those that were members in this boot
  Instant outcast_at{INT64_MIN / 2};            // when the last was shut out
  std::vector<Admissions::Dispute> disputes;    // that were told of
  std::map<PeerId, Link> links;
  std::set<PeerId> lately_lost;            // without a word, perhaps: who is to be doubted soon
  std::map<PeerId, Instant> parting;       // links that we ended by choice: when to close them
  std::map<PeerId, SnapshotOffer> offers;  // the last of each linked peer
  std::deque<SnapshotOffer> snapshots;     // that we can serve; the newest last
  BaseReached base;
  uint64_t base_count = 0;
  // Of what is told, as of so many changes of the log.
  std::optional<std::pair<uint64_t, ShortHash>> hashed;
  Progress progress;
  Counters counters;
  std::map<DeltaKey, uint32_t> disputed;  // how often the other one was asked for
  bool is_leaving = false;
  bool has_new_records = false;  // not yet handed to the driver

  Instant tick_at;  // of the overlay
  Instant digest_at = never;
  Instant records_at = never;
  Instant plan_at = never;
  Instant planned_at{INT64_MIN / 2};
  Instant deadline = never;
};

}  // namespace starling::swarm
