#include "model/row_worker.h"

#include <cassert>
#include <cmath>

#include "model/large_pages.h"

namespace starling::model {

bool is_finite(const float* values, size_t count) {
  for (size_t i = 0; i < count; ++i)
    if (!std::isfinite(values[i])) return false;
  return true;
}

RowWorker::RowWorker(const Shape& shape, uint32_t regions)
    : statistics(shape.layers, SelectionStatistics(shape)), tokens(regions), shape_(shape) {}

void RowWorker::prepare(Window window_max) {
  assign_in_large_pages(gradient, parameter_count(shape_), 0.0f);
  const Window held = activations_ == nullptr ? Window{0, 0} : activations_->window_max;
  if (held.rows != window_max.rows || held.length != window_max.length ||
      held.starts < window_max.starts) {
    activations_.reset();
    activations_ = std::make_unique<Activations<float>>(shape_, window_max, Keep::everything);
  }
  std::fill(tokens.begin(), tokens.end(), 0);
  loss = 0;
}

bool RowWorker::run(const WorkOrder& order, uint32_t first, Window window) {
  const Batch& batch = order.batch;
  window_ = window;
  const size_t start = size_t{first} * batch.length;
  const std::span<const uint16_t> symbols(batch.symbols.data() + start, window.positions());
  predictions_.clear();
  for (uint32_t i = 0; i < window.positions(); ++i) {
    if (batch.weights[start + i] == 0) continue;
    const double weight = static_cast<double>(batch.weights[start + i]) / order.total_weight;
    predictions_.at.push_back(i);
    predictions_.targets.push_back(batch.targets[start + i]);
    predictions_.weights.push_back(static_cast<float>(weight));
  }
  const auto first_symbol = batch.symbols.begin();
  const auto given = static_cast<size_t>(
      std::count(first_symbol, first_symbol + static_cast<std::ptrdiff_t>(start), symbol_given));
  const auto count = static_cast<size_t>(std::count(symbols.begin(), symbols.end(), symbol_given));
  const Given<float> extra{
      .vectors = std::span(batch.vectors).subspan(given * shape_.width, count * shape_.width),
      .starts = batch.starts.empty() ? std::span<const uint8_t>()
                                     : std::span(batch.starts).subspan(start, window.positions())};
  activations_->dropout = order.dropout;
  activations_->dropout.seed += first;
  const Routing routing{.allowed = order.allowed, .statistics = statistics};
  const float* x = order.x.data();
  network_forward(shape_, x, symbols, window, order.rows.subspan(first, window.rows), routing,
                  *activations_, extra);
  count_tokens();
  loss += loss_backward(shape_, x, window, predictions_, gradient.data(), *activations_);
  if (!std::isfinite(loss)) return false;
  network_backward(shape_, x, symbols, window, gradient.data(), *activations_,
                   order.dvectors.data() + given * shape_.width);
  return true;
}

// The table holds the embedding, then of each layer mixing, its MLP regions, selection.
void RowWorker::count_tokens() {
  const uint32_t positions = window_.positions();
  tokens[0] += positions;
  for (size_t layer = 0; layer < shape_.layers; ++layer) {
    uint64_t* const mixing = tokens.data() + 1 + layer * (shape_.regions + 2);
    mixing[0] += positions;
    mixing[1 + shape_.regions] += positions;
    for (size_t i = 0; i < activations_->segments.size(); ++i)
      for (uint32_t r = 0; r < shape_.regions; ++r)
        if ((activations_->layers[layer].chosen[i] >> r & 1) != 0)
          mixing[1 + r] += activations_->segments[i].length;
  }
}

std::string RowWorker::activation_fault() const {
  if (activations_ == nullptr) return {};
  const size_t N = window_.positions(), D = shape_.width, E = shape_.channels;
  for (size_t i = 0; i < activations_->layers.size(); ++i) {
    const LayerActivations<float>& layer = activations_->layers[i];
    const std::string where = " of layer " + std::to_string(i) + " is not finite";
    if (!is_finite(layer.x, N * D)) return "the input" + where;
    if (!is_finite(layer.upz, N * 3 * E)) return "the activation 'upz'" + where;
    if (!is_finite(layer.h, N * E)) return "the activation 'h'" + where;
    if (!is_finite(layer.middle, N * D)) return "the activation 'middle'" + where;
  }
  return is_finite(activations_->out, N * D) ? std::string()
                                             : "the last layer's output is not finite";
}

void RowWorker::release() {
  activations_.reset();
  std::vector<float>().swap(gradient);
}

}  // namespace starling::model
