// What the mind does about learning that went wrong, its own or others'.
#include <algorithm>
#include <cmath>

#include "node/mind.h"

namespace starling::node {

namespace {

constexpr double nothing_known = 8;  // bits per byte, before the first score of the probe
constexpr size_t suspects_max = 16;  // origins whose removal is tried: those who moved b the most
constexpr uint64_t trial_interval = 12;  // guards between two attempts to release who is suspended

double norm_of(std::span<const int32_t> sum) {
  double squares = 0;
  for (const int32_t value : sum) squares += static_cast<double>(value) * value;
  return std::sqrt(squares);
}

std::vector<float> without(std::vector<float> weights, std::span<const int32_t> sum) {
  for (size_t i = 0; i < weights.size(); ++i) weights[i] -= static_cast<float>(sum[i]) * 0x1p-24f;
  return weights;
}

}  // namespace

double Mind::probe_loss(std::vector<float> weights) const {
  return probe_.loss({options_.shape, std::move(weights), trainer_.steps(), hosted_});
}

// What own progress is measured from, where it is shared.
std::vector<float> Mind::reference() const {
  std::vector<float> values(trainer_.parameters().size(), 0.0f);
  for (const model::Region& region : table_) {
    if (!is_private_.empty() && is_private_[region.id] != 0) continue;
    for (size_t i = region.offset; i < region.offset + region.count; ++i)
      values[i] = exchange_.target(i);
  }
  return values;
}

// The first of the rows that are read for the first time, before it is learned from.
void Mind::measure_surprise() {
  const size_t begin = size_t{batch_.rows - batcher_.first_read_rows()} * batch_.length;
  std::vector<uint8_t> text;
  for (size_t i = begin; i < begin + batch_.length; ++i) {
    if (batch_.weights[i] == 0 || batch_.symbols[i] > 255) return;  // a line: not to be compared
    text.push_back(static_cast<uint8_t>(batch_.symbols[i]));
  }
  if (good_loss_ == 0) return;
  const std::span<const float> x = trainer_.parameters();
  const model::Snapshot snapshot{options_.shape, {x.begin(), x.end()}, trainer_.steps(), hosted_};
  pace_.met(model::score_text(snapshot, text).bits_per_byte, good_loss_);
}

void Mind::keep_good() { good_.keep(trainer_, reference()); }

std::optional<Mind::Repair> Mind::guard(const swarm::PayloadSource& payloads) {
  if (!is_guard_due_) return std::nullopt;
  is_guard_due_ = false;
  // Windows of a text that is being read for the first time wait: they would hide in the mean
  // what happens to what is known.
  const bool is_probe_to_grow = probe_.has_waiting() && !batcher_.has_unread();
  if (probe_.is_empty() && is_probe_to_grow) probe_.admit();
  if (probe_.is_empty()) return std::nullopt;
  release_if_harmless();
  const double loss = loss_now();
  const double good_loss = good_loss_ == 0 ? nothing_known : good_loss_;
  if (!model::has_exploded(good_loss, loss)) {
    if (is_probe_to_grow) probe_.admit();
    good_loss_ = is_probe_to_grow ? loss_now() : loss;
    return std::nullopt;
  }
  trainer_.release_scratch();  // its memory is needed for the copies
  Repair repair{.from_step = trainer_.steps(),
                .to_step = trainer_.steps(),
                .good_loss = good_loss,
                .loss = loss,
                .loss_now = loss,
                .suspended = {}};
  // Either may be at fault; who mends it alone is. Own progress that only made it worse goes too.
  std::vector<float> own;
  double own_loss = loss;
  if (good_.is_kept()) {
    own = good_.weights(reference());
    own_loss = probe_loss(own);
  }
  if (model::has_exploded(good_loss, own_loss)) suspend_culprits(repair, payloads);
  const bool is_own_doing =
      repair.suspended.empty() && std::isfinite(own_loss) && !(own_loss >= loss);
  if (is_own_doing) {
    repair.loss_now = own_loss;
    go_back_to_good(repair, own);
  }
  if (std::isfinite(repair.loss_now)) good_loss_ = repair.loss_now;
  if (!is_own_doing && repair.suspended.empty()) return std::nullopt;
  return repair;
}

double Mind::loss_now() const {
  const std::span<const float> x = trainer_.parameters();
  return probe_loss({x.begin(), x.end()});
}

void Mind::go_back_to_good(Repair& repair, std::span<const float> weights) {
  good_.restore(trainer_, weights);
  repair.to_step = trainer_.steps();
  steps_since_publish_ = samples_since_publish_ = 0;
  pace_.undone();
}

// Of those who moved the base the most of late, takes out whose removal helps the most, and again,
// until the probe is as it was; nobody if that takes several that are half of them or more. Sums
// are read from the log again each time: sixteen of them at once would be most of the memory.
void Mind::suspend_culprits(Repair& repair, const swarm::PayloadSource& payloads) {
  const std::span<const float> x = trainer_.parameters();
  std::vector<std::pair<double, swarm::PeerId>> suspects;
  size_t others = 0;
  std::set<swarm::PeerId> origins;
  for (const auto& [stream, seen] : exchange_.applied().streams()) origins.insert(stream.origin);
  const std::set<swarm::PeerId> suspended = exchange_.suspended();
  for (const swarm::PeerId& origin : origins) {
    const std::vector<int32_t> sum = exchange_.recent_of(origin, payloads).sum;
    if (origin == options_.self || sum.empty()) continue;
    ++others;
    if (!suspended.contains(origin)) suspects.emplace_back(norm_of(sum), origin);
  }
  std::sort(suspects.rbegin(), suspects.rend());
  if (suspects.size() > suspects_max) suspects.resize(suspects_max);
  std::vector<float> weights(x.begin(), x.end());
  std::vector<swarm::PeerId> culprits;
  double best = repair.loss;
  while (model::has_exploded(repair.good_loss, best)) {
    auto worst = suspects.end();
    for (auto at = suspects.begin(); at != suspects.end(); ++at) {
      const double loss =
          probe_loss(without(weights, exchange_.recent_of(at->second, payloads).sum));
      if (!std::isfinite(loss) || (std::isfinite(best) && loss >= best)) continue;
      best = loss;
      worst = at;
    }
    if (worst == suspects.end()) return;  // nobody's removal helps
    culprits.push_back(worst->second);
    if (culprits.size() > 1 && 2 * culprits.size() >= others) return;
    weights = without(std::move(weights), exchange_.recent_of(worst->second, payloads).sum);
    suspects.erase(worst);
  }
  for (const swarm::PeerId& culprit : culprits)
    exchange_.suspend(culprit, exchange_.recent_of(culprit, payloads), trainer_.parameters());
  repair.suspended = culprits;
  repair.loss_now = best;
  guards_since_trial_ = 0;
  keep_good();
}

// A suspension is a doubt: now and then it is tried whether the probe bears what they taught.
void Mind::release_if_harmless() {
  if (exchange_.suspended().empty() || ++guards_since_trial_ % trial_interval != 0) return;
  const double loss = loss_now();
  if (!model::has_exploded(loss, probe_loss(exchange_.with_suspended(trainer_.parameters()))))
    exchange_.release_suspended(trainer_.parameters());
}

}  // namespace starling::node
