#include "model/trainer.h"

#include <cassert>
#include <cmath>
#include <numbers>
#include <optional>

#include "model/checkpoint.h"
#include "model/kernels.h"
#include "model/network.h"
#include "model/optimizer.h"

namespace starling::model {
namespace {

constexpr uint32_t batch_rows_max = 4096;
constexpr uint64_t batch_positions_max = 1u << 22;
constexpr double usage_average =
    0.5;  // weight of the newest exchange in the usage that forms the working set
constexpr double bias_step = 0.02 / 0.3;  // of the balance, at statistics_rate 1
constexpr double variance_min = 1e-4;

// Empty when the batch can be trained on.
std::string batch_fault(const Batch& batch) {
  const uint64_t positions = uint64_t{batch.rows} * batch.length;
  if (positions == 0) return "the batch has no positions";
  if (batch.rows > batch_rows_max || positions > batch_positions_max)
    return "the batch is larger than 4096 rows or 2^22 positions";
  if (batch.symbols.size() != positions || batch.targets.size() != positions ||
      batch.weights.size() != positions || batch.fresh.size() != batch.rows)
    return "the batch's arrays do not match its rows and length";
  double total = 0;
  for (size_t i = 0; i < positions; ++i) {
    if (batch.symbols[i] >= vocabulary || batch.targets[i] >= vocabulary)
      return "position " + std::to_string(i) +
             " of the batch holds a symbol outside the vocabulary";
    if (!(batch.weights[i] >= 0) || !std::isfinite(batch.weights[i]))
      return "position " + std::to_string(i) +
             " of the batch has a weight that is negative or not finite";
    total += static_cast<double>(batch.weights[i]);
  }
  return total > 0 ? std::string() : "the batch predicts nothing: every weight is 0";
}

bool is_finite(const float* values, size_t count) {
  for (size_t i = 0; i < count; ++i)
    if (!std::isfinite(values[i])) return false;
  return true;
}

std::string tensor_fault(std::span<const Tensor> tensors, const float* values,
                         std::string_view what) {
  for (const Tensor& tensor : tensors)
    if (!is_finite(values + tensor.offset, tensor.count))
      return std::string(what) + " '" + std::string(tensor.name) + "' of layer " +
             std::to_string(tensor.layer) + " is not finite";
  return {};
}

std::string activation_fault(const Shape& shape, Window window,
                             const Activations<float>& activations) {
  const size_t N = window.positions(), D = shape.width, E = shape.channels;
  for (size_t i = 0; i < activations.layers.size(); ++i) {
    const LayerActivations<float>& layer = activations.layers[i];
    const std::string where = " of layer " + std::to_string(i) + " is not finite";
    if (!is_finite(layer.x, N * D)) return "the input" + where;
    if (!is_finite(layer.upz, N * 3 * E)) return "the activation 'upz'" + where;
    if (!is_finite(layer.h, N * E)) return "the activation 'h'" + where;
    if (!is_finite(layer.middle, N * D)) return "the activation 'middle'" + where;
  }
  return is_finite(activations.out, N * D) ? std::string()
                                           : "the last layer's output is not finite";
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

  std::vector<float> gradient;
  std::unique_ptr<Activations<float>> activations;
  Predictions<float> predictions;
  std::vector<StreamState<float>> rows;
  std::vector<SelectionStatistics> statistics;  // of the interval, per layer
  std::vector<uint64_t> allowed;                // per layer; empty: no restriction
  std::vector<uint64_t> interval_tokens;        // per region
  std::vector<uint64_t> step_tokens;            // per region

  Parts(const Shape& s, const TrainerOptions& o, std::vector<float> parameters)
      : shape(s),
        options(o),
        shape_line(describe(s)),
        regions(region_table(s)),
        tensors(model::tensors(s)),
        x(std::move(parameters)),
        statistics(s.layers, SelectionStatistics(s)),
        interval_tokens(regions.size()),
        step_tokens(regions.size()) {
    assert(x.size() == parameter_count(shape) && options.micro_rows > 0);
    state.optimizer.region_steps.resize(regions.size());
    state.woken.resize(regions.size());
    state.usage.resize(size_t{shape.layers} * shape.regions);
  }

  void prepare(const Batch& batch);
  double run_rows(const Batch& batch, uint32_t first, Window window, double total_weight);
  void count_tokens(Window window);
  StepError fault(Window window, std::string_view otherwise);
  Result<StepReport, StepError> update(double loss, uint64_t predicted, Window window,
                                       float learning_rate);
  void restrict_choice();
  // Region ids of one layer: mixing, its MLP regions, selection.
  size_t mixing_region(size_t layer) const { return 1 + layer * (shape.regions + 2); }
};

void Trainer::Parts::prepare(const Batch& batch) {
  if (state.optimizer.m.empty()) {
    state.optimizer.m.resize(x.size());
    state.optimizer.v.resize(x.size());
  }
  gradient.assign(x.size(), 0.0f);
  const Window window{std::min(options.micro_rows, batch.rows), batch.length};
  if (activations == nullptr || activations->window_max != window) {
    activations.reset();
    activations = std::make_unique<Activations<float>>(shape, window, Keep::everything);
  }
  while (rows.size() < batch.rows) rows.emplace_back(shape);
  for (size_t row = 0; row < batch.rows; ++row)
    if (batch.fresh[row] != 0) rows[row].reset();
  std::fill(step_tokens.begin(), step_tokens.end(), 0);
}

void Trainer::Parts::count_tokens(Window window) {
  step_tokens[0] += window.positions();
  for (size_t layer = 0; layer < shape.layers; ++layer) {
    const size_t mixing = mixing_region(layer);
    step_tokens[mixing] += window.positions();
    step_tokens[mixing + 1 + shape.regions] += window.positions();
    for (size_t i = 0; i < activations->segments.size(); ++i)
      for (uint32_t r = 0; r < shape.regions; ++r)
        if ((activations->layers[layer].chosen[i] >> r & 1) != 0)
          step_tokens[mixing + 1 + r] += activations->segments[i].length;
  }
}

// Forward and backward of `window.rows` rows from `first`; returns their share of the loss in nats.
double Trainer::Parts::run_rows(const Batch& batch, uint32_t first, Window window,
                                double total_weight) {
  const size_t start = size_t{first} * batch.length;
  const std::span<const uint16_t> symbols(batch.symbols.data() + start, window.positions());
  predictions.clear();
  for (uint32_t i = 0; i < window.positions(); ++i) {
    if (batch.weights[start + i] == 0) continue;
    predictions.at.push_back(i);
    predictions.targets.push_back(batch.targets[start + i]);
    predictions.weights.push_back(
        static_cast<float>(static_cast<double>(batch.weights[start + i]) / total_weight));
  }
  const Routing routing{.allowed = options.working_set ? std::span<const uint64_t>(allowed)
                                                       : std::span<const uint64_t>(),
                        .statistics = statistics};
  const float* parameters = x.data();
  network_forward(shape, parameters, symbols, window, std::span(rows).subspan(first, window.rows),
                  routing, *activations);
  count_tokens(window);
  const double loss =
      loss_backward(shape, parameters, window, predictions, gradient.data(), *activations);
  if (std::isfinite(loss))
    network_backward(shape, parameters, symbols, window, gradient.data(), *activations);
  return loss;
}

// The first tensor that is not finite; the rows start afresh, for their states may be spoilt.
StepError Trainer::Parts::fault(Window window, std::string_view otherwise) {
  std::string what = tensor_fault(tensors, x.data(), "the parameter");
  if (what.empty()) what = activation_fault(shape, window, *activations);
  if (what.empty()) what = tensor_fault(tensors, gradient.data(), "the gradient of");
  for (StreamState<float>& row : rows) row.reset();
  for (SelectionStatistics& layer : statistics) layer.clear();
  return {what.empty() ? std::string(otherwise) : what};
}

Result<StepReport, StepError> Trainer::Parts::update(double loss, uint64_t predicted, Window window,
                                                     float learning_rate) {
  const double norm = gradient_norm(tensors, gradient);
  if (!std::isfinite(norm)) return Unexpected{fault(window, "the gradient's norm is not finite")};
  const double scale = std::min(1.0, static_cast<double>(options.clip_norm) / (norm + 1e-6));
  std::vector<uint8_t> awake(regions.size());
  uint64_t positions = step_tokens[0];
  for (size_t region = 0; region < regions.size(); ++region) {
    awake[region] = step_tokens[region] > 0 ? 1 : 0;
    interval_tokens[region] += step_tokens[region];
    state.woken[region] += step_tokens[region];
  }
  optimizer_step(tensors, awake, gradient, options, learning_rate, static_cast<float>(scale), x,
                 state.optimizer);
  ++state.counters.steps;
  state.counters.tokens += positions;
  return StepReport{
      .loss = loss * std::numbers::log2e, .gradient_norm = norm, .predicted = predicted};
}

void Trainer::Parts::restrict_choice() {
  allowed.clear();
  for (size_t layer = 0; layer < shape.layers; ++layer)
    allowed.push_back(working_set(
        shape, std::span<const double>(state.usage).subspan(layer * shape.regions, shape.regions)));
}

Trainer::Trainer(const Shape& shape, const TrainerOptions& options, std::vector<float> parameters)
    : parts_(std::make_unique<Parts>(shape, options, std::move(parameters))) {}
Trainer::~Trainer() = default;
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;

Result<StepReport, StepError> Trainer::step(const Batch& batch, float learning_rate) {
  Parts& parts = *parts_;
  if (std::string fault = batch_fault(batch); !fault.empty()) return Unexpected{StepError{fault}};
  if (!(learning_rate >= 0) || !std::isfinite(learning_rate))
    return Unexpected{StepError{"the learning rate is negative or not finite"}};
  parts.prepare(batch);
  double total_weight = 0, loss = 0;
  uint64_t predicted = 0;
  for (const float weight : batch.weights) {
    total_weight += static_cast<double>(weight);
    predicted += weight > 0 ? 1 : 0;
  }
  Window window{0, batch.length};
  for (uint32_t first = 0; first < batch.rows; first += window.rows) {
    window.rows = std::min(parts.options.micro_rows, batch.rows - first);
    loss += parts.run_rows(batch, first, window, total_weight);
    if (!std::isfinite(loss)) return Unexpected{parts.fault(window, "the loss is not finite")};
  }
  return parts.update(loss, predicted, window, learning_rate);
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
    SelectionStatistics& statistics = parts.statistics[index];
    if (statistics.choices == 0 || selectable == 0) continue;
    counted = true;
    const auto layer = Layout(shape).layer(parts.x.data(), index);
    const auto choices = static_cast<double>(statistics.choices);
    for (size_t i = 0; i < shape.width; ++i) {
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
    statistics.clear();
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
  parts_->activations.reset();
  std::vector<float>().swap(parts_->gradient);
}

std::vector<Section> Trainer::sections() const {
  return sections_of(parts_->shape_line, parts_->x, parts_->state);
}

Result<Done, std::string> Trainer::load(std::span<const Section> sections) {
  Parts& parts = *parts_;
  auto loaded = load_sections(sections, parts.shape, parts.x, parts.state);
  if (!loaded) return loaded;
  for (StreamState<float>& row : parts.rows) row.reset();
  for (SelectionStatistics& layer : parts.statistics) layer.clear();
  std::fill(parts.interval_tokens.begin(), parts.interval_tokens.end(), 0);
  parts.allowed.clear();
  if (parts.state.counters.exchanges > 0) parts.restrict_choice();
  return loaded;
}

uint64_t Trainer::memory_bytes(const Shape& shape, const TrainerOptions& options, uint32_t rows,
                               uint32_t length) {
  const Window window{std::min(options.micro_rows, rows), length};
  const uint64_t copies = 4;  // x, gradient, m, v
  return copies * parameter_count(shape) * sizeof(float) +
         Activations<float>::bytes(shape, window, Keep::everything) +
         rows * StreamState<float>(shape).bytes() + kernels::workspace_bytes();
}

}  // namespace starling::model
