#pragma once
// The naive form of every kernel, for float and double: the definition that the fast kernels are
// tested against, and the arithmetic of gradient checks in double precision. All arrays are
// row-major without gaps.
#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace starling::model {

template <typename T>
concept Real = std::same_as<T, float> || std::same_as<T, double>;

// A product's output is (rows, columns); `depth` is what is summed over.
struct Extent {
  size_t rows;
  size_t columns;
  size_t depth;
};

struct ScanExtent {
  size_t length;    // T
  size_t channels;  // E
};

inline constexpr size_t taps = 4;             // of the depthwise convolution
inline constexpr double norm_epsilon = 1e-6;  // as in the prototype

template <Real R>
struct ScanWeights {
  const R* fb;  // (E)
  const R* cw;  // (taps, E), tap j looks back j tokens
  const R* cb;  // (E)
};

template <Real R>
struct ScanGradients {
  R* dfb;
  R* dcw;
  R* dcb;
};

struct AdamRates {
  float gradient_scale;  // of clipping
  float learning_rate;
  float beta1;
  float beta2;
  float decay;        // 0 where the tensor is not a matrix
  float correction1;  // 1 / (1 - beta1^t)
  float correction2;  // 1 / (1 - beta2^t)
};

namespace reference {

template <Real R>
R sigmoid(R x) {
  return R(1) / (R(1) + std::exp(-x));
}

template <Real R>
void multiply_nt(const R* x, const R* w, R* y, Extent extent, bool add) {
  for (size_t i = 0; i < extent.rows; ++i)
    for (size_t j = 0; j < extent.columns; ++j) {
      R sum = add ? y[i * extent.columns + j] : R(0);
      for (size_t k = 0; k < extent.depth; ++k)
        sum += x[i * extent.depth + k] * w[j * extent.depth + k];
      y[i * extent.columns + j] = sum;
    }
}

template <Real R>
void multiply_nn(const R* x, const R* w, R* y, Extent extent, bool add) {
  for (size_t i = 0; i < extent.rows; ++i)
    for (size_t j = 0; j < extent.columns; ++j) {
      R sum = add ? y[i * extent.columns + j] : R(0);
      for (size_t k = 0; k < extent.depth; ++k)
        sum += x[i * extent.depth + k] * w[k * extent.columns + j];
      y[i * extent.columns + j] = sum;
    }
}

template <Real R>
void multiply_tn(const R* x, const R* w, R* y, Extent extent, bool add) {
  for (size_t i = 0; i < extent.rows; ++i)
    for (size_t j = 0; j < extent.columns; ++j) {
      R sum = add ? y[i * extent.columns + j] : R(0);
      for (size_t k = 0; k < extent.depth; ++k)
        sum += x[k * extent.rows + i] * w[k * extent.columns + j];
      y[i * extent.columns + j] = sum;
    }
}

template <Real R>
void norm_forward(const R* x, const R* gain, R* y, R* inverse, size_t rows, size_t width) {
  for (size_t n = 0; n < rows; ++n, x += width, y += width) {
    R sum = 0;
    for (size_t i = 0; i < width; ++i) sum += x[i] * x[i];
    const R r = R(1) / std::sqrt(sum / static_cast<R>(width) + static_cast<R>(norm_epsilon));
    inverse[n] = r;
    for (size_t i = 0; i < width; ++i) y[i] = x[i] * r * gain[i];
  }
}

// With r = (mean(x^2) + eps)^-1/2 and y_i = x_i r g_i:  dr/dx_i = -r^3 x_i / width, hence
// dx_i += r g_i dy_i - x_i r^3 / width * sum_j g_j dy_j x_j;  dg_i += dy_i x_i r.
template <Real R>
void norm_backward(const R* x, const R* gain, const R* inverse, const R* dy, R* dx, R* dgain,
                   size_t rows, size_t width) {
  for (size_t n = 0; n < rows; ++n, x += width, dy += width, dx += width) {
    const R r = inverse[n];
    R sum = 0;
    for (size_t i = 0; i < width; ++i) sum += gain[i] * dy[i] * x[i];
    sum *= r * r * r / static_cast<R>(width);
    for (size_t i = 0; i < width; ++i) {
      dx[i] += r * gain[i] * dy[i] - x[i] * sum;
      dgain[i] += dy[i] * x[i] * r;
    }
  }
}

// The gated scan of one row (MCSD). upz: (T, 3E), each position u | p | z. state: (4, E) holds h,
// then p one, two and three tokens back; it is replaced by the state after the last token. h, y:
// (T, E).
//   v_t = cb + sum_j cw_j p_{t-j};  f_t = sigmoid(z_t + fb);  h_t = f_t h_{t-1} + (1 - f_t) v_t;
//   y_t = silu(u_t) h_t
template <Real R>
void scan_forward(const R* upz, ScanWeights<R> weights, R* state, R* h, R* y, ScanExtent extent) {
  const size_t channels = extent.channels;
  for (size_t c = 0; c < channels; ++c) {
    R previous = state[c];
    R back[taps - 1] = {state[channels + c], state[2 * channels + c], state[3 * channels + c]};
    for (size_t t = 0; t < extent.length; ++t) {
      const R* row = upz + t * 3 * channels + c;
      const R u = row[0], p = row[channels], f = sigmoid(row[2 * channels] + weights.fb[c]);
      R v = weights.cb[c] + weights.cw[c] * p;
      for (size_t j = 1; j < taps; ++j) v += weights.cw[j * channels + c] * back[j - 1];
      previous = f * previous + (R(1) - f) * v;
      h[t * channels + c] = previous;
      y[t * channels + c] = u * sigmoid(u) * previous;
      back[2] = back[1], back[1] = back[0], back[0] = p;
    }
    state[c] = previous;
    for (size_t j = 1; j < taps; ++j) state[j * channels + c] = back[j - 1];
  }
}

// p of token t - j, where tokens before the window come from the incoming state.
template <Real R>
R looked_back(const R* upz, const R* state, size_t t, size_t j, size_t c, size_t channels) {
  return t >= j ? upz[(t - j) * 3 * channels + channels + c] : state[(j - t) * channels + c];
}

// Backward of scan_forward; `state` is the incoming one, which gets no gradient (the window ends
// there). y is computed again, for the gradient of the matrix that follows. With q = dy, s =
// sigmoid(u):
//   du = q h s (1 + u (1 - s));  g_t = q u s + f_{t+1} g_{t+1};  dz = dfb = g (h_{t-1} - v) f (1 -
//   f); dv = g (1 - f);  dp_t = sum_j cw_j dv_{t+j};  dcw_j = sum_t dv_t p_{t-j};  dcb = sum dv.
template <Real R>
void scan_backward(const R* upz, ScanWeights<R> weights, const R* state, const R* h, const R* dy,
                   R* dupz, R* y, ScanGradients<R> gradients, ScanExtent extent) {
  const size_t channels = extent.channels;
  for (size_t c = 0; c < channels; ++c) {
    R carried = 0;
    R dv_after[taps - 1] = {0, 0, 0};
    for (size_t t = extent.length; t-- > 0;) {
      const R* row = upz + t * 3 * channels + c;
      const R u = row[0], s = sigmoid(u), f = sigmoid(row[2 * channels] + weights.fb[c]);
      const R before = t > 0 ? h[(t - 1) * channels + c] : state[c];
      const R now = h[t * channels + c], q = dy[t * channels + c];
      R v = weights.cb[c];
      for (size_t j = 0; j < taps; ++j)
        v += weights.cw[j * channels + c] * looked_back(upz, state, t, j, c, channels);
      const R g = q * u * s + carried;
      const R dz = g * (before - v) * f * (R(1) - f), dv = g * (R(1) - f);
      R* out = dupz + t * 3 * channels + c;
      out[0] = q * now * s * (R(1) + u * (R(1) - s));
      out[channels] = weights.cw[c] * dv;
      for (size_t j = 1; j < taps; ++j)
        out[channels] += weights.cw[j * channels + c] * dv_after[j - 1];
      out[2 * channels] = dz;
      y[t * channels + c] = u * s * now;
      gradients.dfb[c] += dz;
      gradients.dcb[c] += dv;
      for (size_t j = 0; j < taps; ++j)
        gradients.dcw[j * channels + c] += dv * looked_back(upz, state, t, j, c, channels);
      carried = f * g;
      dv_after[2] = dv_after[1], dv_after[1] = dv_after[0], dv_after[0] = dv;
    }
  }
}

// vg: (rows, 2 width), each row value | gate; hidden: (rows, width) = scale * value * silu(gate).
template <Real R>
void gated_forward(const R* vg, R scale, R* hidden, size_t rows, size_t width) {
  for (size_t n = 0; n < rows; ++n)
    for (size_t i = 0; i < width; ++i) {
      const R value = vg[n * 2 * width + i], gate = vg[n * 2 * width + width + i];
      hidden[n * width + i] = scale * value * gate * sigmoid(gate);
    }
}

// Computes hidden again, dvg from dhidden, and returns the gradient of scale.
template <Real R>
R gated_backward(const R* vg, R scale, const R* dhidden, R* dvg, R* hidden, size_t rows,
                 size_t width) {
  R dscale = 0;
  for (size_t n = 0; n < rows; ++n)
    for (size_t i = 0; i < width; ++i) {
      const R value = vg[n * 2 * width + i], gate = vg[n * 2 * width + width + i];
      const R s = sigmoid(gate), silu = gate * s, d = dhidden[n * width + i];
      hidden[n * width + i] = scale * value * silu;
      dscale += d * value * silu;
      dvg[n * 2 * width + i] = d * scale * silu;
      dvg[n * 2 * width + width + i] = d * scale * value * s * (R(1) + gate * (R(1) - s));
    }
  return dscale;
}

// mean (width) = keep * mean + (1 - keep) * x_t, token after token.
template <Real R>
void slow_mean(const R* x, R keep, R* mean, size_t rows, size_t width) {
  for (size_t n = 0; n < rows; ++n)
    for (size_t i = 0; i < width; ++i) mean[i] = keep * mean[i] + (R(1) - keep) * x[n * width + i];
}

// Returns sum_n weight_n * -log softmax(logits_n)[target_n] in nats; logits become its gradient.
template <Real R>
double cross_entropy(R* logits, const uint16_t* targets, const R* weights, size_t rows,
                     size_t width) {
  double loss = 0;
  for (size_t n = 0; n < rows; ++n, logits += width) {
    const R largest = *std::max_element(logits, logits + width);
    R sum = 0;
    for (size_t i = 0; i < width; ++i) sum += std::exp(logits[i] - largest);
    loss += static_cast<double>(weights[n] * (std::log(sum) + largest - logits[targets[n]]));
    for (size_t i = 0; i < width; ++i) logits[i] = weights[n] * std::exp(logits[i] - largest) / sum;
    logits[targets[n]] -= weights[n];
  }
  return loss;
}

// Decoupled weight decay. Source: Loshchilov and Hutter, "Decoupled weight decay regularization"
// (2019).
template <Real R>
void adam(R* x, const R* dx, R* m, R* v, size_t count, const AdamRates& rates) {
  for (size_t i = 0; i < count; ++i) {
    const R d = dx[i] * rates.gradient_scale;
    m[i] = rates.beta1 * m[i] + (1 - rates.beta1) * d;
    v[i] = rates.beta2 * v[i] + (1 - rates.beta2) * d * d;
    const R step = m[i] * rates.correction1 / (std::sqrt(v[i] * rates.correction2) + R(1e-8));
    x[i] = x[i] * (1 - rates.learning_rate * rates.decay) - rates.learning_rate * step;
  }
}

template <Real R>
void scale_add(R a, const R* x, R* y, size_t count) {
  for (size_t i = 0; i < count; ++i) y[i] += a * x[i];
}

template <Real R>
double dot(const R* x, const R* y, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  return sum;
}

}  // namespace reference
}  // namespace starling::model
