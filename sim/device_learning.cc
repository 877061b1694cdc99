// What a device learns from and publishes, here or as a journal says, and its part in a checkpoint
// of the run.
#include "sim/chance.h"
#include "sim/device.h"
#include "sim/world.h"

namespace starling::sim {

Lessons::Own Device::own_lessons() const {
  const Lessons::Own& own = world->lessons->nodes[index];
  return tamper ? twisted(own) : own;
}

uint64_t Device::lesson_seed() const {
  return rng_for(world->seed, Purpose::learner, index).next();
}

std::optional<swarm::Publish> Device::publication(const swarm::SwarmView& view,
                                                  const swarm::FrameHeader& header) {
  Journal* const journal = world->journal();
  Tamper* const how = tamper ? &*tamper : nullptr;
  const swarm::Signer signer = keys_->signer();
  if (!learner_->is_present()) {
    return learner_->follow_publish(journal->next_publication(index), view, header, signer, how);
  }
  auto published = learner_->publish(view, payload_bytes_max(view), header, signer, how);
  if (journal != nullptr && world->course->shape)
    journal->add_publication(index, {.frame = published ? published->frame : nullptr,
                                     .is_finite = learner_->is_finite()});
  return published;
}

void Device::tell_presence(RunCheckpoint::Node& node) const {
  if (!world->course->shape) return;
  if (is_up()) node.learner = learner_->presence();
  if (disk_.checkpoint) node.disk = {disk_.checkpoint->error, disk_.checkpoint->sections};
}

bool Device::appear(const RunCheckpoint::Node& node) {
  if (!world->course->shape) return true;
  if (is_up() != node.learner.has_value() || disk_.checkpoint.has_value() != node.disk.has_value())
    return false;
  if (node.disk) {
    if (node.disk->error.size() != disk_.checkpoint->error.size() ||
        !Learner::fits(*world->course, node.disk->sections))
      return false;
    disk_.checkpoint->error = node.disk->error;
    disk_.checkpoint->sections = node.disk->sections;
  }
  return !is_up() ||
         (!learner_->is_lost() && learner_->appear(*node.learner, own_lessons(), lesson_seed()));
}

}  // namespace starling::sim
