#pragma once
// What one core can read, or read and write, in the caches and in memory: the bound of a kernel
// that does little with each value. Vectors of the width that Highway finds on this machine.
#include <cstddef>

namespace starling::bench {

// Bytes a second of reading `size` bytes again and again. `sink` receives a value that depends on
// all of them, so that none is left out.
double read_bandwidth(size_t size, float& sink);
// Bytes read and written a second of y += a x, with x and y together `size` bytes.
double update_bandwidth(size_t size);

}  // namespace starling::bench
