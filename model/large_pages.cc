#include "model/large_pages.h"

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace starling::model {

void prefer_large_pages(void* memory, size_t size) {
#ifdef __linux__
  constexpr uintptr_t page = 4096;
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t first = (begin + page - 1) / page * page, end = (begin + size) / page * page;
  // A refusal leaves the pages as they are.
  if (first < end) (void)madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#else
  (void)memory, (void)size;
#endif
}

}  // namespace starling::model
