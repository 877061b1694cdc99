#pragma once
// What the study measures of a trained model besides its loss: how much of it a text wakes, how
// much of it a text changes, and what it costs to move from one text to another.
#include <span>
#include <vector>

#include "tests/bench/study_corpus.h"

namespace starling::bench {

// Bits per byte of each text's held-out part.
struct Quality {
  std::vector<double> warm;  // read as one stream
  std::vector<double> cold;  // every other window of cold_window bytes, each from the zero state
};
inline constexpr size_t cold_window = 256;
Quality measure_quality(const model::Snapshot& snapshot, std::span<const Text> texts);

// Over the regions of a layer that are selected, not always awake; means over the layers. Zero for
// shapes that select nothing.
struct Usage {
  double effective_regions = 0;  // exp of the entropy of a text's usage, mean over the texts
  double overlap = 0;            // sum of the smaller share of two texts, mean over pairs of texts
};
Usage measure_usage(const model::Snapshot& snapshot, std::span<const Text> texts);

// Share of parameters that an exchange interval of 20 steps of 2 x 256 bytes of one text leaves bit
// for bit as they were, mean over the texts: when every region may wake, and in the working set
// that the interval before has formed.
struct Untouched {
  double free = 0;
  double working_set = 0;
};
inline constexpr uint32_t exchange_steps = 20;
Untouched measure_untouched(const model::Snapshot& snapshot, std::span<const Text> texts,
                            float learning_rate);

// Bits per byte of the 256 bytes after 1,024 bytes of another text, minus those of the same 256
// bytes after 1,024 bytes of their own text; mean over pairs of texts and several places.
double measure_switch(const model::Snapshot& snapshot, std::span<const Text> texts);

}  // namespace starling::bench
