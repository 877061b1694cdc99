#include "node/resources.h"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace starling::node {

void return_freed_vectors() {
#ifdef __GLIBC__
  constexpr int vector_bytes = 1 << 20, arenas = 2;
  mallopt(M_MMAP_THRESHOLD, vector_bytes);
  mallopt(M_ARENA_MAX, arenas);  // each keeps its own freed pages; two suffice for short messages
#endif
}

uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total_pages = 0, resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

uint64_t directory_bytes(const std::string& directory) {
  uint64_t bytes = 0;
  std::error_code failed;
  auto entry = std::filesystem::recursive_directory_iterator(directory, failed);
  for (; !failed && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(failed)) {
    std::error_code vanished;
    if (!entry->is_regular_file(vanished)) continue;
    const uint64_t size = entry->file_size(vanished);
    if (!vanished) bytes += size;
  }
  return bytes;
}

}  // namespace starling::node
