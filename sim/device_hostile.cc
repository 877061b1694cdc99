// What a hostile device does to the protocol, where it acts otherwise than by what it learned.
#include <algorithm>

#include "sim/device.h"
#include "sim/world.h"

namespace starling::sim {
namespace {

constexpr size_t replayed_frames = 4;    // each exchange
constexpr uint64_t invented_deltas = 3;  // of which it tells more than it has

// Of a frame that is the own.
swarm::ByteView payload_of(const swarm::Bytes& frame) {
  return swarm::ByteView(frame).subspan(swarm::header_size);
}

}  // namespace

void Device::count_deeds(uint64_t pushes_before) {
  ++world->sometimes["hostile_deltas"];
  if (tamper->attack() == Attack::dissensus)
    world->sometimes["dissensus_pushes"] += tamper->pushes() - pushes_before;
}

void Device::show_second_face(const swarm::DeltaKey& key, const swarm::Publish& publication) {
  if (tamper->attack() != Attack::equivocate || !last_own_frame_) return;
  second_face_ = {key, std::make_shared<const swarm::Bytes>(swarm::seal(
                           publication.header, payload_of(*last_own_frame_), keys_->signer()))};
  world->checker.signed_by_origin(key, second_face_.second);
}

// What it says is not what its State wanted to say.
void Device::twist(swarm::Message& message) {
  auto* const heartbeat = std::get_if<swarm::Heartbeat>(&message);
  if (heartbeat != nullptr && tamper->attack() == Attack::announce) {
    const swarm::Stream own{id_, disk_.epoch};
    if (!heartbeat->have) heartbeat->have = state_->have();
    heartbeat->have->set(own, {published_ + invented_deltas, 0});
    ++world->sometimes["false_announcements"];
  }
}

void Device::send_delta(const swarm::PeerId& to, const swarm::DeltaKey& key,
                        const swarm::SharedBytes& frame, bool is_asked) {
  if (tamper && tamper->attack() == Attack::selective_drop && key.stream.origin != id_ &&
      tamper->rng().unit() < tamper->strength()) {
    ++world->sometimes["withheld"];
    return;
  }
  const bool has_two_faces = second_face_.second && second_face_.first == key && !is_asked;
  const bool is_second = has_two_faces && world->node_of(to) % 2 == 1;
  if (is_second) ++world->sometimes["equivocations"];
  world->transmit(
      index, to,
      {.is_delta = true, .header = {}, .bytes = is_second ? second_face_.second : frame});
}

void Device::replay_frames() {
  for (size_t i = 0; i < replayed_frames && !disk_.log.empty(); ++i) {
    const Disk::Entry& old = disk_.log[tamper->rng().below(disk_.log.size())];
    for (const swarm::PeerId& peer : world->linked_to(index)) {
      ++world->sometimes["replays"];
      world->transmit(index, peer, {.is_delta = true, .header = {}, .bytes = old.frame});
    }
  }
}

}  // namespace starling::sim
