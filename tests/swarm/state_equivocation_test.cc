// Two deltas under one number: the proof, the set it is part of, and how a swarm comes by it.
#include <doctest/doctest.h>

#include <set>

#include "tests/swarm/state_desk.h"

namespace starling::swarm::state_test {
namespace {

Bytes frame_of(const Peer& origin, const SwarmId& swarm, uint64_t seq, uint8_t content,
               FrameKind kind = FrameKind::delta) {
  FrameHeader header;
  header.kind = kind;
  header.swarm = swarm;
  header.epoch = origin.epoch;
  header.seq = seq;
  return seal(header, Bytes(20, content), origin.keys.signer());
}

// A swarm of which Ada is a member, who has signed two deltas with number 1.
struct Case {
  wire_test::Keys root{1};
  Peer ada{3};
  SwarmId swarm = swarm_id_of(root.public_key);
  Bytes one = frame_of(ada, swarm, 1, 7), other = frame_of(ada, swarm, 1, 8);
  Membership membership = admit(root.signer(), ada.keys.public_key, 0);
};

TEST_CASE("two deltas of one number are a proof, whichever comes first; nothing else is") {
  const Case c;
  const auto proof = prove(c.one, c.other);
  REQUIRE(proof.has_value());
  CHECK(proof->origin == c.ada.keys.public_key);
  CHECK(check(*proof, c.swarm).has_value());
  CHECK(encode(*prove(c.other, c.one)) == encode(*proof));
  const Peer bob(4);
  Peer later = c.ada;
  later.epoch = 2;
  for (const Bytes& frame :
       {c.one, frame_of(c.ada, c.swarm, 2, 8), frame_of(bob, c.swarm, 1, 8),
        frame_of(later, c.swarm, 1, 8), frame_of(c.ada, c.swarm, 1, 8, FrameKind::control)}) {
    CHECK_FALSE(prove(c.one, frame).has_value());
  }
}

TEST_CASE("a proof is read in one form only, and every changed bit of it is found") {
  const Case c;
  const Equivocation proof = *prove(c.one, c.other);
  const Bytes bytes = encode(proof);
  const auto again = decode_equivocation(bytes);
  REQUIRE(again.has_value());
  CHECK(encode(*again) == bytes);
  CHECK(again->origin == proof.origin);
  for (size_t size = 0; size < bytes.size(); ++size) {
    CAPTURE(size);
    CHECK(decode_equivocation(ByteView(bytes).first(size)).error() == AdmissionError::truncated);
  }
  Bytes longer = bytes;
  longer.push_back(0);
  CHECK(decode_equivocation(longer).error() == AdmissionError::malformed);
  for (size_t i = 0; i < bytes.size(); ++i) {
    Bytes changed = bytes;
    changed[i] ^= 1;
    const auto decoded = decode_equivocation(changed);
    CHECK_FALSE((decoded && check(*decoded, c.swarm)));
  }
  Equivocation swapped = proof;
  std::swap(swapped.first, swapped.second);
  CHECK(decode_equivocation(encode(swapped)).error() == AdmissionError::malformed);
  CHECK(check(proof, swarm_id_of(c.ada.keys.public_key)).error() == AdmissionError::wrong_swarm);
}

TEST_CASE("who is proven guilty is revoked, and any two proofs against one are the same item") {
  const Case c;
  Admissions first(c.swarm), second(c.swarm);
  const Equivocation proof = *prove(c.one, c.other);
  CHECK(first.add(proof) == Admissions::Taken::crowded);  // nobody knows her
  for (Admissions* set : {&first, &second})
    CHECK(set->add(c.membership) == Admissions::Taken::added);
  first.settle();
  CHECK(first.standing(c.membership) == Admissions::Standing::good);
  CHECK(first.add(admission_item(proof)) == Admissions::Taken::added);
  CHECK(first.add(proof) == Admissions::Taken::known);
  CHECK(second.add(*prove(c.one, frame_of(c.ada, c.swarm, 1, 9))) == Admissions::Taken::added);
  for (Admissions* set : {&first, &second}) {
    set->settle();
    CHECK(set->is_equivocator(c.ada.id));
    CHECK(set->is_outcast(c.ada.id));
    CHECK(set->expelled().contains(c.ada.id));
    CHECK(set->standing(c.membership) == Admissions::Standing::revoked);
  }
  CHECK(first.digest() == second.digest());
  Bytes forged = admission_item(proof);
  forged.back() ^= 1;
  Admissions third(c.swarm);
  third.add(c.membership);
  CHECK(third.add(forged) == Admissions::Taken::forged);
}

TEST_CASE("neighbours that were given different deltas under one number find out") {
  Desk desk;
  Peer ada(3), bob(4), carl(6);
  for (Peer* peer : {&ada, &bob, &carl}) desk.link(*peer);
  CHECK(all_of<Deliver>(desk.push(ada, 1)).size() == 1);
  const std::vector<Output> told = desk.pass(1000);
  for (const Peer* peer : {&bob, &carl}) {
    const auto witnesses = sent_to<Witness>(told, peer->id);
    REQUIRE(witnesses.size() == 1);
    REQUIRE(witnesses[0].seen.size() == 1);
    CHECK(witnesses[0].seen[0].key == Desk::key_of(ada, 1));
  }

  const auto own = sent_to<Witness>(told, bob.id)[0];
  CHECK(sent_to<Pull>(desk.say(bob, own), bob.id).empty());  // Bob has the same
  Witness other = own;
  other.seen[0].hash[0] ^= 1;
  size_t asked = 0;
  for (int i = 0; i < 5; ++i) asked += sent_to<Pull>(desk.say(bob, other), bob.id).size();
  CHECK(asked == 3);

  const auto found = all_of<Prove>(desk.put(desk.delta(bob, ada, 1, 1, 5)));
  REQUIRE(found.size() == 1);
  CHECK(found[0].key == Desk::key_of(ada, 1));
  CHECK(desk.refused(DropReason::equivocation) == 1);
}

TEST_CASE("a neighbour that comes later is told of what was there before, the newest first") {
  Desk desk;
  Peer ada(3), bob(4);
  desk.link(ada);
  constexpr uint64_t deltas = sightings_max + 20;
  for (uint64_t seq = 1; seq <= deltas; ++seq) {
    desk.pass(2000);
    REQUIRE(all_of<Deliver>(desk.push(ada, seq)).size() == 1);
  }
  std::set<uint64_t> told;
  const auto hear = [&](const std::vector<Output>& outputs) {
    for (const Witness& witness : sent_to<Witness>(outputs, bob.id)) {
      for (const Sighting& sighting : witness.seen) told.insert(sighting.key.seq);
    }
  };
  hear(desk.link(bob));
  hear(desk.pass(5000));
  REQUIRE(told.size() == sightings_max);
  CHECK(*told.begin() == deltas - sightings_max + 1);
  CHECK(*told.rbegin() == deltas);

  // Bob has the same deltas and another base: something older is amiss.
  const VersionVector have = desk.state->have();
  Digest own{}, other{};
  own.fill(1);
  other.fill(2);
  desk.put(BaseReached{.have = have, .hash = own});
  Heartbeat heartbeat;
  heartbeat.sent_ms = 1;
  heartbeat.have = have;
  heartbeat.base_hash = other;
  heartbeat.base_count = deltas;
  hear(desk.say(bob, heartbeat));
  CHECK(notices_of(desk.outputs, Notice::Kind::diverged).size() == 1);
  CHECK(told.size() == deltas);
}

TEST_CASE("a proof cuts its origin off, is told to the others, and is no fault of who brings it") {
  Desk desk;
  Peer ada(3), bob(4), carl(6);
  for (Peer* peer : {&ada, &bob, &carl}) desk.link(*peer);
  const Bytes item =
      admission_item(*prove(frame_of(ada, desk.swarm, 1, 7), frame_of(ada, desk.swarm, 1, 8)));
  desk.outputs.clear();
  desk.say(bob, AdmissionNews{.digest = {}, .items = {item}});
  desk.pass(2000);
  const auto revoked = notices_of(desk.outputs, Notice::Kind::revoked);
  REQUIRE(revoked.size() == 1);
  CHECK(revoked[0].peer == ada.id);
  CHECK(revoked[0].reason == "it signed two different deltas with one number");
  const auto closes = all_of<Close>(desk.outputs);
  REQUIRE(closes.size() == 1);
  CHECK(closes[0].peer == ada.id);
  size_t told = 0;
  for (const AdmissionNews& news : sent_to<AdmissionNews>(desk.outputs, carl.id))
    told += std::count(news.items.begin(), news.items.end(), item);
  CHECK(told == 1);
  CHECK(desk.view_of(bob).score == 0);
  CHECK(all_of<Deliver>(desk.put(desk.delta(bob, ada, 2))).empty());
}

TEST_CASE("we do not accuse ourselves: the others find out who uses our identity") {
  Desk desk;
  Peer bob(4);
  desk.link(bob);
  desk.publish(1);
  CHECK(all_of<Prove>(desk.put(desk.delta(bob, desk.self, 1, 1, 5))).empty());
  REQUIRE(notices_of(desk.outputs, Notice::Kind::equivocation).size() == 1);
}

}  // namespace
}  // namespace starling::swarm::state_test
