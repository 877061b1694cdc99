#pragma once
// What the forward pass keeps for the backward pass, for N = rows * length positions at once, and
// the scratch of both. One allocation each; views into it are made once.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/dropout.h"
#include "model/parameters.h"

namespace starling::model {

// Positions of one row between two choices of regions; equal in all layers.
struct Segment {
  uint32_t row;
  uint32_t first;  // position in the batch: row * length + t
  uint32_t length;
  bool begins;         // a choice is made at its first token
  bool starts;         // a sequence starts at its first token: nothing before it is remembered
  double slow_weight;  // of the row's slow means before its first token
};

// Positions of one row without a start of a sequence but at the first of them.
struct Run {
  uint32_t row;
  uint32_t first;
  uint32_t length;
  bool starts;    // otherwise it carries on, which only the first run of a row can
  bool is_first;  // of its row
};

template <Real R>
struct LayerActivations {
  R* x;              // (N, D) residual stream before the layer
  R* inverse1;       // (N) 1/rms
  R* upz;            // (N, 3E); z is 0 where decays are fixed
  R* h;              // (N, E)
  R* state;          // (rows, 4E) the scan's incoming state
  R* middle;         // (N, D) residual stream between the blocks
  R* inverse2;       // (N)
  R* vg;             // per awake region (positions, 2m), the always awake ones as one region; see
                     // region_mlp.cc
  R* contrast;       // (segments, D); none with Selection::token
  R* p;              // (segments, regions)
  uint64_t* chosen;  // (segments)
};

struct Window {
  uint32_t rows;
  uint32_t length;
  uint32_t starts = 0;  // of sequences inside the window: room for them
  uint32_t positions() const { return rows * length; }
  friend bool operator==(const Window&, const Window&) = default;
};

enum class Keep : uint8_t { everything, last_layer };  // for training; for scoring

template <Real R>
class Activations {
 public:
  Activations(const Shape& shape, Window window_max, Keep keep);
  static uint64_t bytes(const Shape& shape, Window window_max, Keep keep);

  Window window_max;
  Keep keep;
  std::vector<Segment> segments;  // of the window in flight
  std::vector<Run> runs;
  Dropout dropout;  // of the window in flight
  std::vector<LayerActivations<R>> layers;
  R* out;            // (N, D) residual stream after the last layer
  R* inverse_final;  // (N)

  // Scratch. Live ranges: forward and backward of one block.
  R* zeros;     // (4E) the state before a sequence
  R* normed;    // (N, D)
  R* mixed;     // (N, E) y, the scan's gated output
  R* dmixed;    // (N, E)
  R* dupz;      // (N, 3E)
  R* dx;        // (N, D) gradient of the residual stream
  R* dnormed;   // (N, D)
  R* gather;    // (N, D) rows of one region's positions
  R* gather_d;  // (N, D) and what flows back to or from them
  R* hidden;    // (N, widest region)
  R* dhidden;   // (N, widest region)
  R* dvg;       // (N, 2 widest region)
  R* weights;   // (3 widest region, D) the always awake regions' matrices side by side
  R* dweights;  // (3 widest region, D)
  R* logits;    // (head_rows, vocabulary)
  R* head;      // (head_rows, D)
  R* dhead;     // (head_rows, D)

 private:
  std::vector<R> memory_;
  std::vector<uint64_t> chosen_;
};

inline constexpr uint32_t head_rows = 256;  // positions whose logits are in memory at once

inline uint32_t segments_max(const Shape& shape, Window window) {
  if (shape.selection == Selection::token) return window.positions();
  return window.rows * (window.length / shape.chunk + 2) + window.starts;
}
// Hidden units of the always awake regions together, or of one region.
inline size_t widest_region(const Shape& shape) {
  return size_t{shape.mlp_width / shape.regions} * std::max(1u, awake_count(shape));
}
inline size_t awake_hidden(const Shape& shape) {  // hidden units computed per position
  return size_t{shape.mlp_width / shape.regions} * (awake_count(shape) + selected_count(shape));
}

}  // namespace starling::model
