#pragma once
// What it takes to undo learning that went wrong: a small text that is never learned from, and a
// copy of the last state in which the model read it well.
#include <cstdint>
#include <span>
#include <vector>

#include "model/rng.h"
#include "model/trainer.h"

namespace starling::model {

// Windows of text, held out. At most `windows_max`; beyond that a uniform choice of all that came.
class Probe {
 public:
  static constexpr size_t windows_max = 8;          // scored in a thirtieth of ten steps' time
  static constexpr size_t window_size = 256;        // bytes
  static constexpr size_t text_size_least = 16384;  // of a shorter text nothing is held out
  static constexpr size_t windows_per_text = 4;

  explicit Probe(uint64_t seed) : rng_(seed) {}
  // Cuts windows out of the text at places that depend on its size alone, so that the same text
  // loses the same windows after a restart. They wait until `admit`.
  std::vector<uint8_t> hold_out(std::span<const uint8_t> text);
  bool has_waiting() const { return !waiting_.empty(); }
  void admit();
  bool is_empty() const { return windows_.empty(); }
  // Bits per byte, each window read without context. Requires: !is_empty().
  double loss(const Snapshot& snapshot) const;

 private:
  Rng rng_;
  uint64_t admitted_ = 0;
  std::vector<std::vector<uint8_t>> windows_, waiting_;
};

// Whether a loss on the probe says that learning went wrong: not finite, or doubled and half a bit
// besides (a loss near nothing doubles by chance).
bool has_exploded(double good_loss, double loss);

// The last good state of a trainer: counts and, to 8 bits of mantissa (enough to go on from),
// moments and weights, these as their difference from a reference that may move meanwhile: the
// swarm's base. Where the difference is zero throughout it takes no memory.
class GoodState {
 public:
  bool is_kept() const { return is_kept_; }
  void keep(const Trainer& trainer, std::span<const float> reference);
  void forget() { *this = {}; }
  // reference + the difference. Requires: is_kept().
  std::vector<float> weights(std::vector<float> reference) const;
  // Puts moments and counts back, and `weights` in place. Requires: is_kept(), finite weights.
  void restore(Trainer& trainer, std::span<const float> weights) const;

 private:
  struct Kept {
    std::string name;
    std::vector<std::byte> bytes;
  };
  bool is_kept_ = false;
  std::vector<uint16_t> difference_, m_, v_;
  std::vector<Kept> counts_;
};

}  // namespace starling::model
