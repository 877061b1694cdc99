// The first parameters. Every node of a swarm computes them by itself, so they must be the same
// bits everywhere: integer random numbers, +, -, *, / and sqrt as IEEE 754 defines them, no fused
// operations (this file is compiled with -ffp-contract=off), no libm. Values are rounded to
// multiples of 2^-24, the grid of the swarm's fixed-point base.
#include <cassert>
#include <cmath>

#include "model/parameters.h"
#include "model/rng.h"

namespace starling::model {
namespace {

// e^x for |x| <= 4 by 32 terms of the series after halving x four times.
double portable_exp(double x) {
  const double small = x / 16.0;
  double term = 1.0, sum = 1.0;
  for (int i = 1; i <= 32; ++i) {
    term = term * small / static_cast<double>(i);
    sum = sum + term;
  }
  for (int i = 0; i < 4; ++i) sum = sum * sum;
  return sum;
}

// ln x for x in [1/512, 512]: roots bring x near 1, then 2 artanh((x-1)/(x+1)) by its series.
double portable_log(double x) {
  double scale = 2.0;
  for (int i = 0; i < 8; ++i) {
    x = std::sqrt(x);
    scale = scale * 2.0;
  }
  const double ratio = (x - 1.0) / (x + 1.0), square = ratio * ratio;
  double power = ratio, sum = 0.0;
  for (int i = 1; i < 32; i += 2) {
    sum = sum + power / static_cast<double>(i);
    power = power * square;
  }
  return scale * sum;
}

// The sum of twelve uniform numbers has variance 1 and is normal enough (Irwin-Hall).
double normal(Rng& rng) {
  int64_t sum = 0;
  for (int i = 0; i < 3; ++i) {
    uint64_t word = rng.next();
    for (int j = 0; j < 4; ++j, word >>= 16) sum += static_cast<int64_t>(word & 0xffff);
  }
  return static_cast<double>(2 * sum - 12 * 65535) / 131072.0;
}

float on_grid(double value) {
  const double scaled = value * 16777216.0;
  const auto steps = static_cast<int64_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
  return static_cast<float>(static_cast<double>(steps) / 16777216.0);
}

class Writer {
 public:
  Writer(std::vector<float>& out, uint64_t seed) : out_(out), rng_(seed) {}

  void constant(size_t count, double value) { out_.insert(out_.end(), count, on_grid(value)); }
  void random(size_t count, double mean, double deviation) {
    for (size_t i = 0; i < count; ++i) out_.push_back(on_grid(mean + deviation * normal(rng_)));
  }
  // logit(exp(-1/tau)) = -ln(e^(1/tau) - 1) with tau log-spaced from low to high.
  void time_constants(size_t count, double low, double high) {
    const double range = portable_log(high / low);
    for (size_t i = 0; i < count; ++i) {
      const double place =
          count > 1 ? static_cast<double>(i) / static_cast<double>(count - 1) : 0.0;
      double tau = low;
      for (int quarter = 0; quarter < 4; ++quarter) tau = tau * portable_exp(range * place / 4.0);
      out_.push_back(on_grid(-portable_log(portable_exp(1.0 / tau) - 1.0)));
    }
  }

 private:
  std::vector<float>& out_;
  Rng rng_;
};

void write_layer(Writer& writer, const Shape& shape) {
  const size_t D = shape.width, E = shape.channels, m = shape.mlp_width / shape.regions;
  const double depth = 2.0 * shape.layers, width = shape.width, channels = shape.channels;
  const double active = awake_count(shape) + selected_count(shape);
  const double awake_width = static_cast<double>(m) * active;  // fan-in of the second MLP matrix
  writer.constant(D, 1.0);
  writer.random(gate_count(shape) * E * D, 0.0, 1.0 / std::sqrt(width));
  writer.time_constants(E / 2, 2.0, 256.0);  // the decay section
  writer.time_constants(E / 2, 1.0, 32.0);   // the slope section
  writer.random(E, 1.0, 0.1);
  writer.random((taps - 1) * E, 0.0, 0.1);
  writer.constant(E, 0.0);
  writer.random(D * E, 0.0, 1.0 / std::sqrt(channels * depth));
  writer.constant(D, 1.0);
  for (uint32_t region = 0; region < shape.regions; ++region) {
    writer.random(2 * m * D, 0.0, 1.0 / std::sqrt(width));
    writer.random(m * D, 0.0, 1.0 / std::sqrt(awake_width * depth));
    writer.random(D, 0.0, 0.5 / std::sqrt(width));
  }
  writer.constant(D, 0.0);
  writer.constant(D, 1.0);
  writer.constant(shape.regions, 0.0);
}

}  // namespace

std::vector<float> genesis(const Shape& shape, uint64_t seed) {
  assert(is_valid(shape));
  std::vector<float> parameters;
  parameters.reserve(parameter_count(shape));
  Writer writer(parameters, seed);
  writer.random(size_t{vocabulary} * shape.width, 0.0, 1.0 / std::sqrt(double{1} * shape.width));
  writer.constant(shape.width, 1.0);
  for (uint32_t layer = 0; layer < shape.layers; ++layer) write_layer(writer, shape);
  assert(parameters.size() == parameter_count(shape));
  return parameters;
}

}  // namespace starling::model
