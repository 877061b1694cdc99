#pragma once
// Pages of 2 MiB for memory that is read through from end to end at every step: with those of 4 KiB
// the processor looks most addresses up anew, and its prefetching ends at each of them. Advice
// only, where the system takes it (Linux); contents and sizes are the same without.
#include <cstddef>
#include <vector>

namespace starling::model {

// Before the memory is written for the first time.
void prefer_large_pages(void* memory, size_t size);

// values.assign(count, value), in memory of such pages where that has to grow.
template <typename T>
void assign_in_large_pages(std::vector<T>& values, size_t count, T value) {
  if (values.capacity() < count) {
    values = {};
    values.reserve(count);
    prefer_large_pages(values.data(), count * sizeof(T));
  }
  values.assign(count, value);
}

}  // namespace starling::model
