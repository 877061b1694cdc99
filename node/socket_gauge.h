#pragma once
// How many bytes a connection that gRPC owns has received. gRPC ends a stream whose message is
// above its limit without telling the server's side why; the kernel's count tells it.
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace starling::node {

// The kernel's number of a socket, unique while the machine runs; 0: not an open socket.
uint64_t socket_cookie(int fd);

// Of one connection. It owns nothing: when the descriptor has been closed, or closed and used
// again, it has no answer.
class SocketGauge {
 public:
  SocketGauge() = default;
  explicit SocketGauge(int fd) : fd_(fd), cookie_(socket_cookie(fd)) {}
  std::optional<uint64_t> received_bytes() const;

 private:
  int fd_ = -1;
  uint64_t cookie_ = 0;
};

// By remote address, as many as there are connections. Thread: safe from any.
class SocketGauges {
 public:
  void add(const std::string& address, int fd);
  void remove(const std::string& address);
  SocketGauge find(const std::string& address) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, SocketGauge> gauges_;
};

}  // namespace starling::node
