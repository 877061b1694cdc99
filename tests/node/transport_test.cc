// Links between members over real sockets.
#include <doctest/doctest.h>

#include "tests/node/transport_fixture.h"

namespace starling::node {

TEST_CASE("two members exchange frames both ways over one link") {
  const TestSwarm swarm;
  const Member ann(swarm), ben(swarm);
  TestNode a(ann), b(ben);
  REQUIRE(link(a, b, ben.id()));

  const auto up = a.inbox->wait_for<swarm::LinkUp>();
  CHECK(up->peer == ben.id());
  CHECK(up->dialled);
  CHECK(up->address == b.address());
  CHECK(up->membership.identity == ben.identity.public_key());
  CHECK_FALSE(b.inbox->wait_for<swarm::LinkUp>()->dialled);

  a.transport->send(ben.id(), ann.frame(1, swarm::Goodbye{"from ann"}));
  b.transport->send(ann.id(), ben.frame(1, swarm::Goodbye{"from ben"}));
  const auto at_ben = b.inbox->wait_for<swarm::ReceivedMessage>();
  const auto at_ann = a.inbox->wait_for<swarm::ReceivedMessage>();
  REQUIRE((at_ben && at_ann));
  CHECK(at_ben->from == ann.id());
  CHECK(std::get<swarm::Goodbye>(at_ben->message).reason == "from ann");
  CHECK(std::get<swarm::Goodbye>(at_ann->message).reason == "from ben");
}

}  // namespace starling::node
