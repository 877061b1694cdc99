#pragma once
// How fast an endless learner learns: a share of its full rate that follows what is new instead of
// a horizon. It falls with the square root of the steps that brought nothing new (the schedule of
// Vaswani et al., "Attention is all you need", 5.3, on another clock); a step counts less while the
// loss still improves. Text that surprises pulls it towards one gentle share, from below where the
// rate had fallen and from above where it had not: that is what keeps the old (README.md, "Learning
// on the device"). A step that had to be undone halves it; the trust comes back slowly.
#include <cstdint>

namespace starling::model {

// All of it; goes into a checkpoint as it is.
struct PaceState {
  double fast = 0, slow = 0;  // moving averages of the loss in bits, over about 20 and 200 steps
  double familiar = 0;        // steps that brought nothing new
  double surprise = 0;        // 0..1
  double trust = 1;           // 0..1
};

class Pace {
 public:
  // A step was made, with this loss in bits. A loss that is not finite counts as nothing learned.
  void learned(double loss);
  // Text was met for the first time: its loss before it was learned from, beside that of known
  // text, both read without context.
  void met(double first_seen_loss, double known_loss);
  void undone();

  double share() const;  // of the full rate
  double trust() const { return state_.trust; }
  const PaceState& state() const { return state_; }
  // False, and nothing changed: not a state that this class could be in.
  bool restore(const PaceState& state);

 private:
  PaceState state_;
};

}  // namespace starling::model
