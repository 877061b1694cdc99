#pragma once
// The clocks of the machine. The protocol gets its time from here as an argument.
#include <cstdint>
#include <string>

#include "swarm/instant.h"

namespace starling::node {

swarm::Instant boot_now();  // CLOCK_BOOTTIME: counts while the device sleeps, never set
int64_t unix_ms();          // CLOCK_REALTIME: for people; may be wrong or jump
inline int64_t unix_s() { return unix_ms() / 1000; }
int minute_of_day();        // local time, 0..1439
std::string date_of_day();  // local, "2026-11-28"
int64_t ms_to_midnight();   // local; at least 1

}  // namespace starling::node
