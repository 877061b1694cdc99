#include "sim/adversary.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "sim/chance.h"

namespace starling::sim {

Attack attack_of(const std::string& name) {
  static constexpr std::array<std::string_view, 16> names = {
      "none",      "sign_flip",     "scale",      "gaussian",   "label_flip",     "free_rider",
      "alie",      "inner_product", "replay",     "equivocate", "selective_drop", "announce",
      "dissensus", "eclipse",       "sybil_join", "backdoor"};
  const auto found = std::find(names.begin(), names.end(), name);
  assert(found != names.end());
  return static_cast<Attack>(found - names.begin());
}

void Tamper::see(const model::RegionTable& table, swarm::ByteView payload, size_t parameters) {
  if (!looks_at_others()) return;
  std::vector<int32_t> values(parameters, 0);
  swarm::apply_delta(table, payload, 1, values, {});
  sum_.resize(parameters, 0);
  squares_.resize(parameters, 0);
  ++seen_;
  for (size_t i = 0; i < parameters; ++i) {
    const double value = values[i] * swarm::fixed_lsb;
    sum_[i] += value;
    squares_[i] += value * value;
  }
}

void Tamper::alter(std::span<float> x, const swarm::Exchange& exchange, swarm::SwarmView& view) {
  const auto base = [&](size_t i) { return static_cast<double>(exchange.base().value(i)); };
  const auto set = [&](auto learned_to_sent) {
    for (size_t i = 0; i < x.size(); ++i) {
      const double learned = static_cast<double>(x[i]) - base(i);
      x[i] = static_cast<float>(base(i) + learned_to_sent(i, learned));
    }
  };
  switch (attack_) {
    case Attack::sign_flip:
      return set([&](size_t, double learned) { return -strength_ * learned; });
    case Attack::scale:
      view.reference_norm = 0;  // an honest sender would clip itself to it
      return set([&](size_t, double learned) { return strength_ * learned; });
    case Attack::gaussian: {
      double squares = 0;
      for (size_t i = 0; i < x.size(); ++i)
        squares += std::pow(static_cast<double>(x[i]) - base(i), 2);
      const double size = std::sqrt(squares / static_cast<double>(x.size()));
      return set([&](size_t, double) { return strength_ * size * normal(rng_); });
    }
    case Attack::free_rider:
      return set([&](size_t i, double) { return i % 64 == 0 ? 1e-4 * normal(rng_) : 0.0; });
    case Attack::alie:
    case Attack::inner_product:
    case Attack::dissensus:
    case Attack::sybil_join:
      return push_against_others(x, exchange, view);
    case Attack::none:
    case Attack::label_flip:
    case Attack::replay:
    case Attack::equivocate:
    case Attack::selective_drop:
    case Attack::announce:
    case Attack::eclipse:
    case Attack::backdoor:
      return;
  }
}

// Source of dissensus: He, Karimireddy and Jaggi, "Byzantine-robust decentralized learning via
// ClippedGossip" (2022), where the attacker sends each neighbour the opposite of what would bring
// the neighbours together. Here everyone adds the same deltas, so it pushes along its own
// disagreement: away from the mean of the others, towards what they do not share.
void Tamper::push_against_others(std::span<float> x, const swarm::Exchange& exchange,
                                 const swarm::SwarmView& view) {
  if (seen_ == 0) return;
  ++pushes_;
  const auto count = static_cast<double>(seen_);
  // What is sent is scaled by about 2 / N on its way out; what was seen had been.
  const double scale = std::max(1.0, view.active_origins / 2.0);
  double mean_squares = 0;
  for (const double sum : sum_) mean_squares += (sum / count) * (sum / count);
  const double own_size = std::sqrt(mean_squares / static_cast<double>(x.size()));
  Rng own = own_direction_;
  for (size_t i = 0; i < x.size(); ++i) {
    const double base = static_cast<double>(exchange.base().value(i));
    const double learned = static_cast<double>(x[i]) - base;
    const double mean = sum_[i] / count;
    const double deviation = std::sqrt(std::max(0.0, squares_[i] / count - mean * mean));
    double wanted = -strength_ * mean;
    if (attack_ == Attack::alie) wanted = mean - strength_ * deviation;
    if (attack_ == Attack::dissensus) wanted = strength_ * (learned / scale - mean);
    if (attack_ == Attack::sybil_join) wanted += own_size * normal(own);
    const double sent = scale * wanted - static_cast<double>(exchange.error()[i]);
    x[i] = static_cast<float>(base + sent);
  }
  seen_ = 0;
  std::fill(sum_.begin(), sum_.end(), 0.0);
  std::fill(squares_.begin(), squares_.end(), 0.0);
}

}  // namespace starling::sim
