#pragma once
// The networks that this machine is attached to, watched by a thread of its own. It tells when the
// machine's addresses change. And by beacons (swarm/beacon.h) members that are on one network find
// each other without being told an address: ours goes out from every address where this node takes
// links, three times when it is new, then seldom. Where there is no multicast it says so once and
// waits for a network that has it.
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "model/rng.h"
#include "node/beacon.h"
#include "node/identity.h"
#include "swarm/beacon.h"

namespace starling::node {

struct LanOptions {
  swarm::SwarmId swarm{};
  const Identity* identity = nullptr;  // outlives the Lan
  uint64_t epoch = 0;
  std::string listen_host;  // "0.0.0.0", "[::]", or one address
  uint16_t port = 0;
  uint64_t seed = 0;
  bool has_beacon = true;
  // Called on the Lan's thread; must not block.
  std::function<void(swarm::Heard)> on_heard;
  // This machine's addresses at the start and whenever they are others.
  std::function<void(const std::vector<LocalAddress>&)> on_changed;
  std::function<size_t()> members;  // that are known: the more, the more seldom each speaks
};

// Of these addresses those from which a node that listens on `host` can be reached by others on
// the same network, and can tell them.
std::vector<LocalAddress> beacon_addresses(const std::vector<LocalAddress>& all,
                                           const std::string& listen_host);

class Lan {
 public:
  static constexpr size_t sockets_max = 16;

  explicit Lan(LanOptions options);
  ~Lan() { stop(); }
  void stop();  // nothing is called after it returns

 private:
  void run(const std::stop_token& stop);
  void look_around(swarm::Instant now);
  void open_sockets(swarm::Instant now);
  void speak(swarm::Instant now);
  void wait(swarm::Instant now);
  void listen_to(const BeaconSocket& socket);
  void tell_silence(const std::string& reason);

  const LanOptions options_;
  Rng rng_;
  InterfaceWatch watch_;
  File wake_;  // an eventfd
  swarm::BeaconEar ear_;
  std::vector<LocalAddress> all_;        // as last seen
  std::vector<LocalAddress> addresses_;  // what the sockets are for
  std::vector<BeaconSocket> sockets_;
  uint64_t number_ = 0;
  uint32_t quick_left_ = 0;
  bool is_silence_told_ = false;
  swarm::Instant look_at_, changed_at_, speak_at_ = swarm::never;
  std::jthread thread_;
};

}  // namespace starling::node
