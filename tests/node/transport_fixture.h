#pragma once
// A swarm of transports in one process, over real sockets on the loopback address: members,
// strangers, and an inbox that waits for what it is asked for.
#include <sodium.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "node/transport.h"
#include "swarm/codec.h"
#include "tests/node/disk_fixture.h"
#include "tests/node/raw_peer.h"

namespace starling::node {

inline constexpr auto patience = std::chrono::seconds(15);  // far above what anything here takes

// An Ed25519 key that founds a swarm.
class TestSwarm {
 public:
  TestSwarm() {
    swarm::PublicKey ignored{};
    crypto_sign_keypair(ignored.data(), secret_.data());
  }
  swarm::Signer root() const { return swarm::Signer(secret_.data()); }
  swarm::SwarmId id() const { return swarm::swarm_id_of(root().public_key()); }

 private:
  std::array<uint8_t, crypto_sign_SECRETKEYBYTES> secret_{};
};

struct Member {
  explicit Member(const TestSwarm& swarm)
      : identity(Identity::create(TestFolder() / "identity.key").value()),
        membership(swarm::admit(swarm.root(), identity.public_key(), 0)),
        swarm_id(swarm.id()) {}
  swarm::PeerId id() const { return identity.id(); }

  // A control frame of this member.
  swarm::SharedBytes frame(uint64_t seq,
                           const swarm::Message& message = swarm::Goodbye{"bye"}) const {
    swarm::FrameHeader header;
    header.swarm = swarm_id;
    header.epoch = 1;
    header.seq = seq;
    return std::make_shared<const swarm::Bytes>(
        swarm::seal(header, swarm::encode_message(message), identity.signer()));
  }

  Identity identity;
  swarm::Membership membership;
  swarm::SwarmId swarm_id;
};

// The sink of a transport.
class Inbox {
 public:
  void put(swarm::Input input) {
    std::lock_guard lock(mutex_);
    inputs_.push_back(std::move(input));
    changed_.notify_all();
  }
  template <typename Predicate>
  bool wait(Predicate predicate, std::chrono::milliseconds timeout = patience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, [&] { return predicate(inputs_); });
  }
  // Waits until the inbox holds `count` of type T (and more predicates), and returns the last of
  // them.
  template <typename T>
  std::optional<T> wait_for(size_t count = 1, std::chrono::milliseconds timeout = patience) {
    std::optional<T> last;
    const bool found = wait(
        [&](const std::vector<swarm::Input>& inputs) {
          size_t seen = 0;
          for (const swarm::Input& input : inputs) {
            if (const T* match = std::get_if<T>(&input)) {
              last = *match;
              ++seen;
            }
          }
          return seen >= count;
        },
        timeout);
    return found ? last : std::nullopt;
  }
  std::vector<swarm::Input> all() const {
    std::lock_guard lock(mutex_);
    return inputs_;
  }
  template <typename T>
  size_t count() const {
    const std::vector<swarm::Input> inputs = all();
    return static_cast<size_t>(
        std::count_if(inputs.begin(), inputs.end(),
                      [](const swarm::Input& input) { return std::holds_alternative<T>(input); }));
  }
  // Links that are up now, and whether LinkUp and LinkDown of each peer take turns.
  std::map<swarm::PeerId, int> links() const {
    std::map<swarm::PeerId, int> up;
    for (const swarm::Input& input : all()) {
      if (const auto* begun = std::get_if<swarm::LinkUp>(&input)) ++up[begun->peer];
      if (const auto* ended = std::get_if<swarm::LinkDown>(&input)) --up[ended->peer];
    }
    return up;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<swarm::Input> inputs_;
};

// A transport with its inbox; stops when it goes.
class TestNode {
 public:
  explicit TestNode(const Member& member, TransportOptions options = quick())
      : inbox(std::make_unique<Inbox>()) {
    options.listen = "127.0.0.1:0";
    options.on_refused = [this](const Refused& refused) {
      std::lock_guard lock(mutex_);
      refused_.push_back(refused);
      changed_.notify_all();
    };
    static const model::RegionTable no_regions;
    const swarm::InboundRules rules{
        .swarm = member.swarm_id, .fingerprint = {}, .regions = &no_regions};
    transport = Transport::start(
                    options, member.identity, member.membership, rules,
                    [inbox = inbox.get()](swarm::Input input) { inbox->put(std::move(input)); })
                    .value();
  }
  ~TestNode() {
    if (transport) transport->stop();
  }

  // Rates that a test on one address needs, and timeouts that it can wait for.
  static TransportOptions quick() {
    TransportOptions options;
    options.accepts_per_s_max = 1000;
    options.accepts_burst = 1000;
    options.handshake_timeout_ms = 2000;
    options.dial_timeout_ms = 5000;
    return options;
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(transport->port()); }
  // Waits until that many connections were refused for `reason`; where from.
  std::vector<std::string> wait_refused(const std::string& reason, size_t count = 1) {
    std::vector<std::string> addresses;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] {
      addresses.clear();
      for (const Refused& each : refused_) {
        if (each.reason == reason) addresses.push_back(each.address);
      }
      return addresses.size() >= count;
    });
    return addresses;
  }
  // Who was the last that was refused, if it proved that.
  std::optional<swarm::PeerId> last_refused() {
    std::lock_guard lock(mutex_);
    return refused_.empty() ? std::nullopt : refused_.back().id;
  }
  uint64_t refused(const std::string& reason) const {
    const auto counters = transport->counters();
    const auto found = counters.refused.find(reason);
    return found == counters.refused.end() ? 0 : found->second;
  }

  std::unique_ptr<Inbox> inbox;
  std::unique_ptr<Transport> transport;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Refused> refused_;
};

// Dials and waits for both ends of the link.
inline bool link(TestNode& from, TestNode& to, const swarm::PeerId& expected) {
  from.transport->open(to.address(), expected);
  return from.inbox->wait_for<swarm::LinkUp>().has_value() &&
         to.inbox->wait_for<swarm::LinkUp>().has_value();
}

}  // namespace starling::node
