#pragma once
// The peer port: PeerService.Exchange behind mutual TLS, fed by our own accept loop. A connection
// gets past the handshake only with the certificate of a member; whoever gets past it may open one
// stream that becomes the link.
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <functional>
#include <memory>
#include <string>

#include "node/acceptor.h"
#include "node/peer_link.h"

namespace starling::node {

class PeerServer {
 public:
  struct Options {
    std::string listen;
    AcceptorLimits limits;
    Acceptor::OnRefused on_refused;  // may be empty
  };
  // Errors: a line for the user that names the address. `terms` and `quota` outlive the server.
  static Result<std::unique_ptr<PeerServer>, std::string> start(
      const Options& options, const TlsPair& pair, const LinkTerms& terms,
      const std::shared_ptr<PeerTable>& table, const grpc::ResourceQuota& quota);
  ~PeerServer();
  uint16_t port() const { return acceptor_->port(); }
  void stop();  // returns when the last stream is over

 private:
  class Service;
  PeerServer();
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace starling::node
