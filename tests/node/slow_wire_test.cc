// A member whose bytes come one a second: inside TLS, and so inside HTTP/2 and a frame, whatever
// reads them must wait, and what waits must cost the node and its other members nothing.
#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/node/hostile_fixture.h"
#include "tests/node/transport_socket.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds, std::chrono::seconds, std::chrono::steady_clock;
using swarm::Bytes;

constexpr milliseconds look_interval{20};
constexpr size_t waiting_bytes_max = 1u << 16;

// Passes the bytes of one connection on, both ways as they come, until it is choked: from then on a
// byte a second goes to the node.
class SlowWire {
 public:
  explicit SlowWire(uint16_t node_port)
      : node_port_(node_port), thread_([this](const std::stop_token& stop) { run(stop); }) {}

  std::string address() const { return "127.0.0.1:" + std::to_string(listener_.port()); }
  void choke() { is_choked_ = true; }
  int dribbled() const { return dribbled_; }

 private:
  static int wait(std::vector<pollfd>& ends) {
    return ::poll(ends.data(), ends.size(), static_cast<int>(look_interval.count()));
  }
  void run(const std::stop_token& stop) {
    for (std::vector<pollfd> knock{{listener_.fd(), POLLIN, 0}}; wait(knock) == 0;)
      if (stop.stop_requested()) return;
    const Socket peer = listener_.accepted(), node = Socket::connected(node_port_);
    while (peer.is_valid() && node.is_valid() && !stop.stop_requested()) {
      // What the peer has still to say waits with the peer.
      const bool is_room = waiting_.size() < waiting_bytes_max;
      std::vector<pollfd> ends{{node.fd(), POLLIN, 0}};
      if (is_room) ends.push_back({peer.fd(), POLLIN, 0});
      wait(ends);
      if (ends[0].revents != 0) {
        const std::string said = received(node);
        if (said.empty() || !peer.send(said)) return;
      }
      if (is_room && ends[1].revents != 0) {
        const std::string said = received(peer);
        if (said.empty()) return;
        waiting_ += said;
      }
      if (!pass_on(node)) return;
    }
  }
  bool pass_on(const Socket& node) {
    const bool is_choked = is_choked_;
    if (waiting_.empty() || (is_choked && steady_clock::now() < next_at_)) return true;
    const size_t size = is_choked ? 1 : waiting_.size();
    if (!node.send(waiting_.substr(0, size))) return false;
    waiting_.erase(0, size);
    if (is_choked) ++dribbled_;
    next_at_ = steady_clock::now() + seconds(1);
    return true;
  }
  static std::string received(const Socket& from) {
    std::string bytes(16384, '\0');
    const ssize_t size = ::recv(from.fd(), bytes.data(), bytes.size(), 0);
    bytes.resize(size > 0 ? static_cast<size_t>(size) : 0);
    return bytes;
  }

  const uint16_t node_port_;
  const Socket listener_ = Socket::listening();
  std::string waiting_;  // from the peer
  steady_clock::time_point next_at_;
  std::atomic<bool> is_choked_ = false;
  std::atomic<int> dribbled_ = 0;
  std::jthread thread_;
};

uint16_t port_of(const std::string& address) {
  return static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

size_t threads_of(const Victim& victim) {
  const std::filesystem::directory_iterator tasks("/proc/" + std::to_string(victim.pid()) +
                                                  "/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

struct Dribbler {
  Dribbler(const Victim& victim, const std::string& name)
      : guest(victim, name), wire(port_of(victim.listen())) {
    guest.go_through(wire.address());
  }
  nlohmann::json row(const Victim& victim) const {
    for (const nlohmann::json& member : victim.members())
      if (member["name"] == guest.home().config.node.name) return member;
    return {};
  }

  Guest guest;
  SlowWire wire;
};

TEST_CASE("members that send a byte a second hold no thread and are let go as silent ones") {
  Victim victim(Victim::Settings{{"swarm.sync_interval_s", "1"}});
  Guest honest(victim, "honest");
  honest.greet();
  honest.contribute(victim, 1);
  std::vector<std::unique_ptr<Dribbler>> dribblers;
  for (size_t i = 0; i < 6; ++i) {
    dribblers.push_back(std::make_unique<Dribbler>(victim, "dribbler" + std::to_string(i)));
    Dribbler& dribbler = *dribblers.back();
    dribbler.guest.greet();
    dribbler.guest.contribute(victim, 10 + i);
  }
  const size_t threads = threads_of(victim);
  for (const auto& dribbler : dribblers) {
    dribbler->wire.choke();
    dribbler->guest.send(dribbler->guest.delta(DemoModel::get().delta(20)));
  }

  const auto is_linked = [&](const auto& dribbler) { return dribbler->row(victim)["linked"]; };
  const auto end = steady_clock::now() + seconds(40);
  uint64_t seed = 100, heard = 0;
  size_t threads_most = 0;
  while (steady_clock::now() < end && std::any_of(dribblers.begin(), dribblers.end(), is_linked)) {
    honest.contribute(victim, seed++);
    while (honest.link().receive(milliseconds(100))) ++heard;
    threads_most = std::max(threads_most, threads_of(victim));
  }
  CHECK(threads_most < threads + dribblers.size());  // one for each would be that many
  CHECK(heard > 10);
  for (const auto& dribbler : dribblers) {
    const nlohmann::json row = dribbler->row(victim);
    CAPTURE(row.dump());
    CHECK(row["linked"] == false);
    const std::string reason = row["lost_reason"], begins = "silent for ";
    REQUIRE(reason.starts_with(begins));
    CHECK(std::stoi(reason.substr(begins.size())) >= 16);  // heartbeat intervals
    CHECK(dribbler->guest.link().wait_ended());
    CHECK(dribbler->wire.dribbled() >= 8);
  }
  honest.contribute(victim, 99);
}

}  // namespace
}  // namespace starling::node
