#include "node/socket_gauge.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace starling::node {

uint64_t socket_cookie(int fd) {
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

std::optional<uint64_t> SocketGauge::received_bytes() const {
  if (cookie_ == 0 || socket_cookie(fd_) != cookie_) return std::nullopt;
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(fd_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  return info.tcpi_bytes_received;
}

void SocketGauges::add(const std::string& address, int fd) {
  std::lock_guard lock(mutex_);
  gauges_[address] = SocketGauge(fd);
}

void SocketGauges::remove(const std::string& address) {
  std::lock_guard lock(mutex_);
  gauges_.erase(address);
}

SocketGauge SocketGauges::find(const std::string& address) const {
  std::lock_guard lock(mutex_);
  const auto found = gauges_.find(address);
  return found == gauges_.end() ? SocketGauge() : found->second;
}

}  // namespace starling::node
