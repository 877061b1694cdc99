#pragma once
// What learns in a simulated node: the product's Trainer, Batcher and Exchange, composed as in the
// node, without its threads and files. A synthetic learner has no model: it moves a small vector at
// random, so that the protocol has real deltas to carry.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/batcher.h"
#include "model/trainer.h"
#include "sim/adversary.h"
#include "sim/equipment.h"
#include "sim/lessons.h"
#include "swarm/exchange.h"

namespace starling::sim {

// What all learners of a run have in common.
struct Course {
  Scenario::Learn learn;
  std::optional<model::Shape> shape;  // none: synthetic
  model::RegionTable table;
  std::vector<float> genesis;
  std::array<uint8_t, 16> fingerprint{};
  swarm::JudgementRules rules;
};
Course make_course(const Scenario& scenario);

// Constant to 60 % of the run, then a cosine to 2 %, after a warm-up of 40 steps. Who lags behind
// cools with the swarm; where learn.seconds end it, everyone cools by the time.
struct Stage {
  uint64_t swarm_step = 0;
  double second = 0;  // virtual
};
double learning_rate(const Scenario::Learn& learn, uint64_t own_step, const Stage& stage);

// A trainer and what it reads: the part that baselines have too.
class Student {
 public:
  struct Options {
    float beta1 = 0.5f;
    Equipment equipment;
    uint64_t seed = 1;
  };
  // Requires: course.shape.
  Student(const Course& course, const Lessons::Own& own, const Options& options);
  // False when a value stopped being finite.
  bool step(double rate);
  double loss() const { return loss_; }  // moving average, bits per predicted position; 0: none yet
  // To where another one stands that has read `batches`.
  void catch_up(uint64_t batches, double loss);
  model::Trainer trainer;

 private:
  model::Batcher batcher_;
  model::Batch batch_;
  double loss_ = 0;
};

// What came of a slice of learning, as far as the protocol and the report see it.
struct Gain {
  double loss = 0;
  bool is_finite = true;
};
// What came of an exchange.
struct Publication {
  swarm::SharedBytes frame;  // none: nothing was worth sending
  bool is_finite = true;
};

// A learner is present when its trainer is here. One that is absent follows what a present one with
// the same past has learned, be it earlier or elsewhere: its base, what the base holds and its
// judgement are the same to the last bit; weights and error memory it has none that mean anything.
class Learner {
 public:
  // Requires: `course` outlives this.
  Learner(const Course& course, const Lessons::Own& own, const Equipment& equipment, uint64_t seed,
          bool is_present = true);

  // `count` steps. Thread: any, one at a time; touches nothing but this object.
  void learn(uint32_t count, const Stage& stage, bool is_idle);
  // In place of learn and publish, of an absent one. `follow_publish` gives nothing as well where
  // the frame cannot be one of its own here; then `is_lost` is set.
  void follow(uint32_t count, bool is_idle, const Gain& gain);
  std::optional<swarm::Publish> follow_publish(const Publication& publication,
                                               swarm::SwarmView view, swarm::FrameHeader header,
                                               const swarm::Signer& signer, Tamper* tamper);
  bool is_present() const { return student_.has_value() || !course_->shape; }
  bool is_lost() const { return is_lost_; }
  Gain gain() const { return {loss(), is_finite()}; }
  // Ends an exchange. `tamper`: what a hostile node makes of its delta; none: an honest one.
  // `payload_bytes_max`: what the budget leaves; 0: no bound.
  std::optional<swarm::Publish> publish(swarm::SwarmView view, uint64_t payload_bytes_max,
                                        swarm::FrameHeader header, const swarm::Signer& signer,
                                        Tamper* tamper);
  bool accept(const swarm::DeltaKey& key, const swarm::DeltaSummary& summary,
              swarm::ByteView payload);
  // From a sealed frame, as it stands in the log.
  bool accept_frame(const swarm::DeltaKey& key, swarm::ByteView frame, const swarm::SwarmId& swarm);

  // Which of the deltas count, as far as the log says by now.
  swarm::Judged judge(const swarm::PayloadSource& payloads);

  void replace_base(std::vector<int32_t> values, const swarm::VersionVector& applied,
                    swarm::Judgement judgement);
  void expel(const swarm::PeerId& origin, const swarm::PayloadSource& payloads);
  void reinstate(const swarm::PeerId& origin, const swarm::PayloadSource& payloads);
  void forget_unsent() { exchange_.forget_unsent(x()); }

  using Sections = std::vector<std::pair<std::string, std::vector<std::byte>>>;
  // What survives a crash.
  struct Checkpoint {
    std::vector<int32_t> values;
    std::vector<float> error;
    swarm::VersionVector applied;
    swarm::Judgement judgement;
    Sections sections;  // of the trainer
    uint64_t steps = 0;
  };
  Checkpoint save() const;
  void restore(const Checkpoint& checkpoint);
  // Whether a trainer of this course can be restored from these sections.
  static bool fits(const Course& course, const Sections& sections);

  // All that an absent one lacks.
  struct Presence {
    std::vector<float> error;
    Sections sections;
    std::vector<std::byte> interval;  // see model::Trainer
    double loss = 0;
    bool is_broken = false;
  };
  // Requires: present, not synthetic.
  Presence presence() const;
  // The absent one becomes present, `own` and `seed` as it was made with. False: what is given does
  // not fit, and it stays absent.
  bool appear(const Presence& presence, const Lessons::Own& own, uint64_t seed);

  const swarm::Exchange& exchange() const { return exchange_; }
  const swarm::Digest& base_hash() const;
  uint64_t steps() const { return steps_; }
  uint64_t steps_since_exchange() const { return steps_since_exchange_; }
  double loss() const { return student_ ? student_->loss() : gain_.loss; }
  bool is_finite() const;
  // Of each region: the share of all tokens that woke it. Requires: present, not synthetic.
  std::vector<float> activity() const { return student_->trainer.activity(); }
  // x + e, as the node serves it: of what it hosts. Requires: not synthetic.
  model::Snapshot snapshot() const;
  // x alone, and all of it. Requires: likewise.
  model::Snapshot shared_snapshot() const;

 private:
  std::span<float> x();
  std::span<const float> x() const;

  const Course* course_;
  Equipment equipment_;
  std::optional<Student> student_;
  std::vector<float> drifting_;  // a synthetic learner's x; an absent one's, which means nothing
  Rng rng_;
  swarm::Exchange exchange_;
  uint64_t steps_ = 0;
  uint64_t steps_since_exchange_ = 0;
  uint64_t batches_ = 0;  // read since this was made
  bool is_broken_ = false;
  bool is_lost_ = false;
  Gain gain_;                                  // of an absent one
  mutable std::optional<swarm::Digest> hash_;  // of the base, until it changes
};

// Exact match or bits per byte of one snapshot on each task; on a quarter of the questions when
// `is_short`.
std::vector<double> score(const model::Snapshot& snapshot, const Lessons& lessons, bool is_short);

}  // namespace starling::sim
