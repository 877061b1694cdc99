#pragma once
// The sockets of the beacon: a datagram from each of this machine's addresses to all who listen on
// the same network, and what others say there. UDP multicast that no router passes on (TTL 1), to
// one group and port that all nodes share; only what was sent to the group arrives here.
#include <string>
#include <vector>

#include "node/interfaces.h"
#include "swarm/bytes.h"

namespace starling::node {

inline constexpr const char* beacon_group_v4 = "239.255.74.11";  // of the site's own (RFC 2365)
inline constexpr const char* beacon_group_v6 = "ff02::7411";     // of the link
inline constexpr uint16_t beacon_port = 7411;

class BeaconSocket {
 public:
  // Errors: a line for people. Requires: an address with can_multicast.
  static Result<BeaconSocket, std::string> open(const LocalAddress& local);

  int descriptor() const { return socket_.descriptor(); }
  const std::string& host() const { return host_; }  // "192.0.2.7", "[2001:db8::7]"
  // Errors: the system's word for it, such as "Network is unreachable".
  Result<Done, std::string> send(swarm::ByteView datagram) const;

  struct Datagram {
    swarm::Bytes bytes;
    std::string host;  // where it came from, as host()
  };
  // Without waiting. None: there is nothing.
  std::optional<Datagram> receive() const;

 private:
  BeaconSocket(File socket, const LocalAddress& local, const SocketAddress& group);

  File socket_;
  SocketAddress own_, group_;
  unsigned interface_ = 0;
  std::string host_;
};

}  // namespace starling::node
