#include "model/parallel.h"

#if STARLING_TBB
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#endif

namespace starling::model {

void parallel_for(uint32_t count, uint32_t threads, const std::function<void(uint32_t)>& body) {
#if STARLING_TBB
  if (threads > 1 && count > 1) {
    tbb::task_arena arena(static_cast<int>(threads));
    arena.execute([&] {
      tbb::parallel_for(
          tbb::blocked_range<uint32_t>(0, count, 1),
          [&body](const tbb::blocked_range<uint32_t>& range) {
            for (uint32_t i = range.begin(); i != range.end(); ++i) body(i);
          },
          tbb::simple_partitioner());
    });
    return;
  }
#endif
  (void)threads;
  for (uint32_t i = 0; i < count; ++i) body(i);
}

}  // namespace starling::model
