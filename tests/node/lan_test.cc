// From which addresses a beacon goes out.
#include "node/lan.h"

#include <doctest/doctest.h>

namespace starling::node {
namespace {

LocalAddress local(const std::string& interface, const std::string& host, bool can_multicast) {
  return {.interface = interface,
          .index = 1,
          .address = *parse_literal({.host = host, .port = 0}),
          .can_multicast = can_multicast};
}

std::vector<std::string> chosen(const std::string& listen_host) {
  const std::vector<LocalAddress> all{
      local("eth0", "192.0.2.7", true), local("eth1", "198.51.100.7", true),
      local("tun0", "203.0.113.7", false), local("eth0", "2001:db8::7", true)};
  std::vector<std::string> hosts;
  for (const LocalAddress& each : beacon_addresses(all, listen_host))
    hosts.push_back(to_string(each.address));
  return hosts;
}

TEST_CASE("a beacon goes out from the addresses that take links and can multicast") {
  using Hosts = std::vector<std::string>;
  CHECK(chosen("0.0.0.0") == Hosts{"192.0.2.7:0", "198.51.100.7:0"});
  CHECK(chosen("[::]") == Hosts{"192.0.2.7:0", "198.51.100.7:0", "[2001:db8::7]:0"});
  CHECK(chosen("198.51.100.7") == Hosts{"198.51.100.7:0"});
  CHECK(chosen("[2001:db8::7]") == Hosts{"[2001:db8::7]:0"});
  CHECK(chosen("203.0.113.7").empty());
  CHECK(chosen("a.name").empty());
}

TEST_CASE("a node takes links at the addresses of what it listens on") {
  const std::vector<LocalAddress> all{local("eth0", "192.0.2.7", true),
                                      local("tun0", "203.0.113.7", false),
                                      local("eth0", "2001:db8::7", true)};
  CHECK(listening_addresses(all, "0.0.0.0").size() == 2);  // no IPv6
  CHECK(listening_addresses(all, "[::]").size() == 3);
  CHECK(listening_addresses(all, "203.0.113.7").size() == 1);
  CHECK(host_of(all[2]) == "[2001:db8::7]");
}

TEST_CASE("a machine with a hundred addresses speaks from a bounded number") {
  std::vector<LocalAddress> all;
  for (int i = 1; i <= 100; ++i) all.push_back(local("eth0", "192.0.2." + std::to_string(i), true));
  CHECK(beacon_addresses(all, "0.0.0.0").size() == Lan::sockets_max);
}

}  // namespace
}  // namespace starling::node
