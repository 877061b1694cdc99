// The element-wise kernels: norms, the gated scan, the gated MLP, the loss and the optimiser. Each
// is the vector form of the function of the same name in reference.h.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/kernels.cc"
#include "model/kernels.h"

#include <algorithm>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace starling::model::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, 16>;
constexpr size_t lanes = hn::MaxLanes(Tag());

// e^x for |x| <= 87, relative error about 2e-7: x = n ln 2 + r, Taylor series of degree 6 in
// |r| <= ln 2 / 2.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exponential_in_range(D d, V x) {
  const V n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504f)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);  // ln 2 in two parts; the first has few bits
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  V sum = hn::Set(d, 1.0f / 720);
  sum = hn::MulAdd(sum, r, hn::Set(d, 1.0f / 120));
  sum = hn::MulAdd(sum, r, hn::Set(d, 1.0f / 24));
  sum = hn::MulAdd(sum, r, hn::Set(d, 1.0f / 6));
  sum = hn::MulAdd(sum, r, hn::Set(d, 0.5f));
  sum = hn::MulAdd(sum, r, hn::Set(d, 1.0f));
  sum = hn::MulAdd(sum, r, hn::Set(d, 1.0f));
  const hn::RebindToSigned<D> di;
  const auto power = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::Mul(sum, hn::BitCast(d, power));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V exponential(D d, V x) {
  return exponential_in_range(d, hn::Min(hn::Max(x, hn::Set(d, -87.0f)), hn::Set(d, 87.0f)));
}

template <class V>
struct Gate {
  V open;    // sigmoid(x)
  V closed;  // 1 - sigmoid(x), without cancellation
};

template <class D, class V = hn::Vec<D>>
HWY_INLINE Gate<V> gate_of(D d, V x) {
  const V e = exponential(d, hn::Neg(x));
  const V open = hn::Div(hn::Set(d, 1.0f), hn::Add(hn::Set(d, 1.0f), e));
  return {open, hn::Mul(e, open)};
}

// Covers [0, count) with vectors of 16, 8, 4 and 1 floats (as far as the target has them).
template <class Body>
HWY_INLINE void for_vectors(size_t count, const Body& body) {
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) body(Tag(), i);
  if constexpr (lanes > 8)
    if (i + 8 <= count) body(hn::CappedTag<float, 8>(), i), i += 8;
  if constexpr (lanes > 4)
    if (i + 4 <= count) body(hn::CappedTag<float, 4>(), i), i += 4;
  for (; i < count; ++i) body(hn::CappedTag<float, 1>(), i);
}

HWY_INLINE float sum_of_products(const float* x, const float* y, size_t count) {
  const Tag d;
  auto a = hn::Zero(d), b = hn::Zero(d);
  size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    a = hn::MulAdd(hn::LoadU(d, x + i), hn::LoadU(d, y + i), a);
    b = hn::MulAdd(hn::LoadU(d, x + i + lanes), hn::LoadU(d, y + i + lanes), b);
  }
  for (; i + lanes <= count; i += lanes)
    a = hn::MulAdd(hn::LoadU(d, x + i), hn::LoadU(d, y + i), a);
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(a, b)));
  for (; i < count; ++i) sum += x[i] * y[i];
  return sum;
}

// NaN where one of x is not finite. Requires: count > 0.
HWY_INLINE float largest_of(const float* x, size_t count) {
  const Tag d;
  auto a = hn::Set(d, x[0]), b = a, zeros = hn::Zero(d);  // 0 times what is not finite is NaN
  size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto first = hn::LoadU(d, x + i), second = hn::LoadU(d, x + i + lanes);
    a = hn::Max(a, first);
    b = hn::Max(b, second);
    zeros = hn::MulAdd(hn::Add(first, second), hn::Zero(d), zeros);
  }
  float largest = hn::GetLane(hn::MaxOfLanes(d, hn::Max(a, b)));
  float zero = hn::GetLane(hn::SumOfLanes(d, zeros));
  for (; i < count; ++i) largest = std::max(largest, x[i]), zero += 0.0f * x[i];
  return largest + zero;
}

void norm_forward(const float* x, const float* gain, float* y, float* inverse, size_t rows,
                  size_t width) {
  for (size_t n = 0; n < rows; ++n, x += width, y += width) {
    const float mean = sum_of_products(x, x, width) / static_cast<float>(width);
    const float r = 1.0f / std::sqrt(mean + static_cast<float>(norm_epsilon));
    inverse[n] = r;
    for_vectors(width, [&](auto d, size_t i) HWY_ATTR {
      const auto scaled = hn::Mul(hn::LoadU(d, x + i), hn::Set(d, r));
      hn::StoreU(hn::Mul(scaled, hn::LoadU(d, gain + i)), d, y + i);
    });
  }
}

void norm_backward(const float* x, const float* gain, const float* inverse, const float* dy,
                   float* dx, float* dgain, size_t rows, size_t width) {
  for (size_t n = 0; n < rows; ++n, x += width, dy += width, dx += width) {
    const Tag d;
    const float r = inverse[n];
    auto sums = hn::Zero(d);
    size_t k = 0;
    for (; k + lanes <= width; k += lanes) {
      const auto product = hn::Mul(hn::LoadU(d, dy + k), hn::LoadU(d, x + k));
      sums = hn::MulAdd(product, hn::LoadU(d, gain + k), sums);
    }
    float sum = hn::GetLane(hn::SumOfLanes(d, sums));
    for (; k < width; ++k) sum += gain[k] * dy[k] * x[k];
    sum *= r * r * r / static_cast<float>(width);
    for_vectors(width, [&](auto t, size_t i) HWY_ATTR {
      const auto value = hn::LoadU(t, x + i);
      const auto scaled = hn::Mul(hn::LoadU(t, dy + i), hn::Set(t, r));
      auto out = hn::MulAdd(scaled, hn::LoadU(t, gain + i), hn::LoadU(t, dx + i));
      out = hn::NegMulAdd(value, hn::Set(t, sum), out);
      hn::StoreU(out, t, dx + i);
      hn::StoreU(hn::MulAdd(scaled, value, hn::LoadU(t, dgain + i)), t, dgain + i);
    });
  }
}

void scale_add(float a, const float* x, float* y, size_t count) {
  for_vectors(count, [&](auto d, size_t i) HWY_ATTR {
    hn::StoreU(hn::MulAdd(hn::Set(d, a), hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, y + i);
  });
}

// Both scans go through time outside and channels inside, so that memory is read in its order; what
// they carry from token to token stays in the first-level cache, a block of channels at a time.
constexpr size_t scan_block = 256;

// Two gates for one division. Beyond +-43 a gate's small side is below 1e-18 either way.
template <class V>
struct GatePair {
  Gate<V> first, second;
};

template <class D, class V = hn::Vec<D>>
HWY_INLINE GatePair<V> gates_of(D d, V x, V y) {
  const V one = hn::Set(d, 1.0f), limit = hn::Set(d, -43.0f);
  const V a = exponential_in_range(d, hn::Max(limit, hn::Min(hn::Neg(x), hn::Neg(limit))));
  const V b = exponential_in_range(d, hn::Max(limit, hn::Min(hn::Neg(y), hn::Neg(limit))));
  const V a1 = hn::Add(one, a), b1 = hn::Add(one, b);
  const V both = hn::Div(one, hn::Mul(a1, b1));
  const V open_x = hn::Mul(both, b1), open_y = hn::Mul(both, a1);
  return {{open_x, hn::Mul(a, open_x)}, {open_y, hn::Mul(b, open_y)}};
}

// p of the token j before t, which may lie in the incoming state.
HWY_INLINE const float* looked_back(const float* upz, const float* state, size_t t, size_t j,
                                    size_t channels) {
  return t >= j ? upz + (t - j) * 3 * channels + channels : state + (j - t) * channels;
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V convolved(D d, const ScanWeights<float>& weights, size_t channels, size_t c,
                       const V (&p)[taps]) {
  V v = hn::LoadU(d, weights.cb + c);
#pragma GCC unroll 4
  for (size_t j = 0; j < taps; ++j)
    v = hn::MulAdd(hn::LoadU(d, weights.cw + j * channels + c), p[j], v);
  return v;
}

void scan_forward(const float* upz, ScanWeights<float> weights, float* state, float* h, float* y,
                  ScanExtent extent) {
  const size_t channels = extent.channels;
  for (size_t t = 0; t < extent.length; ++t) {
    const float* row = upz + t * 3 * channels;
    const float* before = t > 0 ? h + (t - 1) * channels : state;
    const float* back[taps];
    for (size_t j = 0; j < taps; ++j) back[j] = looked_back(upz, state, t, j, channels);
    for_vectors(channels, [&](auto d, size_t c) HWY_ATTR {
      using V = hn::Vec<decltype(d)>;
      const V u = hn::LoadU(d, row + c);
      const V z = hn::Add(hn::LoadU(d, row + 2 * channels + c), hn::LoadU(d, weights.fb + c));
      const auto gates = gates_of(d, z, u);
      const V p[taps] = {hn::LoadU(d, back[0] + c), hn::LoadU(d, back[1] + c),
                         hn::LoadU(d, back[2] + c), hn::LoadU(d, back[3] + c)};
      const V v = convolved(d, weights, channels, c, p);
      const V hidden =
          hn::MulAdd(gates.first.open, hn::LoadU(d, before + c), hn::Mul(gates.first.closed, v));
      hn::StoreU(hidden, d, h + t * channels + c);
      hn::StoreU(hn::Mul(hn::Mul(u, gates.second.open), hidden), d, y + t * channels + c);
    });
  }
  if (extent.length == 0) return;
  for (size_t j = taps; j-- > 1;)  // the oldest first: it may come from a younger one's place
    std::copy_n(looked_back(upz, state, extent.length, j, channels), channels,
                state + j * channels);
  std::copy_n(h + (extent.length - 1) * channels, channels, state);
}

// What the reverse scan of one block of channels carries backwards, and what it sums up over time.
struct ScanBlock {
  HWY_ALIGN float carried[scan_block] = {};
  HWY_ALIGN float dv[taps - 1][scan_block] = {};  // a ring: of token t in place t % 3
  HWY_ALIGN float dfb[scan_block] = {};
  HWY_ALIGN float dcb[scan_block] = {};
  HWY_ALIGN float dcw[taps][scan_block] = {};
};

template <class D, class V = hn::Vec<D>>
HWY_INLINE void accumulate(D d, V value, float* sum) {
  hn::StoreU(hn::Add(value, hn::LoadU(d, sum)), d, sum);
}

struct ScanPlace {
  const float* row;         // u | p | z of the token
  const float* back[taps];  // p of it and of the tokens before
  const float* before;      // h of the token before
  const float* now;
  const float* dy;
  float* dupz;
  float* y;
  const float* dv_after[taps - 1];
  float* dv;
};

// `c` counts from the whole row's first channel, `i` from the block's.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void scan_backward_step(D d, const ScanWeights<float>& weights, size_t channels,
                                   const ScanPlace& at, ScanBlock& block, size_t c, size_t i) {
  const V u = hn::LoadU(d, at.row + c), q = hn::LoadU(d, at.dy + c);
  const V z = hn::Add(hn::LoadU(d, at.row + 2 * channels + c), hn::LoadU(d, weights.fb + c));
  const V before = hn::LoadU(d, at.before + c), now = hn::LoadU(d, at.now + c);
  const auto gates = gates_of(d, z, u);
  const auto& [f, s] = gates;
  const V p[taps] = {hn::LoadU(d, at.back[0] + c), hn::LoadU(d, at.back[1] + c),
                     hn::LoadU(d, at.back[2] + c), hn::LoadU(d, at.back[3] + c)};
  const V v = convolved(d, weights, channels, c, p);
  const V silu = hn::Mul(u, s.open);
  const V g = hn::MulAdd(q, silu, hn::Load(d, block.carried + i));
  const V dv = hn::Mul(g, f.closed);
  const V dz = hn::Mul(hn::Mul(dv, f.open), hn::Sub(before, v));
  V dp = hn::Mul(hn::LoadU(d, weights.cw + c), dv);
#pragma GCC unroll 4
  for (size_t j = 1; j < taps; ++j)
    dp = hn::MulAdd(hn::LoadU(d, weights.cw + j * channels + c),
                    hn::Load(d, at.dv_after[j - 1] + i), dp);
  const V slope = hn::Mul(s.open, hn::MulAdd(u, s.closed, hn::Set(d, 1.0f)));
  hn::StoreU(hn::Mul(hn::Mul(q, now), slope), d, at.dupz + c);
  hn::StoreU(dp, d, at.dupz + channels + c);
  hn::StoreU(dz, d, at.dupz + 2 * channels + c);
  hn::StoreU(hn::Mul(silu, now), d, at.y + c);
  hn::Store(hn::Mul(f.open, g), d, block.carried + i);
  hn::Store(dv, d, at.dv + i);
  accumulate(d, dz, block.dfb + i);
  accumulate(d, dv, block.dcb + i);
#pragma GCC unroll 4
  for (size_t j = 0; j < taps; ++j) accumulate(d, hn::Mul(dv, p[j]), block.dcw[j] + i);
}

void scan_backward(const float* upz, ScanWeights<float> weights, const float* state, const float* h,
                   const float* dy, float* dupz, float* y, ScanGradients<float> gradients,
                   ScanExtent extent) {
  const size_t channels = extent.channels;
  for (size_t first = 0; first < channels; first += scan_block) {
    const size_t count = std::min(scan_block, channels - first);
    ScanBlock block;
    for (size_t t = extent.length; t-- > 0;) {
      ScanPlace at{};
      at.row = upz + t * 3 * channels;
      for (size_t j = 0; j < taps; ++j) at.back[j] = looked_back(upz, state, t, j, channels);
      at.before = t > 0 ? h + (t - 1) * channels : state;
      at.now = h + t * channels;
      at.dy = dy + t * channels;
      at.dupz = dupz + t * 3 * channels;
      at.y = y + t * channels;
      for (size_t j = 1; j < taps; ++j) at.dv_after[j - 1] = block.dv[(t + j) % (taps - 1)];
      at.dv = block.dv[t % (taps - 1)];
      for_vectors(count, [&](auto d, size_t i) HWY_ATTR {
        scan_backward_step(d, weights, channels, at, block, first + i, i);
      });
    }
    scale_add(1.0f, block.dfb, gradients.dfb + first, count);
    scale_add(1.0f, block.dcb, gradients.dcb + first, count);
    for (size_t j = 0; j < taps; ++j)
      scale_add(1.0f, block.dcw[j], gradients.dcw + j * channels + first, count);
  }
}

void gated_forward(const float* vg, float scale, float* hidden, size_t rows, size_t width) {
  for (size_t n = 0; n < rows; ++n, vg += 2 * width, hidden += width)
    for_vectors(width, [&](auto d, size_t i) HWY_ATTR {
      const auto gate = hn::LoadU(d, vg + width + i);
      const auto silu = hn::Mul(gate, gate_of(d, gate).open);
      const auto value = hn::Mul(hn::LoadU(d, vg + i), hn::Set(d, scale));
      hn::StoreU(hn::Mul(value, silu), d, hidden + i);
    });
}

float gated_backward(const float* vg, float scale, const float* dhidden, float* dvg, float* hidden,
                     size_t rows, size_t width) {
  float dscale = 0;
  for (size_t n = 0; n < rows; ++n) {
    for_vectors(width, [&](auto d, size_t i) HWY_ATTR {
      const auto value = hn::LoadU(d, vg + i), gate = hn::LoadU(d, vg + width + i);
      const auto s = gate_of(d, gate);
      const auto silu = hn::Mul(gate, s.open), factor = hn::Set(d, scale);
      const auto slope = hn::Mul(s.open, hn::MulAdd(gate, s.closed, hn::Set(d, 1.0f)));
      const auto dscaled = hn::Mul(hn::LoadU(d, dhidden + i), factor);
      hn::StoreU(hn::Mul(hn::Mul(value, silu), factor), d, hidden + i);
      hn::StoreU(hn::Mul(dscaled, silu), d, dvg + i);
      hn::StoreU(hn::Mul(hn::Mul(dscaled, value), slope), d, dvg + width + i);
    });
    dscale += sum_of_products(dhidden, hidden, width);
    vg += 2 * width, dvg += 2 * width, hidden += width, dhidden += width;
  }
  return dscale / scale;
}

void slow_mean(const float* x, float keep, float* mean, size_t rows, size_t width) {
  for_vectors(width, [&](auto d, size_t i) HWY_ATTR {
    const auto old = hn::Set(d, keep), fresh = hn::Set(d, 1.0f - keep);
    auto sum = hn::LoadU(d, mean + i);
    for (size_t n = 0; n < rows; ++n)
      sum = hn::MulAdd(old, sum, hn::Mul(fresh, hn::LoadU(d, x + n * width + i)));
    hn::StoreU(sum, d, mean + i);
  });
}

double cross_entropy(float* logits, const uint16_t* targets, const float* weights, size_t rows,
                     size_t width) {
  double loss = 0;
  for (size_t n = 0; n < rows; ++n, logits += width) {
    const Tag d;
    const float largest = largest_of(logits, width);
    const float chosen = logits[targets[n]] - largest;
    auto sums = hn::Zero(d);
    float rest = 0;
    for_vectors(width, [&](auto t, size_t i) HWY_ATTR {
      const auto e = exponential(t, hn::Sub(hn::LoadU(t, logits + i), hn::Set(t, largest)));
      hn::StoreU(e, t, logits + i);
      if constexpr (hn::MaxLanes(t) == lanes)
        sums = hn::Add(sums, e);
      else
        rest += hn::GetLane(hn::SumOfLanes(t, e));
    });
    const float sum = hn::GetLane(hn::SumOfLanes(d, sums)) + rest;
    loss += static_cast<double>(weights[n]) *
            (std::log(static_cast<double>(sum)) - static_cast<double>(chosen));
    const float scale = weights[n] / sum;
    for_vectors(width, [&](auto t, size_t i) HWY_ATTR {
      hn::StoreU(hn::Mul(hn::LoadU(t, logits + i), hn::Set(t, scale)), t, logits + i);
    });
    logits[targets[n]] -= weights[n];
  }
  return loss;
}

void adam(float* x, const float* dx, float* m, float* v, size_t count, const AdamRates& rates) {
  for_vectors(count, [&](auto d, size_t i) HWY_ATTR {
    const auto g = hn::Mul(hn::LoadU(d, dx + i), hn::Set(d, rates.gradient_scale));
    const auto first = hn::MulAdd(hn::Set(d, rates.beta1), hn::LoadU(d, m + i),
                                  hn::Mul(hn::Set(d, 1 - rates.beta1), g));
    const auto second = hn::MulAdd(hn::Set(d, rates.beta2), hn::LoadU(d, v + i),
                                   hn::Mul(hn::Mul(hn::Set(d, 1 - rates.beta2), g), g));
    hn::StoreU(first, d, m + i);
    hn::StoreU(second, d, v + i);
    const auto root = hn::Sqrt(hn::Mul(second, hn::Set(d, rates.correction2)));
    const auto step = hn::Div(hn::Mul(first, hn::Set(d, rates.learning_rate * rates.correction1)),
                              hn::Add(root, hn::Set(d, 1e-8f)));
    const auto kept = hn::Set(d, 1 - rates.learning_rate * rates.decay);
    hn::StoreU(hn::Sub(hn::Mul(hn::LoadU(d, x + i), kept), step), d, x + i);
  });
}

double dot(const float* x, const float* y, size_t count) {
  constexpr size_t block = 4096;  // summed in float, the blocks in double
  double sum = 0;
  for (size_t i = 0; i < count; i += block)
    sum += static_cast<double>(sum_of_products(x + i, y + i, std::min(block, count - i)));
  return sum;
}

int64_t target_chosen() { return HWY_TARGET; }

}  // namespace HWY_NAMESPACE
}  // namespace starling::model::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace starling::model::kernels {

HWY_EXPORT(norm_forward);
HWY_EXPORT(norm_backward);
HWY_EXPORT(scan_forward);
HWY_EXPORT(scan_backward);
HWY_EXPORT(gated_forward);
HWY_EXPORT(gated_backward);
HWY_EXPORT(slow_mean);
HWY_EXPORT(cross_entropy);
HWY_EXPORT(adam);
HWY_EXPORT(scale_add);
HWY_EXPORT(dot);
HWY_EXPORT(target_chosen);

std::string_view isa() { return hwy::TargetName(HWY_DYNAMIC_DISPATCH(target_chosen)()); }

void norm_forward(const float* x, const float* gain, float* y, float* inverse, size_t rows,
                  size_t width) {
  HWY_DYNAMIC_DISPATCH(norm_forward)(x, gain, y, inverse, rows, width);
}
void norm_backward(const float* x, const float* gain, const float* inverse, const float* dy,
                   float* dx, float* dgain, size_t rows, size_t width) {
  HWY_DYNAMIC_DISPATCH(norm_backward)(x, gain, inverse, dy, dx, dgain, rows, width);
}
void scan_forward(const float* upz, ScanWeights<float> weights, float* state, float* h, float* y,
                  ScanExtent extent) {
  HWY_DYNAMIC_DISPATCH(scan_forward)(upz, weights, state, h, y, extent);
}
void scan_backward(const float* upz, ScanWeights<float> weights, const float* state, const float* h,
                   const float* dy, float* dupz, float* y, ScanGradients<float> gradients,
                   ScanExtent extent) {
  HWY_DYNAMIC_DISPATCH(scan_backward)(upz, weights, state, h, dy, dupz, y, gradients, extent);
}
void gated_forward(const float* vg, float scale, float* hidden, size_t rows, size_t width) {
  HWY_DYNAMIC_DISPATCH(gated_forward)(vg, scale, hidden, rows, width);
}
float gated_backward(const float* vg, float scale, const float* dhidden, float* dvg, float* hidden,
                     size_t rows, size_t width) {
  return HWY_DYNAMIC_DISPATCH(gated_backward)(vg, scale, dhidden, dvg, hidden, rows, width);
}
void slow_mean(const float* x, float keep, float* mean, size_t rows, size_t width) {
  HWY_DYNAMIC_DISPATCH(slow_mean)(x, keep, mean, rows, width);
}
double cross_entropy(float* logits, const uint16_t* targets, const float* weights, size_t rows,
                     size_t width) {
  return HWY_DYNAMIC_DISPATCH(cross_entropy)(logits, targets, weights, rows, width);
}
void adam(float* x, const float* dx, float* m, float* v, size_t count, const AdamRates& rates) {
  HWY_DYNAMIC_DISPATCH(adam)(x, dx, m, v, count, rates);
}
void add(const float* x, float* y, size_t count) { scale_add(1.0f, x, y, count); }
void scale_add(float a, const float* x, float* y, size_t count) {
  HWY_DYNAMIC_DISPATCH(scale_add)(a, x, y, count);
}
double sum_of_squares(const float* x, size_t count) { return dot(x, x, count); }
double dot(const float* x, const float* y, size_t count) {
  return HWY_DYNAMIC_DISPATCH(dot)(x, y, count);
}

}  // namespace starling::model::kernels
#endif  // HWY_ONCE
