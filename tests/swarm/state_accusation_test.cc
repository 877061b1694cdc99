// What members say of each other: the word, the set it is part of, and who hears of it.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/swarm/state_desk.h"

namespace starling::swarm::state_test {
namespace {

constexpr Harm harm{2.5, 6.25, 2.6};

struct Court {
  wire_test::Keys root{1};
  Peer ada{3}, bob{4}, carl{6}, eve{7};
  SwarmId swarm = swarm_id_of(root.public_key);
  Membership member(const Peer& who) const { return admit(root.signer(), who.keys.public_key, 0); }
  Accusation word(const Peer& by, const Peer& against) const {
    return accuse(by.keys.signer(), swarm, against.id, harm);
  }
  Admissions all() const {
    Admissions set(swarm);
    for (const Peer* peer : {&ada, &bob, &carl, &eve})
      CHECK(set.add(member(*peer)) == Admissions::Taken::added);
    return set;
  }
};

TEST_CASE("an accusation is read in one form only, and every changed bit of it is found") {
  const Court c;
  const Accusation word = c.word(c.ada, c.eve);
  const Bytes bytes = encode(word);
  const auto again = decode_accusation(bytes);
  REQUIRE(again.has_value());
  CHECK(encode(*again) == bytes);
  CHECK(harm_of(*again).with == doctest::Approx(6.25));
  CHECK(check(*again, c.swarm).has_value());
  CHECK(check(*again, SwarmId{}).error() == AdmissionError::bad_binding);
  for (size_t size = 0; size < bytes.size(); ++size)
    CHECK(decode_accusation(ByteView(bytes).first(size)).error() == AdmissionError::truncated);
  Bytes longer = bytes;
  longer.push_back(0);
  CHECK(decode_accusation(longer).error() == AdmissionError::malformed);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    CAPTURE(bit);
    Bytes changed = bytes;
    changed[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    const auto decoded = decode_accusation(changed);
    CHECK_FALSE((decoded.has_value() && check(*decoded, c.swarm).has_value()));
  }
  // What is no number of bits at all is told as the most there is.
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(harm_of(accuse(c.ada.keys.signer(), c.swarm, c.eve.id, {1, nan, 1e9})).with ==
        doctest::Approx(655.35));
}

TEST_CASE("accusations need members, change nobody's standing, and count by who speaks") {
  const Court c;
  Admissions set(c.swarm);
  set.add(c.member(c.eve));
  CHECK(set.add(c.word(c.ada, c.eve)) == Admissions::Taken::crowded);  // nobody knows Ada
  set = c.all();
  CHECK(set.add(c.word(c.ada, c.eve)) == Admissions::Taken::added);
  CHECK(set.add(c.word(c.bob, c.eve)) == Admissions::Taken::added);
  CHECK(set.add(c.word(c.ada, c.eve)) == Admissions::Taken::known);
  set.settle();
  CHECK(set.accusations(c.eve.id).size() == 2);
  CHECK(set.voices_against(c.eve.id) == 2);
  CHECK(set.accused() == std::vector{c.eve.id});
  CHECK_FALSE(set.is_outcast(c.eve.id));
  CHECK(set.standing(c.member(c.eve)) == Admissions::Standing::good);
  Bytes forged = admission_item(c.word(c.carl, c.eve));
  forged.back() ^= 1;
  CHECK(set.add(forged) == Admissions::Taken::forged);
  CHECK(set.add(Bytes{200, 1, 2}) == Admissions::Taken::crowded);  // of a later version

  // Who is shut out has no voice any more.
  set.add(revoke(RevokedKind::node, c.bob.id.bytes, c.root.signer()));
  set.settle();
  CHECK(set.voices_against(c.eve.id) == 1);
}

TEST_CASE(
    "whom one member invited speaks with its voice, and not against its inviter's enemies twice") {
  const Court c;
  Admissions set = c.all();
  const InviteToken may_invite =
      make_invite(c.root.signer(), nullptr, {.quota = 20}, "tiny", {"192.0.2.7:7400"});
  const Peer issuer(20);
  const auto issued = accept_invite(may_invite, issuer.keys.public_key, 0);
  REQUIRE(issued);
  set.add(*issued);
  for (uint8_t seed = 30; seed < 40; ++seed) {
    const Peer sybil(seed);
    const InviteToken token = make_invite(issuer.keys.signer(), &*issued,
                                          {.slot = static_cast<uint32_t>(seed - 29)}, "tiny", {});
    const auto membership = accept_invite(token, sybil.keys.public_key, 0);
    REQUIRE(membership);
    CHECK(set.add(*membership) == Admissions::Taken::added);
    CHECK(set.add(c.word(sybil, c.eve)) == Admissions::Taken::added);
    CHECK(set.add(c.word(sybil, issuer)) == Admissions::Taken::added);
  }
  CHECK(set.add(c.word(c.ada, c.eve)) == Admissions::Taken::added);
  set.settle();
  CHECK(set.accusations(c.eve.id).size() == 11);
  CHECK(set.voices_against(c.eve.id) == 2);
  CHECK(set.voices_against(issuer.id) == 0);  // nobody independent of it
}

TEST_CASE("the set holds so many accusations of one member, the same whatever the order") {
  const Court c;
  std::vector<Accusation> words;
  Admissions first = c.all(), second = c.all();
  for (uint8_t seed = 50; seed < 50 + 2 * accusations_per_member; ++seed) {
    const Peer victim(seed);
    for (Admissions* set : {&first, &second}) set->add(c.member(victim));
    words.push_back(c.word(c.eve, victim));
  }
  for (size_t i = 0; i < words.size(); ++i) {
    first.add(words[i]);
    second.add(words[words.size() - 1 - i]);
  }
  first.settle();
  second.settle();
  CHECK(first.accused().size() == accusations_per_member);
  CHECK(first.digest() == second.digest());
}

TEST_CASE("an accusation is told to the others and shown, and is no fault of who brings it") {
  Desk desk;
  Peer ada(3), bob(4), eve(6);
  for (Peer* peer : {&ada, &bob, &eve}) desk.link(*peer);
  desk.outputs.clear();
  const Bytes item = admission_item(accuse(ada.keys.signer(), desk.swarm, eve.id, harm));
  desk.say(ada, AdmissionNews{.digest = {}, .items = {item}});
  desk.put(Accuse{accuse(desk.self.keys.signer(), desk.swarm, eve.id, harm)});
  desk.pass(2000);
  const auto told = notices_of(desk.outputs, Notice::Kind::accused);
  REQUIRE(told.size() == 2);
  CHECK(told[0].peer == eve.id);
  CHECK(told[0].reason == "peer says: 2.50 bits per byte before, 6.25 with it, 2.60 without");
  size_t items = 0;
  for (const AdmissionNews& news : sent_to<AdmissionNews>(desk.outputs, bob.id))
    items += std::count_if(news.items.begin(), news.items.end(),
                           [](const Bytes& told_item) { return told_item[0] == 4; });
  CHECK(items == 2);
  CHECK(desk.view_of(eve).accused_by.size() == 2);
  CHECK(desk.view_of(eve).voices_against == 2);
  CHECK(desk.view_of(eve).is_linked);
  CHECK(desk.view_of(ada).score == 0);
}

}  // namespace
}  // namespace starling::swarm::state_test
