#pragma once
// What a report calls the messages of the protocol.
#include <string_view>

#include "swarm/message.h"

namespace starling::sim {

// Lives as long as the program.
std::string_view kind_of(const swarm::Message& message);

}  // namespace starling::sim
