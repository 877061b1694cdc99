// item       = %x01 membership / %x02 revocation / %x03 proof / %x04 accusation
//                              ; proof: equivocation.cc, accusation: accusation.cc
// revocation = %x01 kind subject root by-size *by signature
// kind = %x01 node / %x02 invite / %x03 issuer     subject = 20 bytes: a peer id, or the serial of
// an invite and four zeros     root = 32 bytes     by-size = u16, 0: signed by the root     by =
// membership of the issuer that signed     signature = 64 bytes, Ed25519, by root or issuer over
//   %x12 "starling-revoke-v1" swarm-id kind subject signer:32
// An item's id is the first half of the BLAKE2b-256 of its bytes, a proof's of %x03 and its
// origin's key, so that any two proofs against one are the same item, an accusation's of %x04, the
// accuser's key and the accused's id; the set's digest is the hash of its ids in ascending order.
// Numbers are little endian.
#include "swarm/admissions.h"

#include <algorithm>
#include <utility>

#include "swarm/wire.h"

namespace starling::swarm {
namespace {

constexpr uint8_t membership_tag = 1;
constexpr uint8_t revocation_tag = 2;
constexpr uint8_t proof_tag = 3;
constexpr uint8_t accusation_tag = 4;
constexpr uint8_t revocation_version = 1;
constexpr std::string_view revoke_domain = "starling-revoke-v1";
constexpr size_t serial_size = 16;

Admissions::ItemId id_of(ByteView item) {
  const Digest digest = blake2b(item);
  Admissions::ItemId id{};
  std::copy_n(digest.begin(), id.size(), id.begin());
  return id;
}

Bytes tagged(uint8_t tag, const Bytes& content) {
  Writer writer;
  writer.u8(tag);
  writer.raw(content);
  return writer.take();
}

Admissions::ItemId proof_id(const PublicKey& origin) {
  return id_of(tagged(proof_tag, Bytes(origin.begin(), origin.end())));
}

Admissions::ItemId accusation_id(const Accusation& accusation) {
  Bytes both(accusation.accuser.begin(), accusation.accuser.end());
  both.insert(both.end(), accusation.accused.bytes.begin(), accusation.accused.bytes.end());
  return id_of(tagged(accusation_tag, both));
}

Bytes revocation_message(const Revocation& revocation, const PublicKey& signer) {
  Writer writer;
  writer.raw(swarm_id_of(revocation.root));
  writer.u8(static_cast<uint8_t>(revocation.kind));
  writer.raw(revocation.subject);
  writer.raw(signer);
  return writer.take();
}

const PublicKey& signer_of(const Revocation& revocation) {
  return revocation.by ? revocation.by->identity : revocation.root;
}

std::array<uint8_t, 20> subject_of(const std::array<uint8_t, 16>& serial) {
  std::array<uint8_t, 20> subject{};
  std::copy(serial.begin(), serial.end(), subject.begin());
  return subject;
}

}  // namespace

Revocation revoke(RevokedKind kind, const std::array<uint8_t, 20>& subject, const Signer& root) {
  Revocation revocation{
      .kind = kind, .subject = subject, .root = root.public_key(), .by = {}, .signature = {}};
  revocation.signature = root.sign(revoke_domain, revocation_message(revocation, revocation.root));
  return revocation;
}

Revocation revoke(RevokedKind kind, const std::array<uint8_t, 20>& subject, const Signer& signer,
                  const Membership& issuer) {
  assert(signer.public_key() == issuer.identity);
  Revocation revocation{
      .kind = kind, .subject = subject, .root = issuer.invite.root, .by = issuer, .signature = {}};
  revocation.signature =
      signer.sign(revoke_domain, revocation_message(revocation, issuer.identity));
  return revocation;
}

Bytes encode(const Revocation& revocation) {
  const Bytes by = revocation.by ? encode(*revocation.by) : Bytes();
  Writer writer;
  writer.u8(revocation_version);
  writer.u8(static_cast<uint8_t>(revocation.kind));
  writer.raw(revocation.subject);
  writer.raw(revocation.root);
  writer.u16(static_cast<uint16_t>(by.size()));
  writer.raw(by);
  writer.raw(revocation.signature);
  assert(writer.bytes().size() <= revocation_size_max);
  return writer.take();
}

Result<Revocation, AdmissionError> decode_revocation(ByteView bytes) {
  Reader reader(bytes);
  const uint8_t version = reader.u8();
  if (!reader.fault() && version != revocation_version)
    return Unexpected{AdmissionError::bad_version};
  Revocation revocation;
  const uint8_t kind = reader.u8();
  revocation.kind = static_cast<RevokedKind>(kind);
  revocation.subject = reader.array<20>();
  revocation.root = reader.array<32>();
  const ByteView by = reader.raw(reader.u16());
  revocation.signature = reader.array<64>();
  if (const auto fault = reader.finish()) return Unexpected{admission_error_of(*fault)};
  const bool is_kind = kind >= 1 && kind <= 3;
  const bool is_padded =
      revocation.kind == RevokedKind::invite &&
      std::any_of(revocation.subject.begin() + serial_size, revocation.subject.end(),
                  [](uint8_t byte) { return byte != 0; });
  if (!is_kind || is_padded) return Unexpected{AdmissionError::malformed};
  if (by.empty()) return revocation;
  auto issuer = decode_membership(by);
  if (!issuer) return Unexpected{issuer.error()};
  if (issuer->invite.root != revocation.root) return Unexpected{AdmissionError::malformed};
  revocation.by = std::move(*issuer);
  return revocation;
}

Result<Done, AdmissionError> check(const Revocation& revocation, const SwarmId& swarm) {
  if (swarm_id_of(revocation.root) != swarm) return Unexpected{AdmissionError::wrong_swarm};
  if (revocation.by) {
    const auto issuer = check(*revocation.by, swarm);
    if (!issuer) return issuer;
    if (revocation.by->invite.quota == 0) return Unexpected{AdmissionError::bad_issuer};
  }
  const PublicKey& signer = signer_of(revocation);
  if (!verify(revoke_domain, revocation_message(revocation, signer), revocation.signature, signer))
    return Unexpected{AdmissionError::bad_root_signature};
  return Done{};
}

Bytes admission_item(const Equivocation& proof) { return tagged(proof_tag, encode(proof)); }

Bytes admission_item(const Accusation& accusation) {
  return tagged(accusation_tag, encode(accusation));
}

// ---- The set

Admissions::Place Admissions::place_of(const Membership& membership) {
  if (membership.issuers.empty()) return {PeerId{}, membership.invite.serial, 0};
  return {peer_id_of(membership.issuers.back().identity), {}, membership.invite.slot};
}

std::array<uint8_t, 16> Admissions::rank_of(const Place& place, const PublicKey& identity) {
  Writer writer;
  writer.raw(place.issuer.bytes);
  writer.raw(place.serial);
  writer.u32(place.slot);
  writer.raw(identity);
  return id_of(writer.bytes());
}

const Membership& Admissions::membership_at(const ItemId& id) const {
  return std::get<Membership>(items_.at(id)->content);
}

void Admissions::keep(const ItemId& id, Item item) {
  items_[id] = InternedItems::of(id, std::move(item));
  fresh_.push_back(id);
}

bool Admissions::knows(const Membership& membership) const {
  return items_.contains(id_of(tagged(membership_tag, encode(membership))));
}

bool Admissions::knows(const Revocation& revocation) const {
  return items_.contains(id_of(tagged(revocation_tag, encode(revocation))));
}

bool Admissions::knows(const Accusation& accusation) const {
  return items_.contains(accusation_id(accusation));
}

bool Admissions::knows(const Bytes& item) const { return items_.contains(id_of(item)); }

Admissions::Taken Admissions::put(const Membership& membership) {
  Bytes bytes = tagged(membership_tag, encode(membership));
  const ItemId id = id_of(bytes);
  if (items_.contains(id)) return Taken::known;
  const Place place = place_of(membership);
  const auto claims = claims_.of(place);
  const Rank rank{rank_of(place, membership.identity), id};
  if (claims.size() >= contenders_max) {
    const auto highest = claims.back();
    if (highest.second < rank) return Taken::crowded;
    forget_membership(highest.second.second);
    claims_.erase(highest);
    --bindings_;
  } else if (bindings_ >= bindings_max) {
    return Taken::crowded;
  }
  claims_.insert({place, rank});
  disputed_ += claims_.of(place).size() == 2;
  by_identity_.insert({peer_id_of(membership.identity), id});
  keep(id, Item{std::move(bytes), membership});
  ++bindings_;
  return Taken::added;
}

Admissions::Taken Admissions::add(const Membership& membership) {
  const ItemId id = id_of(tagged(membership_tag, encode(membership)));
  if (items_.contains(id)) return Taken::known;
  // Asked before the signatures are checked: a place that is fought over costs nobody anything.
  const Place place = place_of(membership);
  const auto claims = claims_.of(place);
  const Rank rank{rank_of(place, membership.identity), id};
  if (claims.size() >= contenders_max && claims.back().second < rank) return Taken::crowded;
  if (!check(membership, swarm_)) return Taken::forged;
  // Those above it first: whether they stay decides on those below.
  for (size_t i = 0; i < membership.issuers.size(); ++i) put(issuer_membership(membership, i));
  return put(membership);
}

// When there are too many, the lowest ids stay, whatever the order they came in; and the root's
// stay before the issuers'.
bool Admissions::has_room(const Revocation& revocation, const ItemId& id) const {
  if (!revocation.by) {
    const auto own = by_signer_.find(PeerId{});
    return own == by_signer_.end() || own->second.size() < revocations_max;
  }
  const auto own = by_signer_.find(peer_id_of(revocation.by->identity));
  const size_t own_max = revocations_per_place * revocation.by->invite.quota;
  const bool is_over = own != by_signer_.end() && own->second.size() >= own_max;
  if (is_over) return id < *own->second.rbegin();
  return revocations_ < revocations_max;
}

void Admissions::drop_highest(const PeerId& signer) {
  std::set<ItemId>& own = by_signer_.at(signer);
  const ItemId id = *own.rbegin();
  const Revocation& gone = std::get<Revocation>(items_.at(id)->content);
  const auto named = revoked_.find({gone.kind, gone.subject});
  named->second.erase({signer, id});
  if (named->second.empty()) revoked_.erase(named);
  items_.erase(id);
  own.erase(id);
  if (own.empty()) by_signer_.erase(signer);
  --revocations_;
}

void Admissions::make_room(const Revocation& revocation) {
  if (revocation.by) {
    const PeerId signer = peer_id_of(revocation.by->identity);
    const auto own = by_signer_.find(signer);
    const size_t own_max = revocations_per_place * revocation.by->invite.quota;
    while (own != by_signer_.end() && own->second.size() >= own_max) {
      const bool is_last = own->second.size() == 1;
      drop_highest(signer);
      if (is_last) break;
    }
  } else if (revocations_ >= revocations_max) {
    drop_highest(by_signer_.rbegin()->first);  // an issuer's: the root's come first
  }
}

Admissions::Taken Admissions::add(const Revocation& revocation) {
  Bytes bytes = tagged(revocation_tag, encode(revocation));
  const ItemId id = id_of(bytes);
  if (items_.contains(id)) return Taken::known;
  if (!has_room(revocation, id)) return Taken::crowded;
  if (!check(revocation, swarm_)) return Taken::forged;
  make_room(revocation);
  const PeerId signer = revocation.by ? peer_id_of(revocation.by->identity) : PeerId{};
  revoked_[{revocation.kind, revocation.subject}].insert({signer, id});
  by_signer_[signer].insert(id);
  keep(id, Item{std::move(bytes), revocation});
  ++revocations_;
  return Taken::added;
}

bool Admissions::is_known(const PeerId& peer) const { return !by_identity_.of(peer).empty(); }

Admissions::Taken Admissions::add(const Equivocation& proof) {
  const ItemId id = proof_id(proof.origin);
  if (items_.contains(id)) return Taken::known;
  const PeerId origin = peer_id_of(proof.origin);
  if (!is_known(origin)) return Taken::crowded;
  if (!check(proof, swarm_)) return Taken::forged;
  equivocators_.insert(origin);
  keep(id, Item{admission_item(proof), proof});
  return Taken::added;
}

Admissions::Taken Admissions::add(const Accusation& accusation) {
  const ItemId id = accusation_id(accusation);
  if (items_.contains(id)) return Taken::known;
  const PeerId accuser = peer_id_of(accusation.accuser);
  if (!is_known(accuser) || !is_known(accusation.accused)) return Taken::crowded;
  const auto own = by_accuser_.find(accuser);
  const bool is_full = own != by_accuser_.end() && own->second.size() >= accusations_per_member;
  if (is_full && *own->second.rbegin() < id) return Taken::crowded;
  if (!check(accusation, swarm_)) return Taken::forged;
  if (is_full) forget_accusation(*own->second.rbegin());
  by_accuser_[accuser].insert(id);
  by_accused_[accusation.accused].insert(id);
  keep(id, Item{admission_item(accusation), accusation});
  return Taken::added;
}

void Admissions::forget_accusation(ItemId id) {
  const Accusation& gone = std::get<Accusation>(items_.at(id)->content);
  by_accuser_.at(peer_id_of(gone.accuser)).erase(id);
  by_accused_.at(gone.accused).erase(id);
  items_.erase(id);
}

// By it and against it.
void Admissions::forget_accusations(const PeerId& peer) {
  for (auto* index : {&by_accuser_, &by_accused_}) {
    const std::set<ItemId> named = (*index)[peer];
    for (const ItemId& id : named) forget_accusation(id);
    index->erase(peer);
  }
}

std::vector<Accusation> Admissions::accusations(const PeerId& accused) const {
  std::map<PeerId, Accusation> found;
  const auto named = by_accused_.find(accused);
  if (named == by_accused_.end()) return {};
  for (const ItemId& id : named->second) {
    const Accusation& accusation = std::get<Accusation>(items_.at(id)->content);
    const PeerId accuser = peer_id_of(accusation.accuser);
    if (!outcasts_.contains(accuser)) found.emplace(accuser, accusation);
  }
  std::vector<Accusation> ordered;
  for (const auto& [accuser, accusation] : found) ordered.push_back(accusation);
  return ordered;
}

std::vector<PeerId> Admissions::accused() const {
  std::vector<PeerId> peers;
  for (const auto& [peer, named] : by_accused_) {
    if (!named.empty()) peers.push_back(peer);
  }
  return peers;
}

// The member of the root's through whom it came.
PeerId Admissions::voice_of(const PeerId& peer) const {
  const Membership& membership = membership_at(by_identity_.of(peer).front().second);
  return membership.issuers.empty() ? peer : peer_id_of(membership.issuers.front().identity);
}

size_t Admissions::voices_against(const PeerId& accused) const {
  std::set<PeerId> voices;
  for (const Accusation& accusation : accusations(accused))
    voices.insert(voice_of(peer_id_of(accusation.accuser)));
  if (!voices.empty()) voices.erase(voice_of(accused));
  return voices.size();
}

// And with the last one of an identity what proves it guilty: strangers must not fill the set.
void Admissions::forget_membership(const ItemId& id) {
  const PublicKey identity = membership_at(id).identity;
  const PeerId peer = peer_id_of(identity);
  by_identity_.erase({peer, id});
  items_.erase(id);
  if (is_known(peer)) return;
  forget_accusations(peer);
  if (equivocators_.erase(peer) > 0) items_.erase(proof_id(identity));
}

Admissions::Taken Admissions::add(ByteView item) {
  if (items_.contains(id_of(item))) return Taken::known;
  if (item.empty()) return Taken::forged;
  if (item[0] == membership_tag) {
    const auto membership = decode_membership(item.subspan(1));
    return membership ? add(*membership) : Taken::forged;
  }
  if (item[0] == proof_tag) {
    const auto proof = decode_equivocation(item.subspan(1));
    return proof ? add(*proof) : Taken::forged;
  }
  if (item[0] == accusation_tag) {
    const auto accusation = decode_accusation(item.subspan(1));
    return accusation ? add(*accusation) : Taken::forged;
  }
  if (item[0] != revocation_tag) return item[0] == 0 ? Taken::forged : Taken::crowded;
  const auto revocation = decode_revocation(item.subspan(1));
  return revocation ? add(*revocation) : Taken::forged;
}

std::vector<Admissions::ItemId> Admissions::settle() {
  std::vector<ItemId> fresh = std::exchange(fresh_, {});
  std::sort(fresh.begin(), fresh.end());
  fresh.erase(std::unique(fresh.begin(), fresh.end()), fresh.end());
  std::erase_if(fresh, [this](const ItemId& id) { return !items_.contains(id); });
  Writer ids;
  for (const auto& [id, item] : items_) ids.raw(id);
  digest_ = blake2b(ids.bytes());
  expelled_.clear();
  for (const auto& [named, words] : revoked_) {
    if (named.first == RevokedKind::node && is_said_by(words, PeerId{}))
      expelled_.insert(PeerId{named.second});
  }
  expelled_.insert(equivocators_.begin(), equivocators_.end());
  outcasts_ = expelled_;
  // Where nobody has said anything against anybody, and no place has two claims, all are good. That
  // no place has is known as long as there was room for every claim.
  const bool is_peaceful = revoked_.empty() && equivocators_.empty() && disputed_ == 0;
  if (is_peaceful && bindings_ < bindings_max) return fresh;
  for (auto rest = by_identity_.all(); !rest.empty();) {
    const PeerId peer = rest.front().first;
    size_t held = 0, good = 0, revoked = 0;
    for (; held < rest.size() && rest[held].first == peer; ++held) {
      const Standing found = standing(membership_at(rest[held].second));
      good += found == Standing::good;
      revoked += found == Standing::revoked;
    }
    rest = rest.subspan(held);
    if (good > 0) continue;
    outcasts_.insert(peer);
    if (revoked == held) expelled_.insert(peer);
  }
  return fresh;
}

bool Admissions::is_said_by(const std::set<Word>& words, const PeerId& signer) {
  const auto found = words.lower_bound({signer, ItemId{}});
  return found != words.end() && found->first == signer;
}

// By someone who may: the root, or an issuer above this member.
bool Admissions::is_named(RevokedKind kind, const std::array<uint8_t, 20>& subject,
                          const Membership& membership) const {
  const auto named = revoked_.find({kind, subject});
  if (named == revoked_.end()) return false;
  if (is_said_by(named->second, PeerId{})) return true;
  return std::any_of(
      membership.issuers.begin(), membership.issuers.end(),
      [&](const Issuer& issuer) { return is_said_by(named->second, peer_id_of(issuer.identity)); });
}

bool Admissions::is_revoked(const Membership& membership) const {
  if (equivocators_.contains(peer_id_of(membership.identity))) return true;
  if (revoked_.empty()) return false;
  if (is_named(RevokedKind::node, peer_id_of(membership.identity).bytes, membership) ||
      is_named(RevokedKind::invite, subject_of(membership.invite.serial), membership)) {
    return true;
  }
  return std::any_of(
      membership.issuers.begin(), membership.issuers.end(), [&](const Issuer& issuer) {
        return is_named(RevokedKind::issuer, peer_id_of(issuer.identity).bytes, membership) ||
               is_named(RevokedKind::invite, subject_of(issuer.certificate.serial), membership);
      });
}

// Nobody who ranks lower and is not revoked claims the same place.
bool Admissions::has_place(const Membership& membership) const {
  const Place place = place_of(membership);
  const auto claims = claims_.of(place);
  if (claims.empty()) return true;
  const auto identity_of = [this](const auto& claim) -> const PublicKey& {
    return membership_at(claim.second.second).identity;
  };
  if (claims.size() == 1 && identity_of(claims.front()) == membership.identity) return true;
  const auto own = rank_of(place, membership.identity);
  return std::none_of(claims.begin(), claims.end(), [&](const auto& claim) {
    return claim.second.first < own && !is_revoked(membership_at(claim.second.second));
  });
}

Admissions::Standing Admissions::standing(const Membership& membership) const {
  if (is_revoked(membership)) return Standing::revoked;
  for (size_t i = 0; i < membership.issuers.size(); ++i) {
    if (!has_place(issuer_membership(membership, i))) return Standing::displaced;
  }
  return has_place(membership) ? Standing::good : Standing::displaced;
}

std::vector<Admissions::Dispute> Admissions::disputes() const {
  std::vector<Dispute> disputes;
  if (disputed_ == 0) return disputes;
  for (auto rest = claims_.all(); !rest.empty();) {
    const auto claims = claims_.of(rest.front().first);
    rest = rest.subspan(claims.size());
    Dispute dispute;
    for (const auto& [place, rank] : claims) {
      const Membership& membership = membership_at(rank.second);
      const PeerId peer = peer_id_of(membership.identity);
      if (!dispute.claims.empty() && dispute.claims.back() == peer) continue;
      dispute.claims.push_back(peer);
      if (!dispute.stays && !is_revoked(membership)) dispute.stays = peer;
    }
    if (dispute.claims.size() > 1) disputes.push_back(std::move(dispute));
  }
  return disputes;
}

std::vector<Membership> Admissions::memberships(const PeerId& peer) const {
  std::vector<Membership> found;
  for (const auto& [identity, id] : by_identity_.of(peer)) found.push_back(membership_at(id));
  return found;
}

std::vector<PeerId> Admissions::admitted_by(const PeerId& issuer) const {
  std::vector<PeerId> found;
  for (const auto& [peer, id] : by_identity_.all()) {
    if (!found.empty() && found.back() == peer) continue;
    const Membership& membership = membership_at(id);
    const bool is_below =
        std::any_of(membership.issuers.begin(), membership.issuers.end(),
                    [&](const Issuer& above) { return peer_id_of(above.identity) == issuer; });
    if (is_below) found.push_back(peer);
  }
  return found;
}

bool Admissions::is_free(const PeerId& issuer, uint32_t slot) const {
  const auto claims = claims_.of({issuer, {}, slot});
  return claims.size() < contenders_max &&
         std::all_of(claims.begin(), claims.end(), [this](const auto& claim) {
           return is_revoked(membership_at(claim.second.second));
         });
}

}  // namespace starling::swarm
