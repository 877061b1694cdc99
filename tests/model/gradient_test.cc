// Hand-written derivatives against central differences in double precision, with the routing
// frozen.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

#include "model/kernels.h"
#include "model/network.h"
#include "model/recurrence.h"
#include "tests/model/example.h"

namespace starling::model {
namespace {

constexpr double step = 1e-5;
constexpr double tolerance = 1e-6;

// Largest error of `gradient` against differences of `loss`, relative to the largest derivative
// seen.
double worst_error(std::vector<double>& x, const std::vector<double>& gradient,
                   const std::function<double()>& loss, size_t stride = 1) {
  double worst = 0, largest = 1e-3;
  for (size_t i = 0; i < x.size(); i += stride) {
    const double saved = x[i];
    x[i] = saved + step;
    const double up = loss();
    x[i] = saved - step;
    const double down = loss();
    x[i] = saved;
    const double difference = (up - down) / (2 * step);
    worst = std::max(worst, std::abs(difference - gradient[i]));
    largest = std::max(largest, std::abs(difference));
  }
  return worst / largest;
}

double weighted(const std::vector<double>& y, const std::vector<double>& weights) {
  return kernels::dot(y.data(), weights.data(), y.size());
}

struct SmallNetwork {
  Shape shape;
  Window window{.rows = 2, .length = 13};
  Rng rng{11};
  std::vector<double> parameters;
  std::vector<double> gradient;
  std::vector<uint16_t> symbols;
  std::vector<double> vectors;
  std::vector<double> dvectors;
  std::vector<uint8_t> starts;
  std::vector<StreamState<double>> carried;  // after an earlier window that ends inside a chunk
  Activations<double> activations;
  Predictions<double> predictions;

  explicit SmallNetwork(const Shape& s)
      : shape(s),
        carried(2, StreamState<double>(shape)),
        activations(shape, {.rows = 2, .length = 13, .starts = 3}, Keep::everything) {
    for (const float value : genesis(shape, 5)) parameters.push_back(static_cast<double>(value));
    for (double& value : parameters) value += 0.2 * (rng.unit() - 0.5);
    gradient.resize(parameters.size());
    for (uint32_t i = 0; i < window.positions(); ++i) {
      symbols.push_back(static_cast<uint16_t>(rng.below(vocabulary)));
      if (i % 5 == 2) continue;  // not every position is predicted
      predictions.at.push_back(i);
      predictions.targets.push_back(static_cast<uint16_t>(rng.below(vocabulary)));
      predictions.weights.push_back(0.5 + rng.unit());
    }
    for (const size_t place : {3u, 4u, 17u}) symbols[place] = symbol_given;
    vectors = example::numbers<double>(rng, 3 * shape.width, 2.0);
    dvectors.resize(vectors.size());
    starts.resize(window.positions());
    for (const size_t place : {4u, 13u, 15u}) starts[place] = 1;  // one of them begins a row
    network_forward(shape, std::as_const(parameters).data(), symbols, window, std::span(carried),
                    Routing{}, activations, given());
  }

  Given<double> given() const { return {.vectors = vectors, .starts = starts}; }
  void forward(bool frozen) {
    std::vector<StreamState<double>> states = carried;
    network_forward(shape, std::as_const(parameters).data(), symbols, window, std::span(states),
                    Routing{.allowed = {}, .statistics = {}, .frozen = frozen}, activations,
                    given());
  }
  double loss() {
    std::vector<double> ignored(parameters.size());
    return loss_backward(shape, std::as_const(parameters).data(), window, predictions,
                         ignored.data(), activations);
  }
};

void check_gradient(const Shape& shape, float dropped_share) {
  INFO(describe(shape));
  SmallNetwork net(shape);
  net.activations.dropout = {.share = dropped_share, .seed = 3};
  net.forward(false);
  loss_backward(net.shape, std::as_const(net.parameters).data(), net.window, net.predictions,
                net.gradient.data(), net.activations);
  network_backward(net.shape, std::as_const(net.parameters).data(), net.symbols, net.window,
                   net.gradient.data(), net.activations, net.dvectors.data());
  const auto loss = [&net] { return net.forward(true), net.loss(); };
  // Tensor by tensor, so that a small one is not judged on the scale of a large one.
  CHECK(worst_error(net.vectors, net.dvectors, loss) < tolerance);
  for (const Tensor& tensor : tensors(net.shape)) {
    if (tensor.learning == Learning::none) continue;
    double worst = 0, largest = 1e-4;
    for (uint32_t k = 0; k < tensor.count; k += 1 + tensor.count / 40) {
      double& value = net.parameters[tensor.offset + k];
      const double saved = value;
      value = saved + step;
      const double up = loss();
      value = saved - step;
      const double down = loss();
      value = saved;
      const double difference = (up - down) / (2 * step);
      worst = std::max(worst, std::abs(difference - net.gradient[tensor.offset + k]));
      largest = std::max(largest, std::abs(difference));
    }
    INFO("tensor " << tensor.name << " of layer " << tensor.layer);
    CHECK(worst / largest < tolerance);
  }
}

}  // namespace

TEST_CASE(
    "the gradient of the whole network is right: carried state, starts inside rows, given vectors, "
    "sleeping regions") {
  for (const Shape& shape : example::odd_shapes()) check_gradient(shape, 0);
}

TEST_CASE("the gradient of the whole network is right with a mask of dropout that stays") {
  for (const Shape& shape : example::odd_shapes()) check_gradient(shape, 0.3f);
}

TEST_CASE("a region that no segment wakes has a gradient of exactly zero") {
  SmallNetwork net(example::odd_shape());
  net.forward(false);
  loss_backward(net.shape, std::as_const(net.parameters).data(), net.window, net.predictions,
                net.gradient.data(), net.activations);
  network_backward(net.shape, std::as_const(net.parameters).data(), net.symbols, net.window,
                   net.gradient.data(), net.activations);
  uint64_t woken = 0;
  for (size_t i = 0; i < net.activations.segments.size(); ++i)
    woken |= net.activations.layers[0].chosen[i];
  for (const Region& region : region_table(net.shape)) {
    if (region.kind != RegionKind::mlp || region.layer != 0) continue;
    const double size = kernels::dot(net.gradient.data() + region.offset,
                                     net.gradient.data() + region.offset, region.count);
    CHECK((size > 0) == ((woken >> region.index & 1) != 0));
  }
}

TEST_CASE("the gradient of the norm is right") {
  Rng rng(1);
  constexpr size_t rows = 3, width = 7;
  auto x = example::numbers<double>(rng, rows * width), gain = example::numbers<double>(rng, width);
  const auto weights = example::numbers<double>(rng, rows * width);
  std::vector<double> y(x.size()), inverse(rows), dx(x.size()), dgain(width);
  const auto loss = [&] {
    kernels::norm_forward(x.data(), gain.data(), y.data(), inverse.data(), rows, width);
    return weighted(y, weights);
  };
  loss();
  kernels::norm_backward(x.data(), gain.data(), inverse.data(), weights.data(), dx.data(),
                         dgain.data(), rows, width);
  CHECK(worst_error(x, dx, loss) < tolerance);
  CHECK(worst_error(gain, dgain, loss) < tolerance);
}

TEST_CASE("the gradient of the gated scan is right, with a state carried in") {
  Rng rng(2);
  const ScanExtent extent{.length = 9, .channels = 5};
  const size_t E = extent.channels, cells = extent.length * E;
  auto upz = example::numbers<double>(rng, 3 * cells, 2.0);
  auto fb = example::numbers<double>(rng, E), cw = example::numbers<double>(rng, taps * E);
  auto cb = example::numbers<double>(rng, E);
  const auto state = example::numbers<double>(rng, 4 * E),
             weights = example::numbers<double>(rng, cells);
  std::vector<double> h(cells), y(cells), dupz(3 * cells), dfb(E), dcw(taps * E), dcb(E);
  const auto loss = [&] {
    std::vector<double> moved = state;
    kernels::scan_forward(upz.data(), ScanWeights<double>{fb.data(), cw.data(), cb.data()},
                          moved.data(), h.data(), y.data(), extent);
    return weighted(y, weights);
  };
  loss();
  const std::vector<double> forward = y;
  kernels::scan_backward(upz.data(), ScanWeights<double>{fb.data(), cw.data(), cb.data()},
                         state.data(), h.data(), weights.data(), dupz.data(), y.data(),
                         ScanGradients<double>{dfb.data(), dcw.data(), dcb.data()}, extent);
  CHECK(y == forward);
  CHECK(worst_error(upz, dupz, loss) < tolerance);
  CHECK(worst_error(fb, dfb, loss) < tolerance);
  CHECK(worst_error(cw, dcw, loss) < tolerance);
  CHECK(worst_error(cb, dcb, loss) < tolerance);
}

TEST_CASE("the gradient of the gated MLP is right, its scale included") {
  Rng rng(3);
  constexpr size_t rows = 4, width = 5;
  auto vg = example::numbers<double>(rng, rows * 2 * width, 2.0);
  const auto weights = example::numbers<double>(rng, rows * width);
  std::vector<double> scale{0.7}, hidden(rows * width), dvg(vg.size()), dscale(1);
  const auto loss = [&] {
    kernels::gated_forward(vg.data(), scale[0], hidden.data(), rows, width);
    return weighted(hidden, weights);
  };
  loss();
  dscale[0] = kernels::gated_backward(vg.data(), scale[0], weights.data(), dvg.data(),
                                      hidden.data(), rows, width);
  CHECK(worst_error(vg, dvg, loss) < tolerance);
  CHECK(worst_error(scale, dscale, loss) < tolerance);
}

TEST_CASE("the gradient of the weighted cross-entropy is right") {
  Rng rng(4);
  constexpr size_t rows = 3, width = 6;
  auto logits = example::numbers<double>(rng, rows * width, 3.0);
  const std::vector<uint16_t> targets{2, 5, 0};
  const std::vector<double> weights{0.5, 0.0, 2.0};
  std::vector<double> gradient = logits;
  kernels::cross_entropy(gradient.data(), targets.data(), weights.data(), rows, width);
  const auto loss = [&] {
    std::vector<double> copy = logits;
    return kernels::cross_entropy(copy.data(), targets.data(), weights.data(), rows, width);
  };
  CHECK(worst_error(logits, gradient, loss) < tolerance);
}

}  // namespace starling::model
