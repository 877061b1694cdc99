#pragma once
// What the study learns from: texts, each with its last tenth held out, and optionally the built-in
// skills. Rows of a batch are streams that stay in one text for some windows and then move to
// another, mostly carrying their state along, so that the model also learns to leave a text.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/session.h"

namespace starling::bench {

struct Text {
  std::string name;
  std::vector<uint8_t> bytes;
  size_t training_size = 0;  // bytes before the held-out tenth
  size_t scored_size = 0;    // bytes of the tenth that are scored

  std::span<const uint8_t> training() const { return std::span(bytes).first(training_size); }
  std::span<const uint8_t> held_out() const {
    return std::span(bytes).subspan(training_size, scored_size);
  }
};
// Nothing when the file cannot be read or is too small to hold a tenth out. At most
// `scored_max` bytes of the tenth are scored; 0: all.
std::optional<Text> read_text(const std::string& path, size_t scored_max);

struct StreamOptions {
  uint32_t rows = 8;
  uint32_t length = 256;
  uint32_t stay = 16;        // windows a row spends in one text before it moves
  double fresh_share = 0.5;  // of the moves that start from the zero state
  uint32_t skill_rows = 0;   // of `rows`: lines of questions and answers, loss on the answers
};

class StreamReader {
 public:
  // Reads the training parts of `texts`, which must outlive it and hold more than stay * length + 1
  // bytes each, and the pairs.
  StreamReader(std::span<const Text> texts, std::span<const model::Pair> pairs,
               const StreamOptions& options, uint64_t seed);
  void next(model::Batch& batch);

 private:
  struct Row {
    size_t text = 0, at = 0;
    uint32_t windows_left = 0;
  };
  void read_text_row(uint32_t index, model::Batch& batch);
  void read_skill_row(uint32_t index, model::Batch& batch);

  std::span<const Text> texts_;
  std::span<const model::Pair> pairs_;
  StreamOptions options_;
  Rng rng_;
  std::vector<Row> rows_;
  size_t next_text_ = 0;  // moves go round the texts, so that each gets an equal share
};

}  // namespace starling::bench
