// Which of two streams is the link, and how a link ends.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include "tests/node/transport_fixture.h"
#include "tests/node/transport_socket.h"

namespace starling::node {
namespace {

// Two members, the one with the lower id first.
std::pair<Member, Member> ordered_members(const TestSwarm& swarm) {
  Member first(swarm), second(swarm);
  if (second.id() < first.id()) std::swap(first, second);
  return {std::move(first), std::move(second)};
}

// LinkUp and LinkDown of every peer take turns.
bool takes_turns(const std::vector<swarm::Input>& inputs) {
  std::map<swarm::PeerId, bool> is_up;
  for (const swarm::Input& input : inputs) {
    if (const auto* up = std::get_if<swarm::LinkUp>(&input)) {
      if (std::exchange(is_up[up->peer], true)) return false;
    }
    if (const auto* down = std::get_if<swarm::LinkDown>(&input)) {
      if (!std::exchange(is_up[down->peer], false)) return false;
    }
  }
  return true;
}

// The outcome of one open() is there: a link that this node dialled, or a failure.
bool is_dial_over(const std::vector<swarm::Input>& inputs) {
  return std::any_of(inputs.begin(), inputs.end(), [](const swarm::Input& input) {
    const auto* up = std::get_if<swarm::LinkUp>(&input);
    return (up != nullptr && up->dialled) || std::holds_alternative<swarm::DialFailed>(input);
  });
}

}  // namespace

TEST_CASE("when both dial at once exactly one link remains, and it carries frames both ways") {
  const TestSwarm swarm;
  for (int round = 0; round < 20; ++round) {
    CAPTURE(round);
    const auto [low, high] = ordered_members(swarm);
    TestNode a(low), b(high);
    a.transport->open(b.address(), high.id());
    b.transport->open(a.address(), low.id());
    REQUIRE(a.inbox->wait(is_dial_over));
    REQUIRE(b.inbox->wait(is_dial_over));
    REQUIRE(a.inbox->wait_for<swarm::LinkUp>());
    REQUIRE(b.inbox->wait_for<swarm::LinkUp>());
    a.transport->send(high.id(), low.frame(1));
    b.transport->send(low.id(), high.frame(1));
    REQUIRE(a.inbox->wait_for<swarm::ReceivedMessage>());
    REQUIRE(b.inbox->wait_for<swarm::ReceivedMessage>());
    CHECK(a.inbox->links() == std::map<swarm::PeerId, int>{{high.id(), 1}});
    CHECK(b.inbox->links() == std::map<swarm::PeerId, int>{{low.id(), 1}});
    const bool is_dialled_by_low = a.inbox->wait_for<swarm::LinkUp>()->dialled;
    CHECK(b.inbox->wait_for<swarm::LinkUp>()->dialled != is_dialled_by_low);
    CHECK(takes_turns(a.inbox->all()));
    CHECK(takes_turns(b.inbox->all()));
  }
}

TEST_CASE("three members that all dial each other end with one link a pair") {
  const TestSwarm swarm;
  const std::vector<Member> members = [&] {
    std::vector<Member> list;
    for (int i = 0; i < 3; ++i) list.emplace_back(swarm);
    return list;
  }();
  std::vector<std::unique_ptr<TestNode>> nodes;
  for (const Member& member : members) nodes.push_back(std::make_unique<TestNode>(member));
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 3; ++j) {
      if (i != j) nodes[i]->transport->open(nodes[j]->address(), members[j].id());
    }
  }
  for (size_t i = 0; i < 3; ++i) {
    CHECK(nodes[i]->inbox->wait([&](const auto&) { return true; }));
    for (size_t j = 0; j < 3; ++j) {
      if (i == j) continue;
      const bool is_linked = nodes[i]->inbox->wait([&](const std::vector<swarm::Input>& inputs) {
        int up = 0;
        for (const swarm::Input& input : inputs) {
          const auto* begun = std::get_if<swarm::LinkUp>(&input);
          const auto* ended = std::get_if<swarm::LinkDown>(&input);
          up += begun != nullptr && begun->peer == members[j].id();
          up -= ended != nullptr && ended->peer == members[j].id();
        }
        return up == 1;
      });
      CHECK(is_linked);
    }
  }
}

TEST_CASE("a member that is already linked is not dialled again") {
  const TestSwarm swarm;
  const Member ann(swarm), ben(swarm);
  TestNode a(ann), b(ben);
  REQUIRE(link(a, b, ben.id()));
  a.transport->open(b.address(), std::nullopt);
  const auto failed = a.inbox->wait_for<swarm::DialFailed>();
  REQUIRE(failed);
  CHECK(failed->reason == "already linked");
  b.transport->open(a.address(), ann.id());
  REQUIRE(b.inbox->wait_for<swarm::DialFailed>());
  CHECK(a.inbox->links() == std::map<swarm::PeerId, int>{{ben.id(), 1}});
  CHECK(b.inbox->links() == std::map<swarm::PeerId, int>{{ann.id(), 1}});
}

TEST_CASE("a member that restarted replaces its old link, which is still believed alive") {
  const TestSwarm swarm;
  const auto [low, high] = ordered_members(swarm);
  for (const bool is_low_restarted : {false, true}) {
    const Member& stays = is_low_restarted ? high : low;
    const Member& restarts = is_low_restarted ? low : high;
    CAPTURE(is_low_restarted);
    TestNode node(stays), before(restarts);
    REQUIRE(link(node, before, restarts.id()));  // dialled by the one that stays
    RawPeer after(node.address(), restarts.identity, restarts.membership);
    REQUIRE(after.wait_linked());
    REQUIRE(node.inbox->wait_for<swarm::LinkUp>(2));
    CHECK(node.inbox->wait_for<swarm::LinkDown>()->reason == "replaced by a newer link");
    CHECK(takes_turns(node.inbox->all()));

    RawPeer once_more(node.address(), restarts.identity, restarts.membership);
    REQUIRE(once_more.wait_linked());
    REQUIRE(node.inbox->wait_for<swarm::LinkUp>(3));
    CHECK(takes_turns(node.inbox->all()));
    CHECK(after.wait_ended());
    node.transport->send(restarts.id(), stays.frame(1));
    CHECK(once_more.receive().has_value());
  }
}

TEST_CASE("a member that keeps opening streams is refused for a while") {
  const TestSwarm swarm;
  const Member ann(swarm), eve(swarm);
  TestNode a(ann);
  int taken = 0;
  for (int i = 0; i < 20; ++i) {
    RawPeer peer(a.address(), eve.identity, eve.membership);
    taken += peer.wait_linked();
  }
  CHECK(taken >= 10);
  CHECK(taken < 20);
  CHECK(takes_turns(a.inbox->all()));
}

TEST_CASE("a node that dials itself learns so") {
  const TestSwarm swarm;
  const Member ann(swarm);
  TestNode a(ann);
  a.transport->open(a.address(), std::nullopt);
  const auto down = a.inbox->wait_for<swarm::LinkDown>();
  REQUIRE(down);
  CHECK(down->peer == ann.id());
  CHECK(a.inbox->wait_for<swarm::LinkUp>()->address == a.address());
  CHECK(takes_turns(a.inbox->all()));
}

TEST_CASE("a peer that stops is lost with a reason on the other side, and can come back") {
  const TestSwarm swarm;
  const Member ann(swarm), ben(swarm);
  TestNode a(ann);
  for (size_t round = 1; round <= 2; ++round) {
    TestNode b(ben);
    b.transport->open(a.address(), ann.id());
    REQUIRE(a.inbox->wait_for<swarm::LinkUp>(round));
    REQUIRE(b.inbox->wait_for<swarm::LinkUp>());
    b.transport->stop();
    CHECK(b.inbox->wait_for<swarm::LinkDown>()->reason == "this node is stopping");
    const auto down = a.inbox->wait_for<swarm::LinkDown>(round);
    REQUIRE(down);
    CHECK(down->peer == ben.id());
    CHECK_FALSE(down->reason.empty());
  }
  // And the other way round: the side that dialled hears why the server ended.
  TestNode b(ben);
  a.transport->open(b.address(), ben.id());
  REQUIRE(a.inbox->wait_for<swarm::LinkUp>(3));
  REQUIRE(b.inbox->wait_for<swarm::LinkUp>());
  b.transport->close(ann.id(), "had enough");
  CHECK(b.inbox->wait_for<swarm::LinkDown>()->reason == "had enough");
  CHECK(a.inbox->wait_for<swarm::LinkDown>(3)->reason == "ended by the peer: had enough");
}

TEST_CASE("nothing reaches the sink after stop") {
  const TestSwarm swarm;
  const Member ann(swarm), ben(swarm);
  TestNode a(ann), b(ben);
  REQUIRE(link(a, b, ben.id()));
  for (uint64_t seq = 1; seq <= 200; ++seq) b.transport->send(ann.id(), ben.frame(seq));
  a.transport->open(b.address(), std::nullopt);
  a.transport->stop();
  const size_t inputs = a.inbox->all().size();
  a.transport->send(ben.id(), ann.frame(1));
  a.transport->open(b.address(), ben.id());
  a.transport->close(ben.id(), "again");
  a.transport->stop();
  REQUIRE(b.inbox->wait_for<swarm::LinkDown>());
  CHECK(a.inbox->all().size() == inputs);
  CHECK(takes_turns(a.inbox->all()));
  CHECK(a.inbox->links()[ben.id()] == 0);
}

TEST_CASE("a reader that takes nothing is closed as too slow, and the others do not notice") {
  const TestSwarm swarm;
  const Member ann(swarm), ben(swarm), eve(swarm);
  TransportOptions options = TestNode::quick();
  options.send_queue_bytes_max = 2u << 20;
  TestNode a(ann, options), b(ben);
  REQUIRE(link(a, b, ben.id()));
  RawPeer slow(a.address(),
               {.pair = RawPeer::pair_of(eve.identity, eve.membership), .reads = false});
  REQUIRE(slow.wait_linked());
  REQUIRE(a.inbox->wait_for<swarm::LinkUp>(2));
  const auto chunk =
      ann.frame(1, swarm::Chunk{.file_hash = {}, .index = 0, .bytes = swarm::Bytes(200000)});
  for (int i = 0; i < 40; ++i) a.transport->send(eve.id(), chunk);
  const auto down = a.inbox->wait_for<swarm::LinkDown>();
  REQUIRE(down);
  CHECK(down->peer == eve.id());
  CHECK(down->reason.find("too slow") != std::string::npos);
  for (uint64_t seq = 1; seq <= 40; ++seq) {  // as much, at the pace of who takes it
    a.transport->send(ben.id(), chunk);
    REQUIRE(b.inbox->wait_for<swarm::ReceivedMessage>(seq));
  }
  CHECK(b.inbox->count<swarm::LinkDown>() == 0);
}

TEST_CASE("a frame of sixteen MiB arrives whole") {
  const TestSwarm swarm;
  const Member ann(swarm), ben(swarm);
  TestNode a(ann), b(ben);
  REQUIRE(link(a, b, ben.id()));
  const auto large = std::make_shared<const swarm::Bytes>(16u << 20, uint8_t{7});
  a.transport->send(ben.id(), large);
  REQUIRE(
      b.inbox
          ->wait_for<swarm::ReceivedRefused>());  // it is no valid frame; that it came counts here
  CHECK(b.transport->counters().received_bytes == large->size());
  a.transport->send(ben.id(), ann.frame(1));
  CHECK(b.inbox->wait_for<swarm::ReceivedMessage>());
  CHECK(a.transport->counters().sent_bytes >= large->size());
}

TEST_CASE("a frame above the limit of who dialled is counted there too") {
  const TestSwarm swarm;
  const Member ann(swarm), ben(swarm);
  TransportOptions small = TestNode::quick();
  small.frame_size_max = 1u << 20;
  TestNode a(ann, small), b(ben);
  REQUIRE(link(a, b, ben.id()));
  b.transport->send(ann.id(), std::make_shared<const swarm::Bytes>(2u << 20, uint8_t{7}));
  const auto refused = a.inbox->wait_for<swarm::ReceivedRefused>();
  REQUIRE(refused);
  CHECK(refused->reason == swarm::DropReason::oversized);
  CHECK(a.inbox->wait_for<swarm::LinkDown>());
}

TEST_CASE("a banned member is cut off and stays out, whoever dials") {
  const TestSwarm swarm;
  const Member ann(swarm), ben(swarm);
  TestNode a(ann), b(ben);
  REQUIRE(link(a, b, ben.id()));
  a.transport->ban(ben.id());
  CHECK(a.inbox->wait_for<swarm::LinkDown>()->reason == "banned");
  REQUIRE(b.inbox->wait_for<swarm::LinkDown>());
  b.transport->open(a.address(), ann.id());
  const auto failed = b.inbox->wait_for<swarm::DialFailed>();
  REQUIRE(failed);
  CHECK(failed->reason.find("refused in the handshake") != std::string::npos);
  CHECK(a.wait_refused("banned").size() == 1);
  a.transport->open(b.address(), ben.id());
  CHECK(a.inbox->wait_for<swarm::DialFailed>()->reason == "it is banned here");
  CHECK(a.inbox->count<swarm::LinkUp>() == 1);
}

TEST_CASE("a dial that fails says why") {
  const TestSwarm swarm;
  const Member ann(swarm), ben(swarm), eve(swarm);
  TransportOptions options = TestNode::quick();
  options.dial_timeout_ms = 1000;
  TestNode a(ann, options);
  const Socket silent = Socket::listening();  // takes connections and says nothing
  const uint16_t closed_port = Socket::listening().port();
  const std::string host = "127.0.0.1:";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {host + std::to_string(closed_port), "connection refused"},
      {host + std::to_string(silent.port()), "no answer within 1 s"},
      {"no port", "not an address: expected host:port"},
      {"[::1:7411", "not an address: expected host:port"},
      {host + "70000", "not an address: expected host:port"},
  };
  size_t count = 0;
  for (const auto& [address, reason] : cases) {
    CAPTURE(address);
    a.transport->open(address, std::nullopt);
    const auto failed = a.inbox->wait_for<swarm::DialFailed>(++count);
    REQUIRE(failed);
    CHECK(failed->address == address);
    CHECK(failed->reason == reason);
  }
}

TEST_CASE("a name is looked up and each of its addresses is tried") {
  const TestSwarm swarm;
  const Member ann(swarm), ben(swarm);
  TestNode a(ann), b(ben);
  a.transport->open("localhost:" + std::to_string(b.transport->port()), ben.id());
  CHECK(a.inbox->wait_for<swarm::LinkUp>());
}

TEST_CASE("a proxy in the environment does not take dials away") {
  const TestSwarm swarm;
  const Member ann(swarm), ben(swarm);
  const std::string nowhere = "http://127.0.0.1:" + std::to_string(Socket::listening().port());
  for (const char* name : {"http_proxy", "https_proxy", "grpc_proxy"})
    ::setenv(name, nowhere.c_str(), 1);
  {
    TestNode a(ann), b(ben);
    CHECK(link(a, b, ben.id()));
  }
  for (const char* name : {"http_proxy", "https_proxy", "grpc_proxy"}) ::unsetenv(name);
}

TEST_CASE("a port in use is refused with its address") {
  const TestSwarm swarm;
  const Member ann(swarm);
  TestNode a(ann);
  const swarm::InboundRules rules{.swarm = swarm.id(), .fingerprint = {}, .regions = nullptr};
  for (const auto& [listen, expected] : std::vector<std::pair<std::string, std::string>>{
           {a.address(), "address in use: " + a.address()},
           {"127.0.0.1", "cannot listen on 127.0.0.1: expected host:port, IPv6 in brackets"}}) {
    TransportOptions options;
    options.listen = listen;
    const auto second =
        Transport::start(options, ann.identity, ann.membership, rules, [](const swarm::Input&) {});
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error() == expected);
  }
}

}  // namespace starling::node
