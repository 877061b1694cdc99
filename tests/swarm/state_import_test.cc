// What comes in a bundle instead of over a link: one State, made-up members and instants.
#include "tests/swarm/state_desk.h"

namespace starling::swarm::state_test {
namespace {

ImportedDelta imported(const Desk& desk, const Peer& origin, uint64_t seq, uint8_t content = 0) {
  const ReceivedDelta received = desk.delta(origin, origin, seq, 1, content);
  return {received.header, received.summary, received.frame};
}

TEST_CASE("a delta from a bundle counts as any other, without a link and without a sign of life") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(bob);
  desk.put(ImportedMessage{Members{{desk.record_of(ada)}}});
  const auto outputs = desk.put(imported(desk, ada, 1));
  CHECK(all_of<Store>(outputs).size() == 1);
  REQUIRE(all_of<Deliver>(outputs).size() == 1);
  CHECK(all_of<Deliver>(outputs)[0].key == Desk::key_of(ada, 1));
  CHECK(desk.state->counters().accepted == 1);
  CHECK(desk.view_of(ada).last_delta_age_ms < 0);
  const auto later = desk.pass(desk.config.digest_delay_ms);
  REQUIRE(sent_to<Witness>(later, bob.id).size() == 1);  // others may have it from here
  CHECK(sent_to<Witness>(later, bob.id)[0].seen.at(0).key == Desk::key_of(ada, 1));
}

TEST_CASE("a delta that a bundle brings twice is counted, not refused") {
  Desk desk;
  Peer ada(10);
  desk.put(ImportedMessage{Members{{desk.record_of(ada)}}});
  desk.put(imported(desk, ada, 1));
  CHECK(all_of<Deliver>(desk.put(imported(desk, ada, 1))).empty());
  CHECK(desk.state->counters().duplicates == 1);
  CHECK(desk.state->counters().refused == 0);
}

TEST_CASE("a bundle's deltas are refused by reason, and nobody is blamed who did not sign them") {
  Desk desk;
  Peer ada(10), eve(12);
  desk.put(ImportedMessage{Members{{desk.record_of(ada)}}});
  desk.put(imported(desk, eve, 1));
  CHECK(desk.refused(DropReason::not_a_member) == 1);
  ImportedDelta other_model = imported(desk, ada, 1);
  other_model.header.fingerprint.fill(9);
  desk.put(std::move(other_model));
  CHECK(desk.refused(DropReason::wrong_fingerprint) == 1);
  desk.put(imported(desk, ada, 80));  // too much lies between
  CHECK(desk.refused(DropReason::too_far_ahead) == 1);
  CHECK(desk.view_of(ada).score == 0);
  CHECK(desk.state->counters().accepted == 0);
}

TEST_CASE("two deltas under one number are proof against their origin, wherever they came from") {
  Desk desk;
  Peer ada(10);
  desk.put(ImportedMessage{Members{{desk.record_of(ada)}}});
  desk.put(imported(desk, ada, 1));
  const auto outputs = desk.put(imported(desk, ada, 1, 5));
  CHECK(notices_of(outputs, Notice::Kind::equivocation).size() == 1);
  CHECK(desk.refused(DropReason::equivocation) == 1);
}

TEST_CASE("what a bundle says of members is believed only if it is signed") {
  Desk desk;
  Peer ada(10), eve(12);
  MemberRecord forged = desk.record_of(eve);
  forged.name = "ada";
  desk.put(ImportedMessage{Members{{forged, desk.record_of(ada)}}});
  CHECK(desk.refused(DropReason::bad_signature) == 1);
  CHECK(desk.view_of(ada).name == "peer");
  CHECK(desk.state->members(desk.now).size() == 2);
}

TEST_CASE("a bundle's revocation counts, and what the revoked one signed is not taken in") {
  Desk desk;
  Peer ada(10);
  const Revocation word = revoke(RevokedKind::node, ada.id.bytes, desk.root.signer());
  Admissions admissions(desk.swarm);
  REQUIRE(admissions.add(word) == Admissions::Taken::added);
  const Bytes item = admissions.items().begin()->second->bytes;
  desk.put(ImportedMessage{Members{{desk.record_of(ada)}}});
  desk.put(ImportedMessage{AdmissionNews{admissions.digest(), {item}}});
  desk.put(imported(desk, ada, 1));
  CHECK(desk.refused(DropReason::revoked) == 1);
  Bytes forged = item;
  forged.back() ^= 1;
  desk.put(ImportedMessage{AdmissionNews{admissions.digest(), {forged}}});
  CHECK(desk.refused(DropReason::bad_signature) == 1);
}

}  // namespace
}  // namespace starling::swarm::state_test
