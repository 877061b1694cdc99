#include "node/beacon.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace starling::node {
namespace {

constexpr size_t datagram_size_max = 512;       // above any beacon's; a longer one is cut, and so
                                                // refused
constexpr int receive_buffer_bytes = 64 << 10;  // a flood is lost in the system, not here

std::string errno_text() { return std::strerror(errno); }

template <typename T>
bool set_option(const File& socket, int level, int name, const T& value) {
  return ::setsockopt(socket.descriptor(), level, name, &value, sizeof value) == 0;
}

template <typename T>
T as(const SocketAddress& address) {
  T typed{};
  std::memcpy(&typed, &address.storage, sizeof typed);
  return typed;
}

// From there and to there alone, whatever other interfaces and programs do with the group.
bool join_v4(const File& socket, const LocalAddress& local, const SocketAddress& group) {
  ip_mreqn membership{};
  membership.imr_multiaddr = as<sockaddr_in>(group).sin_addr;
  membership.imr_address = as<sockaddr_in>(local.address).sin_addr;
  membership.imr_ifindex = static_cast<int>(local.index);
  return set_option(socket, IPPROTO_IP, IP_MULTICAST_ALL, 0) &&
         set_option(socket, IPPROTO_IP, IP_MULTICAST_TTL, 1) &&
         set_option(socket, IPPROTO_IP, IP_MULTICAST_LOOP, 1) &&  // to other nodes of this machine
         set_option(socket, IPPROTO_IP, IP_MULTICAST_IF, membership) &&
         set_option(socket, IPPROTO_IP, IP_ADD_MEMBERSHIP, membership);
}

bool join_v6(const File& socket, const LocalAddress& local, const SocketAddress& group) {
  ipv6_mreq membership{};
  membership.ipv6mr_multiaddr = as<sockaddr_in6>(group).sin6_addr;
  membership.ipv6mr_interface = local.index;
  const int index = static_cast<int>(local.index);
  return set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
         set_option(socket, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1) &&
         set_option(socket, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1) &&
         set_option(socket, IPPROTO_IPV6, IPV6_MULTICAST_IF, index) &&
         set_option(socket, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, membership);
}

SocketAddress group_for(const LocalAddress& local) {
  const bool is_v4 = local.address.storage.ss_family == AF_INET;
  SocketAddress group =
      *parse_literal({.host = is_v4 ? beacon_group_v4 : beacon_group_v6, .port = beacon_port});
  if (is_v4) return group;
  auto v6 = as<sockaddr_in6>(group);
  v6.sin6_scope_id = local.index;
  std::memcpy(&group.storage, &v6, sizeof v6);
  return group;
}

std::string host_of(const SocketAddress& address) {
  const std::string text = to_string(address);
  return text.substr(0, text.rfind(':'));
}

}  // namespace

BeaconSocket::BeaconSocket(File socket, const LocalAddress& local, const SocketAddress& group)
    : socket_(std::move(socket)),
      own_(local.address),
      group_(group),
      interface_(local.index),
      host_(host_of(local)) {}

Result<BeaconSocket, std::string> BeaconSocket::open(const LocalAddress& local) {
  const SocketAddress group = group_for(local);
  const int family = group.storage.ss_family;
  File socket(::socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const bool is_ready =
      socket.is_open() &&
      // Several nodes of one machine share the port, and each hears everything.
      set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1) &&
      set_option(socket, SOL_SOCKET, SO_RCVBUF, receive_buffer_bytes) &&
      (family == AF_INET ? join_v4(socket, local, group) : join_v6(socket, local, group)) &&
      ::bind(socket.descriptor(), reinterpret_cast<const sockaddr*>(&group.storage), group.size) ==
          0;
  if (!is_ready) return Unexpected{local.interface + ": " + errno_text()};
  return BeaconSocket(std::move(socket), local, group);
}

// IPv6 would choose the link-local address by itself; receivers compare with the one in the beacon.
Result<Done, std::string> BeaconSocket::send(swarm::ByteView datagram) const {
  iovec content{};
  content.iov_base = const_cast<uint8_t*>(datagram.data());
  content.iov_len = datagram.size();
  SocketAddress to = group_;
  msghdr message{};
  message.msg_name = &to.storage;
  message.msg_namelen = to.size;
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(sizeof(in6_pktinfo))> control{};
  if (own_.storage.ss_family == AF_INET6) {
    in6_pktinfo from{};
    from.ipi6_addr = as<sockaddr_in6>(own_).sin6_addr;
    from.ipi6_ifindex = interface_;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_IPV6;
    header->cmsg_type = IPV6_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof from);
    std::memcpy(CMSG_DATA(header), &from, sizeof from);
  }
  if (::sendmsg(socket_.descriptor(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
    return Unexpected{errno_text()};
  return Done{};
}

std::optional<BeaconSocket::Datagram> BeaconSocket::receive() const {
  Datagram datagram{.bytes = swarm::Bytes(datagram_size_max), .host = {}};
  SocketAddress from;
  from.size = sizeof from.storage;
  const ssize_t size =
      ::recvfrom(socket_.descriptor(), datagram.bytes.data(), datagram.bytes.size(), MSG_DONTWAIT,
                 reinterpret_cast<sockaddr*>(&from.storage), &from.size);
  if (size < 0) return std::nullopt;
  datagram.bytes.resize(static_cast<size_t>(size));
  datagram.host = host_of(from);
  return datagram;
}

}  // namespace starling::node
