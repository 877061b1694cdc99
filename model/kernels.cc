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

// e^x for x clamped to +-87, relative error about 2e-7: x = n ln 2 + r, Taylor series of degree 6
// in |r| <= ln 2 / 2.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exponential(D d, V x) {
  x = hn::Min(hn::Max(x, hn::Set(d, -87.0f)), hn::Set(d, 87.0f));
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

template <class D>
HWY_INLINE void scan_forward_channels(D d, const float* upz, const ScanWeights<float>& weights,
                                      float* state, float* h, float* y, ScanExtent extent,
                                      size_t c) {
  const size_t channels = extent.channels;
  const auto fb = hn::LoadU(d, weights.fb + c), cb = hn::LoadU(d, weights.cb + c);
  const auto w0 = hn::LoadU(d, weights.cw + c), w1 = hn::LoadU(d, weights.cw + channels + c);
  const auto w2 = hn::LoadU(d, weights.cw + 2 * channels + c);
  const auto w3 = hn::LoadU(d, weights.cw + 3 * channels + c);
  auto hidden = hn::LoadU(d, state + c), p1 = hn::LoadU(d, state + channels + c);
  auto p2 = hn::LoadU(d, state + 2 * channels + c), p3 = hn::LoadU(d, state + 3 * channels + c);
  const float* row = upz + c;
  for (size_t t = 0; t < extent.length; ++t, row += 3 * channels) {
    const auto u = hn::LoadU(d, row), p0 = hn::LoadU(d, row + channels);
    const auto f = gate_of(d, hn::Add(hn::LoadU(d, row + 2 * channels), fb));
    auto v = hn::MulAdd(w3, p3, cb);
    v = hn::MulAdd(w2, p2, v);
    v = hn::MulAdd(w1, p1, v);
    v = hn::MulAdd(w0, p0, v);
    hidden = hn::MulAdd(f.open, hidden, hn::Mul(f.closed, v));
    hn::StoreU(hidden, d, h + t * channels + c);
    const auto silu = hn::Mul(u, gate_of(d, u).open);
    hn::StoreU(hn::Mul(silu, hidden), d, y + t * channels + c);
    p3 = p2, p2 = p1, p1 = p0;
  }
  hn::StoreU(hidden, d, state + c);
  hn::StoreU(p1, d, state + channels + c);
  hn::StoreU(p2, d, state + 2 * channels + c);
  hn::StoreU(p3, d, state + 3 * channels + c);
}

void scan_forward(const float* upz, ScanWeights<float> weights, float* state, float* h, float* y,
                  ScanExtent extent) {
  for_vectors(extent.channels, [&](auto d, size_t c) HWY_ATTR {
    scan_forward_channels(d, upz, weights, state, h, y, extent, c);
  });
}

// What the reverse scan of one block of channels sums up over time.
template <class V>
struct ScanSums {
  V dfb, dcb, dw0, dw1, dw2, dw3;
};

template <class D>
HWY_INLINE void add_scan_sums(D d, const ScanSums<hn::Vec<D>>& sums,
                              const ScanGradients<float>& gradients, size_t channels, size_t c) {
  const hn::Vec<D> parts[6] = {sums.dfb, sums.dcb, sums.dw0, sums.dw1, sums.dw2, sums.dw3};
  float* out[6] = {gradients.dfb + c,
                   gradients.dcb + c,
                   gradients.dcw + c,
                   gradients.dcw + channels + c,
                   gradients.dcw + 2 * channels + c,
                   gradients.dcw + 3 * channels + c};
  for (size_t i = 0; i < 6; ++i) hn::StoreU(hn::Add(parts[i], hn::LoadU(d, out[i])), d, out[i]);
}

template <class D>
HWY_INLINE void scan_backward_channels(D d, const float* upz, const ScanWeights<float>& weights,
                                       const float* state, const float* h, const float* dy,
                                       float* dupz, float* y, const ScanGradients<float>& gradients,
                                       ScanExtent extent, size_t c) {
  using V = hn::Vec<D>;
  const size_t channels = extent.channels, stride = 3 * channels;
  const V fb = hn::LoadU(d, weights.fb + c), cb = hn::LoadU(d, weights.cb + c);
  const V w0 = hn::LoadU(d, weights.cw + c), w1 = hn::LoadU(d, weights.cw + channels + c);
  const V w2 = hn::LoadU(d, weights.cw + 2 * channels + c);
  const V w3 = hn::LoadU(d, weights.cw + 3 * channels + c);
  const V zero = hn::Zero(d), one = hn::Set(d, 1.0f);
  V carried = zero, dv1 = zero, dv2 = zero, dv3 = zero;
  ScanSums<V> sums{zero, zero, zero, zero, zero, zero};
  const float* p = upz + channels + c;
  const auto back = [&](size_t t, size_t j) HWY_ATTR {
    return hn::LoadU(d, t >= j ? p + (t - j) * stride : state + (j - t) * channels + c);
  };
  V p0 = back(extent.length - 1, 0), p1 = back(extent.length - 1, 1);
  V p2 = back(extent.length - 1, 2), now = hn::LoadU(d, h + (extent.length - 1) * channels + c);
  for (size_t t = extent.length; t-- > 0;) {
    const float* row = upz + t * stride + c;
    const V u = hn::LoadU(d, row), q = hn::LoadU(d, dy + t * channels + c), p3 = back(t, 3);
    const V before = hn::LoadU(d, t > 0 ? h + (t - 1) * channels + c : state + c);
    const auto f = gate_of(d, hn::Add(hn::LoadU(d, row + 2 * channels), fb));
    const auto s = gate_of(d, u);
    V v = hn::MulAdd(w3, p3, cb);
    v = hn::MulAdd(w2, p2, v);
    v = hn::MulAdd(w1, p1, v);
    v = hn::MulAdd(w0, p0, v);
    const V silu = hn::Mul(u, s.open);
    const V g = hn::MulAdd(q, silu, carried);
    const V dv = hn::Mul(g, f.closed);
    const V dz = hn::Mul(hn::Mul(dv, f.open), hn::Sub(before, v));
    carried = hn::Mul(f.open, g);
    V dp = hn::Mul(w0, dv);
    dp = hn::MulAdd(w1, dv1, dp);
    dp = hn::MulAdd(w2, dv2, dp);
    dp = hn::MulAdd(w3, dv3, dp);
    const V slope = hn::Mul(s.open, hn::MulAdd(u, s.closed, one));
    float* out = dupz + t * stride + c;
    hn::StoreU(hn::Mul(hn::Mul(q, now), slope), d, out);
    hn::StoreU(dp, d, out + channels);
    hn::StoreU(dz, d, out + 2 * channels);
    hn::StoreU(hn::Mul(silu, now), d, y + t * channels + c);
    sums.dfb = hn::Add(sums.dfb, dz);
    sums.dcb = hn::Add(sums.dcb, dv);
    sums.dw0 = hn::MulAdd(dv, p0, sums.dw0);
    sums.dw1 = hn::MulAdd(dv, p1, sums.dw1);
    sums.dw2 = hn::MulAdd(dv, p2, sums.dw2);
    sums.dw3 = hn::MulAdd(dv, p3, sums.dw3);
    p0 = p1, p1 = p2, p2 = p3, now = before;
    dv3 = dv2, dv2 = dv1, dv1 = dv;
  }
  add_scan_sums(d, sums, gradients, channels, c);
}

void scan_backward(const float* upz, ScanWeights<float> weights, const float* state, const float* h,
                   const float* dy, float* dupz, float* y, ScanGradients<float> gradients,
                   ScanExtent extent) {
  for_vectors(extent.channels, [&](auto d, size_t c) HWY_ATTR {
    scan_backward_channels(d, upz, weights, state, h, dy, dupz, y, gradients, extent, c);
  });
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
    float largest = *std::max_element(logits, logits + width);
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

void scale_add(float a, const float* x, float* y, size_t count) {
  for_vectors(count, [&](auto d, size_t i) HWY_ATTR {
    hn::StoreU(hn::MulAdd(hn::Set(d, a), hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, y + i);
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
