#pragma once
// What happens to a frame before the protocol thread sees it: open (size, swarm, signature, hash),
// check that a control frame was signed by the link's own peer, decode the message or inspect the
// delta. Thread: pure, any.
#include "swarm/event.h"

namespace starling::swarm {

struct InboundRules {
  SwarmId swarm{};
  std::array<uint8_t, 16> fingerprint{};
  const model::RegionTable* regions = nullptr;  // outlives the rules
};

// ReceivedMessage, ReceivedDelta or ReceivedRefused. A delta for another fingerprint is refused;
// control messages pass with any fingerprint (Hello carries it, so that State can say so).
Input receive(const PeerId& from, SharedBytes frame, const InboundRules& rules);

}  // namespace starling::swarm
