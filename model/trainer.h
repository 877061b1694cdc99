#pragma once
// The trainer owns the fp32 weights x, the optimiser's moments and the activations, and moves x by
// steps.
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/shape.h"

namespace starling::model {

// B rows of T positions. Position t of row r is at r * length + t.
struct Batch {
  uint32_t rows = 0;
  uint32_t length = 0;
  std::vector<uint16_t> symbols;  // inputs, below `vocabulary`, or symbol_given
  std::vector<uint16_t> targets;  // what follows each position
  std::vector<float> weights;     // 0: not predicted (a question), 1: predicted (an answer, text)
  std::vector<uint8_t> fresh;     // per row: 1 starts from the zero state, 0 carries on where the
                                  // row's last window ended
  // Per position: 1 where another sequence starts, which remembers nothing of what stands before
  // it, so that sequences of any length share a row. Empty: nowhere.
  std::vector<uint8_t> starts = {};
  // (count, D) the inputs of the positions that hold symbol_given, in the order of positions, made
  // outside (a projection of a picture or of sound); about as large as a symbol's: 1 in each place.
  std::vector<float> vectors = {};
};

struct TrainerOptions {
  float beta1 = 0.5f;  // 0.5 in a swarm (late deltas), 0.9 alone
  float beta2 = 0.98f;
  float weight_decay = 0.05f;  // matrices only
  float clip_norm = 1.0f;
  float dropout = 0;  // share of the blocks' inner values, from 0 to below 1; see dropout.h
  uint64_t dropout_seed = 1;
  uint32_t micro_rows = 2;  // rows that are in flight at once: bounds the activations' memory
  // Groups of micro_rows rows that run at once; each thread more holds a gradient and activations.
  uint32_t threads = 1;
  bool working_set =
      true;  // restrict selection to the regions that cover 90 % of this node's choices
  HostedSet hosted = {};  // others are never awake here, so they get no gradient and no moments
};

struct StepReport {
  double loss = 0;           // bits per predicted position
  double gradient_norm = 0;  // before clipping
  uint64_t predicted = 0;    // positions with weight > 0
  // (count, D) of the loss in nats by the batch's vectors, before clipping: what a projection in
  // front of the model learns from.
  std::vector<float> dvectors = {};
};

struct StepError {
  std::string what;  // names the layer and the tensor where a value stopped being finite, or the
                     // batch's fault
};

// Immutable parameters for serving and evaluation.
struct Snapshot {
  Shape shape;
  std::vector<float> parameters;
  uint64_t step = 0;
  HostedSet hosted = {};  // what may be awake in answers and scores
};

// A named, borrowed piece of state for a checkpoint; valid until the trainer is next changed.
struct Section {
  std::string name;
  std::span<const std::byte> bytes;
};

// Why no trainer can work so on a machine with `cores`; empty when one can.
std::string fault_of(const TrainerOptions& options, uint32_t cores);

class Trainer {
 public:
  // Requires: parameters.size() == parameter_count(shape).
  Trainer(const Shape& shape, const TrainerOptions& options, std::vector<float> parameters);
  ~Trainer();
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;

  // One optimiser step: forward, backward, clip, lazy per-region AdamW. On error x is unchanged.
  Result<StepReport, StepError> step(const Batch& batch, float learning_rate);

  const Shape& shape() const;
  const RegionTable& regions() const;
  uint64_t steps() const;
  std::span<float> parameters();  // x; deltas of others are added here between two steps
  std::span<const float> parameters() const;

  // Ends an exchange interval: moves mu, var and bias in x by the interval's statistics (at `rate`
  // times the distance; they travel in the delta like every parameter), recomputes the working set.
  void end_exchange(float statistics_rate);
  // Tokens routed to each region since the last call (n_r), in RegionTable order; resets the
  // counts.
  std::vector<uint64_t> take_region_tokens();
  // Share of tokens of the whole run that woke each region, 0..1, in RegionTable order.
  std::vector<float> activity() const;

  // Frees the activations and the gradient (the next step allocates them again); moments, row
  // states and counts stay.
  void release_scratch();

  // Checkpoint: everything but the activations. `load` refuses another shape (naming both), sizes
  // that do not fit, and values that are not finite; on error nothing is changed.
  std::vector<Section> sections() const;
  Result<Done, std::string> load(std::span<const Section> sections);
  // What these leave out and only a trainer that shall go on to the last bit needs: the rows'
  // states and what the exchange under way has counted. After load(). False, and nothing is
  // changed: of another shape or number of threads, or damaged.
  std::vector<std::byte> interval() const;
  bool load_interval(std::span<const std::byte> bytes);

  // Bytes the trainer holds for a batch of rows x length, before it is built.
  static uint64_t memory_bytes(const Shape& shape, const TrainerOptions& options, uint32_t rows,
                               uint32_t length);
  // Names the bytes and the limit when memory_bytes is above it; empty when it is within.
  static std::string memory_fault(const Shape& shape, const TrainerOptions& options, uint32_t rows,
                                  uint32_t length, uint64_t bytes_max);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace starling::model
