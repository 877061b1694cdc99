#pragma once
// A connection to the peer port that came to nothing.
#include <optional>
#include <string>

#include "swarm/peer_id.h"

namespace starling::node {

struct Refused {
  std::string address;  // host:port; "unknown" if it cannot be told
  std::string reason;   // the name that `status` counts it under
  // Who was behind it, if its certificate proved that: a member of another swarm, one that was shut
  // out.
  std::optional<swarm::PeerId> id;
};

}  // namespace starling::node
