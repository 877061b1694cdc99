#include "sim/message_kind.h"

#include "sim/overloaded.h"

namespace starling::sim {

std::string_view kind_of(const swarm::Message& message) {
  using Name = std::string_view;
  return std::visit(Overloaded{[](const swarm::Hello&) { return Name("hello"); },
                               [](const swarm::Members&) { return Name("members"); },
                               [](const swarm::Heartbeat&) { return Name("heartbeat"); },
                               [](const swarm::Pull&) { return Name("pull"); },
                               [](const swarm::SnapshotOffer&) { return Name("snapshot offer"); },
                               [](const swarm::ChunkRequest&) { return Name("chunk request"); },
                               [](const swarm::Chunk&) { return Name("chunk"); },
                               [](const swarm::AdmissionNews&) { return Name("admissions"); },
                               [](const swarm::Witness&) { return Name("witness"); },
                               [](const swarm::Suspicion&) { return Name("suspicion"); },
                               [](const swarm::JoinWalk&) { return Name("overlay"); },
                               [](const swarm::ShuffleWalk&) { return Name("overlay"); },
                               [](const swarm::ShuffleAnswer&) { return Name("overlay"); },
                               [](const swarm::Disconnect&) { return Name("overlay"); },
                               [](const swarm::Goodbye&) { return Name("goodbye"); },
                               [](const auto&) { return Name("other"); }},
                    message);
}

}  // namespace starling::sim
