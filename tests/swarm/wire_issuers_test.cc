// Issuers, revocations, and the set of who was admitted and who is revoked.
#include <doctest/doctest.h>

#include <algorithm>

#include "model/rng.h"
#include "swarm/shared_admissions.h"
#include "tests/swarm/wire_fixture.h"

namespace starling::swarm {
namespace {
using namespace wire_test;

Membership admitted(const InviteToken& token, const Keys& who) {
  auto membership = accept_invite(token, who.public_key, 0);
  REQUIRE(membership.has_value());
  return *membership;
}
InviteToken from_root(const Keys& root, const InviteTerms& terms = {}) {
  return make_invite(root.signer(), nullptr, terms, "tiny", {"192.0.2.7:7400"});
}
InviteToken from_issuer(const Keys& issuer, const Membership& membership,
                        const InviteTerms& terms) {
  return make_invite(issuer.signer(), &membership, terms, "tiny", {});
}
AdmissionError fault(const Membership& membership, const Keys& root) {
  const auto checked = check(membership, swarm_of(root));
  REQUIRE_FALSE(checked.has_value());
  return checked.error();
}

// A root, an issuer that may make issuers, and what they admit.
struct Court {
  Keys root{1}, issuer{2}, other{3};
  Membership issued = admitted(from_root(root, {.quota = 10, .may_delegate = true}), issuer);
  Membership rival = admitted(from_root(root, {.quota = 10}), other);
  Membership member(uint8_t seed, uint32_t slot) const {
    return admitted(from_issuer(issuer, issued, {.slot = slot}), Keys(seed));
  }
};

Admissions set_of(const Court& court, std::vector<Bytes> items) {
  Admissions set(swarm_of(court.root));
  for (const Bytes& item : items) CHECK(set.add(item) != Admissions::Taken::forged);
  set.settle();
  return set;
}
std::vector<Bytes> items_of(const Admissions& set) {
  std::vector<Bytes> items;
  for (const auto& [id, item] : set.items()) items.push_back(item->bytes);
  return items;
}

TEST_CASE("whom an issuer invites is a member to everyone, through at most three issuers") {
  const Court court;
  const Keys second(4), third(5), member(6);
  const Membership b = admitted(
      from_issuer(court.issuer, court.issued, {.slot = 3, .quota = 4, .may_delegate = true}),
      second);
  const Membership c = admitted(from_issuer(second, b, {.slot = 1, .quota = 2}), third);
  const InviteToken token = from_issuer(third, c, {.expires_s = 1800000000, .slot = 2});
  const std::string line = encode_token(token);
  const auto decoded = decode_token(line);
  REQUIRE(decoded.has_value());
  CHECK(encode_token(*decoded) == line);
  const Membership d = admitted(*decoded, member);
  CHECK(d.issuers.size() == issuers_max);
  for (const Membership& each : {court.issued, b, c, d}) {
    CHECK(check(each, swarm_of(court.root)).has_value());
    CHECK(fault(each, court.issuer) == AdmissionError::wrong_swarm);
    const Bytes bytes = encode(each);
    CHECK(bytes.size() <= membership_size_max);
    CHECK(membership_size_of(bytes) == bytes.size());
    const auto again = decode_membership(bytes);
    REQUIRE(again.has_value());
    CHECK(encode(*again) == bytes);
    for (size_t size = 0; size < bytes.size(); ++size)
      CHECK_FALSE(decode_membership(ByteView(bytes).first(size)).has_value());
  }
  CHECK(encode(issuer_membership(d, 1)) == encode(b));
}

TEST_CASE("any bit of an issued membership or its invite flipped is refused") {
  const Court court;
  const Membership membership = court.member(7, 1);
  const Bytes bytes = encode(membership);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    Bytes wrong = bytes;
    wrong[bit / 8] = static_cast<uint8_t>(wrong[bit / 8] ^ 1u << bit % 8);
    const auto decoded = decode_membership(wrong);
    CHECK_FALSE((decoded.has_value() && check(*decoded, swarm_of(court.root)).has_value()));
  }
  const std::string line = encode_token(from_issuer(court.issuer, court.issued, {.slot = 1}));
  for (size_t bit = 0; bit < line.size() * 8; ++bit) {
    std::string wrong = line;
    wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ 1 << bit % 8);
    CHECK_FALSE(decode_token(wrong).has_value());
  }
}

TEST_CASE("an issuer gives no place that it does not have, and no right") {
  const Court court;
  const Keys member(6);
  const auto refused = [&](const Keys& issuer, const Membership& by, const InviteTerms& terms) {
    const InviteToken token = from_issuer(issuer, by, terms);
    CHECK(accept_invite(token, member.public_key, 0).error() == AdmissionError::bad_issuer);
    CHECK(decode_token(encode_token(token)).error() == AdmissionError::bad_issuer);
  };
  CHECK(accept_invite(from_issuer(court.other, court.rival, {.slot = 10}), member.public_key, 0)
            .has_value());
  refused(court.other, court.rival, {.slot = 11});                // beyond its quota
  refused(court.other, court.rival, {.slot = 1, .quota = 1});     // it may not make issuers
  refused(court.issuer, court.issued, {.slot = 1, .quota = 11});  // of more than it has
  refused(court.issuer, court.issued, {.slot = 0, .quota = 1});
  refused(member, court.member(6, 1), {.slot = 1});  // no issuer at all
  const InviteToken late = from_root(court.root, {.quota = 2, .issues_until_s = 1000000});
  const Membership until = admitted(late, member);
  const InviteToken after = from_issuer(member, until, {.slot = 1});
  CHECK(accept_invite(after, court.other.public_key, 1000000 + issuing_skew_s - 1).has_value());
  CHECK(accept_invite(after, court.other.public_key, 1000000 + issuing_skew_s).error() ==
        AdmissionError::expired);
}

TEST_CASE("a revocation's bytes decode to itself; shortened or changed ones are refused") {
  const Court court;
  const PeerId someone = peer_id_of(Keys(9).public_key);
  const Revocation by_root = revoke(RevokedKind::node, someone.bytes, court.root.signer());
  const Bytes short_bytes = encode(by_root);
  CHECK(hex(short_bytes) == golden("revocation", short_bytes));
  for (const Revocation& revocation :
       {by_root, revoke(RevokedKind::issuer, someone.bytes, court.issuer.signer(), court.issued)}) {
    const Bytes bytes = encode(revocation);
    const auto decoded = decode_revocation(bytes);
    REQUIRE(decoded.has_value());
    CHECK(encode(*decoded) == bytes);
    CHECK(check(*decoded, swarm_of(court.root)).has_value());
    CHECK(check(*decoded, swarm_of(court.issuer)).error() == AdmissionError::wrong_swarm);
    for (size_t size = 0; size < bytes.size(); ++size)
      CHECK_FALSE(decode_revocation(ByteView(bytes).first(size)).has_value());
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      Bytes wrong = bytes;
      wrong[bit / 8] = static_cast<uint8_t>(wrong[bit / 8] ^ 1u << bit % 8);
      const auto read = decode_revocation(wrong);
      CHECK_FALSE((read.has_value() && check(*read, swarm_of(court.root)).has_value()));
    }
  }
  const Revocation powerless =
      revoke(RevokedKind::node, someone.bytes, Keys(6).signer(), court.member(6, 1));
  CHECK(check(powerless, swarm_of(court.root)).error() == AdmissionError::bad_issuer);
}

TEST_CASE("a hundred devices of an issuer with ten places are ten members, the same to everyone") {
  const Court court;
  std::vector<Bytes> items;
  std::vector<Membership> all;
  for (uint8_t i = 0; i < 100; ++i) {
    all.push_back(court.member(static_cast<uint8_t>(100 + i), 1 + i % 10));
    Admissions one(swarm_of(court.root));
    one.add(all.back());
    for (const Bytes& item : items_of(one)) items.push_back(item);
  }
  Admissions first(swarm_of(court.root));
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    for (size_t k = items.size() - 1; k > 0; --k) std::swap(items[k], items[rng.below(k + 1)]);
    const Admissions set = set_of(court, items);
    size_t good = 0;
    for (const Membership& membership : all)
      good += set.standing(membership) == Admissions::Standing::good;
    CHECK(good == 10);
    CHECK(set.disputes().size() == 10);
    if (seed == 1) first = set;
    CHECK(set.digest() == first.digest());
    CHECK(set.outcasts() == first.outcasts());
    CHECK(set.expelled().empty());  // the others only have no place
  }
}

TEST_CASE("a revocation counts for those below who signed it, and for nobody else") {
  const Court court;
  const Membership below = court.member(6, 1);
  const PeerId member = peer_id_of(below.identity);
  const auto with = [&](const Revocation& revocation) {
    Admissions set(swarm_of(court.root));
    set.add(below);
    set.add(court.rival);
    CHECK(set.add(revocation) == Admissions::Taken::added);
    CHECK(set.add(revocation) == Admissions::Taken::known);
    set.settle();
    return set;
  };
  CHECK(with(revoke(RevokedKind::node, member.bytes, court.root.signer())).is_outcast(member));
  const Admissions own =
      with(revoke(RevokedKind::node, member.bytes, court.issuer.signer(), court.issued));
  CHECK(own.expelled() == std::set<PeerId>{member});
  CHECK(own.standing(below) == Admissions::Standing::revoked);
  CHECK(own.is_free(peer_id_of(court.issuer.public_key), 1));
  const Admissions foreign =
      with(revoke(RevokedKind::node, member.bytes, court.other.signer(), court.rival));
  CHECK_FALSE(foreign.is_outcast(member));
  // Who was admitted by the rival, too, keeps that: an issuer cannot invite somebody else's member
  // in order to revoke it.
  const PeerId rival = peer_id_of(court.other.public_key);
  Admissions framed(swarm_of(court.root));
  framed.add(court.rival);
  framed.add(admitted(from_issuer(court.issuer, court.issued, {.slot = 5}), court.other));
  framed.add(revoke(RevokedKind::node, rival.bytes, court.issuer.signer(), court.issued));
  framed.settle();
  CHECK_FALSE(framed.is_outcast(rival));
  // The issuer with all that it admitted.
  const PeerId issuer = peer_id_of(court.issuer.public_key);
  const Admissions tree = with(revoke(RevokedKind::issuer, issuer.bytes, court.root.signer()));
  CHECK(tree.outcasts() == std::set<PeerId>{member});
  CHECK(tree.admitted_by(issuer) == std::vector<PeerId>{member});
}

TEST_CASE(
    "of two devices that used one invite the same one stays everywhere, until it is revoked") {
  const Court court;
  const InviteToken token = from_root(court.root);
  const Membership a = admitted(token, Keys(6)), b = admitted(token, Keys(7));
  Admissions one(swarm_of(court.root)), two(swarm_of(court.root));
  one.add(a), one.add(b), two.add(b), two.add(a);
  one.settle(), two.settle();
  CHECK(one.digest() == two.digest());
  CHECK(one.outcasts() == two.outcasts());
  REQUIRE(one.outcasts().size() == 1);
  const PeerId out = *one.outcasts().begin();
  const bool is_a_out = out == peer_id_of(a.identity);
  const PeerId stays = peer_id_of((is_a_out ? b : a).identity);
  REQUIRE(one.disputes().size() == 1);
  CHECK(one.disputes()[0].stays == stays);
  one.add(revoke(RevokedKind::node, stays.bytes, court.root.signer()));
  one.settle();
  CHECK(one.outcasts() == std::set<PeerId>{stays});
}

TEST_CASE("an issuer fills no more than its share of the set, and the lowest numbers stay") {
  const Court court;
  const Membership small = admitted(from_root(court.root, {.quota = 1}), Keys(8));
  std::vector<Bytes> items;
  for (uint8_t i = 0; i < 12; ++i) {
    const PeerId someone = peer_id_of(Keys(static_cast<uint8_t>(50 + i)).public_key);
    Admissions one(swarm_of(court.root));
    one.add(revoke(RevokedKind::node, someone.bytes, Keys(8).signer(), small));
    items.push_back(items_of(one)[0]);
  }
  const Admissions forward = set_of(court, items);
  std::reverse(items.begin(), items.end());
  const Admissions backward = set_of(court, items);
  CHECK(forward.items().size() == revocations_per_place);
  CHECK(forward.digest() == backward.digest());
}

TEST_CASE("what is not authentic does not come into the set") {
  const Court court;
  Admissions set(swarm_of(court.root));
  const Bytes good = [&] {
    Admissions one(swarm_of(court.root));
    one.add(court.rival);
    return items_of(one)[0];
  }();
  for (size_t i = 0; i < good.size(); ++i) {
    Bytes wrong = good;
    wrong[i] ^= 1;
    CHECK(set.add(wrong) == Admissions::Taken::forged);
    CHECK(set.add(ByteView(good).first(i)) == Admissions::Taken::forged);
  }
  CHECK(set.add(admit(Keys(9).signer(), Keys(9).public_key, 0)) == Admissions::Taken::forged);
  CHECK(set.items().empty());
  CHECK(set.add(good) == Admissions::Taken::added);
}

TEST_CASE("what was shared of the set stays as it was, and equal sets of many nodes are one") {
  const Court court;
  const Membership first = court.member(5, 1), second = court.member(6, 2);
  const auto filled = [&](const std::vector<Membership>& members) {
    SharedAdmissions set(swarm_of(court.root));
    for (const Membership& member : members) CHECK(set.add(member) == Admissions::Taken::added);
    set.change().settle();
    return set;
  };
  SharedAdmissions set = filled({first});
  const auto before = set.share();
  CHECK(set.share() == before);
  CHECK(set.add(first) == Admissions::Taken::known);
  CHECK(set.share() == before);
  CHECK(set.add(second) == Admissions::Taken::added);
  const std::vector<Admissions::ItemId> fresh = set.change().settle();
  REQUIRE(fresh.size() == 1);
  CHECK(std::get<Membership>(set->items().at(fresh[0])->content).identity == second.identity);
  CHECK(before->memberships(peer_id_of(second.identity)).empty());
  CHECK(set.share() != before);
  CHECK(set.share()->memberships(peer_id_of(second.identity)).size() == 1);
  CHECK(set.change().settle().empty());

  CHECK(filled({first, second}).share() != filled({second, first}).share());
  SharedAdmissions::InternedSets sets;
  const SharedAdmissions::InternedSets::Scope scope(sets);
  SharedAdmissions one = filled({first, second}), other = filled({second, first});
  CHECK(one.share() == other.share());
  CHECK(one.share() != filled({first}).share());
  const Revocation word =
      revoke(RevokedKind::node, peer_id_of(second.identity).bytes, court.root.signer());
  CHECK(one.add(word) == Admissions::Taken::added);
  CHECK(one.add(word) == Admissions::Taken::known);
  one.change().settle();
  CHECK(one->is_outcast(peer_id_of(second.identity)));
  CHECK_FALSE(other->is_outcast(peer_id_of(second.identity)));
  CHECK_FALSE(other.share()->is_outcast(peer_id_of(second.identity)));
}

}  // namespace
}  // namespace starling::swarm
