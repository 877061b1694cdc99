#include "model/activations.h"

#include "model/large_pages.h"

namespace starling::model {
namespace {

// Hands out consecutive pieces; with no memory behind it, it only counts.
template <Real R>
class Divider {
 public:
  explicit Divider(R* memory) : memory_(memory) {}
  R* take(size_t count) {
    R* piece = memory_ == nullptr ? nullptr : memory_ + taken_;
    taken_ += (count + 15) / 16 * 16;
    return piece;
  }
  size_t taken() const { return taken_; }

 private:
  R* memory_;
  size_t taken_ = 0;
};

template <Real R>
LayerActivations<R> divide_layer(const Shape& shape, Window window, Keep keep,
                                 Divider<R>& divider) {
  const size_t N = window.positions(), D = shape.width, E = shape.channels;
  const size_t segments = segments_max(shape, window);
  LayerActivations<R> layer{};
  layer.x = divider.take(N * D);
  layer.inverse1 = divider.take(N);
  layer.upz = divider.take(N * 3 * E);
  layer.h = divider.take(N * E);
  layer.state = divider.take(window.rows * 4 * E);
  layer.middle = keep == Keep::everything ? divider.take(N * D) : layer.x;
  layer.inverse2 = divider.take(N);
  layer.vg = divider.take(N * 2 * awake_hidden(shape));
  layer.contrast = divider.take(shape.selection == Selection::context ? segments * D : 0);
  layer.p = divider.take(segments * shape.regions);
  return layer;
}

template <Real R>
void divide(const Shape& shape, Window window, Keep keep, Divider<R>& divider,
            Activations<R>& out) {
  const size_t N = window.positions(), D = shape.width, E = shape.channels;
  const size_t wide = widest_region(shape);
  out.layers.clear();
  for (uint32_t layer = 0; layer < shape.layers; ++layer)
    out.layers.push_back(keep == Keep::everything || layer == 0
                             ? divide_layer(shape, window, keep, divider)
                             : out.layers.front());
  out.out = keep == Keep::everything ? divider.take(N * D) : out.layers.front().x;
  out.inverse_final = divider.take(N);
  out.zeros = divider.take(4 * E);
  out.normed = divider.take(N * D);
  out.mixed = divider.take(N * E);
  out.gather = divider.take(N * D);
  out.gather_d = divider.take(N * D);
  out.hidden = divider.take(N * wide);
  out.weights = divider.take(3 * wide * D);
  out.logits = divider.take(head_rows * vocabulary);
  out.head = divider.take(head_rows * D);
  if (keep == Keep::last_layer) return;
  out.dmixed = divider.take(N * E);
  out.dupz = divider.take(N * 3 * E);
  out.dx = divider.take(N * D);
  out.dnormed = divider.take(N * D);
  out.dhidden = divider.take(N * wide);
  out.dvg = divider.take(N * 2 * wide);
  out.dweights = divider.take(3 * wide * D);
  out.dhead = divider.take(head_rows * D);
}

}  // namespace

template <Real R>
Activations<R>::Activations(const Shape& shape, Window largest, Keep what)
    : window_max(largest), keep(what) {
  Divider<R> count(nullptr);
  divide(shape, largest, what, count, *this);
  assign_in_large_pages(memory_, count.taken(), R(0));
  Divider<R> divider(memory_.data());
  divide(shape, largest, what, divider, *this);
  const size_t room = segments_max(shape, largest);
  chosen_.resize(room * shape.layers);
  for (size_t layer = 0; layer < layers.size(); ++layer)
    layers[layer].chosen = chosen_.data() + layer * room;
  segments.reserve(room);
  runs.reserve(largest.rows + largest.starts);
}

template <Real R>
uint64_t Activations<R>::bytes(const Shape& shape, Window largest, Keep what) {
  Activations<R> nothing(shape, {.rows = 0, .length = 0}, what);
  Divider<R> count(nullptr);
  divide(shape, largest, what, count, nothing);
  return count.taken() * sizeof(R) +
         uint64_t{segments_max(shape, largest)} *
             (shape.layers * sizeof(uint64_t) + sizeof(Segment)) +
         (uint64_t{largest.rows} + largest.starts) * sizeof(Run);
}

template class Activations<float>;
template class Activations<double>;

}  // namespace starling::model
