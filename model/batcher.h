#pragma once
// Turns what a node has been given (texts and question/answer pairs) into batches. Pure: bytes in,
// batches out. Texts are read as streams: each row walks on from window to window with carried
// state. Pairs are packed line by line with the loss on answers only, rows fresh. Keeps at most
// `bytes_max` of samples; past that, sources are cut to one fair size, and of each source a choice
// is kept in which every piece that ever came is equally likely (a reservoir), so that new text
// erases neither other sources nor what came early in a long stream.
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/rng.h"
#include "model/session.h"
#include "model/trainer.h"

namespace starling::model {

struct BatcherOptions {
  uint32_t rows = 8;
  uint32_t length = 256;
  uint64_t bytes_max = 32u << 20;
  double replay_fraction =
      0.5;  // share of rows from older sources while a new one is being read for the first time
};

class Batcher {
 public:
  Batcher(const BatcherOptions& options, uint64_t seed);
  ~Batcher();
  Batcher(Batcher&&) noexcept;
  Batcher& operator=(Batcher&&) noexcept;
  // Adding an empty text or no pairs is a no-op that returns false. Texts with the same name are
  // one source.
  bool add_text(const std::string& name, std::span<const uint8_t> text);
  bool add_pairs(const std::string& name, std::span<const Pair> pairs);
  bool is_empty() const;
  uint64_t bytes() const;  // held
  uint64_t sources() const;
  uint64_t passes() const;  // how often, on average, the held bytes have been read
  // Whether something that came while other things were held waits to be read for the first time.
  bool has_unread() const;
  // Of the last batch: its last rows, which read such a thing for the first time.
  uint32_t first_read_rows() const;
  // Requires: !is_empty().
  void next(Batch& batch);
  // A batch of `pairs` repeated in half of the rows and replay in the rest (when there is any): for
  // teaching.
  void next_with(std::span<const Pair> pairs, Batch& batch);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace starling::model
