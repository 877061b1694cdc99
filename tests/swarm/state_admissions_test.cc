// Who may be a member, told by gossip: the rules of admission among several States.
#include <doctest/doctest.h>

#include "tests/swarm/state_desk.h"
#include "tests/swarm/state_world.h"

namespace starling::swarm::state_test {
namespace {

Revoke revocation_of(const World& world, const PeerId& peer) {
  return Revoke{revoke(RevokedKind::node, peer.bytes, world.root.signer())};
}

bool is_cut_off(const World& world, const Node& node) {
  return std::none_of(world.nodes.begin(), world.nodes.end(), [&](const auto& other) {
    return other.get() != &node && world.are_linked(other->id, node.id);
  });
}

TEST_CASE("a revoked member is cut by everyone, nothing of it is taken, and it stays out") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    World world(seed, {.loss = seed % 2 == 0 ? 0.1 : 0});
    world.fill(8);
    REQUIRE(world.run_until([&] { return world.is_meshed(); }, 60000));
    Node& gone = *world.nodes[5];
    gone.publish();
    world.run_for(5000);
    world.nodes[2]->input(revocation_of(world, gone.id));
    CHECK(world.run_until([&] { return is_cut_off(world, gone); }, 10000));
    for (const auto& node : world.nodes) {
      if (node.get() == &gone) continue;
      CHECK(node->count(Notice::Kind::revoked) == 1);
      CHECK(node->last_reason(Notice::Kind::revoked) == "its membership was revoked");
      CHECK(node->state_of(gone) == MemberState::revoked);
      CHECK(node->row(node->state->members(world.now), gone.id)->name == "node 5");
      CHECK(node->admissions->expelled().contains(gone.id));
    }
    const DeltaKey late{{gone.id, gone.epoch}, gone.published + 1};
    gone.publish();
    world.nodes[1]->crash();
    world.run_for(3000);
    world.nodes[1]->start();  // knows it from its disk
    CHECK(world.nodes[1]->state->admissions().is_outcast(gone.id));
    gone.crash();
    gone.start();
    world.run_for(60000);
    CHECK(is_cut_off(world, gone));
    for (const auto& node : world.nodes) {
      if (node.get() == &gone) continue;
      CHECK_FALSE(node->applied.contains(late));
      CHECK(node->count(Notice::Kind::diverged) == 0);
    }
  }
}

TEST_CASE("who comes later hears who is revoked, and takes nothing of it") {
  World world(3);
  world.fill(4);
  REQUIRE(world.run_until([&] { return world.is_meshed(); }, 20000));
  Node& gone = *world.nodes[3];
  gone.publish();
  const DeltaKey said{{gone.id, gone.epoch}, 1};
  world.run_for(5000);
  world.nodes[0]->input(revocation_of(world, gone.id));
  world.run_for(5000);
  Node& late = world.add();
  late.seeds = {world.nodes[1]->address};
  late.start();
  world.run_for(20000);
  CHECK(late.state->view(world.now).neighbours == 3);
  CHECK(late.state->admissions().digest() == world.nodes[0]->state->admissions().digest());
  CHECK_FALSE(late.applied.contains(said));
  CHECK(world.nodes[1]->applied.contains(said));  // known there, and out of the learner's base
  CHECK(late.count(Notice::Kind::diverged) == 0);
}

TEST_CASE("a revocation that a third of the members withhold reaches all the others") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    World world(seed, {.loss = 0.05});
    world.fill(9);
    REQUIRE(world.run_until([&] { return world.is_meshed(); }, 60000));
    world.withholding = {1, 4, 7};
    world.nodes[0]->input(revocation_of(world, world.nodes[8]->id));
    const auto is_known = [&] {
      return std::all_of(world.nodes.begin(), world.nodes.end(), [&](const auto& node) {
        return node->index == 8 || node->state->admissions().is_outcast(world.nodes[8]->id);
      });
    };
    CHECK(world.run_until(is_known, 60000));
  }
}

// Six members, and two identities with one invite on both sides of a split; the one that is out
// when it heals first.
std::pair<Node*, Node*> dispute(World& world) {
  world.fill(6);
  REQUIRE(world.run_until([&] { return world.is_meshed(); }, 20000));
  const InviteToken token = make_invite(world.root.signer(), nullptr, InviteTerms(), "tiny", {});
  Node& left = world.add();
  Node& right = world.add();
  for (Node* node : {&left, &right})
    node->membership = accept_invite(token, node->keys.public_key, 0).value();
  world.set_blocked({0, 1, 2, left.index}, true);
  left.seeds = {world.nodes[0]->address};
  right.seeds = {world.nodes[3]->address};
  left.start();
  right.start();
  world.run_for(20000);
  REQUIRE(left.state->view(world.now).neighbours == 3);
  REQUIRE(right.state->view(world.now).neighbours == 3);
  left.publish();
  right.publish();
  world.run_for(5000);
  world.set_blocked({0, 1, 2, left.index}, false);
  const auto is_settled = [&] { return is_cut_off(world, left) != is_cut_off(world, right); };
  REQUIRE(world.run_until(is_settled, 60000));
  return is_cut_off(world, left) ? std::pair(&left, &right) : std::pair(&right, &left);
}

TEST_CASE("an invite used on both sides of a split swarm is one member's when it heals") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    World world(seed);
    const auto [out, stays] = dispute(world);
    world.run_for(30000);
    CHECK(is_cut_off(world, *out));
    CHECK_FALSE(is_cut_off(world, *stays));
    for (size_t i = 0; i < 6; ++i) {
      const Node& node = *world.nodes[i];
      CHECK(node.state->admissions().outcasts() == std::set<PeerId>{out->id});
      CHECK(node.state->admissions().expelled().empty());
      CHECK(node.count(Notice::Kind::invite_disputed) == 2);
    }
  }
}

TEST_CASE(
    "what one taught before it lost its place is in every log, and nothing that it says after") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    World world(seed);
    const auto [out, stays] = dispute(world);
    Node& late = world.add();
    late.seeds = {world.nodes[1]->address};
    late.start();
    const DeltaKey before{{out->id, out->epoch}, 1}, after{{out->id, out->epoch}, 2};
    out->publish();
    world.run_for(60000);
    for (const auto& node : world.nodes) {
      if (node.get() == out) continue;
      CHECK(node->applied.contains(before));
      CHECK_FALSE(node->applied.contains(after));
      CHECK(node->applied.contains({{stays->id, stays->epoch}, 1}));
      CHECK(node->state->admissions().is_displaced(out->id));
      CHECK(node->count(Notice::Kind::diverged) == 0);
    }
    // The owner decides for the other one, and that is a member again with all it has said.
    world.nodes[0]->input(revocation_of(world, stays->id));
    CHECK(world.run_until([&] { return !is_cut_off(world, *out); }, 120000));
    world.run_for(30000);
    for (const auto& node : world.nodes) {
      if (node.get() == stays) continue;
      CHECK(node->state->admissions().is_in_good_standing(out->id));
      CHECK(node->applied.contains(after));
    }
  }
}

TEST_CASE("a member that tells forged items is blamed, and none of them is kept") {
  Desk desk;
  Peer ann(3);
  desk.link(ann);
  const size_t known = desk.state->admissions().items().size();
  desk.say(ann, AdmissionNews{.digest = {}, .items = {Bytes{2, 1, 1}}});
  CHECK(desk.refused(DropReason::bad_signature) == 1);
  CHECK(desk.view_of(ann).score < 0);
  CHECK(desk.state->admissions().items().size() == known);
}

TEST_CASE("all items are sent again ever more seldom to one who never takes them in") {
  Desk desk;
  Peer ann(3);
  desk.link(ann);
  size_t sent = 0;
  Digest other{};
  other[0] = 1;
  for (int second = 0; second < 600; ++second) {
    desk.pass(1000);
    std::vector<Output> outputs = desk.say(ann, AdmissionNews{.digest = other, .items = {}});
    for (const Output& output : desk.pass(200)) outputs.push_back(output);
    for (const AdmissionNews& news : sent_to<AdmissionNews>(outputs, ann.id))
      sent += news.items.empty() ? 0 : 1;
  }
  CHECK(sent >= 3);
  CHECK(sent <= 8);
}

TEST_CASE("a node that was revoked itself says so") {
  Desk desk;
  Peer ann(3);
  desk.link(ann);
  Admissions set(desk.swarm);
  set.add(revoke(RevokedKind::node, desk.self.id.bytes, desk.root.signer()));
  const auto outputs =
      desk.say(ann, AdmissionNews{.digest = {}, .items = {set.items().begin()->second->bytes}});
  REQUIRE(notices_of(outputs, Notice::Kind::revoked).size() == 1);
  CHECK(notices_of(outputs, Notice::Kind::revoked)[0].peer == desk.self.id);
  CHECK(desk.view_of(desk.self).state == MemberState::revoked);
}

}  // namespace
}  // namespace starling::swarm::state_test
