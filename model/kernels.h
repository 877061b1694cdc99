#pragma once
// The arithmetic of the network on raw row-major arrays. The float functions are written on Google
// Highway and choose their instruction set at run time; the double overloads are the naive loops of
// reference.h, so that the same network runs in double precision for gradient checks. `add` means:
// added to what the output holds, otherwise the output is overwritten; gradients (names beginning
// with d, except d of an activation) are always added. Thread: all functions may be called from
// several threads on distinct outputs.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/reference.h"

namespace starling::model::kernels {

std::string_view isa();  // the instruction set chosen on this machine, such as "AVX3"

// Scratch that the products keep for each thread that calls them.
uint64_t workspace_bytes();

// y (rows, columns) = x (rows, depth) w^T, w: (columns, depth)
void multiply_nt(const float* x, const float* w, float* y, Extent extent, bool add);
// y (rows, columns) = x (rows, depth) w, w: (depth, columns)
void multiply_nn(const float* x, const float* w, float* y, Extent extent, bool add);
// y (rows, columns) = x^T w, x: (depth, rows), w: (depth, columns)
void multiply_tn(const float* x, const float* w, float* y, Extent extent, bool add);

// y (rows) = w (rows, columns) x; for one token at a time, allocates nothing
void matrix_vector(const float* w, const float* x, float* y, size_t rows, size_t columns);
// y (columns) += x (rows) w, w: (rows, columns)
void vector_matrix_add(const float* x, const float* w, float* y, size_t rows, size_t columns);

// y = x / rms(x) * gain for each row of `width`; inverse (rows) receives 1/rms.
void norm_forward(const float* x, const float* gain, float* y, float* inverse, size_t rows,
                  size_t width);
// dx is added to: the residual stream's gradient already holds what by-passes the norm.
void norm_backward(const float* x, const float* gain, const float* inverse, const float* dy,
                   float* dx, float* dgain, size_t rows, size_t width);

// See reference.h for the shapes and formulas of the following.
void scan_forward(const float* upz, ScanWeights<float> weights, float* state, float* h, float* y,
                  ScanExtent extent);
void scan_backward(const float* upz, ScanWeights<float> weights, const float* state, const float* h,
                   const float* dy, float* dupz, float* y, ScanGradients<float> gradients,
                   ScanExtent extent);
void gated_forward(const float* vg, float scale, float* hidden, size_t rows, size_t width);
float gated_backward(const float* vg, float scale, const float* dhidden, float* dvg, float* hidden,
                     size_t rows, size_t width);
void slow_mean(const float* x, float keep, float* mean, size_t rows, size_t width);
double cross_entropy(float* logits, const uint16_t* targets, const float* weights, size_t rows,
                     size_t width);
void adam(float* x, const float* dx, float* m, float* v, size_t count, const AdamRates& rates);

void add(const float* x, float* y, size_t count);                 // y += x
void scale_add(float a, const float* x, float* y, size_t count);  // y += a x
double sum_of_squares(const float* x, size_t count);
double dot(const float* x, const float* y, size_t count);

inline void multiply_nt(const double* x, const double* w, double* y, Extent extent, bool add) {
  reference::multiply_nt(x, w, y, extent, add);
}
inline void multiply_nn(const double* x, const double* w, double* y, Extent extent, bool add) {
  reference::multiply_nn(x, w, y, extent, add);
}
inline void multiply_tn(const double* x, const double* w, double* y, Extent extent, bool add) {
  reference::multiply_tn(x, w, y, extent, add);
}
inline void norm_forward(const double* x, const double* gain, double* y, double* inverse,
                         size_t rows, size_t width) {
  reference::norm_forward(x, gain, y, inverse, rows, width);
}
inline void norm_backward(const double* x, const double* gain, const double* inverse,
                          const double* dy, double* dx, double* dgain, size_t rows, size_t width) {
  reference::norm_backward(x, gain, inverse, dy, dx, dgain, rows, width);
}
inline void scan_forward(const double* upz, ScanWeights<double> weights, double* state, double* h,
                         double* y, ScanExtent extent) {
  reference::scan_forward(upz, weights, state, h, y, extent);
}
inline void scan_backward(const double* upz, ScanWeights<double> weights, const double* state,
                          const double* h, const double* dy, double* dupz, double* y,
                          ScanGradients<double> gradients, ScanExtent extent) {
  reference::scan_backward(upz, weights, state, h, dy, dupz, y, gradients, extent);
}
inline void gated_forward(const double* vg, double scale, double* hidden, size_t rows,
                          size_t width) {
  reference::gated_forward(vg, scale, hidden, rows, width);
}
inline double gated_backward(const double* vg, double scale, const double* dhidden, double* dvg,
                             double* hidden, size_t rows, size_t width) {
  return reference::gated_backward(vg, scale, dhidden, dvg, hidden, rows, width);
}
inline void slow_mean(const double* x, double keep, double* mean, size_t rows, size_t width) {
  reference::slow_mean(x, keep, mean, rows, width);
}
inline double cross_entropy(double* logits, const uint16_t* targets, const double* weights,
                            size_t rows, size_t width) {
  return reference::cross_entropy(logits, targets, weights, rows, width);
}
inline void add(const double* x, double* y, size_t count) {
  reference::scale_add(1.0, x, y, count);
}
inline void scale_add(double a, const double* x, double* y, size_t count) {
  reference::scale_add(a, x, y, count);
}
inline double dot(const double* x, const double* y, size_t count) {
  return reference::dot(x, y, count);
}

}  // namespace starling::model::kernels
