#pragma once
// The core's peak in single precision, to measure kernels against: independent fused multiply-adds
// in registers, in the widest vectors that Highway finds on this machine.
#include <cstdint>

namespace starling::bench {

// Runs `rounds` rounds and returns the floating-point operations done (a fused multiply-add is
// two). `sink` receives a value that depends on all of them, so that none is left out.
uint64_t run_fused_multiply_adds(uint64_t rounds, float& sink);

}  // namespace starling::bench
