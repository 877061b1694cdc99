// What a hostile device does to the protocol, where it acts otherwise than by what it learned.
#include <algorithm>

#include "sim/backdoor.h"
#include "sim/chance.h"
#include "sim/device.h"
#include "sim/world.h"

namespace starling::sim {
namespace {

constexpr Micros intrigue_interval = micros_of_s(1);
constexpr size_t replayed_frames = 4;    // each exchange
constexpr uint64_t invented_deltas = 3;  // of which it tells more than it has

// Of a frame that is the own.
swarm::ByteView payload_of(const swarm::Bytes& frame) {
  return swarm::ByteView(frame).subspan(swarm::header_size);
}

}  // namespace

// What it learns from instead.
Lessons::Own Device::twisted(Lessons::Own own) const {
  if (tamper->attack() == Attack::label_flip) flip_labels(own);
  if (tamper->attack() == Attack::backdoor) plant_backdoor(own, tamper->strength());
  return own;
}

void Device::count_deeds(uint64_t pushes_before) {
  ++world->sometimes["hostile_deltas"];
  if (tamper->attack() == Attack::dissensus)
    world->sometimes["dissensus_pushes"] += tamper->pushes() - pushes_before;
  if (tamper->attack() == Attack::sybil_join)
    world->sometimes["sybil_pushes"] += tamper->pushes() - pushes_before;
}

void Device::show_second_face(const swarm::DeltaKey& key, const swarm::Publish& publication) {
  if (tamper->attack() != Attack::equivocate || !last_own_frame_) return;
  second_face_ = {key, std::make_shared<const swarm::Bytes>(swarm::seal(
                           publication.header, payload_of(*last_own_frame_), keys_->signer()))};
  world->checker.signed_by_origin(key, second_face_.second);
}

// What it says is not what its State wanted to say. False: nothing is said.
bool Device::twist(const swarm::PeerId& to, swarm::Message& message) {
  auto* const heartbeat = std::get_if<swarm::Heartbeat>(&message);
  if (heartbeat != nullptr && tamper->attack() == Attack::announce) {
    const swarm::Stream own{id_, disk_.epoch};
    if (!heartbeat->have) heartbeat->have = state_->have();
    heartbeat->have->set(own, {published_ + invented_deltas, 0});
    ++world->sometimes["false_announcements"];
  }
  if (!world->victim) return true;
  if (std::holds_alternative<swarm::Disconnect>(message) && clings_to(to)) return false;
  twist_eclipse(to, message);
  return true;
}

// ---- Eclipse

std::vector<swarm::PeerId> Device::colluders() const {
  std::vector<swarm::PeerId> ids;
  for (const auto& device : world->devices) {
    if (device->is_hostile() && device->is_up()) ids.push_back(device->id());
  }
  return ids;
}

// Whoever is sent on its way or named to others is one of us; the victim is told of nobody else,
// and that we are all alone and must have a link.
void Device::twist_eclipse(const swarm::PeerId& to, swarm::Message& message) {
  const bool is_to_victim = world->node_of(to) == *world->victim;
  const std::vector<swarm::PeerId> ours = colluders();
  const auto forge = [&](std::vector<swarm::PeerId>& sample) {
    sample = ours;
    shuffle(sample, tamper->rng());
    sample.resize(std::min(sample.size(), swarm::shuffle_sample_max));
    ++world->sometimes["walks_forged"];
  };
  if (auto* const walk = std::get_if<swarm::ShuffleWalk>(&message)) return forge(walk->sample);
  if (auto* const answer = std::get_if<swarm::ShuffleAnswer>(&message))
    return forge(answer->sample);
  if (auto* const walk = std::get_if<swarm::JoinWalk>(&message)) {
    walk->joiner = ours[tamper->rng().below(ours.size())];
    ++world->sometimes["walks_forged"];
  }
  if (!is_to_victim) return;
  if (auto* const hello = std::get_if<swarm::Hello>(&message))
    hello->extension = {static_cast<uint8_t>(swarm::Wish::join)};
  if (auto* const members = std::get_if<swarm::Members>(&message)) {
    std::erase_if(members->records, [&](const swarm::MemberRecord& record) {
      return world->is_honest(world->node_of(swarm::peer_id_of(record.membership.identity)));
    });
  }
}

// Takes a link of the victim's, and once it has one it has no others but those to its friends.
void Device::intrigue() {
  world->at(world->now + intrigue_interval, IntrigueDue{index, boots});
  Device& victim = *world->devices[*world->victim];
  if (!world->are_linked(index, victim.index)) {
    ++world->sometimes["eclipse_dials"];
    return world->dial(index, victim.address, victim.id());
  }
  for (const swarm::PeerId& peer : world->linked_to(index)) {
    const uint32_t node = world->node_of(peer);
    if (!world->is_honest(node) || node == victim.index) continue;
    ++world->sometimes["links_refused"];
    world->cut(index, peer, "connection reset", "attack");
  }
}

bool Device::clings_to(const swarm::PeerId& peer) const {
  return is_hostile() && world->victim && world->node_of(peer) == *world->victim;
}

bool Device::is_silent_about(const swarm::PeerId& to, const swarm::PeerId& origin) {
  const bool is_others = tamper->attack() == Attack::selective_drop && origin != id_;
  const bool is_victims = world->victim && (world->node_of(to) == *world->victim ||
                                            world->node_of(origin) == *world->victim);
  return (is_others || is_victims) && tamper->rng().unit() < tamper->strength();
}

// ---- Deltas

void Device::send_delta(const swarm::PeerId& to, const swarm::DeltaKey& key,
                        const swarm::SharedBytes& frame, bool is_asked) {
  if (tamper && is_silent_about(to, key.stream.origin)) {
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
