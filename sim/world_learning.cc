// What learns in a world, and how good it has become. While a journal is replayed nothing does:
// what came of it stands there. What learns in another process comes from there.
#include <bit>

#include "model/parallel.h"
#include "sim/world.h"

namespace starling::sim {
namespace {

constexpr size_t probes_max = 8;

bool is_idle(const Device& device) { return device.tamper && !device.tamper->learns(); }

}  // namespace

// All that has begun and is not computed yet: each touches its own learner alone.
void World::compute_slices() {
  std::vector<Device*> waiting;
  for (const auto& device : devices) {
    if (device->slice && !device->slice->is_computed) waiting.push_back(device.get());
  }
  model::parallel_for(static_cast<uint32_t>(waiting.size()), threads_, [&](uint32_t i) {
    Device& device = *waiting[i];
    if (device.learner().is_present())
      device.learner().learn(device.slice->steps, device.slice->stage, is_idle(device));
  });
  const std::vector<Gain> gains = gains_of(waiting);
  for (size_t i = 0; i < waiting.size(); ++i) {
    Device& device = *waiting[i];
    if (!device.learner().is_present())
      device.learner().follow(device.slice->steps, is_idle(device), gains[i]);
    device.slice->is_computed = true;
  }
}

// What came of the slices, wherever they were learned. Nothing where nobody asks for it.
std::vector<Gain> World::gains_of(std::span<Device* const> learned) {
  std::vector<Gain> gains;
  if (!course->shape || (journal_ == nullptr && ranks_->is_alone())) return gains;
  if (is_replaying()) {
    for (const Device* device : learned) gains.push_back(journal_->next_slice(device->index));
    return gains;
  }
  std::vector<uint64_t> words;
  for (const Device* device : learned) {
    const bool is_here = device->learner().is_present();
    const Gain gain = is_here ? device->learner().gain() : Gain{0, false};
    words.push_back(std::bit_cast<uint64_t>(gain.loss));
    words.push_back(gain.is_finite ? 1 : 0);
  }
  ranks_->merge(events, words);
  for (size_t i = 0; i < learned.size(); ++i) {
    gains.push_back({std::bit_cast<double>(words[2 * i]), words[2 * i + 1] != 0});
    if (journal_ != nullptr) journal_->add_slice(learned[i]->index, gains.back());
  }
  return gains;
}

double World::probe_quality() {
  if (is_replaying()) return journal_->next_quality();
  std::vector<const Learner*> probed;
  for (const auto& device : devices) {
    if (device->is_up() && !device->is_hostile() && probed.size() < probes_max)
      probed.push_back(&device->learner());
  }
  std::vector<uint64_t> qualities(probed.size(), 0);
  model::parallel_for(static_cast<uint32_t>(probed.size()), threads_, [&](uint32_t i) {
    if (!probed[i]->is_present()) return;
    const std::vector<double> scores = score(probed[i]->snapshot(), *lessons, true);
    double mean = 0;
    for (const double one : scores) mean += one / static_cast<double>(scores.size());
    qualities[i] = std::bit_cast<uint64_t>(mean);
  });
  ranks_->merge(events, qualities);
  double sum = 0;
  for (const uint64_t quality : qualities) sum += std::bit_cast<double>(quality);
  const double mean = probed.empty() ? -1 : sum / static_cast<double>(probed.size());
  if (journal_ != nullptr) journal_->add_quality(mean);
  return mean;
}

}  // namespace starling::sim
