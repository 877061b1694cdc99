// Links, greeting, members, dialling, heartbeats, loss: one State, made-up peers and instants.
#include "tests/swarm/state_desk.h"

namespace starling::swarm::state_test {
namespace {

TEST_CASE("a link begins with Hello, and a good Hello is answered with members and a heartbeat") {
  Desk desk;
  Peer ada(10), bob(11);
  CHECK(sent_to<Hello>(desk.up(ada), ada.id).size() == 1);
  CHECK(desk.state->view(desk.now).neighbours == 0);
  const auto greeting = desk.say(ada, desk.hello_of(ada));
  CHECK(notices_of(greeting, Notice::Kind::peer_joined).size() == 1);
  CHECK(sent_to<Heartbeat>(greeting, ada.id).size() == 1);
  CHECK(desk.state->view(desk.now).neighbours == 1);
  const auto second = sent_to<Members>(desk.link(bob), bob.id);
  REQUIRE(second.size() == 1);
  CHECK(second[0].records.empty());  // the digest, for Bob to compare
  const auto third = sent_to<Members>(desk.say(bob, Members{{}, ShortHash{1}}), bob.id);
  REQUIRE(third.size() == 1);
  CHECK(third[0].records.at(0).membership.identity == ada.keys.public_key);
  CHECK(desk.state->view(desk.now).members == 3);
}

TEST_CASE("before its Hello nothing of a peer is believed") {
  Desk desk;
  Peer ada(10);
  desk.up(ada);
  const auto outputs = desk.tell(ada, {});
  REQUIRE(all_of<Drop>(outputs).size() == 1);
  CHECK(all_of<Drop>(outputs)[0].reason == DropReason::unexpected);
  CHECK(all_of<Drop>(desk.put(desk.delta(ada, ada, 1)))[0].reason == DropReason::unexpected);
}

TEST_CASE("a Hello that got no answer is said again with each heartbeat interval") {
  Desk desk;
  Peer ada(10);
  desk.up(ada);
  CHECK(sent_to<Hello>(desk.pass(3 * desk.config.heartbeat_interval_ms), ada.id).size() == 3);
  desk.say(ada, desk.hello_of(ada));
  desk.tell(ada, {});  // it has our Hello
  CHECK(sent_to<Hello>(desk.pass(5000), ada.id).empty());
}

TEST_CASE("a peer with another model is sent away, and members shows both fingerprints") {
  Desk desk;
  Peer ada(10);
  desk.up(ada);
  Hello hello = desk.hello_of(ada);
  hello.fingerprint.fill(0xab);
  const auto closes = all_of<Close>(desk.say(ada, hello));
  REQUIRE(closes.size() == 1);
  CHECK(closes[0].reason == "different model (theirs abababab, ours 07070707)");
  CHECK(desk.view_of(ada).lost_reason == closes[0].reason);
  CHECK_FALSE(desk.view_of(ada).is_linked);
  CHECK(notices_of(desk.outputs, Notice::Kind::peer_lost).empty());  // it never was a neighbour
}

TEST_CASE("a peer without a common protocol version is sent away with both ranges") {
  Desk desk;
  Peer ada(10);
  desk.up(ada);
  Hello hello = desk.hello_of(ada);
  hello.version_min = protocol_version_max + 1;
  hello.version_max = protocol_version_max + 3;
  const auto closes = all_of<Close>(desk.say(ada, hello));
  REQUIRE(closes.size() == 1);
  CHECK(closes[0].reason == "no common protocol version: theirs 2 to 4, ours 1");
}

TEST_CASE("two versions that overlap speak the highest that both know, and ignore what is newer") {
  Desk desk;
  Peer ada(10);
  Hello next = desk.hello_of(ada);
  next.version_max = protocol_version_max + 1;  // speaks ours too
  next.features = ~uint64_t{0};
  next.extension = {1, 2, 3};
  desk.up(ada);
  CHECK(notices_of(desk.say(ada, next), Notice::Kind::peer_joined).size() == 1);
  for (int second = 0; second < 60; ++second) {
    desk.put(ReceivedRefused{ada.id, DropReason::unknown_kind});
    desk.pass(1000);
  }
  CHECK(desk.view_of(ada).is_linked);  // that was a sign of life
  CHECK(desk.view_of(ada).score == 0);
  CHECK(desk.refused(DropReason::unknown_kind) == 60);
  CHECK(notices_of(desk.outputs, Notice::Kind::delta_refused).empty());
  for (int i = 0; i < 300; ++i) desk.put(ReceivedRefused{ada.id, DropReason::unknown_kind});
  CHECK(desk.view_of(ada).score == -1);  // but nobody may flood us with it
}

TEST_CASE("a record that is forged, or another member's, ends the link and enters nowhere") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.up(ada);
  Hello hello = desk.hello_of(ada);
  hello.self.name = "changed after signing";
  CHECK(all_of<Close>(desk.say(ada, hello)).size() == 1);
  CHECK(desk.state->members(desk.now).size() == 1);
  desk.up(bob);
  CHECK(all_of<Close>(desk.say(bob, desk.hello_of(ada))).size() == 1);
  CHECK(desk.state->members(desk.now).size() == 1);
  CHECK(desk.refused(DropReason::bad_signature) == 1);
  CHECK(desk.refused(DropReason::malformed) == 1);
}

TEST_CASE("a forged record in Members is refused and costs its sender") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada);
  MemberRecord forged = desk.record_of(bob);
  forged.epoch = 99;
  desk.say(ada, Members{{forged}});
  CHECK_FALSE(desk.state->is_member(bob.keys.public_key));
  CHECK(desk.view_of(ada).score == -10);
}

TEST_CASE("a new or newer record is passed on to the other links, once and together") {
  Desk desk;
  Peer ada(10), bob(11), eve(12), dan(13);
  desk.link(ada);
  desk.link(bob);
  desk.pass(1000);
  desk.say(ada, Members{{desk.record_of(eve)}});
  desk.say(ada, Members{{desk.record_of(dan)}});
  const auto later = desk.pass(desk.config.digest_delay_ms);
  REQUIRE(sent_to<Members>(later, bob.id).size() == 1);
  CHECK(sent_to<Members>(later, bob.id)[0].records.size() == 2);
  CHECK(sent_to<Members>(later, ada.id).empty());
  REQUIRE(all_of<SaveMembers>(later).size() == 1);
  CHECK(all_of<SaveMembers>(later)[0].records.size() == 4);
  desk.say(bob, Members{{desk.record_of(eve)}});  // known: nothing new to tell
  CHECK(sent_to<Members>(desk.pass(1000), ada.id).empty());
  eve.epoch = 2;
  desk.say(bob, Members{{desk.record_of(eve)}});
  CHECK(sent_to<Members>(desk.pass(1000), ada.id).size() == 1);
  eve.epoch = 1;
  desk.say(bob, Members{{desk.record_of(eve)}});  // an old one does not come back
  CHECK(sent_to<Members>(desk.pass(1000), ada.id).empty());
}

TEST_CASE("more members than members_max are refused with the reason") {
  Config config;
  config.members_max = 3;
  Desk desk(config);
  Peer ada(10), bob(11), eve(12);
  desk.link(ada);
  desk.link(bob);
  const auto closes = all_of<Close>(desk.link(eve));
  REQUIRE(closes.size() == 1);
  CHECK(closes[0].reason == "no room: 3 members are known");
  desk.say(ada, Goodbye{"enough"});
  CHECK(all_of<Close>(desk.link(eve)).empty());  // the seat is free
}

TEST_CASE("seeds are dialled at once and for ever, with pauses that double up to the limit") {
  Desk desk;
  const std::string seed = "192.0.2.50:7411";
  REQUIRE(all_of<Open>(desk.put(AddAddress{seed})).size() == 1);
  CHECK_FALSE(all_of<Open>(desk.outputs)[0].expected.has_value());
  int64_t last_pause = 0;
  for (int attempt = 0; attempt < 12; ++attempt) {
    desk.put(DialFailed{seed, "connection refused"});
    const Instant before = desk.now;
    while (all_of<Open>(desk.pass(10)).empty()) {
      REQUIRE(desk.now.ms - before.ms < desk.config.redial_delay_max_ms + 1000);
    }
    const int64_t pause = desk.now.ms - before.ms;
    CHECK(pause >= desk.config.redial_delay_min_ms);
    CHECK(pause >= last_pause);
    last_pause = std::min<int64_t>(pause, desk.config.redial_delay_max_ms * 3 / 4);
  }
  CHECK(last_pause >= desk.config.redial_delay_max_ms * 3 / 4);
}

TEST_CASE("a dial that is never answered counts as failed") {
  Desk desk;
  desk.put(AddAddress{"192.0.2.50:7411"});
  CHECK(all_of<Open>(desk.pass(20000)).empty());
  CHECK(all_of<Open>(desk.pass(20000)).size() == 1);
}

TEST_CASE("members are dialled by their records while they are not linked, oneself never") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.put(AddAddress{"192.0.2.1:7411"});  // our own
  CHECK(all_of<Open>(desk.pass(60000)).empty());
  desk.link(ada);
  desk.say(ada, Members{{desk.record_of(bob, {"192.0.2.60:1"}), desk.options.self}});
  const auto opens = all_of<Open>(desk.pass(desk.config.redial_delay_min_ms + 1));
  REQUIRE(opens.size() == 1);
  CHECK(opens[0].address == "192.0.2.60:1");
  CHECK(opens[0].expected == bob.id);
  desk.put(DialFailed{"192.0.2.60:1", "no route to host"});
  CHECK(desk.view_of(bob).lost_reason == "192.0.2.60:1: no route to host");
  desk.link(bob, {"192.0.2.60:1"});
  CHECK(all_of<Open>(desk.pass(100)).empty());
  CHECK(desk.view_of(bob).lost_reason.empty());
  desk.put(LinkDown{bob.id, "connection reset"});
  CHECK(desk.view_of(bob).lost_reason == "connection reset");
  CHECK(all_of<Open>(desk.pass(1000)).size() == 1);
}

TEST_CASE("who moved tells its neighbours with a newer record, and whoever is linked later") {
  Desk desk;
  Peer ada(3), bob(4);
  desk.link(ada);
  const auto told = sent_to<Members>(desk.put(Readdressed{{"192.0.2.77:7411"}}), ada.id);
  REQUIRE(told.size() == 1);
  REQUIRE(told[0].records.size() == 1);
  const MemberRecord& record = told[0].records[0];
  CHECK(record.addresses == std::vector<std::string>{"192.0.2.77:7411"});
  CHECK(record.incarnation == desk.options.self.incarnation + 1);
  CHECK(is_authentic(record, desk.swarm));
  CHECK(desk.view_of(desk.self).address == "192.0.2.77:7411");
  CHECK(sent_to<Members>(desk.put(Readdressed{{"192.0.2.77:7411"}}), ada.id).empty());
  const auto hellos = sent_to<Hello>(desk.up(bob), bob.id);
  REQUIRE(hellos.size() == 1);
  CHECK(hellos[0].self.addresses == record.addresses);
}

TEST_CASE("an address that was the own one may be dialled once it is another's") {
  Desk desk;
  Peer ada(3), bob(4);
  const std::string old = desk.options.self.addresses.front();
  desk.link(ada);
  desk.say(ada, Members{{desk.record_of(bob, {old})}});
  const auto dials = [&](int64_t ms) {
    const auto opens = all_of<Open>(desk.pass(ms));
    return std::count_if(opens.begin(), opens.end(),
                         [&](const Open& o) { return o.address == old; });
  };
  CHECK(dials(20000) == 0);
  desk.put(Readdressed{{"192.0.2.77:7411"}});
  CHECK(dials(60000) > 0);
}

TEST_CASE("heartbeats go out with every interval, and what changed soon after it did") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  desk.tell(ada, {});
  size_t count = 0;
  for (int i = 0; i < 5; ++i) {
    count += sent_to<Heartbeat>(desk.pass(2000), ada.id).size();
    desk.tell(ada, {});
  }
  CHECK(count >= 4);
  CHECK(count <= 6);
  desk.publish(1);
  desk.publish(2);
  const auto soon = sent_to<Witness>(desk.pass(desk.config.digest_delay_ms), ada.id);
  REQUIRE(soon.size() == 1);
  CHECK(soon[0].seen.size() == 2);
}

TEST_CASE("the vector is told once, then its hash, and again to whom it does not add up") {
  Desk desk;
  Peer ada(10);
  const auto first = sent_to<Heartbeat>(desk.link(ada), ada.id);
  REQUIRE(first.size() == 1);
  REQUIRE(first[0].have.has_value());
  desk.publish(1);
  const auto second = sent_to<Heartbeat>(desk.pass(3000), ada.id);
  REQUIRE(second.size() == 1);
  CHECK_FALSE(second[0].have.has_value());
  CHECK(second[0].have_hash == hash_of(desk.state->have()));
  CHECK_FALSE(second[0].wants_have);

  // What Ada told of is not all that she has: so says her hash.
  const VersionVector hers = vector_of({ada.id, 1}, 2);
  desk.tell(ada, vector_of({ada.id, 1}, 1));
  Heartbeat heartbeat;
  heartbeat.sent_ms = 1;
  heartbeat.have_hash = hash_of(hers);
  desk.say(ada, heartbeat);
  const auto third = sent_to<Heartbeat>(desk.pass(3000), ada.id);
  REQUIRE_FALSE(third.empty());
  CHECK(third[0].wants_have);
  // With one more delta it adds up, whether it was told or the whole was.
  desk.say(ada, Witness{{{Desk::key_of(ada, 2), {}}}});
  heartbeat.wants_have = true;
  desk.say(ada, heartbeat);
  const auto fourth = sent_to<Heartbeat>(desk.pass(3000), ada.id);
  REQUIRE_FALSE(fourth.empty());
  CHECK_FALSE(fourth[0].wants_have);
  REQUIRE(fourth[0].have.has_value());
  CHECK(*fourth[0].have == desk.state->have());
}

TEST_CASE("what a neighbour tells of is pulled from it") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.say(ada, Members{{desk.record_of(bob)}});
  desk.say(ada, Witness{{{Desk::key_of(bob, 1), {}}}});
  const auto pulls = sent_to<Pull>(desk.pass(1000), ada.id);
  REQUIRE(pulls.size() == 1);
  CHECK(pulls[0].keys == std::vector<DeltaKey>{Desk::key_of(bob, 1)});
}

TEST_CASE("records are sent to whom they are not known, as its digest says, ever more seldom") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(bob);
  size_t told = 0;
  const auto count = [&](const std::vector<Output>& outputs) {
    for (const Members& members : sent_to<Members>(outputs, ada.id)) told += members.records.size();
  };
  count(desk.link(ada));
  CHECK(told == 0);
  for (int i = 0; i < 60; ++i) {
    ShortHash other{};
    other[0] = 1;
    count(desk.say(ada, Members{{}, other}));
    count(desk.pass(1000));
    desk.tell(bob, {});
  }
  CHECK(told >= 2);  // at 0, 10, 30 s
  CHECK(told <= 4);
}

TEST_CASE("the round-trip time is measured with the own clock only") {
  Desk desk;
  Peer ada(10);
  const auto outputs = desk.link(ada);
  const Heartbeat ours = sent_to<Heartbeat>(outputs, ada.id).at(0);
  desk.pass(500);
  Heartbeat theirs;
  theirs.sent_ms = 77;  // another clock altogether
  theirs.echo_ms = ours.sent_ms;
  theirs.echo_delay_ms = 460;
  desk.say(ada, theirs);
  CHECK(desk.view_of(ada).rtt_ms == 40);
  theirs.echo_ms = ours.sent_ms + 1000000000;  // from the future: not believed
  desk.say(ada, theirs);
  theirs.echo_ms = ours.sent_ms;
  theirs.echo_delay_ms = UINT64_MAX;
  desk.say(ada, theirs);
  CHECK(desk.view_of(ada).rtt_ms == 40);
  const auto answer = sent_to<Heartbeat>(desk.pass(3000), ada.id);
  REQUIRE_FALSE(answer.empty());
  CHECK(answer[0].echo_ms == 77);
  CHECK(answer[0].echo_delay_ms <= 3000);
}

TEST_CASE("a silent member is suspect after four intervals, and failed and closed after sixteen") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  const int64_t interval = desk.config.heartbeat_interval_ms;
  desk.pass(4 * interval - 1);
  CHECK(desk.view_of(ada).state == MemberState::alive);
  desk.pass(1);
  CHECK(desk.view_of(ada).state == MemberState::suspect);
  CHECK(all_of<Close>(desk.pass(12 * interval - 1)).empty());
  const auto end = desk.pass(1);
  REQUIRE(all_of<Close>(end).size() == 1);
  CHECK(all_of<Close>(end)[0].reason == "silent for 32 s");
  REQUIRE(notices_of(end, Notice::Kind::peer_lost).size() == 1);
  CHECK(notices_of(end, Notice::Kind::peer_lost)[0].reason == "silent for 32 s");
  CHECK(desk.view_of(ada).state == MemberState::failed);
  desk.put(LinkDown{ada.id, "closed"});  // the driver says so too: nothing more happens
  CHECK(notices_of(desk.outputs, Notice::Kind::peer_lost).size() == 1);
  CHECK(desk.view_of(ada).lost_reason == "silent for 32 s");
}

TEST_CASE(
    "a link lost by error leaves a suspect, later a failed member, coming back it joins again") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  const auto outputs = desk.put(LinkDown{ada.id, "connection reset"});
  CHECK(notices_of(outputs, Notice::Kind::peer_lost).at(0).reason == "connection reset");
  CHECK(desk.view_of(ada).state == MemberState::suspect);
  desk.pass(16 * desk.config.heartbeat_interval_ms);
  CHECK(desk.view_of(ada).state == MemberState::failed);
  CHECK(notices_of(desk.link(ada), Notice::Kind::peer_joined).size() == 1);
  CHECK(desk.view_of(ada).state == MemberState::alive);
}

TEST_CASE("goodbye makes a member left: it is not dialled, until it comes back by itself") {
  Desk desk;
  Peer ada(10);
  desk.link(ada, {"192.0.2.60:1"});
  const auto outputs = desk.say(ada, Goodbye{"closing time"});
  CHECK(all_of<Close>(outputs).size() == 1);
  CHECK(notices_of(outputs, Notice::Kind::peer_lost).at(0).reason == "left: closing time");
  CHECK(desk.view_of(ada).state == MemberState::left);
  CHECK(desk.state->view(desk.now).members == 1);
  CHECK(all_of<Open>(desk.pass(120000)).empty());
  ada.epoch = 2;
  desk.link(ada, {"192.0.2.60:1"});
  CHECK(desk.view_of(ada).state == MemberState::alive);
  CHECK(desk.state->view(desk.now).members == 2);
}

TEST_CASE("leaving says goodbye to all, who close when they have read it, and wakes no more") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada);
  desk.link(bob);
  const auto outputs = desk.put(Leave{});
  CHECK(sent_to<Goodbye>(outputs, ada.id).size() == 1);
  CHECK(sent_to<Goodbye>(outputs, bob.id).size() == 1);
  const auto last = sent_to<Members>(outputs, ada.id);
  REQUIRE(last.size() == 1);
  CHECK(last[0].records[0].left);
  CHECK(is_authentic(last[0].records[0], desk.swarm));
  CHECK(desk.state->next_deadline() == never);
  CHECK(desk.state->view(desk.now).neighbours == 2);
  for (const Peer* peer : {&ada, &bob}) desk.put(LinkDown{peer->id, "closed"});
  CHECK(desk.state->view(desk.now).neighbours == 0);
  CHECK(all_of<Close>(desk.up(ada)).size() == 1);
}

TEST_CASE("a banned member is closed, not dialled, and neither its records nor its deltas enter") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada, {"192.0.2.60:1"});
  desk.link(bob);
  CHECK(all_of<Close>(desk.put(Ban{ada.id})).at(0).reason == "banned here");
  CHECK_FALSE(desk.state->is_member(ada.keys.public_key));
  CHECK(all_of<Close>(desk.up(ada)).size() == 1);
  ada.epoch = 9;
  desk.say(bob, Members{{desk.record_of(ada, {"192.0.2.60:1"})}});
  CHECK_FALSE(desk.state->is_member(ada.keys.public_key));
  desk.tell(bob, vector_of({ada.id, 1}, 3));
  CHECK(sent_to<Pull>(desk.pass(5000), bob.id).empty());
  const auto outputs = desk.put(desk.delta(bob, ada, 1));
  CHECK(all_of<Drop>(outputs).at(0).reason == DropReason::revoked);
  CHECK(desk.view_of(bob).score == 0);  // who passes it on is not to blame
  CHECK(all_of<Deliver>(desk.outputs).empty());
  CHECK(all_of<Open>(desk.pass(60000)).empty());
}

TEST_CASE("a control frame that was seen, or that is older than the window, is a replay") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  const auto header = desk.control_header(ada);
  CHECK(all_of<Drop>(desk.put(ReceivedMessage{ada.id, header, Heartbeat{}})).empty());
  const auto again = all_of<Drop>(desk.put(ReceivedMessage{ada.id, header, Goodbye{"forged"}}));
  REQUIRE(again.size() == 1);
  CHECK(again[0].reason == DropReason::replayed);
  CHECK(again[0].penalty == 0);  // a network may deliver twice
  CHECK(desk.view_of(ada).is_linked);
  ada.control_seq += 2000;
  desk.tell(ada, {});
  const auto old = all_of<Drop>(desk.put(ReceivedMessage{ada.id, header, Goodbye{"forged"}}));
  REQUIRE(old.size() == 1);
  CHECK(old[0].penalty == 1);
}

TEST_CASE("a peer whose boot number fell back is told so") {
  Desk desk;
  Peer ada(10);
  ada.epoch = 4;
  desk.link(ada);
  desk.put(LinkDown{ada.id, "connection reset"});
  ada.epoch = 3;
  ada.control_seq = 0;
  const auto closes = all_of<Close>(desk.link(ada));
  REQUIRE(closes.size() == 1);
  CHECK(closes[0].reason.find("boot number 3 is behind 4") != std::string::npos);
  CHECK(desk.refused(DropReason::replayed) == 1);
}

TEST_CASE("more control frames than the limit are refused, a burst after a pause is one fault") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  for (int i = 0; i < 300; ++i) desk.tell(ada, {});
  CHECK(desk.refused(DropReason::rate_limited) > 150);
  CHECK(desk.view_of(ada).score == -1);
  CHECK(desk.view_of(ada).is_linked);
  for (int second = 0; second < 70 && desk.view_of(ada).is_linked; ++second) {
    desk.pass(1000);
    for (int i = 0; i < 300 && desk.view_of(ada).is_linked; ++i) desk.tell(ada, {});
  }
  CHECK_FALSE(desk.view_of(ada).is_linked);  // one who goes on is sent away
  CHECK(desk.view_of(ada).lost_reason == "misbehaving: rate_limited");
}

TEST_CASE("a peer that misbehaves is closed with the reason and refused for ten minutes") {
  Desk desk;
  Peer ada(10);
  desk.link(ada, {"192.0.2.60:1"});
  for (int i = 0; i < 5; ++i) desk.put(ReceivedRefused{ada.id, DropReason::bad_signature});
  CHECK(desk.view_of(ada).is_linked);
  const auto outputs = desk.put(ReceivedRefused{ada.id, DropReason::bad_signature});
  REQUIRE(all_of<Close>(outputs).size() == 1);
  CHECK(all_of<Close>(outputs)[0].reason == "misbehaving: bad_signature");
  CHECK(desk.refused(DropReason::bad_signature) == 6);
  CHECK(all_of<Close>(desk.up(ada)).at(0).reason == "refused for 600 s more: it misbehaved");
  CHECK(all_of<Open>(desk.pass(590000)).empty());
  CHECK(desk.view_of(ada).score > -25);  // a tenth is forgiven each minute
  CHECK_FALSE(all_of<Open>(desk.pass(15000)).empty());
  CHECK(all_of<Close>(desk.link(ada)).empty());
}

TEST_CASE("bases that differ after the same deltas are noticed, once a minute") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  desk.publish(1);
  Heartbeat heartbeat;
  heartbeat.sent_ms = 1;
  heartbeat.have = desk.state->have();
  heartbeat.base_count = 1;
  heartbeat.base_hash.fill(1);
  desk.say(ada, heartbeat);  // our own base is not known yet: nothing to compare
  Digest own{};
  own.fill(2);
  desk.put(BaseReached{desk.state->have(), own});
  CHECK(notices_of(desk.outputs, Notice::Kind::diverged).empty());
  CHECK(notices_of(desk.say(ada, heartbeat), Notice::Kind::diverged).size() == 1);
  CHECK(notices_of(desk.say(ada, heartbeat), Notice::Kind::diverged).empty());
  for (int i = 0; i < 7; ++i) {
    desk.pass(10000);
    desk.tell(ada, desk.state->have());
  }
  heartbeat.base_count = 0;  // it holds one back: its base may differ
  CHECK(notices_of(desk.say(ada, heartbeat), Notice::Kind::diverged).empty());
  heartbeat.base_count = 1;
  CHECK(notices_of(desk.say(ada, heartbeat), Notice::Kind::diverged).size() == 1);
  heartbeat.base_hash = own;
  desk.pass(15000);
  CHECK(notices_of(desk.say(ada, heartbeat), Notice::Kind::diverged).empty());
}

TEST_CASE("every wake-up at the deadline moves the deadline on") {
  Desk desk;
  Peer ada(10), bob(11);
  desk.link(ada, {"192.0.2.60:1"});
  desk.put(AddAddress{"192.0.2.61:1"});
  desk.tell(ada, vector_of({bob.id, 1}, 5));
  desk.publish(1);
  for (int i = 0; i < 300; ++i) {
    const Instant due = desk.state->next_deadline();
    REQUIRE(due != never);
    REQUIRE(due > desk.now);
    desk.now = due;
    desk.put(Wake{});
    REQUIRE(desk.state->next_deadline() > due);
  }
}

TEST_CASE("a second link of one peer takes the first one's place") {
  Desk desk;
  Peer ada(10);
  desk.link(ada);
  const auto outputs = desk.link(ada);
  CHECK(notices_of(outputs, Notice::Kind::peer_lost).at(0).reason == "replaced by a newer link");
  CHECK(notices_of(outputs, Notice::Kind::peer_joined).size() == 1);
  CHECK(desk.state->view(desk.now).neighbours == 1);
}

TEST_CASE("a greeting that was lost comes again, however often our vector changes meanwhile") {
  Desk desk;
  Peer peer(3);
  desk.link(peer);
  desk.outputs.clear();
  for (uint64_t seq = 1; seq <= 10; ++seq) {  // faster than the heartbeat's interval
    desk.publish(seq);
    desk.pass(desk.config.heartbeat_interval_ms / 2);
  }
  CHECK(sent_to<Hello>(desk.outputs, peer.id).size() >= 5);
}

}  // namespace
}  // namespace starling::swarm::state_test
