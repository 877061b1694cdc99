#include "node/mind.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/checkpoint.h"
#include "node/footprint.h"
#include "node/mind_sections.h"
#include "node/region_names.h"
#include "swarm/codec.h"

namespace starling::node {

namespace {

constexpr float statistics_rate =
    0.15f;  // with outer 2 the swarm's mean moves at .3 an exchange, as prototyped
constexpr double teach_rate_factor = 0.5;
constexpr uint64_t surprise_interval_steps = 4;  // one row of so many steps is read twice

model::BatcherOptions batcher_options(const Config& config) {
  return {.rows = config.learn.rows,
          .length = config.learn.length,
          .bytes_max = config.learn.memory_mib << 20,
          .replay_fraction = config.learn.replay_fraction};
}

const model::Section* find(std::span<const model::Section> sections, std::string_view name) {
  const auto found =
      std::find_if(sections.begin(), sections.end(), [&](const auto& s) { return s.name == name; });
  return found == sections.end() ? nullptr : &*found;
}

}  // namespace

std::array<uint8_t, 16> model_fingerprint(const model::Shape& shape,
                                          std::span<const float> genesis) {
  const std::string shape_line = model::describe(shape) + "\n";
  swarm::Bytes bytes(shape_line.begin(), shape_line.end());
  bytes.reserve(bytes.size() + genesis.size() * 4);
  for (const float value : genesis) {
    const auto fixed = static_cast<uint32_t>(static_cast<int32_t>(value * 0x1.0p24f));
    for (int shift = 0; shift < 32; shift += 8)
      bytes.push_back(static_cast<uint8_t>(fixed >> shift));
  }
  const swarm::Digest digest = swarm::blake2b(bytes);
  std::array<uint8_t, 16> fingerprint{};
  std::copy_n(digest.begin(), fingerprint.size(), fingerprint.begin());
  return fingerprint;
}

double preset_learning_rate(const std::string& preset) {
  if (preset == "demo") return 8e-3;
  if (preset == "tiny") return 5e-3;
  if (preset == "small") return 2.5e-3;
  return 1.2e-3;
}

Mind::Mind(const MindOptions& options, std::vector<float> genesis)
    : options_(options),
      table_(model::region_table(options.shape)),
      is_private_(region_flags(table_, options.config.model.private_regions)),
      hosted_(hosted_set(options.shape, options.config.model)),
      trainer_(options.shape, trainer_options(options.shape, options.config), genesis),
      batcher_(batcher_options(options.config), options.config.learn.seed),
      exchange_(table_, genesis, is_private_),
      probe_(options.config.learn.seed),
      regions_sent_(table_.size(), 0),
      regions_received_(table_.size(), 0) {
  if (options_.config.swarm.region_weights) exchange_.weigh_regions();
}

bool Mind::add(const Source& source) {
  if (source.kind == DataKind::pairs) return batcher_.add_pairs(source.name, source.pairs);
  return batcher_.add_text(source.name, probe_.hold_out(source.text));
}

Result<Mind::StepOutcome, model::StepError> Mind::step(double learning_rate) {
  batcher_.next(batch_);
  if (!good_.is_kept()) keep_good();
  if (batcher_.first_read_rows() > 0 && trainer_.steps() % surprise_interval_steps == 0)
    measure_surprise();
  is_guard_due_ = true;
  Result<model::StepReport, model::StepError> report =
      trainer_.step(batch_, static_cast<float>(learning_rate));
  if (!report) return Unexpected{report.error()};
  pace_.learned(report->loss);
  ++steps_since_publish_;
  samples_since_publish_ += report->predicted;
  return StepOutcome{.loss = report->loss,
                     .is_text_only = report->predicted == uint64_t{batch_.rows} * batch_.length,
                     .predicted = report->predicted};
}

std::optional<swarm::Publish> Mind::publish(const swarm::SwarmView& view,
                                            uint64_t payload_bytes_max, const swarm::Signer& signer,
                                            int64_t now_s) {
  trainer_.end_exchange(statistics_rate);
  const std::vector<uint64_t> tokens = trainer_.take_region_tokens();
  swarm::FrameHeader header{.kind = swarm::FrameKind::delta,
                            .swarm = options_.swarm,
                            .epoch = options_.epoch,
                            .seq = seq_ + 1,
                            .fingerprint = options_.fingerprint,
                            .samples = samples_since_publish_};
  const swarm::PublishOptions publish_options{
      .budget_fraction = options_.config.swarm.budget_fraction,
      .outer = options_.config.swarm.outer,
      .payload_bytes_max = payload_bytes_max,
      .steps = static_cast<uint32_t>(steps_since_publish_)};
  std::optional<swarm::Publish> publication = exchange_.publish(
      trainer_.parameters(), tokens, view, publish_options, header, signer, now_s);
  steps_since_publish_ = 0;
  samples_since_publish_ = 0;
  keep_good();
  if (!publication) return std::nullopt;
  ++seq_;
  sent_bytes_ += publication->frame->size();
  for (const auto& [region, count] : publication->summary.region_tokens) ++regions_sent_[region];
  return publication;
}

void Mind::end_interval_alone() {
  trainer_.end_exchange(2 * statistics_rate);
  (void)trainer_.take_region_tokens();
  keep_good();
}

bool Mind::accept(const swarm::DeltaKey& key, const swarm::DeltaSummary& summary,
                  swarm::ByteView payload, int64_t now_s) {
  if (!exchange_.accept(key, summary, payload, trainer_.parameters(), now_s)) return false;
  is_guard_due_ = true;
  for (const auto& [region, count] : summary.region_tokens) ++regions_received_[region];
  return true;
}

bool Mind::accept_frame(const swarm::DeltaKey& key, swarm::ByteView frame, int64_t now_s) {
  const auto opened = swarm::open(frame, options_.swarm);
  if (!opened || opened->header.fingerprint != options_.fingerprint) return false;
  const auto summary = swarm::inspect_delta(table_, opened->payload);
  return summary && accept(key, *summary, opened->payload, now_s);
}

Mind::Known Mind::known() const {
  const std::span<const int32_t> values = exchange_.base().values();
  return {{values.begin(), values.end()}, exchange_.applied(), exchange_.judgement()};
}

void Mind::replace_base(Known known) {
  exchange_.replace_base(std::move(known.values), known.applied, std::move(known.judgement),
                         trainer_.parameters());
}

Result<TeachOutcome, Failure> Mind::teach(const model::Pair& pair, uint32_t steps_max,
                                          const std::function<bool()>& should_stop) {
  // One right answer may be luck that the next replay step undoes: it has to hold twice in a row.
  constexpr uint32_t rights_needed = 2;
  const double configured = options_.config.learn.learning_rate;
  const double rate =
      teach_rate_factor *
      (configured > 0 ? configured : preset_learning_rate(options_.config.model.preset));
  TeachOutcome outcome;
  uint32_t rights = 0;
  const std::span<const model::Pair> pairs(&pair, 1);
  for (;;) {
    rights = model::score_pairs(*snapshot(), pairs).exact_match == 1 ? rights + 1 : 0;
    if (rights == rights_needed || outcome.steps == steps_max || should_stop()) break;
    batcher_.next_with(pairs, batch_);
    const auto report = trainer_.step(batch_, static_cast<float>(rate));
    if (!report)
      return Unexpected{Failure{FailureKind::internal, "teaching stopped: " + report.error().what}};
    ++outcome.steps;
    is_guard_due_ = true;
    ++steps_since_publish_;
    samples_since_publish_ += report->predicted;
  }
  outcome.learned = rights == rights_needed;
  batcher_.add_pairs("taught", pairs);
  return outcome;
}

// What is served is the weights and what this node has learned but not yet been able to send: it is
// the node's own and would otherwise be missing from its answers until the swarm has taken it up.
std::shared_ptr<const model::Snapshot> Mind::snapshot() const {
  const std::span<const float> x = trainer_.parameters();
  std::vector<float> served(x.begin(), x.end());
  const auto share = static_cast<float>(options_.config.serve.personal_share);
  const std::span<const float> unsent = exchange_.error();
  for (size_t i = 0; i < served.size(); ++i) served[i] += share * unsent[i];
  return std::make_shared<const model::Snapshot>(model::Snapshot{.shape = options_.shape,
                                                                 .parameters = std::move(served),
                                                                 .step = trainer_.steps(),
                                                                 .hosted = hosted_});
}

void Mind::forget_unsent() { exchange_.forget_unsent(trainer_.parameters()); }

void Mind::adopt_unsent() {
  exchange_.adopt_unsent(trainer_.parameters());
  keep_good();
}

void Mind::rest() { trainer_.release_scratch(); }

double Mind::bits_per_parameter() const {
  if (seq_ == 0) return 0;
  const double parameters = static_cast<double>(exchange_.error().size());
  return static_cast<double>(sent_bytes_) * 8 / (static_cast<double>(seq_) * parameters);
}

std::vector<model::Section> Mind::base_sections(const swarm::Exchange::Settled& settled) {
  applied_bytes_ = swarm::encode(settled.applied);
  return {{"base", std::as_bytes(std::span(settled.values))},
          {"applied", std::as_bytes(std::span(applied_bytes_))},
          {"judgement", std::as_bytes(std::span(settled.judgement))}};
}

std::vector<model::Section> Mind::sections() {
  std::vector<model::Section> all = trainer_.sections();
  applied_bytes_ = swarm::encode(exchange_.applied());
  judgement_bytes_ = exchange_.judgement().encode();
  all.push_back({"base", std::as_bytes(exchange_.base().values())});
  all.push_back({"applied", std::as_bytes(std::span(applied_bytes_))});
  all.push_back({"judgement", std::as_bytes(std::span(judgement_bytes_))});
  influence_bytes_ = encode_influence(exchange_.influence());
  counts_bytes_ = encode_counts({learned_seconds_, regions_sent_, regions_received_});
  all.push_back({"error", std::as_bytes(exchange_.error())});
  if (!exchange_.suspended().empty()) {
    suspended_bytes_ = encode_suspended(exchange_.suspended_since());
    all.push_back({"withheld", std::as_bytes(exchange_.withheld())});
    all.push_back({"suspended", std::as_bytes(std::span(suspended_bytes_))});
  }
  all.push_back({"influence", std::as_bytes(std::span(influence_bytes_))});
  all.push_back({"pace", std::as_bytes(std::span(&pace_.state(), 1))});
  all.push_back({"counts", std::as_bytes(std::span(counts_bytes_))});
  return all;
}

Result<Mind::Known, std::string> Mind::read_base_sections(
    std::span<const model::Section> sections) const {
  const model::Section* base = find(sections, "base");
  const model::Section* applied = find(sections, "applied");
  if (base == nullptr || applied == nullptr)
    return Unexpected<std::string>{"sections base and applied are not both there"};
  if (base->bytes.size() != exchange_.base().values().size_bytes()) {
    return Unexpected<std::string>{"the base has " + std::to_string(base->bytes.size() / 4) +
                                   " parameters, this model " +
                                   std::to_string(exchange_.base().values().size())};
  }
  const auto vector = swarm::decode_version_vector(as_byte_view(applied->bytes));
  if (!vector) return Unexpected<std::string>{"the list of deltas in the base is damaged"};
  Known known{std::vector<int32_t>(exchange_.base().values().size()), *vector,
              swarm::Judgement(table_)};
  std::memcpy(known.values.data(), base->bytes.data(), base->bytes.size());
  // One written before origins were judged has none: judging begins with what comes.
  const model::Section* judgement = find(sections, "judgement");
  // So it is with one of an earlier version.
  const auto decoded = judgement == nullptr
                           ? Result<Done, swarm::DropReason>(Done{})
                           : known.judgement.decode(as_byte_view(judgement->bytes));
  if (!decoded && decoded.error() != swarm::DropReason::bad_version)
    return Unexpected<std::string>{"the judgement of the deltas is damaged"};
  return known;
}

std::string Mind::difference(const Known& known, const swarm::SnapshotOffer& offer) const {
  if (known.applied != offer.have) return "it does not hold the deltas that its offer names";
  if (swarm::Base(table_, known.values).hash() != offer.hash)
    return "its base is not the one that its offer names";
  return "";
}

Result<Done, std::string> Mind::restore(std::span<const model::Section> sections) {
  if (std::string fault = model::shape_fault(sections, options_.shape); !fault.empty())
    return Unexpected{fault};
  auto base = read_base_sections(sections);
  if (!base) return Unexpected{base.error()};
  const model::Section* error = find(sections, "error");
  const model::Section* influence = find(sections, "influence");
  const model::Section* counts = find(sections, "counts");
  if (error == nullptr || influence == nullptr || counts == nullptr) {
    return Unexpected<std::string>{"a section is missing (error, influence or counts)"};
  }
  std::vector<float> error_values(exchange_.error().size());
  if (error->bytes.size() != error_values.size() * sizeof(float)) {
    return Unexpected<std::string>{"the error memory is of another size than the model"};
  }
  std::memcpy(error_values.data(), error->bytes.data(), error->bytes.size());
  if (!std::all_of(error_values.begin(), error_values.end(),
                   [](float v) { return std::isfinite(v); })) {
    return Unexpected<std::string>{"the error memory holds a value that is not finite"};
  }
  auto decoded_influence = decode_influence(as_byte_view(influence->bytes), table_.size());
  auto decoded_counts = decode_counts(as_byte_view(counts->bytes), table_.size());
  if (!decoded_influence || !decoded_counts)
    return Unexpected<std::string>{"the counts are damaged"};
  const model::Section* pace = find(sections, "pace");
  model::PaceState pace_state;  // as new where an older version wrote the checkpoint
  if (pace != nullptr && pace->bytes.size() == sizeof pace_state)
    std::memcpy(&pace_state, pace->bytes.data(), sizeof pace_state);
  if (model::Pace checked; !checked.restore(pace_state))
    return Unexpected<std::string>{"the pace of learning is damaged"};
  const model::Section* suspended = find(sections, "suspended");
  const model::Section* withheld = find(sections, "withheld");
  std::map<swarm::Stream, uint64_t> since;
  std::vector<int32_t> withheld_values;
  if (suspended != nullptr) {
    auto decoded = decode_suspended(as_byte_view(suspended->bytes));
    const size_t size = exchange_.base().values().size_bytes();
    if (!decoded || withheld == nullptr || withheld->bytes.size() != size)
      return Unexpected<std::string>{"what it goes without is damaged"};
    since = std::move(*decoded);
    withheld_values.resize(exchange_.base().values().size());
    std::memcpy(withheld_values.data(), withheld->bytes.data(), size);
  }
  if (Result<Done, std::string> loaded = trainer_.load(sections); !loaded) return loaded;
  pace_.restore(pace_state);
  good_.forget();
  good_loss_ = 0;
  exchange_.restore(std::move(base->values), std::move(error_values), base->applied,
                    std::move(base->judgement));
  if (!since.empty()) exchange_.restore_suspended(std::move(since), std::move(withheld_values));
  exchange_.restore_influence(std::move(*decoded_influence));
  learned_seconds_ = decoded_counts->learned_seconds;
  regions_sent_ = std::move(decoded_counts->sent);
  regions_received_ = std::move(decoded_counts->received);
  return Done{};
}

std::vector<RegionRow> Mind::region_rows() const {
  static constexpr const char* kind_names[] = {"embedding", "mixing", "mlp", "selection"};
  const std::vector<float> genesis = model::genesis(options_.shape, genesis_seed);
  const std::vector<float> activity = trainer_.activity();
  std::vector<RegionRow> rows;
  for (const model::Region& region : table_) {
    double squares = 0;
    for (size_t i = region.offset; i < region.offset + region.count; ++i) {
      const double change =
          static_cast<double>(exchange_.base().value(i)) - static_cast<double>(genesis[i]);
      squares += change * change;
    }
    rows.push_back({.region = model::region_name(region),
                    .layer = region.layer,
                    .kind = kind_names[static_cast<size_t>(region.kind)],
                    .parameters = region.count,
                    .active = static_cast<double>(activity[region.id]),
                    .changed = std::sqrt(squares),
                    .sent = regions_sent_[region.id],
                    .received = regions_received_[region.id],
                    .hosts = 0,
                    .is_private = !is_private_.empty() && is_private_[region.id] != 0,
                    .is_hosted = region.kind != model::RegionKind::mlp || hosted_.empty() ||
                                 (hosted_[region.layer] >> region.index & 1) != 0});
  }
  return rows;
}

}  // namespace starling::node
