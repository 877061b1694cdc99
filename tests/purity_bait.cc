// What tests/purity.cmake must find: one source that asks the clock, opens a file and draws from
// the system's chance.
#include <chrono>
#include <fstream>
#include <random>

namespace starling::tests {

long purity_bait(const char* path) {
  std::ifstream file(path);
  std::random_device chance;
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  return static_cast<long>(now) + static_cast<long>(chance()) + (file.good() ? 1 : 0);
}

}  // namespace starling::tests
