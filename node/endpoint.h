#pragma once
// Addresses as people write them (host:port, IPv6 in brackets), as sockets have them, and as gRPC
// names them.
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace starling::node {

struct HostPort {
  std::string host;  // a name or a literal address, without brackets; may be empty ("any")
  uint16_t port = 0;
};
// None: no port, a port that is no number up to 65535, brackets that do not match, or longer than
// 256 bytes.
std::optional<HostPort> parse_host_port(std::string_view text);

// An IPv4 or IPv6 address with its port.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};
std::optional<SocketAddress> parse_literal(const HostPort& at);  // none: the host is a name
std::string to_string(const SocketAddress& address);  // "192.0.2.1:7411", "[2001:db8::1]:7411"
std::string to_grpc_target(
    const SocketAddress& address);  // "ipv4:192.0.2.1:7411", "ipv6:[2001:db8::1]:7411"
std::string from_grpc_peer(
    std::string_view peer);  // what gRPC calls a connected peer, in the form of to_string

// What the limits per address count under: the IPv4 address, or the /48 of an IPv6 address.
std::string limit_key(const SocketAddress& address);
bool is_loopback(const SocketAddress& address);
uint16_t port_of(const SocketAddress& address);

}  // namespace starling::node
