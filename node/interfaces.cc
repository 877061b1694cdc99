#include "node/interfaces.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace starling::node {
namespace {

bool is_usable(const ifaddrs& entry) {
  if (entry.ifa_addr == nullptr || (entry.ifa_flags & IFF_UP) == 0) return false;
  if ((entry.ifa_flags & IFF_LOOPBACK) != 0) return false;
  if (entry.ifa_addr->sa_family == AF_INET) return true;
  if (entry.ifa_addr->sa_family != AF_INET6) return false;
  sockaddr_in6 v6{};
  std::memcpy(&v6, entry.ifa_addr, sizeof v6);
  return !IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr);
}

// Port and scope are the socket's matter.
SocketAddress address_of(const ifaddrs& entry) {
  SocketAddress address;
  const bool is_v4 = entry.ifa_addr->sa_family == AF_INET;
  address.size = is_v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  std::memcpy(&address.storage, entry.ifa_addr, address.size);
  return address;
}

}  // namespace

bool operator==(const LocalAddress& a, const LocalAddress& b) {
  return a.index == b.index && a.can_multicast == b.can_multicast && a.interface == b.interface &&
         to_string(a.address) == to_string(b.address);
}

std::vector<LocalAddress> local_addresses() {
  std::vector<LocalAddress> found;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (!is_usable(*each)) continue;
    found.push_back({.interface = each->ifa_name,
                     .index = if_nametoindex(each->ifa_name),
                     .address = address_of(*each),
                     .can_multicast = (each->ifa_flags & IFF_MULTICAST) != 0});
  }
  freeifaddrs(list);
  std::stable_partition(found.begin(), found.end(), [](const LocalAddress& local) {
    return local.address.storage.ss_family == AF_INET;
  });
  return found;
}

std::vector<LocalAddress> listening_addresses(const std::vector<LocalAddress>& all,
                                              const std::string& host) {
  const bool is_any_v4 = host.empty() || host == "0.0.0.0";
  const bool is_any = host == "[::]";
  std::vector<LocalAddress> chosen;
  for (const LocalAddress& local : all) {
    const bool is_v4 = local.address.storage.ss_family == AF_INET;
    if (is_any || (is_any_v4 && is_v4) || host_of(local) == host) chosen.push_back(local);
  }
  return chosen;
}

std::string host_of(const LocalAddress& local) {
  const std::string text = to_string(local.address);
  return text.substr(0, text.rfind(':'));
}

// ---- Changes

InterfaceWatch::InterfaceWatch()
    : socket_(::socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE)) {
  if (!socket_.is_open()) return;
  sockaddr_nl groups{};
  groups.nl_family = AF_NETLINK;
  groups.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (::bind(socket_.descriptor(), reinterpret_cast<const sockaddr*>(&groups), sizeof groups) != 0)
    socket_.close();
}

// What changed is not read from the messages: whoever asks looks at the whole list again.
void InterfaceWatch::clear() {
  std::array<uint8_t, 8192> ignored{};
  while (socket_.is_open() &&
         ::recv(socket_.descriptor(), ignored.data(), ignored.size(), MSG_DONTWAIT) > 0) {
  }
}

}  // namespace starling::node
