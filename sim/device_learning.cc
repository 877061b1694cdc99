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

namespace {

// As it travels between processes: the frame or nothing, then whether it is finite.
swarm::Bytes bytes_of(const Publication& publication) {
  swarm::Bytes bytes;
  if (publication.frame) bytes = *publication.frame;
  bytes.push_back(publication.is_finite ? 1 : 0);
  return bytes;
}

Publication publication_of(swarm::Bytes bytes) {
  Publication publication{.frame = nullptr, .is_finite = bytes.back() != 0};
  bytes.pop_back();
  if (!bytes.empty()) publication.frame = std::make_shared<const swarm::Bytes>(std::move(bytes));
  return publication;
}

}  // namespace

std::optional<swarm::Publish> Device::publication(const swarm::SwarmView& view,
                                                  const swarm::FrameHeader& header) {
  Tamper* const how = tamper ? &*tamper : nullptr;
  const swarm::Signer signer = keys_->signer();
  Journal* const journal = world->course->shape ? world->journal() : nullptr;
  Publication came;
  std::optional<swarm::Publish> published;
  if (learner_->is_present()) {
    published = learner_->publish(view, payload_bytes_max(view), header, signer, how);
    came = {.frame = published ? published->frame : nullptr, .is_finite = learner_->is_finite()};
  }
  if (journal != nullptr && journal->is_replaying()) {
    came = journal->next_publication(index);
  } else if (world->course->shape) {
    if (!world->ranks().is_alone()) {
      swarm::Bytes bytes = bytes_of(came);
      world->ranks().share(world->events, index, bytes);
      came = publication_of(std::move(bytes));
    }
    if (journal != nullptr) journal->add_publication(index, came);
  }
  if (!learner_->is_present())
    published = learner_->follow_publish(came, view, header, signer, how);
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
