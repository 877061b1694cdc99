#include "model/pace.h"

#include <algorithm>
#include <cmath>

namespace starling::model {
namespace {

constexpr double fast_steps = 20, slow_steps = 200;
constexpr double improvement_full = 0.05;  // of the loss, between the two averages. Guess.
constexpr double familiar_steps = 700;     // the share is halved after three times as many. Guess.
constexpr double surprise_full = 1;        // bits above known text
constexpr double surprise_weight = 0.5;    // of the newest measurement
constexpr double surprise_fade = 0.98;     // a step without one
constexpr double surprise_share = 0.3;     // measured: README.md, "Learning on the device"
constexpr double trust_lost = 0.5;
constexpr double trust_steps = 2000;
constexpr double trust_least = 1e-6;

}  // namespace

void Pace::learned(double loss) {
  state_.surprise *= surprise_fade;
  state_.trust += (1 - state_.trust) / trust_steps;
  if (!std::isfinite(loss)) return;
  if (state_.slow == 0) state_.fast = state_.slow = loss;
  state_.fast += (loss - state_.fast) / fast_steps;
  state_.slow += (loss - state_.slow) / slow_steps;
  const double better =
      (state_.slow - state_.fast) / (improvement_full * std::max(state_.slow, 1e-9));
  state_.familiar += 1 - std::max(std::clamp(better, 0.0, 1.0), state_.surprise);
}

void Pace::met(double first_seen_loss, double known_loss) {
  if (!std::isfinite(first_seen_loss) || !std::isfinite(known_loss)) return;
  const double measured = std::clamp((first_seen_loss - known_loss) / surprise_full, 0.0, 1.0);
  state_.surprise += surprise_weight * (measured - state_.surprise);
}

void Pace::undone() { state_.trust = std::max(trust_least, state_.trust * trust_lost); }

double Pace::share() const {
  const double fallen = 1 / std::sqrt(1 + state_.familiar / familiar_steps);
  return state_.trust * (fallen + state_.surprise * (surprise_share - fallen));
}

bool Pace::restore(const PaceState& state) {
  for (const double value : {state.fast, state.slow, state.familiar})
    if (!std::isfinite(value) || value < 0) return false;
  for (const double value : {state.surprise, state.trust})
    if (!(value >= 0 && value <= 1)) return false;
  state_ = state;
  return true;
}

}  // namespace starling::model
