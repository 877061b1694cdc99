#pragma once
// Who belongs to the swarm, as far as we know: a full view of at most members_max members, what
// each said of itself last, and what we saw of it.
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "swarm/config.h"
#include "swarm/interned.h"
#include "swarm/liveness.h"
#include "swarm/message.h"
#include "swarm/token_bucket.h"

namespace starling::swarm {

inline constexpr size_t records_per_seat_max =
    4;  // those who left are remembered too: their deltas stay in the log
inline constexpr size_t banned_max = 1024;

// What is known of a member with which we have had to do.
struct Acquaintance {
  std::string software;
  std::string lost_reason = "not met yet";  // why there is no link
  std::string link_address;                 // remote host:port of the last link
  double rtt_ms = -1;
  uint64_t step = 0;
  float bits_per_byte = 0;
  Digest base_hash{};
  uint64_t base_count = 0;
};

// Everybody keeps one of each of the others: so what is known of few stands elsewhere.
struct Member {
  SharedRecord record;
  Evidence evidence;
  std::optional<Instant> delta_at;  // its last delta arrived
  bool has_equivocated = false;
  bool has_false_snapshots = false;  // none is asked of it
  TokenBucket pushes;                // its deltas that came without being asked for

  const Acquaintance& met() const;  // a blank one while we have not had to do with it
  Acquaintance& meet();

 private:
  friend class Roster;
  Member(SharedRecord its, const TokenRate& rate, Instant now)
      : record(std::move(its)), pushes(rate, now) {}
  std::unique_ptr<Acquaintance> met_;
};

class Roster {
 public:
  // A record is what its member has signed.
  using InternedRecords = Interned<std::pair<PublicKey, Signature>, MemberRecord>;

  Roster(const Config& config, const SwarmId& swarm, const MemberRecord& self);

  enum class Learned : uint8_t { known, added, renewed, forged, full, banned };
  // Takes the record if it is authentic and newer than what we have.
  Learned learn(const MemberRecord& record, Instant now);
  // Ends the membership here: no record and no delta of it is taken any more. False: no room in the
  // list.
  bool ban(const PeerId& peer);
  void forget(const PeerId& peer);
  bool is_banned(const PeerId& peer) const { return banned_.contains(peer); }

  bool is_member(const PublicKey& key) const;
  bool is_member(const PeerId& peer) const { return peer == self_ || members_.contains(peer); }
  Member* find(const PeerId& peer);
  const Member* find(const PeerId& peer) const;
  const std::map<PeerId, Member>& members() const { return members_; }  // without ourselves
  std::vector<SharedRecord> records() const;                            // likewise
  // Of who is known, and in which version; equal for whoever knows the same. `self` is one of them.
  ShortHash digest(const MemberRecord& self) const;

 private:
  size_t seated() const;  // members that have not left, with ourselves

  Config config_;
  SwarmId swarm_;
  PeerId self_;
  std::map<PeerId, Member> members_;
  std::set<PeerId> banned_;
  ShortHash digest_{};  // exclusive or over all members
};

}  // namespace starling::swarm
