#include "node/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <charconv>
#include <cstring>

namespace starling::node {
namespace {

constexpr size_t text_size_max = 256;

// The storage is copied out: reading it through another type would break aliasing.
sockaddr_in as_v4(const SocketAddress& address) {
  sockaddr_in v4{};
  std::memcpy(&v4, &address.storage, sizeof v4);
  return v4;
}
sockaddr_in6 as_v6(const SocketAddress& address) {
  sockaddr_in6 v6{};
  std::memcpy(&v6, &address.storage, sizeof v6);
  return v6;
}

// The IPv4 address in network order, also of an IPv6 socket that an IPv4 client reached.
std::optional<in_addr> v4_of(const SocketAddress& address) {
  if (address.storage.ss_family == AF_INET) return as_v4(address).sin_addr;
  if (address.storage.ss_family != AF_INET6) return std::nullopt;
  const in6_addr v6 = as_v6(address).sin6_addr;
  if (!IN6_IS_ADDR_V4MAPPED(&v6)) return std::nullopt;
  in_addr v4{};
  std::memcpy(&v4, v6.s6_addr + 12, sizeof v4);
  return v4;
}

std::string literal(const SocketAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (const std::optional<in_addr> v4 = v4_of(address)) {
    inet_ntop(AF_INET, &*v4, text.data(), text.size());
    return text.data();
  }
  const in6_addr v6 = as_v6(address).sin6_addr;
  inet_ntop(AF_INET6, &v6, text.data(), text.size());
  return std::string("[") + text.data() + "]";
}

}  // namespace

std::optional<HostPort> parse_host_port(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (text.size() > text_size_max || colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  const bool is_bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  if (host.find_first_of("[]") != std::string_view::npos) return std::nullopt;
  if (!is_bracketed && host.find(':') != std::string_view::npos) return std::nullopt;
  return HostPort{.host = std::string(host), .port = port};
}

std::optional<SocketAddress> parse_literal(const HostPort& at) {
  SocketAddress address;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET, at.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(at.port);
    std::memcpy(&address.storage, &v4, sizeof v4);
    address.size = sizeof v4;
    return address;
  }
  if (inet_pton(AF_INET6, at.host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(at.port);
    std::memcpy(&address.storage, &v6, sizeof v6);
    address.size = sizeof v6;
    return address;
  }
  return std::nullopt;
}

uint16_t port_of(const SocketAddress& address) {
  if (address.storage.ss_family == AF_INET) return ntohs(as_v4(address).sin_port);
  if (address.storage.ss_family == AF_INET6) return ntohs(as_v6(address).sin6_port);
  return 0;
}

std::string to_string(const SocketAddress& address) {
  return literal(address) + ":" + std::to_string(port_of(address));
}

std::string to_grpc_target(const SocketAddress& address) {
  return (v4_of(address) ? "ipv4:" : "ipv6:") + to_string(address);
}

std::string from_grpc_peer(std::string_view peer) {
  const size_t scheme = peer.find(':');
  if (scheme == std::string_view::npos) return std::string(peer);
  peer = peer.substr(scheme + 1);
  std::string text;
  for (size_t at = 0; at < peer.size(); ++at) {
    unsigned code = 0;
    if (peer[at] == '%' && at + 2 < peer.size() &&
        std::from_chars(peer.data() + at + 1, peer.data() + at + 3, code, 16).ptr ==
            peer.data() + at + 3) {
      text += static_cast<char>(code);
      at += 2;
    } else {
      text += peer[at];
    }
  }
  return text;
}

std::string limit_key(const SocketAddress& address) {
  if (v4_of(address)) return literal(address);
  SocketAddress prefix = address;
  sockaddr_in6 v6 = as_v6(address);
  std::memset(v6.sin6_addr.s6_addr + 6, 0, 10);
  std::memcpy(&prefix.storage, &v6, sizeof v6);
  return literal(prefix) + "/48";
}

bool is_loopback(const SocketAddress& address) {
  if (const std::optional<in_addr> v4 = v4_of(address)) return ntohl(v4->s_addr) >> 24 == 127;
  const in6_addr v6 = as_v6(address).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&v6);
}

}  // namespace starling::node
