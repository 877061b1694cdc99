// The parts of the transport by themselves: addresses, client hellos, certificates, and the accept
// loop's limits.
#include <doctest/doctest.h>

#include <condition_variable>
#include <mutex>

#include "node/acceptor.h"
#include "node/certificate.h"
#include "node/client_hello.h"
#include "node/endpoint.h"
#include "node/peer_link.h"
#include "node/refusal_log.h"
#include "tests/node/transport_certificate.h"
#include "tests/node/transport_fixture.h"
#include "tests/node/transport_socket.h"

namespace starling::node {
namespace {

std::span<const uint8_t> bytes_in(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// An accept loop alone; what it hands over is kept open here.
class Loop {
 public:
  explicit Loop(const AcceptorLimits& limits)
      : acceptor(Acceptor::bind("127.0.0.1:0", limits).value()) {
    acceptor->run([this](int fd) { add([&] { fds_.push_back(fd); }); },
                  [this](const Refused& refused) { add([&] { ++refused_[refused.reason]; }); });
  }
  ~Loop() {
    acceptor->stop();
    for (const int fd : fds_) ::close(fd);
  }
  Socket connect(bool says_hello = true) {
    Socket socket = Socket::connected(acceptor->port());
    if (says_hello) socket.send(hello_);
    return socket;
  }
  bool wait_handed_over(size_t count) {
    return wait([&] { return fds_.size() >= count; });
  }
  bool wait_refused(const std::string& reason, size_t count) {
    return wait([&] { return refused_[reason] >= count; });
  }
  size_t refused(const std::string& reason) {
    std::lock_guard lock(mutex_);
    return refused_[reason];
  }
  void close_oldest() {
    std::lock_guard lock(mutex_);
    ::close(fds_.front());
    fds_.erase(fds_.begin());
  }
  std::unique_ptr<Acceptor> acceptor;

 private:
  template <typename Change>
  void add(Change change) {
    std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  template <typename Predicate>
  bool wait(Predicate predicate) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, predicate);
  }
  const std::string hello_ = client_hello();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int> fds_;
  std::map<std::string, size_t> refused_;
};

}  // namespace

TEST_CASE("addresses are read and written as people write them") {
  for (const auto& [text, host, port] : std::vector<std::tuple<std::string, std::string, int>>{
           {"192.0.2.1:7411", "192.0.2.1", 7411},
           {"[2001:db8::1]:1", "2001:db8::1", 1},
           {"name.example:65535", "name.example", 65535},
           {":0", "", 0}}) {
    CAPTURE(text);
    const auto at = parse_host_port(text);
    REQUIRE(at);
    CHECK(at->host == host);
    CHECK(at->port == port);
  }
  for (const char* text : {"", "host", "host:", "host:x", "host:1x", "host:65536", "host:-1",
                           "::1:7411", "[::1:7411", "::1]:7411", "[[::1]]:7411"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_host_port(text));
  }
  CHECK_FALSE(parse_host_port(std::string(300, 'a') + ":1"));
  const auto literal = [](const std::string& text) {
    return *parse_literal(*parse_host_port(text));
  };
  CHECK(to_string(literal("[2001:db8:0::1]:7411")) == "[2001:db8::1]:7411");
  CHECK(to_grpc_target(literal("192.0.2.1:7411")) == "ipv4:192.0.2.1:7411");
  CHECK(to_grpc_target(literal("[2001:db8::1]:7411")) == "ipv6:[2001:db8::1]:7411");
  CHECK(from_grpc_peer("ipv6:%5B2001:db8::1%5D:7411") == "[2001:db8::1]:7411");
  CHECK(from_grpc_peer("ipv4:192.0.2.1:7411") == "192.0.2.1:7411");
  CHECK_FALSE(parse_literal({.host = "localhost", .port = 1}));
}

TEST_CASE("limits count an IPv6 network as one, and an IPv4 client of an IPv6 socket as IPv4") {
  const auto key = [](const std::string& text) {
    return limit_key(*parse_literal(*parse_host_port(text)));
  };
  CHECK(key("[2001:db8:1:2::3]:1") == key("[2001:db8:1:ffff::4]:2"));
  CHECK(key("[2001:db8:1::]:1") != key("[2001:db8:2::]:1"));
  CHECK(key("192.0.2.1:1") == key("192.0.2.1:2"));
  CHECK(key("192.0.2.1:1") != key("192.0.2.2:1"));
  CHECK(key("[::ffff:192.0.2.1]:1") == key("192.0.2.1:1"));
  CHECK(is_loopback(*parse_literal({.host = "::1", .port = 1})));
  CHECK(is_loopback(*parse_literal({.host = "::ffff:127.0.0.2", .port = 1})));
  CHECK_FALSE(is_loopback(*parse_literal({.host = "192.0.2.1", .port = 1})));
}

TEST_CASE("a client hello is known whole, and wanted whole at every cut") {
  const std::string hello = client_hello();
  CHECK(check_client_hello(bytes_in(hello)).verdict == HelloVerdict::tls13);
  for (size_t size = 0; size < hello.size(); ++size) {
    CAPTURE(size);
    const HelloCheck check = check_client_hello(bytes_in(hello).first(size));
    CHECK(check.verdict == HelloVerdict::incomplete);
    CHECK(check.size > size);
    CHECK(check.size <= hello.size());
  }
  CHECK(check_client_hello(bytes_in(client_hello(TLS1_2_VERSION))).verdict ==
        HelloVerdict::old_tls);
}

TEST_CASE("no damage to a client hello makes the check read beyond it") {
  const std::string hello = client_hello();
  size_t refused = 0;
  for (size_t at = 0; at < hello.size(); ++at) {
    for (const int bits : {0x01, 0x80, 0xff}) {
      std::string damaged = hello;
      damaged[at] = static_cast<char>(damaged[at] ^ bits);
      // In memory of exactly its size, so that a sanitizer sees one byte too many.
      const std::vector<uint8_t> exact(damaged.begin(), damaged.end());
      const HelloCheck check = check_client_hello(exact);
      refused += check.verdict != HelloVerdict::tls13;
      if (check.verdict == HelloVerdict::incomplete) CHECK(check.size <= client_hello_size_max);
    }
  }
  CHECK(refused > 0);
}

TEST_CASE("a certificate proves the member behind it, and a new boot has a new key") {
  const TestSwarm swarm;
  const Member ann(swarm);
  const TlsPair first = RawPeer::pair_of(ann.identity, ann.membership);
  const auto proof = check_certificate(first.certificate, swarm.id());
  REQUIRE(proof);
  CHECK(proof.value().id == ann.id());
  CHECK(proof.value().membership.binding == ann.membership.binding);
  const auto next =
      check_certificate(RawPeer::pair_of(ann.identity, ann.membership).certificate, swarm.id());
  REQUIRE(next);
  CHECK(next.value().boot != proof.value().boot);
  CHECK(next.value().id == proof.value().id);
}

TEST_CASE("every other certificate is refused with its reason") {
  const TestSwarm swarm, other_swarm;
  const Member ann(swarm), ben(swarm);
  Member unsigned_member(swarm);
  unsigned_member.membership.invite.signature[0] ^= 1;
  const auto pem = [](const Member& member, const swarm::Membership& membership) {
    return RawPeer::pair_of(member.identity, membership).certificate;
  };
  const std::string good = pem(ann, ann.membership);
  const std::vector<std::pair<std::string, CertificateError>> cases = {
      {"", CertificateError::no_certificate},
      {"hello", CertificateError::bad_certificate},
      {good.substr(0, good.size() / 2), CertificateError::bad_certificate},
      {plain_certificate().key, CertificateError::bad_certificate},
      {plain_certificate().certificate, CertificateError::not_a_member},
      {plain_certificate(9000).certificate, CertificateError::too_large},
      {std::string(20000, 'A'), CertificateError::too_large},
      {pem(ann, unsigned_member.membership), CertificateError::not_a_member},
      {pem(ann, ben.membership), CertificateError::bad_signature},
  };
  for (const auto& [text, error] : cases) {
    CAPTURE(certificate_error_name(error));
    const auto proof = check_certificate(text, swarm.id());
    REQUIRE_FALSE(proof);
    CHECK(certificate_error_name(proof.error()) == certificate_error_name(error));
  }
  const auto elsewhere = check_certificate(good, other_swarm.id());
  REQUIRE_FALSE(elsewhere);
  CHECK(elsewhere.error() == CertificateError::another_swarm);
}

TEST_CASE("no flipped character of a certificate passes for another member or another key") {
  const TestSwarm swarm;
  const Member ann(swarm);
  const std::string good = RawPeer::pair_of(ann.identity, ann.membership).certificate;
  const auto proof = check_certificate(good, swarm.id());
  REQUIRE(proof);
  size_t refused = 0;
  for (size_t at = 0; at < good.size(); at += 3) {
    std::string damaged = good;
    damaged[at] = damaged[at] == 'A' ? 'B' : 'A';
    const auto result = check_certificate(damaged, swarm.id());
    refused += !result.has_value();
    // The certificate's own signature, its dates and its serial number prove nothing and may
    // change.
    if (result) CHECK(result.value().boot == proof.value().boot);
    if (result) CHECK(result.value().id == ann.id());
  }
  CHECK(refused > good.size() / 3 / 2);
}

TEST_CASE("a frame survives its message, unknown fields are skipped, other messages are refused") {
  const auto frame = std::make_shared<const swarm::Bytes>(300000, uint8_t{9});
  CHECK(from_message(to_message(frame), 300000) == *frame);
  CHECK_FALSE(from_message(to_message(frame), 299999));
  CHECK(from_message(to_message(std::make_shared<const swarm::Bytes>()), 10) == swarm::Bytes{});
  const auto message = [](const std::string& bytes) {
    const grpc::Slice slice(bytes);
    return grpc::ByteBuffer(&slice, 1);
  };
  CHECK(from_message(message(std::string("\x10\x05\x0a\x02"
                                         "ab",
                                         6)),
                     10) == swarm::Bytes{'a', 'b'});
  for (const std::string bytes : {"\x0a\x05"
                                  "ab",
                                  "\x0a", "\x0a\xff\xff\xff\xff\x7f", "\x07", "\xff"}) {
    CHECK_FALSE(from_message(message(bytes), 1000000));
  }
}

TEST_CASE("token buckets refill with time, one a key, for a bounded number of keys") {
  TokenBuckets<int> buckets({.per_s = 2, .burst = 3, .keys_max = 4});
  const TokenBuckets<int>::Clock::time_point start{};
  const auto at = [&](int ms) { return start + std::chrono::milliseconds(ms); };
  for (int i = 0; i < 3; ++i) CHECK(buckets.take(1, at(0)));
  CHECK_FALSE(buckets.take(1, at(0)));
  CHECK(buckets.take(2, at(0)));
  CHECK_FALSE(buckets.take(1, at(499)));
  CHECK(buckets.take(1, at(501)));
  CHECK_FALSE(buckets.take(1, at(501)));
  for (int i = 0; i < 3; ++i) CHECK(buckets.take(1, at(100000)));
  CHECK_FALSE(buckets.take(1, at(100000)));
  for (int key = 10; key < 100; ++key) buckets.take(key, at(100000));
  CHECK(buckets.size() <= 4);
}

TEST_CASE(
    "strangers fill no log: a line a minute for each address and reason, for a bounded number") {
  RefusalLog log;
  const RefusalLog::Clock::time_point start{};
  CHECK(log.note("192.0.2.1:4000", "not_a_member", start) == 0);
  CHECK(log.note("192.0.2.1:4001", "too_fast", start) == 0);
  CHECK(log.note("[2001:db8::1]:4000", "too_fast", start) == 0);
  for (int port = 4002; port < 5000; ++port) {
    CHECK_FALSE(log.note("192.0.2.1:" + std::to_string(port), "too_fast",
                         start + std::chrono::seconds(59)));
  }
  CHECK(log.note("192.0.2.1:5000", "too_fast", start + RefusalLog::interval) == 998);
  size_t lines = 0;
  for (size_t i = 0; i < 2 * RefusalLog::entries_max; ++i)
    lines += log.note("host" + std::to_string(i) + ":1", "banned", start).has_value();
  CHECK(lines == RefusalLog::entries_max - 3);
  CHECK(log.note("late:1", "banned", start + RefusalLog::interval) == 0);
}

TEST_CASE("connections of one address are limited, and room comes back when one closes") {
  Loop loop({.connections_max = 10,
             .connections_per_address_max = 3,
             .is_loopback_exempt = false,
             .accepts_per_s_max = 1000,
             .accepts_burst = 1000});
  std::vector<Socket> peers;
  for (int i = 0; i < 3; ++i) peers.push_back(loop.connect());
  REQUIRE(loop.wait_handed_over(3));
  const Socket fourth = loop.connect();
  CHECK(fourth.wait_closed(std::chrono::seconds(5)));
  CHECK(loop.wait_refused("too_many_from_address", 1));
  loop.close_oldest();
  const Socket fifth = loop.connect();
  CHECK(loop.wait_handed_over(3));
}

TEST_CASE("connections are limited in all, and one that says nothing gives way to one that does") {
  Loop loop({.connections_max = 3, .accepts_per_s_max = 1000, .accepts_burst = 1000});
  const Socket first = loop.connect(), second = loop.connect();
  REQUIRE(loop.wait_handed_over(2));
  const Socket silent = loop.connect(false);
  const Socket third = loop.connect();
  CHECK(loop.wait_handed_over(3));
  CHECK(silent.wait_closed(std::chrono::seconds(5)));
  CHECK(loop.refused("displaced") == 1);
  const Socket fourth = loop.connect();
  CHECK(fourth.wait_closed(std::chrono::seconds(5)));
  CHECK(loop.wait_refused("too_many_connections", 1));
}

TEST_CASE("an address that connects too fast is slowed down to the rate") {
  Loop loop({.connections_max = 100, .accepts_per_s_max = 5, .accepts_burst = 4});
  std::vector<Socket> peers;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 40; ++i) peers.push_back(loop.connect());
  REQUIRE(loop.wait_refused("too_fast", 30));
  const double elapsed_s =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  REQUIRE(loop.wait_handed_over(4));
  const auto let_in_max = static_cast<size_t>(4 + 5 * elapsed_s + 1);
  CHECK(loop.wait_refused("too_fast", 40 - let_in_max));
}

TEST_CASE("a connection that never completes its hello is closed in time") {
  Loop loop({.hello_timeout_ms = 300});
  const Socket silent = loop.connect(false);
  const Socket cut = loop.connect(false);
  cut.send(client_hello().substr(0, 50));
  const Socket ended = loop.connect(false);
  ended.send(client_hello().substr(0, 50));
  ::shutdown(ended.fd(), SHUT_WR);
  CHECK(loop.wait_refused("handshake_failed", 1));
  CHECK(silent.wait_closed(std::chrono::seconds(5)));
  CHECK(cut.wait_closed(std::chrono::seconds(5)));
  CHECK(loop.wait_refused("handshake_timeout", 2));
}

TEST_CASE("a hello that comes byte by byte is handed over when it is whole") {
  Loop loop({.accepts_per_s_max = 1000});
  const Socket slow = loop.connect(false);
  for (const char byte : client_hello()) REQUIRE(slow.send(std::string(1, byte)));
  CHECK(loop.wait_handed_over(1));
}

}  // namespace starling::node
