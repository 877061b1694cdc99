#pragma once
// The one door to threads in model/: oneTBB where it is built in (STARLING_TBB), a plain loop
// otherwise.
#include <cstdint>
#include <functional>

namespace starling::model {

// Calls body(0) ... body(count - 1), at most `threads` at a time, and returns when all are done.
// Which thread runs which index is not defined: bodies write to places of their own, and whoever
// sums over them does so afterwards in order of index, so that the result does not depend on
// chance.
void parallel_for(uint32_t count, uint32_t threads, const std::function<void(uint32_t)>& body);

}  // namespace starling::model
