#include "sim/learner.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "sim/chance.h"

namespace starling::sim {
namespace {

constexpr float statistics_rate = 0.15f;  // as in the node
constexpr uint64_t genesis_seed = 1;
constexpr double warm_up_steps = 40;
constexpr double cool_from = 0.6;  // of a finite run
constexpr double cool_floor = 0.02;

model::RegionTable synthetic_table() {
  return {{0, model::RegionKind::embedding, 0, 0, 0, 448},
          {1, model::RegionKind::selection, 0, 0, 448, 64}};
}

model::TrainerOptions options_of(const Student::Options& student) {
  model::TrainerOptions options = trainer_options(student.equipment.hosted);
  options.beta1 = student.beta1;
  return options;
}

swarm::ByteView byte_view(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

Learner::Sections sections_of(const model::Trainer& trainer) {
  Learner::Sections sections;
  for (const model::Section& section : trainer.sections())
    sections.emplace_back(section.name,
                          std::vector<std::byte>(section.bytes.begin(), section.bytes.end()));
  return sections;
}

bool load(model::Trainer& trainer, const Learner::Sections& named) {
  std::vector<model::Section> sections;
  for (const auto& [name, bytes] : named) sections.push_back({name, bytes});
  return trainer.load(sections).has_value();
}

}  // namespace

Course make_course(const Scenario& scenario) {
  Course course{.learn = scenario.learn,
                .shape = shape_of(scenario.learn),
                .table = synthetic_table(),
                .genesis = {},
                .fingerprint = {},
                .rules = {.is_on = scenario.learn.judging}};
  if (!course.shape) {
    course.genesis.assign(512, 0.0f);
    course.fingerprint.fill(1);
    return course;
  }
  course.table = model::region_table(*course.shape);
  course.genesis = model::genesis(*course.shape, genesis_seed);
  const std::string line = model::describe(*course.shape);
  const swarm::Digest digest = swarm::blake2b(byte_view(line));
  std::copy_n(digest.begin(), course.fingerprint.size(), course.fingerprint.begin());
  return course;
}

double learning_rate(const Scenario::Learn& learn, uint64_t own_step, const Stage& stage) {
  const uint64_t swarm_step = stage.swarm_step;
  double factor = std::min(1.0, static_cast<double>(own_step + 1) / warm_up_steps);
  const uint64_t step = 2 * own_step >= swarm_step ? std::max(own_step, swarm_step) : own_step;
  const double of_steps = static_cast<double>(step) / static_cast<double>(learn.steps);
  const double done = learn.seconds > 0 ? stage.second / learn.seconds : of_steps;
  if (done > cool_from) {
    const double angle = std::numbers::pi * std::min(1.0, (done - cool_from) / (1 - cool_from));
    factor *= std::max(cool_floor, 0.5 * (1 + std::cos(angle)));
  }
  return learn.learning_rate * factor;
}

// ---- Student

Student::Student(const Course& course, const Lessons::Own& own, const Options& options)
    : trainer(*course.shape, options_of(options), course.genesis),
      batcher_({.rows = options.equipment.rows, .length = options.equipment.length}, options.seed) {
  if (!own.pairs.empty()) batcher_.add_pairs("lessons", own.pairs);
  if (!own.text.empty()) batcher_.add_text("lessons", byte_view(own.text));
}

bool Student::step(double rate) {
  batcher_.next(batch_);
  const auto report = trainer.step(batch_, static_cast<float>(rate));
  if (!report) return false;
  loss_ = loss_ == 0 ? report->loss : 0.9 * loss_ + 0.1 * report->loss;
  return true;
}

void Student::catch_up(uint64_t batches, double loss) {
  for (uint64_t i = 0; i < batches; ++i) batcher_.next(batch_);
  loss_ = loss;
}

// ---- Learner

Learner::Learner(const Course& course, const Lessons::Own& own, const Equipment& equipment,
                 uint64_t seed, bool is_present)
    : course_(&course),
      equipment_(equipment),
      rng_(seed),
      exchange_(course.table, course.genesis, {}, course.rules) {
  if (course.shape && is_present) {
    student_.emplace(course, own, Student::Options{.equipment = equipment, .seed = seed});
  } else {
    drifting_ = course.genesis;
  }
}

std::span<float> Learner::x() {
  return student_ ? student_->trainer.parameters() : std::span<float>(drifting_);
}
std::span<const float> Learner::x() const {
  return student_ ? student_->trainer.parameters() : std::span<const float>(drifting_);
}

void Learner::learn(uint32_t count, const Stage& stage, bool is_idle) {
  for (uint32_t i = 0; i < count; ++i, ++steps_, ++steps_since_exchange_) {
    if (is_idle) continue;
    ++batches_;
    if (student_) {
      const double rate = learning_rate(course_->learn, steps_, stage);
      is_broken_ = !student_->step(rate) || is_broken_;
    } else {
      for (int change = 0; change < 16; ++change)
        drifting_[rng_.below(drifting_.size())] += static_cast<float>(0.01 * (rng_.unit() - 0.5));
    }
  }
  if (student_) student_->trainer.release_scratch();
}

void Learner::follow(uint32_t count, bool is_idle, const Gain& gain) {
  assert(!is_present());
  steps_ += count;
  steps_since_exchange_ += count;
  batches_ += is_idle ? 0 : count;
  gain_ = gain;
}

std::optional<swarm::Publish> Learner::publish(swarm::SwarmView view, uint64_t payload_bytes_max,
                                               swarm::FrameHeader header,
                                               const swarm::Signer& signer, Tamper* tamper) {
  std::vector<uint64_t> tokens(course_->table.size(), steps_since_exchange_);
  if (student_) {
    student_->trainer.end_exchange(statistics_rate);
    tokens = student_->trainer.take_region_tokens();
  }
  if (tamper != nullptr) tamper->alter(x(), exchange_, view);
  header.kind = swarm::FrameKind::delta;
  header.fingerprint = course_->fingerprint;
  header.samples = steps_since_exchange_;
  const swarm::PublishOptions options{.budget_fraction = course_->learn.budget_fraction,
                                      .outer = course_->learn.outer,
                                      .payload_bytes_max = payload_bytes_max,
                                      .steps = static_cast<uint32_t>(steps_since_exchange_)};
  steps_since_exchange_ = 0;
  hash_.reset();
  return exchange_.publish(x(), tokens, view, options, header, signer, 0);
}

std::optional<swarm::Publish> Learner::follow_publish(const Publication& publication,
                                                      swarm::SwarmView view,
                                                      swarm::FrameHeader header,
                                                      const swarm::Signer& signer, Tamper* tamper) {
  assert(!is_present());
  // What it drew and had seen is gone then too.
  if (tamper != nullptr) tamper->alter(x(), exchange_, view);
  steps_since_exchange_ = 0;
  hash_.reset();
  gain_.is_finite = publication.is_finite;
  if (!publication.frame) return std::nullopt;
  auto opened = swarm::open(*publication.frame, header.swarm);
  is_lost_ = is_lost_ || !opened || opened->header.kind != swarm::FrameKind::delta ||
             opened->header.origin != signer.public_key() || opened->header.epoch != header.epoch ||
             opened->header.seq != header.seq;
  if (is_lost_) return std::nullopt;
  auto summary = swarm::inspect_delta(course_->table, opened->payload);
  is_lost_ = !summary;
  if (is_lost_) return std::nullopt;
  const swarm::DeltaKey key{{swarm::peer_id_of(signer.public_key()), header.epoch}, header.seq};
  exchange_.publish_again(key, *summary, opened->payload, 0);
  return swarm::Publish{
      .header = opened->header, .summary = *std::move(summary), .frame = publication.frame};
}

bool Learner::accept(const swarm::DeltaKey& key, const swarm::DeltaSummary& summary,
                     swarm::ByteView payload) {
  hash_.reset();
  return exchange_.accept(key, summary, payload, x(), 0);
}

bool Learner::accept_frame(const swarm::DeltaKey& key, swarm::ByteView frame,
                           const swarm::SwarmId& swarm) {
  const auto opened = swarm::open(frame, swarm);
  if (!opened) return false;
  const auto summary = swarm::inspect_delta(course_->table, opened->payload);
  return summary && accept(key, *summary, opened->payload);
}

swarm::Judged Learner::judge(const swarm::PayloadSource& payloads) {
  hash_.reset();
  return exchange_.judge(payloads, x());
}

void Learner::expel(const swarm::PeerId& origin, const swarm::PayloadSource& payloads) {
  hash_.reset();
  exchange_.expel(origin, payloads, x());
}

void Learner::reinstate(const swarm::PeerId& origin, const swarm::PayloadSource& payloads) {
  hash_.reset();
  exchange_.reinstate(origin, payloads, x());
}

void Learner::replace_base(std::vector<int32_t> values, const swarm::VersionVector& applied,
                           swarm::Judgement judgement) {
  hash_.reset();
  exchange_.replace_base(std::move(values), applied, std::move(judgement), x());
}

Learner::Checkpoint Learner::save() const {
  const std::span<const int32_t> values = exchange_.base().values();
  Checkpoint checkpoint{.values = {values.begin(), values.end()},
                        .error = {exchange_.error().begin(), exchange_.error().end()},
                        .applied = exchange_.applied(),
                        .judgement = exchange_.judgement(),
                        .sections = {},
                        .steps = steps_};
  if (student_) {
    checkpoint.sections = sections_of(student_->trainer);
  } else if (is_present()) {
    const auto bytes = std::as_bytes(std::span(drifting_));
    checkpoint.sections.emplace_back("x", std::vector<std::byte>(bytes.begin(), bytes.end()));
  }
  return checkpoint;
}

void Learner::restore(const Checkpoint& checkpoint) {
  if (student_) {
    const bool is_loaded = load(student_->trainer, checkpoint.sections);
    assert(is_loaded);
  } else if (is_present()) {
    const auto bytes = std::as_writable_bytes(std::span(drifting_));
    std::copy(checkpoint.sections[0].second.begin(), checkpoint.sections[0].second.end(),
              bytes.begin());
  }
  exchange_.restore(checkpoint.values, checkpoint.error, checkpoint.applied, checkpoint.judgement);
  steps_ = checkpoint.steps;
  steps_since_exchange_ = 0;
  hash_.reset();
}

bool Learner::fits(const Course& course, const Sections& sections) {
  model::Trainer trainer(*course.shape, trainer_options(), course.genesis);
  return load(trainer, sections);
}

Learner::Presence Learner::presence() const {
  assert(student_);
  return {.error = {exchange_.error().begin(), exchange_.error().end()},
          .sections = sections_of(student_->trainer),
          .interval = student_->trainer.interval(),
          .loss = student_->loss(),
          .is_broken = is_broken_};
}

bool Learner::appear(const Presence& presence, const Lessons::Own& own, uint64_t seed) {
  assert(!is_present());
  if (presence.error.size() != exchange_.error().size()) return false;
  student_.emplace(*course_, own, Student::Options{.equipment = equipment_, .seed = seed});
  if (!load(student_->trainer, presence.sections) ||
      !student_->trainer.load_interval(presence.interval)) {
    student_.reset();
    return false;
  }
  student_->catch_up(batches_, presence.loss);
  const std::span<const int32_t> values = exchange_.base().values();
  exchange_.restore({values.begin(), values.end()}, presence.error, exchange_.applied(),
                    exchange_.judgement());
  is_broken_ = presence.is_broken;
  drifting_ = {};
  return true;
}

const swarm::Digest& Learner::base_hash() const {
  if (!hash_) hash_ = exchange_.base().hash();
  return *hash_;
}

bool Learner::is_finite() const {
  if (!is_present()) return gain_.is_finite;
  const auto finite = [](float value) { return std::isfinite(value); };
  return !is_broken_ && std::all_of(x().begin(), x().end(), finite) &&
         std::all_of(exchange_.error().begin(), exchange_.error().end(), finite);
}

model::Snapshot Learner::snapshot() const {
  std::vector<float> served(x().begin(), x().end());
  for (size_t i = 0; i < served.size(); ++i) served[i] += exchange_.error()[i];
  return {*course_->shape, std::move(served), steps_, equipment_.hosted};
}

model::Snapshot Learner::shared_snapshot() const {
  return {*course_->shape, {x().begin(), x().end()}, steps_};
}

std::vector<double> score(const model::Snapshot& snapshot, const Lessons& lessons, bool is_short) {
  std::vector<double> scores;
  for (const Lessons::Test& test : lessons.tests) {
    if (lessons.is_text) {
      const size_t size = is_short ? test.text.size() / 4 : test.text.size();
      scores.push_back(model::score_text(snapshot, byte_view(test.text).first(size)).bits_per_byte);
    } else {
      const size_t count = is_short ? (test.pairs.size() + 3) / 4 : test.pairs.size();
      scores.push_back(
          model::score_pairs(snapshot, std::span(test.pairs).first(count)).exact_match);
    }
  }
  return scores;
}

}  // namespace starling::sim
