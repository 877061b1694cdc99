#include "model/trainer.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

#include "model/checkpoint.h"
#include "model/interval.h"
#include "model/kernels.h"
#include "model/large_pages.h"
#include "model/optimizer.h"
#include "model/parallel.h"
#include "model/row_worker.h"

namespace starling::model {
namespace {

constexpr uint32_t batch_rows_max = 4096;
constexpr uint64_t batch_positions_max = 1u << 22;
constexpr double usage_average =
    0.5;  // weight of the newest exchange in the usage that forms the working set
constexpr double bias_step = 0.02 / 0.3;  // of the balance, at statistics_rate 1
constexpr double variance_min = 1e-4;

// Empty when what the batch holds besides symbols can be trained on.
std::string given_fault(const Batch& batch, size_t width) {
  if (!batch.starts.empty() && batch.starts.size() != batch.symbols.size())
    return "the batch's starts do not match its rows and length";
  const auto given = std::count(batch.symbols.begin(), batch.symbols.end(), symbol_given);
  if (batch.vectors.size() != static_cast<size_t>(given) * width)
    return "the batch has " + std::to_string(batch.vectors.size()) + " numbers in its vectors, " +
           std::to_string(given) + " positions of width " + std::to_string(width) + " need others";
  for (size_t i = 0; i < batch.vectors.size(); ++i)
    if (!std::isfinite(batch.vectors[i]))
      return "vector " + std::to_string(i / width) + " of the batch is not finite";
  return {};
}

// Empty when the batch can be trained on.
std::string batch_fault(const Batch& batch, size_t width) {
  const uint64_t positions = uint64_t{batch.rows} * batch.length;
  if (positions == 0) return "the batch has no positions";
  if (batch.rows > batch_rows_max || positions > batch_positions_max)
    return "the batch is larger than 4096 rows or 2^22 positions";
  if (batch.symbols.size() != positions || batch.targets.size() != positions ||
      batch.weights.size() != positions || batch.fresh.size() != batch.rows)
    return "the batch's arrays do not match its rows and length";
  double total = 0;
  for (size_t i = 0; i < positions; ++i) {
    const bool is_known = batch.symbols[i] < vocabulary || batch.symbols[i] == symbol_given;
    if (!is_known || batch.targets[i] >= vocabulary)
      return "position " + std::to_string(i) +
             " of the batch holds a symbol outside the vocabulary";
    if (!(batch.weights[i] >= 0) || !std::isfinite(batch.weights[i]))
      return "position " + std::to_string(i) +
             " of the batch has a weight that is negative or not finite";
    total += static_cast<double>(batch.weights[i]);
  }
  if (!(total > 0)) return "the batch predicts nothing: every weight is 0";
  return given_fault(batch, width);
}

// The most starts of sequences that micro_rows rows hold.
uint32_t starts_of(const Batch& batch, uint32_t micro_rows) {
  uint32_t most = 0;
  const size_t group = size_t{micro_rows} * batch.length;
  for (size_t first = 0; first < batch.starts.size(); first += group) {
    const auto starts = std::span(batch.starts).subspan(first);
    const auto rows = starts.first(std::min(group, starts.size()));
    most = std::max(most, static_cast<uint32_t>(std::count_if(
                              rows.begin(), rows.end(), [](uint8_t start) { return start != 0; })));
  }
  return most;
}

uint32_t workers_for(const TrainerOptions& options, uint32_t rows) {
  return std::min(options.threads, (rows + options.micro_rows - 1) / options.micro_rows);
}

std::string tensor_fault(std::span<const Tensor> tensors, const float* values,
                         std::string_view what) {
  for (const Tensor& tensor : tensors)
    if (!is_finite(values + tensor.offset, tensor.count))
      return std::string(what) + " '" + std::string(tensor.name) + "' of layer " +
             std::to_string(tensor.layer) + " is not finite";
  return {};
}

}  // namespace

struct Trainer::Parts {
  Shape shape;
  TrainerOptions options;
  std::string shape_line;
  RegionTable regions;
  std::vector<Tensor> tensors;
  std::vector<float> x;
  LearnerState state;

  std::vector<float> dvectors;  // of the step

  std::vector<RowWorker> workers;  // at least one; the first one's gradient becomes the step's
  std::vector<StreamState<float>> rows;
  std::vector<uint64_t> allowed;          // per layer; empty: no restriction
  std::vector<uint64_t> interval_tokens;  // per region

  Parts(const Shape& s, const TrainerOptions& o, std::vector<float> parameters)
      : shape(s),
        options(o),
        shape_line(describe(s)),
        regions(region_table(s)),
        tensors(model::tensors(s)),
        x(std::move(parameters)),
        interval_tokens(regions.size()) {
    assert(x.size() == parameter_count(shape) && options.micro_rows > 0 && options.threads > 0);
    assert(options.hosted.empty() || options.hosted.size() == shape.layers);
    for (uint32_t i = 0; i < options.threads; ++i)
      workers.emplace_back(shape, static_cast<uint32_t>(regions.size()));
    state.optimizer.region_steps.resize(regions.size());
    state.woken.resize(regions.size());
    state.usage.resize(size_t{shape.layers} * shape.regions);
  }

  uint32_t prepare(const Batch& batch);
  bool run(const Batch& batch, uint32_t active);
  void gather(uint32_t active);
  StepError fault(uint32_t active, std::string_view otherwise);
  Result<StepReport, StepError> update(const Batch& batch, uint32_t active, float learning_rate);
  SelectionStatistics take_statistics(size_t layer);
  void forget_streams();
  void restrict_choice();
};

// Returns how many workers this batch keeps busy.
uint32_t Trainer::Parts::prepare(const Batch& batch) {
  if (state.optimizer.m.empty()) {
    assign_in_large_pages(state.optimizer.m, x.size(), 0.0f);
    assign_in_large_pages(state.optimizer.v, x.size(), 0.0f);
  }
  const Window window{std::min(options.micro_rows, batch.rows), batch.length,
                      starts_of(batch, options.micro_rows)};
  const uint32_t active = workers_for(options, batch.rows);
  for (uint32_t i = 0; i < active; ++i) workers[i].prepare(window);
  dvectors.assign(batch.vectors.size(), 0.0f);
  while (rows.size() < batch.rows) rows.emplace_back(shape);
  for (size_t row = 0; row < batch.rows; ++row)
    if (batch.fresh[row] != 0) rows[row].reset();
  return active;
}

// Forward and backward of the whole batch; each worker takes every active-th group of micro_rows
// rows.
bool Trainer::Parts::run(const Batch& batch, uint32_t active) {
  double total_weight = 0;
  for (const float weight : batch.weights) total_weight += static_cast<double>(weight);
  const WorkOrder order{
      .batch = batch,
      .x = x,
      .allowed = options.working_set && !allowed.empty() ? allowed : options.hosted,
      .rows = rows,
      .total_weight = total_weight,
      .dropout = {options.dropout, mask_seed(options.dropout_seed, state.counters.steps)},
      .dvectors = dvectors};
  std::vector<uint8_t> finished(active, 1);
  parallel_for(active, active, [&](uint32_t index) {
    const uint32_t stride = active * options.micro_rows;
    for (uint32_t first = index * options.micro_rows; first < batch.rows; first += stride) {
      const Window window{std::min(options.micro_rows, batch.rows - first), batch.length};
      if (workers[index].run(order, first, window)) continue;
      finished[index] = 0;
      return;
    }
  });
  return std::find(finished.begin(), finished.end(), 0) == finished.end();
}

// Into the first worker, in order.
void Trainer::Parts::gather(uint32_t active) {
  RowWorker& sum = workers.front();
  for (uint32_t i = 1; i < active; ++i) {
    kernels::add(workers[i].gradient.data(), sum.gradient.data(), x.size());
    for (size_t region = 0; region < regions.size(); ++region)
      sum.tokens[region] += workers[i].tokens[region];
    sum.loss += workers[i].loss;
  }
}

void Trainer::Parts::forget_streams() {
  for (StreamState<float>& row : rows) row.reset();
  for (RowWorker& worker : workers)
    for (SelectionStatistics& layer : worker.statistics) layer.clear();
}

// The first tensor that is not finite; the rows start afresh, for their states may be spoilt.
StepError Trainer::Parts::fault(uint32_t active, std::string_view otherwise) {
  std::string what = tensor_fault(tensors, x.data(), "the parameter");
  for (uint32_t i = 0; i < active && what.empty(); ++i) what = workers[i].activation_fault();
  for (uint32_t i = 0; i < active && what.empty(); ++i)
    what = tensor_fault(tensors, workers[i].gradient.data(), "the gradient of");
  forget_streams();
  return {what.empty() ? std::string(otherwise) : what};
}

Result<StepReport, StepError> Trainer::Parts::update(const Batch& batch, uint32_t active,
                                                     float learning_rate) {
  gather(active);
  const RowWorker& sum = workers.front();
  const double norm = gradient_norm(tensors, sum.gradient);
  if (!std::isfinite(norm)) return Unexpected{fault(active, "the gradient's norm is not finite")};
  const double scale = std::min(1.0, static_cast<double>(options.clip_norm) / (norm + 1e-6));
  std::vector<uint8_t> awake(regions.size());
  for (size_t region = 0; region < regions.size(); ++region) {
    awake[region] = sum.tokens[region] > 0 ? 1 : 0;
    interval_tokens[region] += sum.tokens[region];
    state.woken[region] += sum.tokens[region];
  }
  optimizer_step(tensors, awake, sum.gradient, options, learning_rate, static_cast<float>(scale), x,
                 state.optimizer);
  ++state.counters.steps;
  state.counters.tokens += sum.tokens[0];
  const auto predicted = std::count_if(batch.weights.begin(), batch.weights.end(),
                                       [](float weight) { return weight > 0; });
  return StepReport{.loss = sum.loss * std::numbers::log2e,
                    .gradient_norm = norm,
                    .predicted = static_cast<uint64_t>(predicted),
                    .dvectors = std::move(dvectors)};
}

// Summed over the workers, and cleared in them.
SelectionStatistics Trainer::Parts::take_statistics(size_t layer) {
  SelectionStatistics sum(shape);
  for (RowWorker& worker : workers) {
    sum.add(worker.statistics[layer]);
    worker.statistics[layer].clear();
  }
  return sum;
}

void Trainer::Parts::restrict_choice() {
  allowed.clear();
  for (size_t layer = 0; layer < shape.layers; ++layer)
    allowed.push_back(working_set(
        shape, std::span<const double>(state.usage).subspan(layer * shape.regions, shape.regions),
        options.hosted.empty() ? ~uint64_t{0} : options.hosted[layer]));
}

Trainer::Trainer(const Shape& shape, const TrainerOptions& options, std::vector<float> parameters)
    : parts_(std::make_unique<Parts>(shape, options, std::move(parameters))) {}
Trainer::~Trainer() = default;
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;

Result<StepReport, StepError> Trainer::step(const Batch& batch, float learning_rate) {
  Parts& parts = *parts_;
  if (std::string fault = batch_fault(batch, parts.shape.width); !fault.empty())
    return Unexpected{StepError{fault}};
  if (!(learning_rate >= 0) || !std::isfinite(learning_rate))
    return Unexpected{StepError{"the learning rate is negative or not finite"}};
  const uint32_t active = parts.prepare(batch);
  if (!parts.run(batch, active)) return Unexpected{parts.fault(active, "the loss is not finite")};
  return parts.update(batch, active, learning_rate);
}

const Shape& Trainer::shape() const { return parts_->shape; }
const RegionTable& Trainer::regions() const { return parts_->regions; }
uint64_t Trainer::steps() const { return parts_->state.counters.steps; }
std::span<float> Trainer::parameters() { return parts_->x; }
std::span<const float> Trainer::parameters() const { return parts_->x; }

void Trainer::end_exchange(float statistics_rate) {
  Parts& parts = *parts_;
  const Shape& shape = parts.shape;
  const uint32_t awake = awake_count(shape), selectable = shape.regions - awake;
  const auto rate = static_cast<double>(statistics_rate);
  bool counted = false;
  for (uint32_t index = 0; index < shape.layers; ++index) {
    const SelectionStatistics statistics = parts.take_statistics(index);
    if (statistics.choices == 0 || selectable == 0) continue;
    counted = true;
    const auto layer = Layout(shape).layer(parts.x.data(), index);
    const auto choices = static_cast<double>(statistics.choices);
    for (size_t i = 0; i < shape.width && shape.selection == Selection::context; ++i) {
      const auto mu = static_cast<double>(layer.mu[i]), var = static_cast<double>(layer.var[i]);
      const double mean = statistics.slow_sum[i] / choices,
                   square = statistics.slow_squares[i] / choices;
      layer.mu[i] = static_cast<float>(mu + rate * (mean - mu));
      layer.var[i] = static_cast<float>(std::max(variance_min, var + rate * (square - var)));
    }
    for (uint32_t r = awake; r < shape.regions; ++r) {
      const double usage = static_cast<double>(statistics.wanted[r]) / choices;
      const double target = static_cast<double>(selected_count(shape)) / selectable;
      layer.bias[r] += static_cast<float>(bias_step * rate * (target - usage));
      double& average = parts.state.usage[index * shape.regions + r];
      average =
          parts.state.counters.exchanges == 0 ? usage : average + usage_average * (usage - average);
    }
  }
  if (!counted) return;
  ++parts.state.counters.exchanges;
  parts.restrict_choice();
}

std::vector<uint64_t> Trainer::take_region_tokens() {
  return std::exchange(parts_->interval_tokens, std::vector<uint64_t>(parts_->regions.size()));
}

std::vector<float> Trainer::activity() const {
  std::vector<float> shares(parts_->regions.size());
  const auto tokens = static_cast<double>(std::max<uint64_t>(1, parts_->state.counters.tokens));
  for (size_t i = 0; i < shares.size(); ++i)
    shares[i] = static_cast<float>(static_cast<double>(parts_->state.woken[i]) / tokens);
  return shares;
}

void Trainer::release_scratch() {
  for (RowWorker& worker : parts_->workers) worker.release();
}

std::vector<Section> Trainer::sections() const {
  return sections_of(parts_->shape_line, parts_->x, parts_->state);
}

Result<Done, std::string> Trainer::load(std::span<const Section> sections) {
  Parts& parts = *parts_;
  auto loaded = load_sections(sections, parts.shape, parts.x, parts.state);
  if (!loaded) return loaded;
  parts.forget_streams();
  std::fill(parts.interval_tokens.begin(), parts.interval_tokens.end(), 0);
  parts.allowed.clear();
  if (parts.state.counters.exchanges > 0) parts.restrict_choice();
  return loaded;
}

std::vector<std::byte> Trainer::interval() const {
  return save_interval({parts_->interval_tokens, parts_->workers, parts_->rows});
}

bool Trainer::load_interval(std::span<const std::byte> bytes) {
  return model::load_interval(bytes, parts_->shape, batch_rows_max,
                              {parts_->interval_tokens, parts_->workers, parts_->rows});
}

uint64_t Trainer::memory_bytes(const Shape& shape, const TrainerOptions& options, uint32_t rows,
                               uint32_t length) {
  const Window window{std::min(options.micro_rows, rows), length};
  const uint64_t workers = workers_for(options, rows);
  const uint64_t copies = 3 + workers;  // x, m, v, and a gradient each
  return copies * parameter_count(shape) * sizeof(float) +
         workers * (Activations<float>::bytes(shape, window, Keep::everything) +
                    kernels::workspace_bytes()) +
         rows * StreamState<float>(shape).bytes();
}

std::string Trainer::memory_fault(const Shape& shape, const TrainerOptions& options, uint32_t rows,
                                  uint32_t length, uint64_t bytes_max) {
  if (std::string fault = model::fault_of(shape); !fault.empty()) return fault;
  const uint64_t bytes = memory_bytes(shape, options, rows, length);
  if (bytes <= bytes_max) return {};
  const auto mib = [](uint64_t count) { return std::to_string((count + (1u << 20) - 1) >> 20); };
  return "training " + std::to_string(parameter_count(shape)) + " parameters on " +
         std::to_string(rows) + " x " + std::to_string(length) + " tokens needs " + mib(bytes) +
         " MiB, the limit is " + mib(bytes_max) + " MiB";
}

std::string fault_of(const TrainerOptions& options, uint32_t cores) {
  if (options.threads == 0) return "threads is 0; at least 1 is needed";
  if (options.threads > cores)
    return "threads is " + std::to_string(options.threads) + ", the machine has " +
           std::to_string(cores) + (cores == 1 ? " core" : " cores");
  if (options.micro_rows == 0) return "micro_rows is 0; at least 1 is needed";
  return {};
}

}  // namespace starling::model
