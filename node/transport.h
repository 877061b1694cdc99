#pragma once
// Links to peers: mutually authenticated TLS 1.3 over gRPC (callback API), one two-way stream of
// frames a peer. Owns the listening socket, the accept loop with its limits, the gRPC server and
// the dialled channels. Everything that arrives is opened and decoded on gRPC's threads
// (swarm/inbound.h) and handed to the sink as a swarm::Input; LinkUp, LinkDown and DialFailed come
// from here too. There is at most one link per peer: when both dial at once, the link dialled by
// the lower id stays. Source of the settings: gRPC 1.51 facts measured by the project (compression
// off, resource quota, own acceptor, handshake timeout, no port reuse, no proxy).
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "node/identity.h"
#include "node/refused.h"
#include "swarm/inbound.h"

namespace starling::node {

struct TransportOptions {
  std::string listen = "0.0.0.0:0";  // host:port; IPv6 in brackets
  uint32_t connections_max = 64;
  uint32_t connections_per_address_max =
      8;                           // IPv4 address or IPv6 /48; this machine itself is exempt
  uint32_t accepts_per_s_max = 5;  // per address, burst 20
  uint32_t handshake_timeout_ms = 3000;
  uint64_t quota_bytes = 64u << 20;           // gRPC resource quota
  uint32_t frame_size_max = 17u << 20;        // bytes, one frame
  uint64_t send_queue_bytes_max = 48u << 20;  // per link; over it the link is closed as too slow
  uint32_t accepts_burst = 20;                // per address
  uint32_t dial_timeout_ms = 10000;  // per address tried, until the other side has taken the stream
  // Every connection refused before it became a link. Called on the accept loop's thread; may be
  // empty.
  std::function<void(const Refused& refused)> on_refused;
};

// Counters since start. Names as shown in `status`.
struct TransportCounters {
  uint64_t sent_bytes = 0;  // frames, payload bytes of the stream
  uint64_t received_bytes = 0;
  uint64_t accepted_connections = 0;
  std::map<std::string, uint64_t>
      refused;  // reason ("no_certificate", "not_a_member", "too_many_connections", ...)
};

class Transport {
 public:
  // Called from several threads, also while locks are held: it must neither block nor call the
  // transport.
  using Sink = std::function<void(swarm::Input)>;
  // Errors: a line for the user that names the address, such as "address in use: 0.0.0.0:7411".
  static Result<std::unique_ptr<Transport>, std::string> start(const TransportOptions& options,
                                                               const Identity& identity,
                                                               const swarm::Membership& membership,
                                                               const swarm::InboundRules& rules,
                                                               Sink sink);
  virtual ~Transport() = default;
  virtual uint16_t port() const = 0;  // the one that was bound
  virtual void open(const std::string& address, std::optional<swarm::PeerId> expected) = 0;
  virtual void send(const swarm::PeerId& to,
                    swarm::SharedBytes frame) = 0;  // unknown peer: dropped
  virtual void close(const swarm::PeerId& peer, const std::string& reason) = 0;
  // Shuts a member out of future handshakes.
  virtual void ban(const swarm::PeerId& peer) = 0;
  // Who is revoked is asked of this at every handshake from now on.
  virtual void set_admissions(std::shared_ptr<const swarm::Admissions> admissions) = 0;
  virtual TransportCounters counters() const = 0;
  virtual void stop() = 0;  // closes every link; the sink is not called after it returns
};

}  // namespace starling::node
