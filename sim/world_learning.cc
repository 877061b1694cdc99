// What learns in a world, and how good it has become. While a journal is replayed nothing does:
// what came of it stands there.
#include "model/parallel.h"
#include "sim/world.h"

namespace starling::sim {
namespace {

constexpr size_t probes_max = 8;

}  // namespace

// All that has begun and is not computed yet: each touches its own learner alone.
void World::compute_slices() {
  std::vector<Device*> waiting;
  for (const auto& device : devices) {
    if (device->slice && !device->slice->is_computed) waiting.push_back(device.get());
  }
  model::parallel_for(static_cast<uint32_t>(waiting.size()), threads_, [&](uint32_t i) {
    Device& device = *waiting[i];
    Learner& learner = device.learner();
    const bool is_idle = device.tamper && !device.tamper->learns();
    if (learner.is_present()) {
      learner.learn(device.slice->steps, device.slice->stage, is_idle);
      if (journal_ != nullptr && course->shape) journal_->add_slice(device.index, learner.gain());
    } else {
      learner.follow(device.slice->steps, is_idle, journal_->next_slice(device.index));
    }
    device.slice->is_computed = true;
  });
}

double World::probe_quality() {
  if (is_replaying()) return journal_->next_quality();
  std::vector<const Learner*> probed;
  for (const auto& device : devices) {
    if (device->is_up() && !device->is_hostile() && probed.size() < probes_max)
      probed.push_back(&device->learner());
  }
  std::vector<double> qualities(probed.size(), 0);
  model::parallel_for(static_cast<uint32_t>(probed.size()), threads_, [&](uint32_t i) {
    const std::vector<double> scores = score(probed[i]->snapshot(), *lessons, true);
    for (const double one : scores) qualities[i] += one / static_cast<double>(scores.size());
  });
  double sum = 0;
  for (const double quality : qualities) sum += quality;
  const double mean = probed.empty() ? -1 : sum / static_cast<double>(probed.size());
  if (journal_ != nullptr) journal_->add_quality(mean);
  return mean;
}

}  // namespace starling::sim
