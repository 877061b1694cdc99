#pragma once
// What the swarm knows of who was admitted: a set of memberships and revocations that only grows,
// spread to everyone, and the same whatever way it came. Whether a membership still holds is a pure
// function of the set, so equal sets give equal answers. Grammar on top of admissions.cc.
//   - A revocation by the root counts for everyone, one by an issuer for those below that issuer.
//   - A place (an invite of the root's, or a numbered place of an issuer's) has room for one
//     identity. Of several that are not revoked, the one with the lowest rank stays: the hash of
//     place and identity. Whoever has an invite's line can try keys until one ranks below its
//     owner's: the owner is told, and revokes the wrong one, and then the other one stays.
//   - Who has signed two deltas with one number is revoked by the proof of it, without anybody's
//   word.
//     One proof is kept for an identity, whichever came first, as long as a membership of it is.
//   - An accusation changes nobody's standing. One is kept for accuser and accused, as long as both
//     are known; of one accuser those with the lowest ids, `accusations_per_member` of them.
// Thread: a value; queries are const.
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <variant>
#include <vector>

#include "swarm/accusation.h"
#include "swarm/admission.h"
#include "swarm/equivocation.h"
#include "swarm/interned.h"
#include "swarm/sorted_map.h"

namespace starling::swarm {

inline constexpr size_t contenders_max = 8;         // bindings kept for one place
inline constexpr size_t bindings_max = 8192;        // and in all
inline constexpr size_t revocations_max = 4096;     // in all
inline constexpr size_t revocations_per_place = 4;  // of an issuer, for each place of its quota
inline constexpr size_t accusations_per_member = 8;
inline constexpr size_t revocation_size_max = 120 + membership_size_max;
inline constexpr size_t admission_item_size_max = 1 + revocation_size_max;

enum class RevokedKind : uint8_t {
  node = 1,    // this identity, whatever admitted it
  invite = 2,  // whoever came by this invite, and whom they admitted
  issuer = 3,  // whom this identity admitted, at any depth
};
struct Revocation {
  RevokedKind kind = RevokedKind::node;
  std::array<uint8_t, 20> subject{};  // peer id; of an invite the serial, then four zeros
  PublicKey root{};
  std::optional<Membership> by;  // the issuer that signed; none: the root
  Signature signature{};
};
Revocation revoke(RevokedKind kind, const std::array<uint8_t, 20>& subject, const Signer& root);
Revocation revoke(RevokedKind kind, const std::array<uint8_t, 20>& subject, const Signer& signer,
                  const Membership& issuer);
Bytes encode(const Revocation& revocation);
Result<Revocation, AdmissionError> decode_revocation(ByteView bytes);
Result<Done, AdmissionError> check(const Revocation& revocation, const SwarmId& swarm);

// As an item of the set, for AdmissionNews.
Bytes admission_item(const Equivocation& proof);
Bytes admission_item(const Accusation& accusation);

class Admissions {
 public:
  using ItemId = std::array<uint8_t, 16>;
  struct Item {
    Bytes bytes;  // as encoded, with its tag before it
    std::variant<Membership, Revocation, Equivocation, Accusation> content;
  };
  using Items = SortedMap<ItemId, std::shared_ptr<const Item>>;  // copies of the set share them
  using InternedItems = Interned<ItemId, Item>;
  explicit Admissions(const SwarmId& swarm) : swarm_(swarm) { settle(); }

  // crowded: authentic, but there is no room for it, or those that came before it rank lower; or
  // of a kind that only a later version knows.
  enum class Taken : uint8_t { known, added, crowded, forged };
  // With those of its issuers. Checks every signature that it has not seen before.
  Taken add(const Membership& membership);
  Taken add(const Revocation& revocation);
  Taken add(const Equivocation& proof);     // crowded: nobody knows a membership of its origin yet
  Taken add(const Accusation& accusation);  // crowded: one of the two is not known yet
  Taken add(ByteView item);                 // as from a peer or the disk
  bool knows(const Membership& membership) const;
  bool knows(const Revocation& revocation) const;
  bool knows(const Accusation& accusation) const;
  bool knows(const Bytes& item) const;
  // Two sets of one digest are equal to the last byte.
  bool is_told_by_digest() const { return equivocators_.empty() && by_accuser_.empty(); }
  // To be called after additions, before questions. Gives what has come into the set since the last
  // time, in order of id.
  std::vector<ItemId> settle();

  enum class Standing : uint8_t { good, revoked, displaced };
  // Requires: it checks. It need not be in the set.
  Standing standing(const Membership& membership) const;
  // Known, and without a membership in good standing.
  bool is_outcast(const PeerId& peer) const { return outcasts_.contains(peer); }
  const std::set<PeerId>& outcasts() const { return outcasts_; }
  // Of them those that are revoked, whose deltas nobody takes any more; of the others another only
  // has their place, as far as is known yet.
  const std::set<PeerId>& expelled() const { return expelled_; }
  bool is_displaced(const PeerId& peer) const {
    return outcasts_.contains(peer) && !expelled_.contains(peer);
  }
  // Known, and with a membership in good standing.
  bool is_in_good_standing(const PeerId& peer) const {
    return is_known(peer) && !outcasts_.contains(peer);
  }
  // Who accuses it, in good standing themselves; in order of id.
  std::vector<Accusation> accusations(const PeerId& accused) const;
  std::vector<PeerId> accused() const;
  // How many of them are independent: whom one member of the root's admitted, at any depth, speak
  // with its voice, so that nobody can invite witnesses; and nobody with that of the accused.
  size_t voices_against(const PeerId& accused) const;
  bool is_equivocator(const PeerId& peer) const { return equivocators_.contains(peer); }
  // Places that more than one identity claims: the one that stays first. None: all are revoked.
  struct Dispute {
    std::optional<PeerId> stays;
    std::vector<PeerId> claims;
    friend bool operator==(const Dispute&, const Dispute&) = default;
  };
  std::vector<Dispute> disputes() const;
  // All memberships of an identity that are in the set.
  std::vector<Membership> memberships(const PeerId& peer) const;
  // Below that issuer, at any depth.
  std::vector<PeerId> admitted_by(const PeerId& issuer) const;
  // A place that nobody has, or had too often to be given again.
  bool is_free(const PeerId& issuer, uint32_t slot) const;

  const Items& items() const { return items_; }
  const Digest& digest() const { return digest_; }  // of all items

 private:
  struct Place {
    PeerId issuer;  // zeros: the root
    std::array<uint8_t, 16> serial{};
    uint32_t slot = 0;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  // By whom, and where it says so. The root is all zeros.
  using Word = std::pair<PeerId, ItemId>;
  using Rank = std::pair<std::array<uint8_t, 16>, ItemId>;
  static Place place_of(const Membership& membership);
  static std::array<uint8_t, 16> rank_of(const Place& place, const PublicKey& identity);
  const Membership& membership_at(const ItemId& id) const;
  void keep(const ItemId& id, Item item);
  Taken put(const Membership& membership);
  void forget_membership(const ItemId& id);
  bool is_revoked(const Membership& membership) const;
  bool is_named(RevokedKind kind, const std::array<uint8_t, 20>& subject,
                const Membership& membership) const;
  bool is_known(const PeerId& peer) const;
  static bool is_said_by(const std::set<Word>& words, const PeerId& signer);
  bool has_place(const Membership& membership) const;
  bool has_room(const Revocation& revocation, const ItemId& id) const;
  void make_room(const Revocation& revocation);
  void drop_highest(const PeerId& signer);
  void forget_accusation(ItemId id);
  void forget_accusations(const PeerId& peer);
  PeerId voice_of(const PeerId& peer) const;

  SwarmId swarm_;
  Items items_;
  std::vector<ItemId> fresh_;  // came since the last settle(); may be gone again
  size_t bindings_ = 0, revocations_ = 0;
  SortedPairs<Place, Rank> claims_;  // of a place the lowest rank first
  size_t disputed_ = 0;              // places of more than one
  std::map<std::pair<RevokedKind, std::array<uint8_t, 20>>, std::set<Word>> revoked_;
  std::map<PeerId, std::set<ItemId>> by_signer_;  // revocations
  SortedPairs<PeerId, ItemId> by_identity_;       // memberships
  std::set<PeerId> equivocators_;
  std::map<PeerId, std::set<ItemId>> by_accuser_, by_accused_;
  std::set<PeerId> outcasts_, expelled_;
  Digest digest_{};
};

}  // namespace starling::swarm
