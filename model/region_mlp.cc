// Backward. With a = norm(middle), v | g = W1 a, k = scale * v * silu(g) and out += W2t^T k, s =
// sigmoid(g):
//   dk = dout W2t^T;  dW2t += k^T dout;  dv = dk scale silu(g);  dg = dk scale v s (1 + g (1 - s));
//   dW1 += [dv|dg]^T a;  da = [dv|dg] W1;  dscale = sum dk v silu(g).
// For a selected region scale = 2p, p = sigmoid(w . n): dw += 2 dscale p (1 - p) n, for each
// segment. The choice gets no gradient, nor does the contrast n of a slow context; where n is the
// token's own a, da += 2 dscale p (1 - p) w.
#include "model/region_mlp.h"

#include <algorithm>

#include "model/kernels.h"

namespace starling::model {
namespace {

// The regions computed together: all that are always awake, or one that is selected.
template <Real R>
struct Group {
  uint32_t first;     // region
  uint32_t regions;   // how many
  size_t width;       // hidden units
  size_t positions;   // that wake it
  const R* w1;        // (2 width, D)
  const R* w2;        // (width, D)
  const R* selector;  // (D) of a selected one
  bool everywhere;    // awake at all positions: rows need no gathering
};

template <Real R>
bool is_awake(const LayerActivations<R>& kept, size_t segment, uint32_t region) {
  return (kept.chosen[segment] >> region & 1) != 0;
}

// Moves rows of w1 between the regions' own places and the side-by-side order (values of all, then
// gates of all).
template <typename R, typename Move>
void for_blocks(const LayerView<R>& layer, uint32_t regions, const Move& move) {
  const size_t block = layer.region_width * layer.width;
  for (uint32_t r = 0; r < regions; ++r) {
    move(layer.w1(r), r * block, block);
    move(layer.w1(r) + block, (regions + r) * block, block);
    move(layer.w2(r), (2 * regions + r) * block, block);
  }
}

template <Real R>
Group<R> awake_group(const Shape& shape, const LayerView<const R>& layer, Window window,
                     Activations<R>& activations) {
  const uint32_t regions = awake_count(shape);
  Group<R> group{
      0,       regions, regions * layer.region_width, window.positions(), layer.w1(0), layer.w2(0),
      nullptr, true};
  if (regions > 1) {
    for_blocks(layer, regions, [&](const R* from, size_t at, size_t count) {
      std::copy_n(from, count, activations.weights + at);
    });
    group.w1 = activations.weights;
    group.w2 = activations.weights + 2 * group.width * layer.width;
  }
  return group;
}

template <Real R>
Group<R> selected_group(const LayerView<const R>& layer, Window window, uint32_t region,
                        const LayerActivations<R>& kept, const Activations<R>& activations) {
  size_t positions = 0;
  for (size_t i = 0; i < activations.segments.size(); ++i)
    if (is_awake(kept, i, region)) positions += activations.segments[i].length;
  return {region,
          1,
          layer.region_width,
          positions,
          layer.w1(region),
          layer.w2(region),
          layer.selector(region),
          positions == window.positions()};
}

// Calls visit(segment index, first row in the group's order) for the segments that wake the region.
template <Real R, typename Visit>
void for_segments(const Activations<R>& activations, const LayerActivations<R>& kept,
                  uint32_t region, const Visit& visit) {
  size_t row = 0;
  for (size_t i = 0; i < activations.segments.size(); ++i) {
    if (!is_awake(kept, i, region)) continue;
    visit(i, row);
    row += activations.segments[i].length;
  }
}

template <Real R>
const R* gathered(const Activations<R>& activations, const LayerActivations<R>& kept,
                  const Group<R>& group, const R* rows, size_t width, R* room) {
  if (group.everywhere) return rows;
  for_segments(activations, kept, group.first, [&](size_t i, size_t row) {
    const Segment& segment = activations.segments[i];
    std::copy_n(rows + segment.first * width, segment.length * width, room + row * width);
  });
  return room;
}

// Also where the region is awake everywhere: a position's sum is then rounded in the same order
// whatever else is in the window.
template <Real R>
void scatter_add(const Activations<R>& activations, const LayerActivations<R>& kept,
                 const Group<R>& group, const R* from, size_t width, R* rows) {
  for_segments(activations, kept, group.first, [&](size_t i, size_t row) {
    const Segment& segment = activations.segments[i];
    kernels::add(from + row * width, rows + segment.first * width, segment.length * width);
  });
}

template <Real R>
void forward_group(const Shape& shape, const Group<R>& group, size_t layer, R* vg,
                   Activations<R>& activations, R* out) {
  const LayerActivations<R>& kept = activations.layers[layer];
  const size_t D = shape.width, n = group.positions, width = group.width;
  const R* rows = gathered(activations, kept, group, static_cast<const R*>(activations.normed), D,
                           activations.gather);
  kernels::multiply_nt(rows, group.w1, vg, {.rows = n, .columns = 2 * width, .depth = D}, false);
  if (group.first < awake_count(shape))
    kernels::gated_forward(vg, R(1), activations.hidden, n, width);
  else
    for_segments(activations, kept, group.first, [&](size_t i, size_t row) {
      kernels::gated_forward(vg + row * 2 * width, 2 * kept.p[i * shape.regions + group.first],
                             activations.hidden + row * width, activations.segments[i].length,
                             width);
    });
  drop(activations.dropout, region_site(layer, group.first), activations.hidden, n * width);
  const Extent extent{.rows = n, .columns = D, .depth = width};
  if (group.first < awake_count(shape))
    return kernels::multiply_nn(activations.hidden, group.w2, out, extent, true);
  kernels::multiply_nn(activations.hidden, group.w2, activations.gather_d, extent, false);
  scatter_add(activations, kept, group, static_cast<const R*>(activations.gather_d), D, out);
}

// What a segment's choice is made by: the slow context's contrast, or the token itself.
template <Real R>
const R* decisive(const Shape& shape, const LayerActivations<R>& kept,
                  const Activations<R>& activations, size_t segment) {
  const size_t D = shape.width;
  return shape.selection == Selection::token
             ? activations.normed + activations.segments[segment].first * D
             : kept.contrast + segment * D;
}

// The regions awake from here on in the row, out of p.
template <Real R>
void choose_regions(const Shape& shape, const LayerView<const R>& weights, size_t layer, const R* p,
                    StreamState<R>& state, const Routing& routing) {
  const uint64_t awake = state.chosen(layer);
  const uint64_t wanted = choose(shape, p, weights.bias, {.awake = awake});
  state.chosen(layer) =
      routing.allowed.empty()
          ? wanted
          : choose(shape, p, weights.bias, {.allowed = routing.allowed[layer], .awake = awake});
  if (!routing.statistics.empty()) count_choice(wanted, routing.statistics[layer]);
}

// The choice of each segment that begins in this window, and the slow mean after it.
template <Real R>
void route(const Shape& shape, const LayerView<const R>& weights, size_t layer,
           std::span<StreamState<R>> states, const Routing& routing, Activations<R>& activations) {
  const LayerActivations<R>& kept = activations.layers[layer];
  const size_t D = shape.width;
  const R keep = static_cast<R>(slow_keep(shape));
  const bool by_context = shape.selection == Selection::context;
  for (size_t i = 0; i < activations.segments.size(); ++i) {
    const Segment& segment = activations.segments[i];
    StreamState<R>& state = states[segment.row];
    if (segment.starts) {
      std::fill_n(state.slow(layer), D, R(0));
      state.chosen(layer) = 0;
    }
    R* p = kept.p + i * shape.regions;
    const bool is_choice = segment.begins && !routing.frozen;
    if (by_context && !routing.frozen) {
      const R* slow = state.slow(layer);
      const R slow_weight = static_cast<R>(segment.slow_weight);
      if (is_choice) contrast_of(weights, slow, slow_weight, state.contrast(layer));
      if (is_choice && !routing.statistics.empty())
        count_context(weights, slow, slow_weight, routing.statistics[layer]);
      std::copy_n(state.contrast(layer), D, kept.contrast + i * D);
    }
    probabilities(shape, weights, decisive(shape, kept, activations, i), p);
    if (is_choice) choose_regions(shape, weights, layer, static_cast<const R*>(p), state, routing);
    if (!routing.frozen) kept.chosen[i] = state.chosen(layer);
    if (by_context)
      kernels::slow_mean(activations.normed + segment.first * D, keep, state.slow(layer),
                         segment.length, D);
  }
}

template <Real R>
void selector_backward(const Shape& shape, const Group<R>& group, const LayerView<R>& gradient,
                       size_t segment, R dscale, const LayerActivations<R>& kept,
                       Activations<R>& activations) {
  const R p = kept.p[segment * shape.regions + group.first];
  const R dscore = 2 * dscale * p * (1 - p);
  kernels::scale_add(dscore, decisive(shape, kept, activations, segment),
                     gradient.selector(group.first), shape.width);
  if (shape.selection == Selection::token)
    kernels::scale_add(dscore, group.selector,
                       activations.dnormed + activations.segments[segment].first * shape.width,
                       shape.width);
}

template <Real R>
void backward_group(const Shape& shape, const Group<R>& group, const LayerView<R>& gradient,
                    size_t layer, const R* vg, Activations<R>& activations) {
  const LayerActivations<R>& kept = activations.layers[layer];
  const size_t D = shape.width, n = group.positions, width = group.width;
  R* const hidden = activations.hidden;
  R* const dhidden = activations.dhidden;
  R* const dvg = activations.dvg;
  const R* dout = gathered(activations, kept, group, static_cast<const R*>(activations.dx), D,
                           activations.gather_d);
  kernels::multiply_nt(dout, group.w2, dhidden, {.rows = n, .columns = width, .depth = D}, false);
  const uint64_t site = region_site(layer, group.first);
  drop(activations.dropout, site, dhidden, n * width);
  if (group.first < awake_count(shape))
    kernels::gated_backward(vg, R(1), dhidden, dvg, hidden, n, width);
  else
    for_segments(activations, kept, group.first, [&](size_t i, size_t row) {
      const R dscale = kernels::gated_backward(
          vg + row * 2 * width, 2 * kept.p[i * shape.regions + group.first], dhidden + row * width,
          dvg + row * 2 * width, hidden + row * width, activations.segments[i].length, width);
      selector_backward(shape, group, gradient, i, dscale, kept, activations);
    });
  drop(activations.dropout, site, hidden, n * width);
  R* dw1 = gradient.w1(group.first);
  R* dw2 = gradient.w2(group.first);
  const bool together = group.regions > 1;
  if (together) {
    std::fill_n(activations.dweights, 3 * width * D, R(0));
    dw1 = activations.dweights;
    dw2 = activations.dweights + 2 * width * D;
  }
  kernels::multiply_tn(hidden, dout, dw2, {.rows = width, .columns = D, .depth = n}, true);
  const R* rows = gathered(activations, kept, group, static_cast<const R*>(activations.normed), D,
                           activations.gather);
  kernels::multiply_tn(dvg, rows, dw1, {.rows = 2 * width, .columns = D, .depth = n}, true);
  if (together)
    for_blocks(gradient, group.regions, [&](R* to, size_t at, size_t count) {
      kernels::add(activations.dweights + at, to, count);
    });
  const Extent extent{.rows = n, .columns = D, .depth = 2 * width};
  if (group.first < awake_count(shape))
    return kernels::multiply_nn(dvg, group.w1, activations.dnormed, extent, true);
  kernels::multiply_nn(dvg, group.w1, activations.gather_d, extent, false);
  scatter_add(activations, kept, group, static_cast<const R*>(activations.gather_d), D,
              activations.dnormed);
}

}  // namespace

template <Real R>
void region_mlp_forward(const Shape& shape, const LayerView<const R>& weights, Window window,
                        size_t layer, std::span<StreamState<R>> states, const Routing& routing,
                        Activations<R>& activations, R* out) {
  const LayerActivations<R>& kept = activations.layers[layer];
  const size_t N = window.positions(), D = shape.width;
  kernels::norm_forward(kept.middle, weights.norm2, activations.normed, kept.inverse2, N, D);
  route(shape, weights, layer, states, routing, activations);
  if (out != kept.middle) std::copy_n(kept.middle, N * D, out);
  R* vg = kept.vg;
  const auto forward = [&](const Group<R>& group) {
    if (group.positions == 0) return;
    forward_group(shape, group, layer, vg, activations, out);
    vg += group.positions * 2 * group.width;
  };
  const uint32_t awake = awake_count(shape);
  if (awake > 0) forward(awake_group(shape, weights, window, activations));
  for (uint32_t r = awake; r < shape.regions; ++r)
    forward(selected_group(weights, window, r, kept, activations));
}

template <Real R>
void region_mlp_backward(const Shape& shape, const LayerView<const R>& weights,
                         const LayerView<R>& gradient, Window window, size_t layer,
                         Activations<R>& activations) {
  const LayerActivations<R>& kept = activations.layers[layer];
  const size_t N = window.positions(), D = shape.width;
  kernels::norm_forward(kept.middle, weights.norm2, activations.normed, kept.inverse2, N, D);
  std::fill_n(activations.dnormed, N * D, R(0));
  const R* vg = kept.vg;
  const auto backward = [&](const Group<R>& group) {
    if (group.positions == 0) return;
    backward_group(shape, group, gradient, layer, vg, activations);
    vg += group.positions * 2 * group.width;
  };
  const uint32_t awake = awake_count(shape);
  if (awake > 0) backward(awake_group(shape, weights, window, activations));
  for (uint32_t r = awake; r < shape.regions; ++r)
    backward(selected_group(weights, window, r, kept, activations));
  kernels::norm_backward(kept.middle, weights.norm2, kept.inverse2, activations.dnormed,
                         activations.dx, gradient.norm2, N, D);
}

template void region_mlp_forward(const Shape&, const LayerView<const float>&, Window, size_t,
                                 std::span<StreamState<float>>, const Routing&, Activations<float>&,
                                 float*);
template void region_mlp_forward(const Shape&, const LayerView<const double>&, Window, size_t,
                                 std::span<StreamState<double>>, const Routing&,
                                 Activations<double>&, double*);
template void region_mlp_backward(const Shape&, const LayerView<const float>&,
                                  const LayerView<float>&, Window, size_t, Activations<float>&);
template void region_mlp_backward(const Shape&, const LayerView<const double>&,
                                  const LayerView<double>&, Window, size_t, Activations<double>&);

}  // namespace starling::model
