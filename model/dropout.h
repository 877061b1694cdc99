#pragma once
// Dropout (Srivastava et al., JMLR 15, 2014) of what each block feeds its last product with: the
// scan's gated output and the MLP's hidden units. A mask is not kept but drawn again, from a seed
// and the place, wherever the backward pass needs it.
#include <cstddef>
#include <cstdint>

#include "model/reference.h"

namespace starling::model {

struct Dropout {
  float share = 0;    // of the values, rounded to 1/256; 0 <= share < 1
  uint64_t seed = 0;  // of the window in flight; neighbouring seeds are as good as distant ones
};

// Of a step's first row; that of row i is i more.
uint64_t mask_seed(uint64_t seed, uint64_t step);

// Where a mask is drawn: a layer's recurrence, or one of its regions (fewer than 255).
constexpr uint64_t mixing_site(size_t layer) { return uint64_t{layer} << 8; }
constexpr uint64_t region_site(size_t layer, uint32_t region) {
  return mixing_site(layer) + 1 + region;
}

// Sets values to 0 and raises the others, so that the mean stays. Equal seed and site: equal mask.
template <Real R>
void drop(const Dropout& dropout, uint64_t site, R* values, size_t count);

}  // namespace starling::model
