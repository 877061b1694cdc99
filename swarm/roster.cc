#include "swarm/roster.h"

#include <algorithm>
#include <tuple>

#include "swarm/codec.h"
#include "swarm/wire.h"

namespace starling::swarm {

namespace {

void mix(const MemberRecord& record, ShortHash& digest) {
  Writer writer;
  writer.raw(peer_id_of(record.membership.identity).bytes);
  writer.varint(record.epoch);
  writer.varint(record.incarnation);
  const ShortHash own = short_hash(blake2b(writer.bytes()));
  for (size_t i = 0; i < digest.size(); ++i) digest[i] ^= own[i];
}

SharedRecord shared(const MemberRecord& record) {
  return Roster::InternedRecords::of({record.membership.identity, record.signature}, record);
}

}  // namespace

const Acquaintance& Member::met() const {
  static const Acquaintance blank;
  return met_ == nullptr ? blank : *met_;
}

Acquaintance& Member::meet() {
  if (met_ == nullptr) met_ = std::make_unique<Acquaintance>();
  return *met_;
}

Roster::Roster(const Config& config, const SwarmId& swarm, const MemberRecord& self)
    : config_(config), swarm_(swarm), self_(peer_id_of(self.membership.identity)) {}

size_t Roster::seated() const {
  return 1 +
         static_cast<size_t>(std::count_if(members_.begin(), members_.end(), [](const auto& item) {
           return !item.second.evidence.has_left;
         }));
}

Roster::Learned Roster::learn(const MemberRecord& record, Instant now) {
  const PeerId peer = peer_id_of(record.membership.identity);
  if (peer == self_) return Learned::known;
  if (is_banned(peer)) return Learned::banned;
  Member* const member = find(peer);
  if (member != nullptr) {
    const MemberRecord& ours = *member->record;
    const auto version = std::tie(record.epoch, record.incarnation);
    // Compared first: a record that brings nothing new costs no signature check.
    if (version <= std::tie(ours.epoch, ours.incarnation)) return Learned::known;
    if (!is_authentic(record, swarm_)) return Learned::forged;
    const bool returns = member->evidence.has_left && !record.left;
    if (returns && seated() >= config_.members_max) return Learned::full;
    mix(ours, digest_);
    mix(record, digest_);
    member->record = shared(record);
    member->evidence.has_left = record.left;
    return Learned::renewed;
  }
  const size_t records_max = config_.members_max * records_per_seat_max;
  if (members_.size() >= records_max) return Learned::full;
  const bool may_be_full = members_.size() + 1 >= config_.members_max;  // counting takes long
  if (!record.left && may_be_full && seated() >= config_.members_max) return Learned::full;
  if (!is_authentic(record, swarm_)) return Learned::forged;
  const TokenRate pushes{.per_minute = config_.deltas_per_minute_max,
                         .burst = config_.deltas_per_minute_max};
  Member added(shared(record), pushes, now);
  added.evidence.has_left = record.left;
  added.evidence.known_since = now;
  members_.emplace(peer, std::move(added));
  mix(record, digest_);
  return Learned::added;
}

void Roster::forget(const PeerId& peer) {
  const auto found = members_.find(peer);
  if (found == members_.end()) return;
  mix(*found->second.record, digest_);
  members_.erase(found);
}

ShortHash Roster::digest(const MemberRecord& self) const {
  ShortHash digest = digest_;
  mix(self, digest);
  return digest;
}

bool Roster::ban(const PeerId& peer) {
  forget(peer);
  if (banned_.size() >= banned_max && !banned_.contains(peer)) return false;
  banned_.insert(peer);
  return true;
}

bool Roster::is_member(const PublicKey& key) const { return is_member(peer_id_of(key)); }

Member* Roster::find(const PeerId& peer) {
  const auto found = members_.find(peer);
  return found == members_.end() ? nullptr : &found->second;
}

const Member* Roster::find(const PeerId& peer) const {
  const auto found = members_.find(peer);
  return found == members_.end() ? nullptr : &found->second;
}

std::vector<SharedRecord> Roster::records() const {
  std::vector<SharedRecord> records;
  for (const auto& [peer, member] : members_) records.push_back(member.record);
  return records;
}

}  // namespace starling::swarm
