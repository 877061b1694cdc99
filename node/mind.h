#pragma once
// What the node knows and how it changes: the trainer with its weights, the batches it learns from,
// and this node's part in the swarm's sum. No threads, no files, no queues: the learner (learner.h)
// owns one and calls it.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/batcher.h"
#include "model/guard.h"
#include "model/pace.h"
#include "model/trainer.h"
#include "node/config.h"
#include "node/source.h"
#include "swarm/exchange.h"

namespace starling::node {

struct MindOptions {
  Config config;
  model::Shape shape;
  std::array<uint8_t, 16> fingerprint{};
  swarm::SwarmId swarm{};
  uint64_t epoch = 0;
  swarm::PeerId self;
};

// BLAKE2b over the shape's description and the genesis in fixed point, cut to 16 bytes: equal
// fingerprints mean that deltas mean the same. `genesis` must be the shape's.
std::array<uint8_t, 16> model_fingerprint(const model::Shape& shape,
                                          std::span<const float> genesis);
inline constexpr uint64_t genesis_seed =
    1;  // one genesis a shape, so that any two swarms could merge

// The learning rate that suits a preset (measured for tiny, small scaled from it; see
// model/README.md).
double preset_learning_rate(const std::string& preset);

class Mind {
 public:
  Mind(const MindOptions& options, std::vector<float> genesis);

  // True when there is data. Adding the same name again adds to it.
  bool add(const Source& source);
  bool has_data() const { return !batcher_.is_empty(); }
  uint64_t passes() const { return batcher_.passes(); }
  uint64_t sources() const { return batcher_.sources(); }

  struct StepOutcome {
    double loss = 0;            // bits per predicted position
    bool is_text_only = false;  // every position was predicted: loss is bits per byte
    uint64_t predicted = 0;
  };
  // One optimiser step on the next batch. Requires: has_data().
  Result<StepOutcome, model::StepError> step(double learning_rate);

  // Ends an exchange interval; nothing to send gives nothing. Statistics move also when the node is
  // alone.
  // payload_bytes_max: 0 means that only the configured fraction bounds the delta.
  std::optional<swarm::Publish> publish(const swarm::SwarmView& view, uint64_t payload_bytes_max,
                                        const swarm::Signer& signer, int64_t now_s);
  void end_interval_alone();  // the same without the swarm: statistics and working set only

  // Scores the probe when something was learned, here or elsewhere, since the last time. A loss
  // that has exploded through this node's own steps is undone: x = what it is measured from
  // (Exchange::target) + what had been good progress on it, moments and counts as they were, the
  // pace slowed. One that the removal of other origins' last deltas repairs: they are suspended,
  // and released when the probe bears them again. The swarm's sum is never touched. To be called
  // before anything is published or saved.
  struct Repair {
    uint64_t from_step = 0, to_step = 0;
    double good_loss = 0, loss = 0, loss_now = 0;  // on the probe, bits per byte
    std::vector<swarm::PeerId> suspended;          // empty: own steps were undone
  };
  std::optional<Repair> guard(const swarm::PayloadSource& payloads);
  void keep_good();  // the state as it is now is what a later guard() goes back to
  const model::Pace& pace() const { return pace_; }

  bool accept(const swarm::DeltaKey& key, const swarm::DeltaSummary& summary,
              swarm::ByteView payload, int64_t now_s);
  // The same from a sealed frame, as it stands in the log. False: applied already, or not a delta
  // of this swarm.
  bool accept_frame(const swarm::DeltaKey& key, swarm::ByteView frame, int64_t now_s);
  // What the swarm knows, as a checkpoint or a newcomer's snapshot holds it.
  struct Known {
    std::vector<int32_t> values;
    swarm::VersionVector applied;
    swarm::Judgement judgement;
  };
  Known known() const;
  void replace_base(Known known);
  // Once an exchange, and before the base's hash is told; `payloads` reads the log.
  swarm::Judged judge(const swarm::PayloadSource& payloads) {
    return exchange_.judge(payloads, trainer_.parameters());
  }

  swarm::Exchange::Expelled expel(const swarm::PeerId& origin,
                                  const swarm::PayloadSource& payloads) {
    return exchange_.expel(origin, payloads, trainer_.parameters());
  }
  size_t reinstate(const swarm::PeerId& origin, const swarm::PayloadSource& payloads) {
    return exchange_.reinstate(origin, payloads, trainer_.parameters());
  }

  // Steps on the pair, with replay, until greedy decoding answers rightly or steps_max is reached.
  Result<TeachOutcome, Failure> teach(const model::Pair& pair, uint32_t steps_max,
                                      const std::function<bool()>& should_stop);

  // After own deltas were replayed from the log: what had been unsent when the checkpoint was
  // written is in them, and would be sent twice.
  void forget_unsent();
  // Before learning for oneself only: see Exchange.
  void adopt_unsent();
  void set_epoch(uint64_t epoch) { options_.epoch = epoch; }  // before the first publication

  std::shared_ptr<const model::Snapshot> snapshot() const;
  std::vector<model::Section> sections();  // borrowed until the next change
  Result<Done, std::string> restore(std::span<const model::Section> sections);
  // The snapshot a newcomer gets, without what is still to be judged. Borrows from `settled`.
  std::vector<model::Section> base_sections(const swarm::Exchange::Settled& settled);
  Result<Known, std::string> read_base_sections(std::span<const model::Section> sections) const;
  // What a snapshot holds beside what was offered. Empty: it is that.
  std::string difference(const Known& known, const swarm::SnapshotOffer& offer) const;

  void rest();  // frees what only a training step needs
  uint64_t step_count() const { return trainer_.steps(); }
  double learned_seconds() const { return learned_seconds_; }
  void add_learned_seconds(double seconds) { learned_seconds_ += seconds; }
  const swarm::SwarmId& swarm() const { return options_.swarm; }
  uint64_t published() const { return seq_; }
  double bits_per_parameter()
      const;  // mean over own frames, headers and signatures included; 0: none yet
  const swarm::Exchange& exchange() const { return exchange_; }
  const model::RegionTable& regions() const { return table_; }
  std::vector<RegionRow> region_rows() const;

 private:
  double probe_loss(std::vector<float> weights) const;
  std::vector<float> reference() const;
  double loss_now() const;
  void go_back_to_good(Repair& repair, std::span<const float> weights);
  void suspend_culprits(Repair& repair, const swarm::PayloadSource& payloads);
  void release_if_harmless();
  void measure_surprise();

  MindOptions options_;
  model::RegionTable table_;
  std::vector<uint8_t> is_private_;
  model::HostedSet hosted_;
  model::Trainer trainer_;
  model::Batcher batcher_;
  model::Batch batch_;
  swarm::Exchange exchange_;
  uint64_t seq_ = 0;  // own deltas of this epoch
  uint64_t steps_since_publish_ = 0;
  uint64_t samples_since_publish_ = 0;
  uint64_t sent_bytes_ = 0;  // own frames
  double learned_seconds_ = 0;
  model::Pace pace_;
  model::Probe probe_;
  model::GoodState good_;
  double good_loss_ = 0;  // on the probe, when `good_` was kept; 0: not scored
  bool is_guard_due_ = false;
  uint64_t guards_since_trial_ = 0;
  std::vector<uint64_t> regions_sent_, regions_received_;
  swarm::Bytes applied_bytes_, judgement_bytes_, influence_bytes_, counts_bytes_, suspended_bytes_,
      shape_bytes_;  // backing of sections()
};

}  // namespace starling::node
