#pragma once
// Dialling peers: an address is looked up, each of its addresses is tried in turn, the server's
// certificate is checked inside the handshake against the id that is expected, and the stream is
// the link once the server says so.
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/tls_certificate_provider.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "node/peer_link.h"
#include "node/queue.h"
#include "node/resolver.h"

namespace starling::node {

class DialledLink;

class PeerDialler {
 public:
  static constexpr size_t dials_max = 64;  // links that we dialled included

  struct Options {
    uint32_t timeout_ms = 10000;  // per address, until the server has taken the stream
  };
  // `terms` and `quota` outlive the dialler.
  PeerDialler(const Options& options, const TlsPair& pair, const LinkTerms& terms,
              std::shared_ptr<PeerTable> table, const grpc::ResourceQuota& quota);
  ~PeerDialler();
  // Ends in LinkUp or DialFailed, unless stopped before.
  void open(const std::string& address, std::optional<swarm::PeerId> expected);
  void stop();  // returns when the last stream is over

 private:
  friend class DialledLink;
  struct Plan {
    std::string address;  // as given to open
    std::optional<swarm::PeerId> expected;
    std::vector<SocketAddress> targets;
    size_t next = 0;
    std::string failures;  // of the targets before, for people
  };
  void attempt(Plan plan);
  void failed(Plan plan, const std::string& reason);  // goes on with the next target, or reports
  void bury(std::shared_ptr<DialledLink> link);
  void run_graves();

  const Options options_;
  const LinkTerms& terms_;
  const std::shared_ptr<PeerTable> table_;
  const grpc::ResourceQuota& quota_;
  const std::shared_ptr<grpc::experimental::CertificateProviderInterface> provider_;
  std::mutex mutex_;
  std::condition_variable idle_;
  std::map<uint64_t, std::shared_ptr<DialledLink>> dials_;  // by number, until destroyed
  uint64_t next_dial_ = 1;
  bool is_stopped_ = false;
  // Links whose streams are over. They are destroyed on a thread of ours: the last channel of a
  // process joins gRPC's callback threads as it goes, which none of those threads may do itself.
  Queue<std::shared_ptr<DialledLink>> graves_{dials_max};
  Resolver resolver_;
  std::jthread sexton_;
};

}  // namespace starling::node
