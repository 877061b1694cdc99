#pragma once
// This machine's network interfaces and the addresses it has on them.
#include <string>
#include <vector>

#include "node/endpoint.h"
#include "node/file.h"

namespace starling::node {

struct LocalAddress {
  std::string interface;
  unsigned index = 0;          // of the interface
  SocketAddress address;       // port 0
  bool can_multicast = false;  // the interface
  friend bool operator==(const LocalAddress& a, const LocalAddress& b);
};
// Of the interfaces that are up, IPv4 before IPv6, without loopback. Without IPv6 link-local ones:
// they mean nothing without the interface's name on the other side.
std::vector<LocalAddress> local_addresses();

// Of these those at which a node that listens on `host` ("0.0.0.0", "[::]" or one address) takes
// links.
std::vector<LocalAddress> listening_addresses(const std::vector<LocalAddress>& all,
                                              const std::string& host);
std::string host_of(const LocalAddress& local);  // "192.0.2.7", "[2001:db8::7]"

// Tells that an address or an interface came or went. Where the system will not say, it is silent.
class InterfaceWatch {
 public:
  InterfaceWatch();
  int descriptor() const { return socket_.descriptor(); }  // readable: something changed; -1: none
  void clear();                                            // until the next change

 private:
  File socket_;
};

}  // namespace starling::node
