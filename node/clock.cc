#include "node/clock.h"

#include <ctime>

namespace starling::node {

namespace {

int64_t read_ms(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

}  // namespace

swarm::Instant boot_now() { return {read_ms(CLOCK_BOOTTIME)}; }

int64_t unix_ms() { return read_ms(CLOCK_REALTIME); }

int minute_of_day() {
  const time_t now = time(nullptr);
  tm local{};
  localtime_r(&now, &local);
  return local.tm_hour * 60 + local.tm_min;
}

}  // namespace starling::node
