#pragma once
// systemd's readiness protocol: datagrams to $NOTIFY_SOCKET, nothing when it is not set. Source:
// sd_notify(3).
#include <cstdint>
#include <string>

namespace starling::node {

void notify_systemd(
    const std::string& state);   // "READY=1", "STATUS=...", "WATCHDOG=1", "STOPPING=1"
int64_t watchdog_interval_ms();  // half of $WATCHDOG_USEC; 0: no watchdog

}  // namespace starling::node
