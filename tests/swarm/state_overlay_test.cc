// Partial views in a swarm larger than one: who is linked with whom, who is thought alive.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

#include "swarm/overlay.h"
#include "tests/swarm/state_desk.h"
#include "tests/swarm/state_world.h"

namespace starling::swarm::state_test {
namespace {

std::vector<Node*> up(const World& world) {
  std::vector<Node*> nodes;
  for (const auto& node : world.nodes) {
    if (node->is_up()) nodes.push_back(node.get());
  }
  return nodes;
}

// Of the nodes that are up, how many the first of them reaches over links.
size_t reached(const World& world) {
  const std::vector<Node*> nodes = up(world);
  std::vector<Node*> found{nodes.front()};
  for (size_t next = 0; next < found.size(); ++next) {
    for (Node* other : nodes) {
      const bool is_new = std::find(found.begin(), found.end(), other) == found.end();
      if (is_new && world.are_linked(found[next]->id, other->id)) found.push_back(other);
    }
  }
  return found.size();
}

bool is_one(const World& world) { return reached(world) == up(world).size(); }

uint32_t degree_max(const World& world) {
  uint32_t most = 0;
  for (const Node* node : up(world)) most = std::max(most, node->state->view(world.now).neighbours);
  return most;
}

bool all_know_all(const World& world) {
  return std::all_of(world.nodes.begin(), world.nodes.end(), [&](const auto& node) {
    return !node->is_up() || node->state->view(world.now).members == world.nodes.size();
  });
}

// What every node that is up thinks of one member.
bool all_think(const World& world, const Node& of, MemberState state) {
  const std::vector<Node*> nodes = up(world);
  return std::all_of(nodes.begin(), nodes.end(),
                     [&](const Node* node) { return node == &of || node->state_of(of) == state; });
}

bool all_alive(const World& world) {
  return std::all_of(world.nodes.begin(), world.nodes.end(), [&](const auto& node) {
    return !node->is_up() || all_think(world, *node, MemberState::alive);
  });
}

TEST_CASE("forty nodes with one seed become one swarm of few links, and all deltas come to all") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    World world(seed);
    world.fill(40);
    REQUIRE(world.run_until([&] { return all_know_all(world) && is_one(world); }, 60000));
    for (int round = 0; round < 5; ++round) {
      for (Node* node : up(world)) node->publish();
      world.run_for(4000);
      CHECK(degree_max(world) <= Config().active_view_max);
      CHECK(is_one(world));
    }
    CHECK(world.run_until([&] { return world.is_converged(); }, 20000));
    CHECK(all_alive(world));
    for (const Node* node : up(world)) {
      CHECK(node->state->view(world.now).active_origins == 40);
      CHECK(node->state->counters().refused == 0);
      for (const auto& [key, times] : node->deliveries) CHECK(times == 1);
    }
  }
}

TEST_CASE("after 60 % of forty nodes vanish at once, the rest is one, goes on, and knows it") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    World world(seed);
    world.fill(40);
    REQUIRE(world.run_until([&] { return all_know_all(world) && is_one(world); }, 60000));
    world.run_for(30000);
    for (Node* node : up(world)) node->publish();
    REQUIRE(world.run_until([&] { return world.is_converged(); }, 20000));
    for (size_t i = 0; i < 24; ++i) world.nodes[i]->crash();  // the seed among them
    CHECK(world.run_until([&] { return is_one(world); }, 60000));
    for (Node* node : up(world)) node->publish();
    CHECK(world.run_until([&] { return world.is_converged(); }, 20000));
    const auto is_known = [&] {
      for (size_t i = 0; i < 24; ++i) {
        if (!all_think(world, *world.nodes[i], MemberState::failed)) return false;
      }
      return true;
    };
    CHECK(world.run_until(is_known, 300000));
    CHECK(all_alive(world));
  }
}

TEST_CASE("two halves that were parted for five minutes find together and no one is thought dead") {
  World world(5);
  world.fill(30);
  REQUIRE(world.run_until([&] { return all_know_all(world) && is_one(world); }, 60000));
  std::set<size_t> side;
  for (size_t i = 0; i < 15; ++i) side.insert(i);
  world.set_blocked(side, true);
  world.run_for(300000);
  for (Node* node : up(world)) node->publish();
  CHECK(world.nodes[0]->state_of(*world.nodes[20]) == MemberState::failed);
  world.set_blocked(side, false);
  CHECK(world.run_until([&] { return is_one(world) && world.is_converged(); }, 90000));
  CHECK(world.run_until([&] { return all_alive(world); }, 60000));
}

TEST_CASE("who is lost to one but not to others is alive: it answers what is told of it") {
  World world(3);
  world.fill(4);
  REQUIRE(world.run_until([&] { return world.is_meshed(); }, 20000));
  Node& one = *world.nodes[1];
  Node& other = *world.nodes[2];
  world.forbid(1, 2);
  world.cut(one.id, other.id, "connection reset");
  world.run_for(20);
  CHECK(one.state_of(other) == MemberState::suspect);
  CHECK(world.run_until([&] { return all_alive(world); }, 20000));
  world.run_for(60000);
  CHECK(all_alive(world));
}

TEST_CASE(
    "a node that lost everyone comes back by itself, through its seed and whom it remembers") {
  World world(4);
  world.fill(12);
  REQUIRE(world.run_until([&] { return all_know_all(world) && is_one(world); }, 60000));
  world.run_for(30000);
  world.set_blocked({7}, true);
  world.run_for(120000);
  CHECK(world.nodes[7]->state->view(world.now).neighbours == 0);
  CHECK(all_think(world, *world.nodes[7], MemberState::failed));
  world.set_blocked({7}, false);
  CHECK(world.run_until([&] { return is_one(world); }, 60000));
  CHECK(world.run_until([&] { return all_alive(world); }, 20000));
}

TEST_CASE("who says goodbye has left in everybody's eyes, until it comes back") {
  World world(6);
  world.fill(20);
  REQUIRE(world.run_until([&] { return all_know_all(world) && is_one(world); }, 60000));
  Node& leaver = *world.nodes[9];
  leaver.input(Leave{});
  world.run_for(1000);
  CHECK(leaver.state->view(world.now).neighbours == 0);
  leaver.crash();
  world.run_for(2000);
  CHECK(all_think(world, leaver, MemberState::left));
  leaver.start();
  CHECK(world.run_until([&] { return all_think(world, leaver, MemberState::alive); }, 20000));
}

TEST_CASE("a peer that stays silent for 30 s is suspected, not given up") {
  Desk desk;
  Peer ada(3);
  desk.link(ada);
  desk.pass(30000);
  CHECK(desk.view_of(ada).state == MemberState::suspect);
  CHECK(desk.view_of(ada).is_linked);
  desk.pass(5000);
  CHECK(desk.view_of(ada).state != MemberState::alive);
  CHECK_FALSE(desk.view_of(ada).is_linked);
}

TEST_CASE("the time that a process slept is not counted as its peers' silence") {
  Desk desk;
  Peer ada(3);
  desk.link(ada);
  desk.pass(2000);
  desk.now = desk.now.after(3600000);
  desk.put(Wake{});
  CHECK(desk.view_of(ada).is_linked);
  desk.pass(40000);
  CHECK_FALSE(desk.view_of(ada).is_linked);
}

// Full of peers that dialled us.
struct Crowd {
  Crowd() {
    for (uint8_t i = 0; i < Config().active_view_max; ++i) {
      peers.emplace_back(static_cast<uint8_t>(10 + i));
      desk.link(peers.back());
    }
  }
  std::vector<Output> greet(Peer& peer, Wish wish) {
    std::vector<Output> all = desk.up(peer);
    Hello hello = desk.hello_of(peer, {"192.0.2.77:1"});
    hello.features = feature_views;
    hello.extension = {static_cast<uint8_t>(wish)};
    for (Output& output : desk.say(peer, hello)) all.push_back(std::move(output));
    return all;
  }
  Desk desk;
  std::vector<Peer> peers;
};

TEST_CASE_FIXTURE(Crowd, "who only wants one more link is told that there is no room, in peace") {
  Peer ada(3);
  const auto answer = greet(ada, Wish::neighbour);
  CHECK(sent_to<Disconnect>(answer, ada.id).size() == 1);
  CHECK(all_of<Close>(answer).empty());  // it closes when it has read this
  CHECK_FALSE(desk.view_of(ada).is_linked);
  CHECK(desk.view_of(ada).score == 0);
  CHECK(desk.state->view(desk.now).neighbours == Config().active_view_max);
  const auto later = all_of<Close>(desk.pass(3000));
  CHECK(std::count_if(later.begin(), later.end(),
                      [&](const Close& close) { return close.peer == ada.id; }) == 1);
}

TEST_CASE_FIXTURE(Crowd,
                  "who is alone is taken in: another goes, and its name is carried further") {
  Peer ada(3);
  const auto answer = greet(ada, Wish::join);
  CHECK(desk.view_of(ada).is_linked);
  CHECK(desk.state->view(desk.now).neighbours == Config().active_view_max);
  size_t parted = 0, walks = 0, records = 0;
  for (const Peer& peer : peers) {
    parted += sent_to<Disconnect>(answer, peer.id).size();
    for (const JoinWalk& walk : sent_to<JoinWalk>(answer, peer.id)) {
      ++walks;
      CHECK(walk.joiner == ada.id);
      CHECK(walk.hops == walk_hops_max);
    }
    for (const Members& members : sent_to<Members>(answer, peer.id)) {
      records += static_cast<size_t>(std::count_if(
          members.records.begin(), members.records.end(),
          [&](const auto& record) { return peer_id_of(record.membership.identity) == ada.id; }));
    }
  }
  CHECK(parted == 1);
  CHECK(walks == Config().active_view_max - 1);
  CHECK(records == walks);  // or the name would say nothing
}

TEST_CASE("a neighbour that has no room for us is no lost peer, and is not accused of anything") {
  Desk desk;
  Peer ada(3);
  desk.link(ada, {"192.0.2.3:1"});
  const auto answer = desk.say(ada, Disconnect{});
  REQUIRE(all_of<Close>(answer).size() == 1);
  CHECK(desk.view_of(ada).state == MemberState::alive);
  CHECK(desk.view_of(ada).score == 0);
  Peer bob(4);
  desk.up(bob);
  CHECK(all_of<Close>(desk.say(bob, Disconnect{})).size() == 1);  // before it was greeted
  CHECK(desk.state->counters().refused == 0);
}

TEST_CASE("names of strangers in walks are not dialled, whoever sends them") {
  Desk desk;
  Peer ada(3), stranger(9);
  desk.link(ada);
  for (uint64_t token = 1; token <= 20; ++token) {
    desk.say(ada, JoinWalk{stranger.id, 0});
    desk.say(ada, ShuffleWalk{token, 0, {stranger.id, ada.id, desk.self.id}});
    desk.pass(1000);
    desk.tell(ada, {});
  }
  CHECK(all_of<Open>(desk.outputs).empty());
  CHECK(sent_to<ShuffleAnswer>(desk.outputs, ada.id).size() == 20);
}

TEST_CASE("we answer who doubts that we live, and tell others what we are told of them") {
  Desk desk;
  Peer ada(3), bob(4), carl(6);
  for (Peer* peer : {&ada, &bob}) desk.link(*peer);
  desk.say(ada, Members{{desk.record_of(carl)}});
  CHECK(desk.view_of(carl).state == MemberState::alive);
  desk.pass(500);
  desk.outputs.clear();
  desk.say(ada, Suspicion{{{desk.self.id, desk.self.epoch, 7}, {carl.id, carl.epoch, 1}}});
  desk.pass(500);
  CHECK(desk.view_of(carl).state == MemberState::suspect);
  for (const Peer* peer : {&ada, &bob}) {
    const auto answers = sent_to<Members>(desk.outputs, peer->id);
    REQUIRE(answers.size() == 1);
    REQUIRE(answers[0].records.size() == 1);
    CHECK(answers[0].records[0].incarnation == 8);
    CHECK(is_authentic(answers[0].records[0], desk.swarm));
  }
  CHECK(sent_to<Suspicion>(desk.outputs, ada.id).empty());
  REQUIRE(sent_to<Suspicion>(desk.outputs, bob.id).size() == 1);
  CHECK(sent_to<Suspicion>(desk.outputs, bob.id)[0].suspects[0].peer == carl.id);

  MemberRecord alive = desk.record_of(carl);
  alive.incarnation = 2;
  desk.say(bob, Members{{sign_record(alive, carl.keys.signer())}});
  CHECK(desk.view_of(carl).state == MemberState::alive);
  // Who comes late with the old doubt is told the news.
  desk.outputs.clear();
  desk.say(ada, Suspicion{{{carl.id, carl.epoch, 1}}});
  desk.pass(500);
  CHECK(desk.view_of(carl).state == MemberState::alive);
  CHECK_FALSE(sent_to<Members>(desk.outputs, ada.id).empty());
  // Nobody can say of another boot of ours what it likes.
  desk.outputs.clear();
  desk.say(ada, Suspicion{{{desk.self.id, desk.self.epoch + 1, 9}}});
  CHECK(sent_to<Members>(desk.outputs, ada.id).empty());
}

TEST_CASE("who is suspected and does not answer has failed, and a link proves that it lives") {
  Desk desk;
  Peer ada(3), carl(6);
  desk.link(ada);
  desk.say(ada, Members{{desk.record_of(carl)}});
  desk.say(ada, Suspicion{{{carl.id, carl.epoch, 1}}});
  for (int i = 0; i < 40; ++i) {
    desk.pass(1000);
    desk.tell(ada, {});
  }
  CHECK(desk.view_of(carl).state == MemberState::failed);
  desk.link(carl);
  CHECK(desk.view_of(carl).state == MemberState::alive);
  // Whose link is up is told itself what others think of it.
  desk.outputs.clear();
  desk.say(ada, Suspicion{{{carl.id, carl.epoch, 1}}});
  CHECK(desk.view_of(carl).state == MemberState::alive);
  CHECK(sent_to<Suspicion>(desk.outputs, carl.id).size() == 1);
}

}  // namespace
}  // namespace starling::swarm::state_test
