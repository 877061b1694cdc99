#include "node/acceptor.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace starling::node {
namespace {

constexpr int backlog = 128;
constexpr int accepts_per_round_max = 64;
constexpr std::chrono::milliseconds back_off{50};  // after running out of descriptors or memory
constexpr std::chrono::milliseconds sweep_interval{50};  // while a handshake is under way in gRPC
constexpr std::chrono::hours idle_interval{1};  // nothing to do but wait for the wake descriptor

int open_spare() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

void set_option(int fd, int level, int name, int value) {
  setsockopt(fd, level, name, &value, sizeof value);
}

std::string errno_text(int error) { return std::strerror(error); }

Result<SocketAddress, std::string> listen_address(const std::string& listen) {
  const std::optional<HostPort> at = parse_host_port(listen);
  if (!at)
    return Unexpected{"cannot listen on " + listen + ": expected host:port, IPv6 in brackets"};
  if (at->host.empty()) return *parse_literal({.host = "0.0.0.0", .port = at->port});
  if (const std::optional<SocketAddress> literal = parse_literal(*at)) return *literal;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int error =
          getaddrinfo(at->host.c_str(), std::to_string(at->port).c_str(), &hints, &found);
      error != 0) {
    return Unexpected{"cannot listen on " + listen + ": " + gai_strerror(error)};
  }
  SocketAddress address;
  address.size = found->ai_addrlen;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  return address;
}

}  // namespace

std::shared_ptr<AcceptorMail> AcceptorMail::create() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return nullptr;
  return std::shared_ptr<AcceptorMail>(new AcceptorMail(fd));
}

AcceptorMail::~AcceptorMail() { ::close(wake_fd_); }

void AcceptorMail::post(Letter letter) {
  if (letters_.push(std::move(letter))) wake();
}

void AcceptorMail::wake() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written =
      ::write(wake_fd_, &one, sizeof one);  // full: it is awake anyway
}

Result<std::unique_ptr<Acceptor>, std::string> Acceptor::bind(const std::string& listen,
                                                              const AcceptorLimits& limits) {
  auto address = listen_address(listen);
  if (!address) return Unexpected{address.error()};
  const int fd =
      ::socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Unexpected{"cannot listen on " + listen + ": " + errno_text(errno)};
  set_option(fd, SOL_SOCKET, SO_REUSEADDR,
             1);  // after a restart; two listeners on one port stay impossible
  if (address->storage.ss_family == AF_INET6) set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  SocketAddress bound{.storage = {}, .size = sizeof(sockaddr_storage)};
  std::shared_ptr<AcceptorMail> mail = AcceptorMail::create();
  const bool is_listening =
      mail != nullptr &&
      ::bind(fd, reinterpret_cast<const sockaddr*>(&address->storage), address->size) == 0 &&
      ::listen(fd, backlog) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) == 0;
  if (!is_listening) {
    const int error = errno;
    ::close(fd);
    if (error == EADDRINUSE) return Unexpected{"address in use: " + listen};
    return Unexpected{"cannot listen on " + listen + ": " + errno_text(error)};
  }
  return std::unique_ptr<Acceptor>(new Acceptor(fd, port_of(bound), std::move(mail), limits));
}

Acceptor::Acceptor(int listen_fd, uint16_t port, std::shared_ptr<AcceptorMail> mail,
                   const AcceptorLimits& limits)
    : limits_(limits),
      listen_fd_(listen_fd),
      port_(port),
      mail_(std::move(mail)),
      spare_fd_(open_spare()),
      buckets_({.per_s = double(limits.accepts_per_s_max), .burst = double(limits.accepts_burst)}) {
}

Acceptor::~Acceptor() {
  stop();
  for (const Connection& connection : connections_) {
    if (connection.stage == Stage::hello) ::close(connection.fd);
  }
  if (spare_fd_ >= 0) ::close(spare_fd_);
  ::close(listen_fd_);
}

void Acceptor::run(HandOver hand_over, OnRefused on_refused) {
  hand_over_ = std::move(hand_over);
  on_refused_ = std::move(on_refused);
  thread_ = std::jthread([this](const std::stop_token& stop) { loop(stop); });
}

void Acceptor::stop() {
  thread_.request_stop();
  mail_->wake();
  if (thread_.joinable()) thread_.join();
}

void Acceptor::loop(const std::stop_token& stop) {
  std::vector<pollfd> polled;
  while (!stop.stop_requested()) {
    const auto now = Clock::now();
    polled.assign({{.fd = mail_->wake_fd(), .events = POLLIN, .revents = 0}});
    // A negative descriptor is skipped by poll: the listener rests while descriptors are short.
    polled.push_back({.fd = now < listen_again_ ? -1 : listen_fd_, .events = POLLIN, .revents = 0});
    for (const Connection& connection : connections_) {
      const bool waits = connection.stage == Stage::hello;
      polled.push_back({.fd = waits ? connection.fd : -1, .events = POLLIN, .revents = 0});
    }
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(
        std::max(next_wake() - now, Clock::duration::zero()));
    ::poll(polled.data(), polled.size(), static_cast<int>(wait.count()));
    if (polled[0].revents != 0) {
      uint64_t count = 0;
      [[maybe_unused]] const ssize_t read = ::read(mail_->wake_fd(), &count, sizeof count);
    }
    for (size_t index = 2; index < polled.size(); ++index) {
      if (polled[index].revents != 0) look_at_hello(connections_[index - 2]);
    }
    expire();
    sweep();
    if (polled[1].revents != 0) accept_all();
  }
}

Acceptor::Clock::time_point Acceptor::next_wake() const {
  const auto now = Clock::now();
  auto wake = now + idle_interval;
  if (now < listen_again_) wake = std::min(wake, listen_again_);
  for (const Connection& connection : connections_) {
    if (connection.stage == Stage::hello) wake = std::min(wake, connection.deadline);
    if (connection.stage == Stage::handed_over && now < connection.deadline)
      wake = std::min(wake, now + sweep_interval);
  }
  return wake;
}

void Acceptor::accept_all() {
  for (int round = 0; round < accepts_per_round_max; ++round) {
    SocketAddress address{.storage = {}, .size = sizeof(sockaddr_storage)};
    const int fd = ::accept4(listen_fd_, reinterpret_cast<sockaddr*>(&address.storage),
                             &address.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      admit(fd, address);
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) accept_failed(errno);
    return;
  }
}

// Out of descriptors: the spare one makes room to take the connection and close it, so that the
// client learns of it and the backlog does not fill for good.
void Acceptor::accept_failed(int error) {
  listen_again_ = Clock::now() + back_off;
  if (error != EMFILE && error != ENFILE) return;
  if (spare_fd_ >= 0) ::close(spare_fd_);
  SocketAddress address{.storage = {}, .size = sizeof(sockaddr_storage)};
  const int fd = ::accept4(listen_fd_, reinterpret_cast<sockaddr*>(&address.storage), &address.size,
                           SOCK_CLOEXEC);
  // Another thread may have been quicker to take the free descriptor.
  on_refused_({fd >= 0 ? to_string(address) : "unknown", "out_of_descriptors", std::nullopt});
  if (fd >= 0) ::close(fd);
  spare_fd_ = open_spare();
}

void Acceptor::admit(int fd, const SocketAddress& address) {
  Connection connection{
      .fd = fd,
      .cookie = socket_cookie(fd),
      .address = to_string(address),
      .key = limit_key(address),
      .is_exempt = limits_.is_loopback_exempt && is_loopback(address),
      .stage = Stage::hello,
      .deadline = Clock::now() + std::chrono::milliseconds(limits_.hello_timeout_ms)};
  if (!buckets_.take(connection.key, Clock::now())) {
    refuse(connection, "too_fast");
    return;
  }
  sweep();  // one that gRPC has closed since the last round takes no room
  if (!make_room(connection.key, connection.is_exempt)) {
    const bool is_full = connections_.size() >= limits_.connections_max;
    refuse(connection, is_full ? "too_many_connections" : "too_many_from_address");
  } else {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    connections_.push_back(std::move(connection));
  }
}

// At a limit, the oldest connection that has not even sent its hello gives way: half-open ones
// cannot lock others out.
bool Acceptor::make_room(const std::string& key, bool is_exempt) {
  const auto same_key =
      std::count_if(connections_.begin(), connections_.end(),
                    [&](const Connection& connection) { return connection.key == key; });
  if (!is_exempt && static_cast<size_t>(same_key) >= limits_.connections_per_address_max) {
    return displace_oldest_hello(&key);
  }
  if (connections_.size() >= limits_.connections_max) return displace_oldest_hello(nullptr);
  return true;
}

bool Acceptor::displace_oldest_hello(const std::string* key) {
  const auto oldest =
      std::find_if(connections_.begin(), connections_.end(), [&](const Connection& connection) {
        return connection.stage == Stage::hello && (key == nullptr || connection.key == *key);
      });
  if (oldest == connections_.end()) return false;
  refuse(*oldest, "displaced");
  connections_.erase(oldest);
  return true;
}

void Acceptor::look_at_hello(Connection& connection) {
  std::array<uint8_t, client_hello_size_max> bytes;
  const ssize_t size = ::recv(connection.fd, bytes.data(), bytes.size(), MSG_PEEK);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return refuse(connection, "handshake_failed");
  const HelloCheck check = check_client_hello(std::span(bytes).first(static_cast<size_t>(size)));
  switch (check.verdict) {
    case HelloVerdict::incomplete: {
      // Wake only once that much has come. If it cannot come any more (the client ended), give up.
      int lowest = 0;
      socklen_t lowest_size = sizeof lowest;
      getsockopt(connection.fd, SOL_SOCKET, SO_RCVLOWAT, &lowest, &lowest_size);
      if (static_cast<size_t>(lowest) == check.size) return refuse(connection, "handshake_failed");
      return set_option(connection.fd, SOL_SOCKET, SO_RCVLOWAT, static_cast<int>(check.size));
    }
    case HelloVerdict::tls13:
      return hand_over(connection);
    case HelloVerdict::old_tls:
      return refuse(connection, "old_tls");
    case HelloVerdict::not_tls:
      return refuse(connection, "not_tls");
  }
}

void Acceptor::hand_over(Connection& connection) {
  set_option(connection.fd, SOL_SOCKET, SO_RCVLOWAT, 1);
  connection.stage = Stage::handed_over;
  connection.deadline = Clock::now() + std::chrono::milliseconds(limits_.handshake_timeout_ms) +
                        std::chrono::seconds(1);
  gauges_->add(connection.address, connection.fd);
  hand_over_(connection.fd);
}

void Acceptor::refuse(Connection& connection, const std::string& reason) {
  on_refused_(
      {connection.address, reason, std::nullopt});  // first: who sees the end finds it counted
  ::close(connection.fd);
  connection.fd = -1;
}

void Acceptor::expire() {
  const auto now = Clock::now();
  for (Connection& connection : connections_) {
    const bool is_late =
        connection.stage == Stage::hello && connection.fd >= 0 && now >= connection.deadline;
    if (is_late) refuse(connection, "handshake_timeout");
  }
  std::erase_if(connections_, [](const Connection& connection) { return connection.fd < 0; });
}

// Finds the connections that gRPC has closed, and gives those that never carried a link a reason.
// Closed ones are looked for before the mail is read: a verdict is posted before its connection is
// closed.
void Acceptor::sweep() {
  std::vector<Connection> gone;
  std::erase_if(connections_, [&](const Connection& connection) {
    if (connection.stage == Stage::hello || socket_cookie(connection.fd) == connection.cookie)
      return false;
    gauges_->remove(connection.address);
    gone.push_back(connection);
    return true;
  });
  while (std::optional<AcceptorMail::Letter> letter = mail_->take()) {
    if (auto* verdict = std::get_if<AcceptorMail::Verdict>(&*letter)) {
      verdicts_.push_back(std::move(*verdict));
      continue;
    }
    const std::string& address = std::get<AcceptorMail::Linked>(*letter).address;
    for (auto* list : {&connections_, &gone}) {
      for (Connection& connection : *list) {
        if (connection.stage == Stage::handed_over && connection.address == address)
          connection.stage = Stage::linked;
      }
    }
    const auto passed = std::find_if(verdicts_.begin(), verdicts_.end(),
                                     [](const auto& verdict) { return verdict.reason.empty(); });
    if (passed != verdicts_.end()) verdicts_.erase(passed);
  }
  for (const Connection& connection : gone) {
    if (connection.stage == Stage::linked) continue;
    AcceptorMail::Verdict found{.reason = "handshake_failed", .id = std::nullopt};
    if (!verdicts_.empty()) {
      // A refusal first: a verdict that passed may belong to a connection that is still open.
      auto match = std::find_if(verdicts_.begin(), verdicts_.end(),
                                [](const auto& verdict) { return !verdict.reason.empty(); });
      if (match == verdicts_.end()) match = verdicts_.begin();
      found = std::move(*match);
      verdicts_.erase(match);
    }
    if (!found.reason.empty())  // empty: it passed and then thought better of it
      on_refused_({connection.address, found.reason, found.id});
  }
  const bool is_waiting = std::any_of(
      connections_.begin(), connections_.end(),
      [](const Connection& connection) { return connection.stage == Stage::handed_over; });
  if (is_waiting) return;
  for (const AcceptorMail::Verdict& verdict : verdicts_) {
    if (!verdict.reason.empty()) on_refused_({"unknown", verdict.reason, verdict.id});
  }
  verdicts_.clear();
}

}  // namespace starling::node
