#include "node/resources.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <malloc.h>
#include <net/if.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
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

std::vector<std::string> interface_addresses() {
  std::vector<std::string> v4, v6, loopback;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return {"127.0.0.1"};
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || (each->ifa_flags & IFF_UP) == 0) continue;
    char text[INET6_ADDRSTRLEN] = {};
    if (each->ifa_addr->sa_family == AF_INET) {
      inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr, text,
                sizeof text);
      ((each->ifa_flags & IFF_LOOPBACK) != 0 ? loopback : v4).push_back(text);
    } else if (each->ifa_addr->sa_family == AF_INET6) {
      const auto* address = reinterpret_cast<const sockaddr_in6*>(each->ifa_addr);
      // Link-local addresses mean nothing without the interface's name on the other side.
      if (IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr) || (each->ifa_flags & IFF_LOOPBACK) != 0)
        continue;
      inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof text);
      v6.push_back("[" + std::string(text) + "]");
    }
  }
  freeifaddrs(list);
  v4.insert(v4.end(), v6.begin(), v6.end());
  return v4.empty() ? std::vector<std::string>{"127.0.0.1"} : v4;
}

}  // namespace starling::node
