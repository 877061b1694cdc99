#include "node/clock.h"

#include <algorithm>
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

std::string date_of_day() {
  const time_t now = time(nullptr);
  tm local{};
  localtime_r(&now, &local);
  char text[16];
  return std::string(text, strftime(text, sizeof text, "%Y-%m-%d", &local));
}

int64_t ms_to_midnight() {
  const int64_t now_ms = unix_ms();
  const time_t now = static_cast<time_t>(now_ms / 1000);
  tm local{};
  localtime_r(&now, &local);
  local.tm_hour = local.tm_min = local.tm_sec = 0;
  ++local.tm_mday;
  local.tm_isdst = -1;  // days of 23 and 25 hours
  return std::max<int64_t>(1, int64_t{mktime(&local)} * 1000 - now_ms);
}

}  // namespace starling::node
