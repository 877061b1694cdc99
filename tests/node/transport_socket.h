#pragma once
// Plain TCP sockets on the loopback address, for those who do not speak gRPC.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace starling::node {

class Socket {
 public:
  static Socket listening() {
    Socket made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = loopback(0);
    ::bind(made.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::listen(made.fd_, 16);
    return made;
  }
  // Invalid when there is no descriptor, or nobody listens.
  static Socket connected(uint16_t port) {
    Socket made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = loopback(port);
    if (made.fd_ >= 0 &&
        ::connect(made.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      made = Socket(-1);
    }
    return made;
  }
  // Who has come; invalid when nobody has.
  Socket accepted() const { return Socket(::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC)); }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }

  bool is_valid() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  uint16_t port() const {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
  }
  bool send(const std::string& bytes) const {
    return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  // True: the other side closed within the time; bytes that came before are counted in `received`.
  bool wait_closed(std::chrono::milliseconds timeout, size_t* received = nullptr) const {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      pollfd polled{.fd = fd_, .events = POLLIN, .revents = 0};
      if (left.count() <= 0 || ::poll(&polled, 1, static_cast<int>(left.count())) <= 0)
        return false;
      char bytes[4096];
      const ssize_t size = ::recv(fd_, bytes, sizeof bytes, 0);
      if (size <= 0) return size == 0 || errno == ECONNRESET;
      if (received != nullptr) *received += static_cast<size_t>(size);
    }
  }

 private:
  explicit Socket(int fd) : fd_(fd) {}
  static sockaddr_in loopback(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  int fd_;
};

}  // namespace starling::node
