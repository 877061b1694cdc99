// Deltas, gates, pulls and snapshots: one State, made-up peers and instants.
#include <cmath>
#include <limits>

#include "tests/swarm/state_desk.h"

namespace starling::swarm::state_test {
namespace {

// Eight deltas of norm 1, so that there is a reference.
void settle(Desk& desk, const Peer& origin) {
  for (uint64_t seq = 1; seq <= 8; ++seq) desk.push(origin, seq);
  REQUIRE(desk.state->view(desk.now).reference_norm == 1);
}

TEST_CASE("a published delta is stored and goes to every link as it is") {
  Desk desk;
  Peer ada(10), bob(11), eve(12);
  desk.link(ada);
  desk.link(bob);
  desk.up(eve);  // not greeted yet
  const auto outputs = desk.publish(1);
  CHECK(all_of<Store>(outputs).size() == 1);
  CHECK(all_of<SendFrame>(outputs).size() == 2);
  CHECK(all_of<Deliver>(outputs).empty());  // it is in our base already
  CHECK(desk.state->counters().published == 1);
  CHECK(desk.state->view(desk.now).deltas == 1);
}

TEST_CASE("a delta above 64 KiB is announced at once and given to who asks, one of 64 KiB pushed") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.link(bob);
  desk.pass(1000);
  const auto publish = [&](uint64_t seq, size_t size) {
    ReceivedDelta own = desk.delta(desk.self, desk.self, seq);
    own.frame = std::make_shared<const Bytes>(Bytes(size));
    return desk.put(Publish{own.header, own.summary, own.frame});
  };
  const auto large = publish(1, (64u << 10) + 1);
  CHECK(all_of<SendFrame>(large).empty());
  for (const Peer& peer : {ada, bob}) {
    const auto told = sent_to<Witness>(large, peer.id);
    REQUIRE(told.size() == 1);
    CHECK(told[0].seen.at(0).key == Desk::key_of(desk.self, 1));
    CHECK(told[0].seen.at(0).hash[0] == 16);  // as Desk::delta fills it
  }
  CHECK(all_of<SendStored>(desk.say(bob, Pull{{Desk::key_of(desk.self, 1)}})).size() == 1);
  const auto small = publish(2, 64u << 10);
  CHECK(all_of<SendFrame>(small).size() == 2);
  CHECK(sent_to<Witness>(small, ada.id).empty());
  CHECK(sent_to<Witness>(desk.pass(desk.config.digest_delay_ms), ada.id).size() == 1);
}

TEST_CASE("an accepted delta is stored, delivered and noticed, and its body is not pushed on") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.link(bob);
  const auto outputs = desk.push(ada, 1);
  REQUIRE(all_of<Deliver>(outputs).size() == 1);
  CHECK(all_of<Deliver>(outputs)[0].key == Desk::key_of(ada, 1));
  CHECK(all_of<Deliver>(outputs)[0].frame != nullptr);
  CHECK(all_of<Store>(outputs).size() == 1);
  CHECK(all_of<SendFrame>(outputs).empty());
  CHECK(notices_of(outputs, Notice::Kind::delta_accepted).size() == 1);
  const auto later = desk.pass(desk.config.digest_delay_ms);
  REQUIRE(sent_to<Witness>(later, bob.id).size() == 1);
  CHECK(sent_to<Witness>(later, bob.id)[0].seen.at(0).key == Desk::key_of(ada, 1));
  CHECK(desk.view_of(ada).deltas == 1);
  CHECK(desk.view_of(ada).last_delta_age_ms == desk.config.digest_delay_ms);
}

TEST_CASE(
    "a delta of somebody unknown is dropped without blame, and pulled once its record is here") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada);
  const auto outputs = desk.put(desk.delta(ada, bob, 1));
  CHECK(all_of<Drop>(outputs).at(0).reason == DropReason::not_a_member);
  CHECK(all_of<Drop>(outputs).at(0).penalty == 0);
  desk.tell(ada, vector_of({bob.id, 1}, 1));
  CHECK(sent_to<Pull>(desk.pass(1000), ada.id).empty());
  desk.say(ada, Members{{desk.record_of(bob)}});
  desk.pass(1000);
  CHECK(sent_to<Pull>(desk.outputs, ada.id).size() == 1);
  CHECK(all_of<Deliver>(desk.put(desk.delta(ada, bob, 1))).size() == 1);
}

TEST_CASE("a delta that comes again is counted and changes nothing") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  desk.push(ada, 1);
  CHECK(desk.push(ada, 1).empty());
  CHECK(desk.state->counters().duplicates == 1);
  CHECK(desk.state->counters().refused == 0);
  CHECK(desk.view_of(ada).score == 0);
}

TEST_CASE("two deltas with one number are proof against their origin, whoever brings them") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.link(bob);
  desk.push(ada, 1);
  const VersionVector before = desk.state->have();
  ReceivedDelta other = desk.delta(bob, ada, 1, 1, 3);
  const auto outputs = desk.put(other);
  CHECK(all_of<Drop>(outputs).at(0).reason == DropReason::equivocation);
  REQUIRE(notices_of(outputs, Notice::Kind::equivocation).size() == 1);
  CHECK(notices_of(outputs, Notice::Kind::equivocation)[0].peer == ada.id);
  CHECK(all_of<Deliver>(outputs).empty());
  CHECK(all_of<Store>(outputs).empty());
  CHECK(desk.state->have() == before);
  CHECK(desk.view_of(bob).score == 0);
  CHECK(desk.view_of(ada).score == -10);
  other.from = ada.id;
  desk.put(other);
  CHECK(desk.view_of(ada).score == -20);
  CHECK(desk.refused(DropReason::equivocation) == 2);
}

TEST_CASE("a delta in our own name that we did not write is refused and said aloud") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  const auto outputs = desk.put(desk.delta(ada, desk.self, 7));
  CHECK(notices_of(outputs, Notice::Kind::equivocation).at(0).reason ==
        "our identity is in use elsewhere");
  CHECK(desk.state->have().delta_count() == 0);
  Peer before = desk.self;
  before.epoch = 1;  // an earlier boot of ours: the swarm gives back what we lost
  CHECK(all_of<Deliver>(desk.put(desk.delta(ada, before, 1))).size() == 1);
}

TEST_CASE("numbers beyond the window are not taken, and pulled when their turn comes") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  const auto outputs = desk.push(ada, 66);
  CHECK(all_of<Drop>(outputs).at(0).reason == DropReason::too_far_ahead);
  CHECK(desk.view_of(ada).score == 0);
  CHECK(all_of<Deliver>(desk.push(ada, 65)).size() == 1);
  CHECK(all_of<Drop>(desk.push(ada, UINT64_MAX)).size() == 1);
  CHECK(all_of<Drop>(desk.push(ada, 0)).at(0).reason == DropReason::malformed);
}

TEST_CASE("an origin may push its deltas a minute and no more, what we pulled ourselves is free") {
  Config config;
  config.deltas_per_minute_max = 10;
  Desk desk(config);
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.link(bob);
  for (uint64_t seq = 1; seq <= 12; ++seq) desk.push(ada, seq);
  CHECK(desk.state->view(desk.now).deltas == 10);
  CHECK(desk.refused(DropReason::rate_limited) == 2);
  desk.tell(bob, vector_of({ada.id, 1}, 20));
  size_t asked = 0;
  for (const Pull& pull : sent_to<Pull>(desk.pass(5000), bob.id)) {
    for (const DeltaKey& key : pull.keys) {
      desk.put(desk.delta(bob, ada, key.seq));
      ++asked;
    }
  }
  CHECK(asked == 10);
  CHECK(desk.state->view(desk.now).deltas == 20);
  CHECK(desk.refused(DropReason::rate_limited) == 2);
}

TEST_CASE("a norm that is no number, or beyond every bound, is refused and costs its sender") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinite = std::numeric_limits<double>::infinity();
  uint64_t seq = 0;
  for (const double norm : {nan, infinite, -1.0, desk.config.norm_max * 2}) {
    const auto outputs = desk.push(ada, ++seq, norm);
    CHECK(all_of<Drop>(outputs).at(0).reason == DropReason::bad_norm);
    CHECK(notices_of(outputs, Notice::Kind::delta_refused).size() == 1);
    CHECK(all_of<Deliver>(outputs).empty());
  }
  CHECK(desk.state->have().delta_count() == 0);
  CHECK(desk.view_of(ada).score == -40);
}

TEST_CASE("the own clipping does not hide growth from the reference, and no claim drags it") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  settle(desk, ada);
  for (uint64_t seq = 1; seq <= 60; ++seq) {
    ReceivedDelta clipped = desk.delta(desk.self, desk.self, seq, 1);
    clipped.summary.raw_norm = 3e30f;  // counts as 4 times what the payload weighs
    desk.put(Publish{clipped.header, clipped.summary, clipped.frame});
  }
  CHECK(desk.state->view(desk.now).reference_norm == 1);  // of two origins the smaller
  for (uint64_t seq = 61; seq <= 70; ++seq) {
    const ReceivedDelta own = desk.delta(desk.self, desk.self, seq, 1);
    ReceivedDelta clipped = own;
    clipped.summary.raw_norm = 3e30f;
    desk.put(Publish{clipped.header, clipped.summary, clipped.frame});
  }
  CHECK(desk.state->view(desk.now).reference_norm == 4);  // the other's left the window
}

TEST_CASE("pulls are spread over those who have the deltas, the oldest first, a bounded number") {
  Config config;
  config.pulls_in_flight_max = 8;
  Desk desk(config);
  Peer ada(10), bob(11), eve(12), dan(13);
  for (Peer* peer : {&ada, &bob}) desk.link(*peer);
  desk.say(ada, Members{{desk.record_of(eve), desk.record_of(dan)}});
  VersionVector have = vector_of({eve.id, 1}, 30);
  have.merge(vector_of({dan.id, 1}, 30));
  desk.tell(ada, have);
  desk.tell(bob, have);
  const auto outputs = desk.pass(1000);
  std::vector<DeltaKey> asked;
  size_t of_ada = 0, of_bob = 0;
  for (const Pull& pull : sent_to<Pull>(outputs, ada.id)) {
    of_ada += pull.keys.size();
    asked.insert(asked.end(), pull.keys.begin(), pull.keys.end());
  }
  for (const Pull& pull : sent_to<Pull>(outputs, bob.id)) {
    of_bob += pull.keys.size();
    asked.insert(asked.end(), pull.keys.begin(), pull.keys.end());
  }
  CHECK(of_ada == 4);
  CHECK(of_bob == 4);
  for (const DeltaKey& key : asked) CHECK(key.seq <= 4);  // both streams advance together
  for (const DeltaKey& key : asked) {
    ReceivedDelta answer = desk.delta(ada, key.stream.origin == eve.id ? eve : dan, key.seq);
    desk.put(answer);
  }
  CHECK(all_of<Send>(desk.pass(200)).size() >= 2);  // and the next eight
}

TEST_CASE("a peer that promises much and gives nothing leaves half of the flight to the others") {
  Config config;
  config.pulls_in_flight_max = 8;
  Desk desk(config);
  Peer liar(10), bob(11), eve(12);
  desk.link(liar);
  desk.link(bob);
  desk.say(bob, Members{{desk.record_of(eve)}});
  desk.tell(liar, vector_of({eve.id, 1}, 1000000));
  desk.pass(200);
  CHECK(sent_to<Pull>(desk.outputs, liar.id).at(0).keys.size() == 4);
  desk.tell(bob, vector_of({eve.id, 2}, 4));
  desk.pass(200);
  REQUIRE(sent_to<Pull>(desk.outputs, bob.id).size() == 1);
  CHECK(sent_to<Pull>(desk.outputs, bob.id)[0].keys.size() == 4);
}

TEST_CASE("an unanswered pull goes to another peer, and when all were asked, again after a pause") {
  Desk desk;
  Peer ada(10), bob(11), eve(12);
  desk.link(ada);
  desk.link(bob);
  desk.say(ada, Members{{desk.record_of(eve)}});
  desk.tell(ada, vector_of({eve.id, 1}, 1));
  desk.tell(bob, vector_of({eve.id, 1}, 1));
  const auto keep_alive = [&](int64_t ms) {
    std::vector<Output> all;
    for (int64_t passed = 0; passed < ms; passed += 1000) {
      for (Output& output : desk.pass(1000)) all.push_back(std::move(output));
      desk.tell(ada, vector_of({eve.id, 1}, 1));
      desk.tell(bob, vector_of({eve.id, 1}, 1));
    }
    return all;
  };
  const auto first = keep_alive(4000);
  CHECK(sent_to<Pull>(first, ada.id).size() + sent_to<Pull>(first, bob.id).size() <= 1);
  const auto second = keep_alive(8000);
  const auto all = keep_alive(60000);
  const size_t of_ada = sent_to<Pull>(desk.outputs, ada.id).size();
  const size_t of_bob = sent_to<Pull>(desk.outputs, bob.id).size();
  CHECK(of_ada >= 2);
  CHECK(of_bob >= 2);
  CHECK(of_ada + of_bob <= 10);  // the pauses grow
}

TEST_CASE("a pull whose peer went away is asked of another at once") {
  Desk desk;
  Peer ada(10), bob(11), eve(12);
  desk.link(ada);
  desk.link(bob);
  desk.say(ada, Members{{desk.record_of(eve)}});
  desk.tell(ada, vector_of({eve.id, 1}, 1));
  desk.pass(200);
  REQUIRE(sent_to<Pull>(desk.outputs, ada.id).size() == 1);
  desk.tell(bob, vector_of({eve.id, 1}, 1));
  desk.put(LinkDown{ada.id, "connection reset"});
  CHECK(sent_to<Pull>(desk.pass(200), bob.id).size() == 1);
}

TEST_CASE("what its origin has probably just sent us is not pulled from others at once") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.link(bob);
  desk.tell(bob, vector_of({ada.id, 1}, 1));
  CHECK(sent_to<Pull>(desk.pass(400), bob.id).empty());
  desk.push(ada, 1);
  CHECK(sent_to<Pull>(desk.pass(2000), bob.id).empty());
  desk.tell(bob, vector_of({ada.id, 1}, 2));
  CHECK(sent_to<Pull>(desk.pass(1000), bob.id).size() == 1);  // it did not come
}

TEST_CASE(
    "a pull is answered from the log, with a snapshot for what the log forgot, or not at all") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.publish(1);
  desk.publish(2);
  const std::vector<DeltaKey> keys{Desk::key_of(desk.self, 1), Desk::key_of(desk.self, 2),
                                   Desk::key_of(bob, 1)};
  CHECK(all_of<SendStored>(desk.say(ada, Pull{keys})).size() == 2);
  desk.put(Forgotten{{keys[0]}});
  const auto forgotten = desk.say(ada, Pull{keys});
  CHECK(all_of<SendStored>(forgotten).size() == 1);
  CHECK(sent_to<SnapshotOffer>(forgotten, ada.id).empty());  // there is none yet
  SnapshotOffer offer;
  offer.size = 100;
  offer.have = vector_of({desk.self.id, desk.self.epoch}, 1);
  desk.put(SnapshotAvailable{offer});
  CHECK(sent_to<SnapshotOffer>(desk.say(ada, Pull{keys}), ada.id).size() == 1);
  CHECK(all_of<SendChunk>(desk.say(ada, ChunkRequest{offer.file_hash, 0})).size() == 1);
  CHECK(all_of<SendChunk>(desk.say(ada, ChunkRequest{offer.file_hash, 1})).empty());
  Digest other{};
  other.fill(9);
  CHECK(desk.say(ada, ChunkRequest{other, 0}).empty());
}

TEST_CASE("a snapshot nobody asked for, chunks nobody asked for, and absurd sizes change nothing") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.link(bob);
  SnapshotOffer offer;
  offer.size = 100;
  offer.have = vector_of({ada.id, 1}, 1000);
  desk.tell(ada, offer.have);
  desk.pass(1000);
  desk.say(ada, offer);  // one neighbour of two tells of these deltas: it could have invented them
  CHECK(sent_to<ChunkRequest>(desk.pass(15000), ada.id).empty());
  const auto chunk = desk.say(ada, Chunk{offer.file_hash, 0, Bytes(100)});
  CHECK(all_of<Drop>(chunk).at(0).reason == DropReason::unexpected);
  CHECK(all_of<SaveChunk>(chunk).empty());
  offer.size = uint64_t{1} << 40;
  CHECK(all_of<Drop>(desk.say(ada, offer)).at(0).reason == DropReason::oversized);
}

TEST_CASE("a snapshot that claims deltas of our own boot that we never wrote is refused") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  SnapshotOffer offer;
  offer.size = 10;
  offer.have = vector_of({desk.self.id, desk.self.epoch}, 5);
  desk.tell(ada, offer.have);
  desk.pass(1000);
  CHECK(sent_to<Pull>(desk.outputs, ada.id).empty());
  CHECK(all_of<Drop>(desk.say(ada, offer)).at(0).reason == DropReason::malformed);
  CHECK(sent_to<ChunkRequest>(desk.pass(15000), ada.id).empty());
  CHECK(all_of<Store>(desk.publish(1)).size() == 1);
}

TEST_CASE("a newcomer fetches what only a snapshot has, and resumes it with another sender") {
  Desk desk;
  Peer ada(10), bob(11), eve(12);
  desk.link(ada);
  desk.link(bob);
  desk.say(ada, Members{{desk.record_of(eve)}});
  SnapshotOffer offer;
  offer.size = chunk_size_max + 10;
  offer.file_hash.fill(3);
  offer.have = vector_of({eve.id, 1}, 500);
  desk.tell(ada, offer.have);
  desk.tell(bob, offer.have);
  const auto asked = desk.pass(1000);
  REQUIRE_FALSE(sent_to<Pull>(asked, ada.id).empty());
  desk.say(ada, offer);
  desk.pass(200);  // what was asked of the one is asked of the other now
  REQUIRE_FALSE(sent_to<Pull>(desk.outputs, bob.id).empty());
  CHECK(sent_to<ChunkRequest>(desk.outputs, ada.id).empty());
  desk.say(bob, offer);
  desk.pass(200);
  const auto requests = desk.outputs;
  CHECK(sent_to<ChunkRequest>(requests, ada.id).size() == 1);
  CHECK(sent_to<ChunkRequest>(requests, bob.id).size() == 1);
  const uint32_t of_bob = sent_to<ChunkRequest>(requests, bob.id).at(0).index;
  const uint32_t of_ada = 1 - of_bob;
  const auto size_of = [&](uint32_t index) { return index == 0 ? chunk_size_max : size_t{10}; };
  CHECK(all_of<Drop>(desk.say(bob, Chunk{offer.file_hash, of_bob, Bytes(5)})).at(0).reason ==
        DropReason::malformed);
  CHECK(all_of<SaveChunk>(desk.say(bob, Chunk{offer.file_hash, of_bob, Bytes(size_of(of_bob))}))
            .size() == 1);
  desk.put(ChunkSaved{offer.file_hash, of_bob, true});
  desk.put(LinkDown{ada.id, "connection reset"});
  CHECK(sent_to<ChunkRequest>(desk.outputs, bob.id).back().index == of_ada);
  desk.say(bob, Chunk{offer.file_hash, of_ada, Bytes(size_of(of_ada))});
  const auto whole = desk.put(ChunkSaved{offer.file_hash, of_ada, true});
  REQUIRE(all_of<InstallSnapshot>(whole).size() == 1);
  // Until the answer comes, nothing is delivered that the file may contain.
  CHECK(all_of<Deliver>(desk.put(desk.delta(bob, eve, 1))).empty());
  CHECK(all_of<Deliver>(desk.put(desk.delta(bob, eve, 501))).empty());
  desk.put(SnapshotInstalled{offer, true, ""});
  CHECK(desk.state->have().delta_count() == 500);
  CHECK(all_of<Deliver>(desk.put(desk.delta(bob, eve, 501))).size() == 1);
}

TEST_CASE("a snapshot that cannot be installed is not tried again for a while") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  SnapshotOffer offer;
  offer.size = 10;
  offer.have = vector_of({ada.id, 1}, 100);
  desk.tell(ada, offer.have);
  desk.pass(200);
  desk.say(ada, offer);
  desk.pass(300);
  REQUIRE(sent_to<ChunkRequest>(desk.outputs, ada.id).size() == 1);
  desk.say(ada, Chunk{offer.file_hash, 0, Bytes(10)});
  REQUIRE(all_of<InstallSnapshot>(desk.put(ChunkSaved{offer.file_hash, 0, true})).size() == 1);
  desk.put(SnapshotInstalled{offer, false, "its hash does not match"});
  for (int i = 0; i < 30; ++i) {
    desk.tell(ada, offer.have);
    desk.pass(2000);
    desk.say(ada, offer);
  }
  CHECK(sent_to<ChunkRequest>(desk.outputs, ada.id).size() == 1);
}

TEST_CASE("a restart goes on with what the disk held") {
  Desk first;
  Peer ada(10);
  first.link(ada);
  settle(first, ada);
  Desk second;
  Recovered recovered;
  recovered.have = first.state->have();
  for (uint64_t seq = 1; seq <= 8; ++seq) {
    Recovered::Entry entry{Desk::key_of(ada, seq), {}, 1};
    entry.hash.fill(static_cast<uint8_t>(seq * 16));
    recovered.stored.push_back(entry);
  }
  recovered.members = {first.record_of(ada, {"192.0.2.60:1"})};
  second.put(recovered);
  CHECK(second.state->have() == first.state->have());
  CHECK(second.state->view(second.now).reference_norm == 1);
  CHECK(second.state->is_member(ada.keys.public_key));
  CHECK(all_of<Open>(second.pass(600)).size() == 1);
  second.link(ada);
  second.push(ada, 3);
  CHECK(second.state->counters().duplicates == 1);
  CHECK(all_of<Drop>(second.put(second.delta(ada, ada, 3, 1, 5))).at(0).reason ==
        DropReason::equivocation);
}

TEST_CASE("N counts those who are alive or whose deltas were heard lately, and ourselves") {
  Desk desk;
  Peer ada(10), bob(11), eve(12);
  CHECK(desk.state->view(desk.now).active_origins == 1);
  desk.link(ada);
  desk.link(bob);
  CHECK(desk.state->view(desk.now).active_origins == 3);
  desk.push(ada, 1);
  desk.put(LinkDown{ada.id, "connection reset"});
  desk.put(LinkDown{bob.id, "connection reset"});
  CHECK(desk.state->view(desk.now).active_origins == 2);  // bob is a suspect and said nothing
  desk.pass(desk.config.origin_active_ms);
  CHECK(desk.state->view(desk.now).active_origins == 1);
  CHECK(desk.state->view(desk.now).members == 3);
}

}  // namespace
}  // namespace starling::swarm::state_test
