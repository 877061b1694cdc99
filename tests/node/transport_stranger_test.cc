// Everyone who is not a member, at the real port: refused before gRPC's service, counted, and
// nothing reaches the sink.
#include <doctest/doctest.h>
#include <openssl/core_names.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/resource.h>

#include "tests/node/transport_certificate.h"
#include "tests/node/transport_fixture.h"
#include "tests/node/transport_socket.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;

// A node and a member who proves afterwards that the port still serves.
struct Port {
  TestSwarm swarm;
  Member owner{swarm}, friend_{swarm};
  TestNode node;
  explicit Port(const TransportOptions& options = TestNode::quick()) : node(owner, options) {}

  bool still_serves() {
    TestNode guest(friend_);
    guest.transport->open(node.address(), owner.id());
    const bool is_linked = guest.inbox->wait_for<swarm::LinkUp>().has_value();
    return is_linked && node.inbox->wait_for<swarm::LinkUp>().has_value();
  }
  // Refused for that reason, once; nobody else was; the sink saw nothing; a member still gets in.
  void check_refused(const std::string& reason, size_t count = 1) {
    CAPTURE(reason);
    const std::vector<std::string> addresses = node.wait_refused(reason, count);
    CHECK(addresses.size() == count);
    for (const std::string& address : addresses) CHECK(address.rfind("127.0.0.1:", 0) == 0);
    CHECK(node.refused(reason) == count);
    CHECK(node.transport->counters().refused.size() == 1);
    CHECK(node.inbox->all().empty());
    CHECK(still_serves());
  }
};

// A TLS client without gRPC. True: the handshake went through on its side.
bool tls_handshake(const Socket& socket, int version_max) {
  SSL_CTX* const settings = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(settings, version_max);
  SSL* const session = SSL_new(settings);
  SSL_set_fd(session, socket.fd());
  const bool is_done = SSL_connect(session) == 1;
  SSL_free(session);
  SSL_CTX_free(settings);
  return is_done;
}

}  // namespace

TEST_CASE("a client without a certificate is refused in the handshake") {
  Port port;
  RawPeer stranger(port.node.address(), RawPeer::Options{});
  CHECK(stranger.wait_ended());
  CHECK_FALSE(stranger.wait_linked());
  port.check_refused("no_certificate");
}

TEST_CASE("a plaintext gRPC client gets not a byte") {
  Port port;
  RawPeer stranger(port.node.address(), {.pair = {}, .plaintext = true});
  CHECK(stranger.wait_ended());
  port.check_refused("not_tls");
}

TEST_CASE("what is not TLS is refused at its first bytes") {
  const std::vector<std::string> words = {
      "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "SSH-2.0-OpenSSH_9.2\r\n",
      std::string(5000, '\0'),
      std::string("\x16\x03\x01\xff\xff", 5),                  // a record too large
      std::string("\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9),  // not a client hello
      std::string("\x16\x03\x01\x00\x06\x01\x00\x00\xff\x03\x03",
                  11),  // a hello that says more than it has
  };
  Port port;
  for (const std::string& word : words) {
    const Socket stranger = Socket::connected(port.node.transport->port());
    REQUIRE(stranger.is_valid());
    CHECK(stranger.send(word));
    size_t received = 0;
    CHECK(stranger.wait_closed(milliseconds(5000), &received));
    CHECK(received == 0);
  }
  port.check_refused("not_tls", words.size());
}

TEST_CASE("TLS 1.2 is refused, TLS 1.3 gets further") {
  Port port;
  const Socket old = Socket::connected(port.node.transport->port());
  CHECK_FALSE(tls_handshake(old, TLS1_2_VERSION));
  port.check_refused("old_tls");
  const Socket modern = Socket::connected(port.node.transport->port());
  CHECK(tls_handshake(modern,
                      TLS1_3_VERSION));  // its side is done; the server then misses a certificate
}

TEST_CASE("a self-signed certificate without membership is refused") {
  Port port;
  RawPeer stranger(port.node.address(), {.pair = plain_certificate()});
  CHECK(stranger.wait_ended());
  CHECK_FALSE(stranger.wait_linked());
  port.check_refused("not_a_member");
  CHECK_FALSE(port.node.last_refused());
}

TEST_CASE("a member of another swarm is refused, and hears that it may be so") {
  Port port;
  const TestSwarm other_swarm;
  Member other(other_swarm);
  SUBCASE("as it comes") {
    TestNode stranger(other);
    stranger.transport->open(port.node.address(), port.owner.id());
    // The stranger's own check comes first: our certificate is of another swarm to it, too.
    CHECK(stranger.inbox->wait_for<swarm::DialFailed>()->reason ==
          "it is a member of another swarm");
    CHECK(stranger.refused("another_swarm") == 1);
    CHECK(port.node.inbox->all().empty());
    // Its certificate came with its end of the handshake all the same.
    CHECK(port.node.wait_refused("another_swarm").size() == 1);
    CHECK(port.node.last_refused() == other.id());
  }
  SUBCASE("when it does not mind ours") {
    RawPeer stranger(port.node.address(), other.identity, other.membership);
    CHECK(stranger.wait_ended());
    port.check_refused("another_swarm");
    CHECK(port.node.last_refused() == other.id());
  }
  SUBCASE("when it claims our swarm with a membership that no root signed") {
    other.membership.invite.root = port.swarm.root().public_key();
    RawPeer stranger(port.node.address(), other.identity, other.membership);
    CHECK(stranger.wait_ended());
    port.check_refused("not_a_member");
    CHECK(port.node.last_refused() == other.id());
  }
}

TEST_CASE("a member's membership under another's key is refused") {
  Port port;
  const Member thief(port.swarm);
  // The thief has its own key and the friend's membership, which is public.
  RawPeer stranger(port.node.address(), thief.identity, port.friend_.membership);
  CHECK(stranger.wait_ended());
  port.check_refused("bad_signature");
  CHECK_FALSE(port.node.last_refused());  // it is not who it says
}

TEST_CASE("a stolen certificate without its key does not get through the handshake") {
  Port port;
  const TlsPair stolen = RawPeer::pair_of(port.friend_.identity, port.friend_.membership);
  RawPeer stranger(port.node.address(), {.pair = with_another_key(stolen)});
  CHECK(stranger.wait_ended());
  CHECK_FALSE(stranger.wait_linked());
  port.check_refused("handshake_failed");
}

TEST_CASE("a man in the middle is refused by the dialler, who names both ids") {
  const TestSwarm swarm;
  const Member ann(swarm), ben(swarm), eve(swarm);
  TestNode a(ann), e(eve);
  a.transport->open(e.address(), ben.id());
  const auto failed = a.inbox->wait_for<swarm::DialFailed>();
  REQUIRE(failed);
  CHECK(failed->reason.find(swarm::to_string(ben.id())) != std::string::npos);
  CHECK(failed->reason.find(swarm::to_string(eve.id())) != std::string::npos);
  CHECK(a.refused("wrong_peer") == 1);
  CHECK(a.inbox->count<swarm::LinkUp>() == 0);
  a.transport->stop();
  CHECK(e.inbox->all().empty());
  CHECK(e.transport->counters().received_bytes == 0);
}

TEST_CASE("half-open connections are closed in time, and do not keep a member out") {
  TransportOptions options = TestNode::quick();
  options.connections_max = 16;
  options.handshake_timeout_ms = 1000;
  Port port(options);
  const auto begin = std::chrono::steady_clock::now();
  std::vector<Socket> strangers;
  for (int i = 0; i < 60; ++i) {
    strangers.push_back(Socket::connected(port.node.transport->port()));
    if (i % 2 == 0) strangers.back().send(std::string("\x16\x03\x01", 3));
  }
  CHECK(port.still_serves());
  for (const Socket& stranger : strangers) CHECK(stranger.wait_closed(milliseconds(3000)));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(4));
  port.node.wait_refused("handshake_timeout", 1);
  CHECK(port.node.refused("displaced") + port.node.refused("handshake_timeout") == 60);
  CHECK(port.node.refused("displaced") >= 60 - 16);
}

TEST_CASE("a client that stops after its hello is closed in time") {
  TransportOptions options = TestNode::quick();
  options.handshake_timeout_ms = 1000;
  Port port(options);
  const std::string hello = client_hello();
  const Socket stranger = Socket::connected(port.node.transport->port());
  CHECK(stranger.send(hello.substr(0, 100)));
  CHECK(stranger.send(hello.substr(100)));
  size_t received = 0;
  CHECK(stranger.wait_closed(milliseconds(4000), &received));
  CHECK(received > 0);  // the server's side of the handshake
  port.check_refused("handshake_failed");
}

TEST_CASE("a flood beyond the file descriptors is over when it ends") {
  TransportOptions options = TestNode::quick();
  options.connections_max = 1000;
  Port port(options);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  // One flood below, so that gRPC and the test keep what they have open.
  const rlimit low{.rlim_cur = static_cast<rlim_t>(Socket::listening().fd()) + 60,
                   .rlim_max = before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  {
    std::vector<Socket> strangers;
    for (int i = 0; i < 200; ++i) {
      Socket stranger = Socket::connected(port.node.transport->port());
      if (stranger.is_valid()) strangers.push_back(std::move(stranger));
    }
    CHECK(strangers.size() < 200);
    CHECK_FALSE(port.node.wait_refused("out_of_descriptors").empty());
  }
  CHECK(port.still_serves());  // under the low limit still
  CHECK(::setrlimit(RLIMIT_NOFILE, &before) == 0);
}

}  // namespace starling::node
