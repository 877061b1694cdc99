#pragma once
// Inference on an immutable snapshot: a session keeps the O(1) recurrent state of one conversation.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "model/rng.h"
#include "model/trainer.h"

namespace starling::model {

class Quantised;

class Session {
 public:
  explicit Session(std::shared_ptr<const Snapshot> snapshot);    // fp32
  explicit Session(std::shared_ptr<const Quantised> quantised);  // 8-bit weights, see quantised.h
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  // Feeds one symbol; the returned logits (vocabulary) predict the next and live until the next
  // call. Allocates nothing.
  std::span<const float> feed(uint16_t symbol);
  // The same for an input from outside: a vector of the model's width (Batch::vectors).
  std::span<const float> feed(std::span<const float> vector);
  uint64_t state_bytes() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

struct SamplerOptions {
  float temperature = 0;  // 0: greedy
  float top_p = 1;        // nucleus
};
// Chooses among the byte symbols and symbol_end.
uint16_t sample(std::span<const float> logits, const SamplerOptions& options, Rng& rng);

// Whole-sequence scores, computed in windows with carried state (as fast as a training forward
// pass).
struct TextScore {
  double bits_per_byte = 0;
  uint64_t bytes = 0;
};
TextScore score_text(const Snapshot& snapshot, std::span<const uint8_t> text);
// The same for whoever may no longer want it: asked before each window, and none once it says no.
using GoesOn = std::function<bool()>;
std::optional<TextScore> score_text(const Snapshot& snapshot, std::span<const uint8_t> text,
                                    const GoesOn& goes_on);

struct Pair {
  std::string prompt;
  std::string answer;
};
struct PairScore {
  double exact_match = 0;  // share of answers that greedy decoding gives exactly, 0..1
  uint64_t pairs = 0;
};
// A pair is read as the bytes "\n" prompt answer "\n"; the answer counts as right when every byte
// of it and the closing newline are the model's first choice.
PairScore score_pairs(const Snapshot& snapshot, std::span<const Pair> pairs);
std::optional<PairScore> score_pairs(const Snapshot& snapshot, std::span<const Pair> pairs,
                                     const GoesOn& goes_on);

}  // namespace starling::model
