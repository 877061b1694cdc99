#pragma once
// A peer without a protocol: it gets past a node's handshake with a member's certificate (or tries
// to, with whatever it is given) and sends arbitrary bytes as frames: forged, replayed, cut,
// oversized. For tests that attack the real port.
#include <grpcpp/channel.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "node/certificate.h"
#include "node/identity.h"

namespace starling::node {

class RawPeer {
 public:
  struct Options {
    std::optional<TlsPair> pair;  // none: TLS without a certificate
    bool plaintext = false;       // no TLS at all
    bool gzip = false;            // compresses its messages
    bool reads = true;            // false: never takes anything from the stream
  };
  static TlsPair pair_of(const Identity& identity, const swarm::Membership& membership);
  // For calls of other services than the peers'.
  static std::shared_ptr<grpc::Channel> channel(const std::string& address, const Options& options);

  // Never fails at once: whether the node took the stream, wait_linked says.
  RawPeer(const std::string& address, const Options& options);
  RawPeer(const std::string& address, const Identity& identity, const swarm::Membership& membership)
      : RawPeer(address, Options{.pair = pair_of(identity, membership)}) {}
  ~RawPeer();  // breaks the connection off

  bool wait_linked(std::chrono::milliseconds timeout = std::chrono::seconds(10));
  // True: gRPC took the bytes, not that they arrived.
  bool send(const swarm::Bytes& frame);
  // The next frame from the node; none: the timeout, or the stream's end.
  std::optional<swarm::Bytes> receive(std::chrono::milliseconds timeout = std::chrono::seconds(10));
  // True: the node ended the stream, or refused it.
  bool wait_ended(std::chrono::milliseconds timeout = std::chrono::seconds(10));

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace starling::node
