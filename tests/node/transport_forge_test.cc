// What a member with its own client can do at the real port: cut, forged, oversized and compressed
// frames.
#include <doctest/doctest.h>
#include <spawn.h>

#include <csignal>
#include <fstream>

#include "tests/node/transport_fixture.h"

namespace starling::node {
namespace {

using swarm::DropReason;

// A node and a member whose client does what it likes.
struct Attack {
  TestSwarm swarm;
  Member owner{swarm}, attacker{swarm};
  TestNode node;
  explicit Attack(const TransportOptions& options = TestNode::quick()) : node(owner, options) {}

  RawPeer connect(RawPeer::Options options = {}) {
    options.pair = RawPeer::pair_of(attacker.identity, attacker.membership);
    return RawPeer(node.address(), options);
  }
};

// ---- Attackers in a process of their own, so that their memory is not ours

constexpr char address_variable[] = "STARLING_TEST_ADDRESS";
constexpr char pair_variable[] =
    "STARLING_TEST_PAIR";  // path of the key; the certificate is beside it

void put_text(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
std::string text_at(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Runs a case of this program that is otherwise skipped.
class Child {
 public:
  Child(const std::string& case_name, const std::string& address, const TlsPair& pair) {
    put_text(folder_ / "key", pair.key);
    put_text(folder_ / "key.certificate", pair.certificate);
    ::setenv(address_variable, address.c_str(), 1);
    ::setenv(pair_variable, (folder_ / "key").c_str(), 1);
    std::string program = std::filesystem::read_symlink("/proc/self/exe");
    std::string filter = "--test-case=" + case_name, no_skip = "--no-skip", quiet = "--minimal";
    char* arguments[] = {program.data(), filter.data(), no_skip.data(), quiet.data(), nullptr};
    if (::posix_spawn(&pid_, program.c_str(), nullptr, nullptr, arguments, environ) != 0) pid_ = -1;
  }
  ~Child() { kill(); }
  void kill() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    wait();
  }
  // True: it ended by itself and its case passed.
  bool wait() {
    int status = 1;
    if (pid_ > 0) ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  TestFolder folder_;
  pid_t pid_ = -1;
};

RawPeer child_peer(bool gzip = false) {
  const std::string path = ::getenv(pair_variable);
  return RawPeer(
      ::getenv(address_variable),
      {.pair = TlsPair{.key = text_at(path), .certificate = text_at(path + ".certificate")},
       .gzip = gzip});
}

// The sanitizers keep freed memory back and shadow all of it; peaks mean nothing under them.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool is_peak_meaningful = false;
#else
constexpr bool is_peak_meaningful = true;
#endif

// Peak resident memory in KiB since the last reset.
void reset_peak() { put_text("/proc/self/clear_refs", "5"); }
long peak_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != "VmHWM:") continue;
    long kib = 0;
    status >> kib;
    return kib;
  }
  return 0;
}

}  // namespace

TEST_CASE("child: links and waits to be killed" * doctest::skip()) {
  RawPeer peer = child_peer();
  CHECK(peer.wait_linked());
  peer.wait_ended(std::chrono::minutes(1));
}

TEST_CASE("child: sends one huge message" * doctest::skip()) {
  RawPeer peer = child_peer();
  REQUIRE(peer.wait_linked());
  peer.send(swarm::Bytes(256u << 20));
  CHECK(peer.wait_ended(std::chrono::seconds(60)));
}

TEST_CASE("child: sends a compressed bomb" * doctest::skip()) {
  RawPeer peer = child_peer(true);
  peer.send(swarm::Bytes(256u << 20));
  CHECK(peer.wait_ended(std::chrono::seconds(60)));
  CHECK_FALSE(peer.wait_linked());
}

TEST_CASE("a member that is killed is lost at once, with a reason") {
  Attack attack;
  Child child("child: links and waits to be killed", attack.node.address(),
              RawPeer::pair_of(attack.attacker.identity, attack.attacker.membership));
  REQUIRE(attack.node.inbox->wait_for<swarm::LinkUp>());
  child.kill();
  const auto down = attack.node.inbox->wait_for<swarm::LinkDown>(1, std::chrono::seconds(5));
  REQUIRE(down);
  CHECK(down->peer == attack.attacker.id());
  CHECK(down->reason == "connection lost, or ended by the peer");
}

TEST_CASE("forged frames are refused with their reasons, and the link goes on") {
  Attack attack;
  RawPeer peer = attack.connect();
  REQUIRE(peer.wait_linked());
  const swarm::Bytes good = *attack.attacker.frame(1);
  const TestSwarm elsewhere;
  const auto with = [&](auto change) {
    swarm::Bytes frame = good;
    change(frame);
    return frame;
  };
  Member other(attack.swarm);
  Member foreign(elsewhere);
  const std::vector<std::pair<swarm::Bytes, DropReason>> cases = {
      {{}, DropReason::truncated},
      {with([](swarm::Bytes& frame) { frame.resize(10); }), DropReason::truncated},
      {with([](swarm::Bytes& frame) { frame.pop_back(); }), DropReason::truncated},
      {with([](swarm::Bytes& frame) { frame.push_back(0); }), DropReason::malformed},
      {with([](swarm::Bytes& frame) { frame.back() ^= 1; }), DropReason::bad_payload_hash},
      {*other.frame(1),
       DropReason::bad_signature},  // well signed, but by another than the link's peer
      {*foreign.frame(1), DropReason::wrong_swarm},
  };
  size_t count = 0;
  for (const auto& [frame, reason] : cases) {
    CAPTURE(count);
    REQUIRE(peer.send(frame));
    const auto refused = attack.node.inbox->wait_for<swarm::ReceivedRefused>(++count);
    REQUIRE(refused);
    CHECK(refused->from == attack.attacker.id());
    CHECK(swarm::drop_reason_name(refused->reason) == swarm::drop_reason_name(reason));
  }
  for (size_t at = 0; at < good.size(); ++at) {  // every single byte of it damaged
    REQUIRE(peer.send(with([&](swarm::Bytes& frame) { frame[at] ^= 0x40; })));
  }
  CHECK(attack.node.inbox->wait_for<swarm::ReceivedRefused>(count + good.size()));
  CHECK(attack.node.inbox->count<swarm::ReceivedMessage>() == 0);
  REQUIRE(peer.send(good));
  CHECK(attack.node.inbox->wait_for<swarm::ReceivedMessage>());
  CHECK(attack.node.inbox->count<swarm::LinkDown>() == 0);
}

TEST_CASE("a frame above the size limit is counted and ends the link") {
  TransportOptions options = TestNode::quick();
  options.frame_size_max = 1u << 20;
  Attack attack(options);
  {
    RawPeer peer = attack.connect();
    REQUIRE(peer.wait_linked());
    REQUIRE(peer.send(swarm::Bytes(1u << 20)));
    REQUIRE(attack.node.inbox
                ->wait_for<swarm::ReceivedRefused>());  // at the limit: comes through, is no frame
    peer.send(swarm::Bytes((1u << 20) + 1000));
    CHECK(peer.wait_ended());
  }
  REQUIRE(attack.node.inbox->wait_for<swarm::LinkDown>());
  CHECK(attack.node.inbox->count<swarm::ReceivedRefused>() == 2);
  const auto last = attack.node.inbox->wait_for<swarm::ReceivedRefused>(2);
  REQUIRE(last);
  CHECK(last->reason == swarm::DropReason::oversized);
  CHECK(attack.connect().wait_linked());
}

TEST_CASE("a huge message is refused and costs bounded memory") {
  Attack attack;
  const TlsPair pair = RawPeer::pair_of(attack.attacker.identity, attack.attacker.membership);
  reset_peak();
  const long before_kib = peak_kib();
  Child child("child: sends one huge message", attack.node.address(), pair);
  CHECK(child.wait());
  CHECK(attack.node.inbox->wait_for<swarm::LinkDown>());
  MESSAGE("peak memory grew by " << peak_kib() - before_kib << " KiB");
  if (is_peak_meaningful) CHECK(peak_kib() - before_kib < (64 + 32) * 1024);
  CHECK(attack.connect().wait_linked());
}

TEST_CASE("a compressed message is refused before it is unpacked") {
  Attack attack;
  const TlsPair pair = RawPeer::pair_of(attack.attacker.identity, attack.attacker.membership);
  reset_peak();
  const long before_kib = peak_kib();
  Child child("child: sends a compressed bomb", attack.node.address(), pair);
  CHECK(child.wait());
  MESSAGE("peak memory grew by " << peak_kib() - before_kib << " KiB");
  if (is_peak_meaningful) CHECK(peak_kib() - before_kib < 16 * 1024);
  CHECK(attack.node.inbox->count<swarm::ReceivedRefused>() == 0);
  CHECK(attack.node.transport->counters().received_bytes == 0);
  CHECK(attack.connect().wait_linked());
}

}  // namespace starling::node
