#include "node/transport.h"

#include <grpc/support/log.h>
#include <grpcpp/resource_quota.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "node/certificate.h"
#include "node/peer_dial.h"
#include "node/peer_server.h"
#include "node/peer_table.h"

namespace starling::node {
namespace {

// gRPC writes a line to stderr for every stranger's failed handshake; those are counted and
// reported here instead. Its last words before it aborts are passed on.
void keep_last_words(gpr_log_func_args* line) {
  if (std::strstr(line->message, "assertion failed") == nullptr) return;
  std::fprintf(stderr, "gRPC %s:%d: %s\n", line->file, line->line, line->message);
}
void quiet_grpc() {
  static const bool done = [] {
    if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function(keep_last_words);
    return true;
  }();
  assert(done);
}

class GrpcTransport final : public Transport {
 public:
  GrpcTransport(const TransportOptions& options, const swarm::PeerId& self,
                const swarm::InboundRules& rules, Sink sink)
      : terms_{.rules = rules,
               .sink = sink,
               .send_queue_bytes_max = options.send_queue_bytes_max,
               .frame_size_max = options.frame_size_max,
               .traffic = std::make_shared<Traffic>()},
        table_(std::make_shared<PeerTable>(self, std::move(sink),
                                           std::chrono::milliseconds(options.dial_timeout_ms))),
        quota_("starling peers") {
    quota_.Resize(options.quota_bytes);
  }
  ~GrpcTransport() override { stop(); }

  // None: it runs.
  std::optional<std::string> begin(const TransportOptions& options, const TlsPair& pair) {
    const uint32_t hello_timeout_ms = options.handshake_timeout_ms / 2;
    const PeerServer::Options serving{
        .listen = options.listen,
        .limits = {.connections_max = options.connections_max,
                   .connections_per_address_max = options.connections_per_address_max,
                   .accepts_per_s_max = options.accepts_per_s_max,
                   .accepts_burst = options.accepts_burst,
                   .hello_timeout_ms = hello_timeout_ms,
                   .handshake_timeout_ms = options.handshake_timeout_ms - hello_timeout_ms},
        .on_refused = options.on_refused};
    dialler_ = std::make_unique<PeerDialler>(
        PeerDialler::Options{.timeout_ms = options.dial_timeout_ms}, pair, terms_, table_, quota_);
    auto server = PeerServer::start(serving, pair, terms_, table_, quota_);
    if (!server) return server.error();
    server_ = std::move(server).value();
    return std::nullopt;
  }

  uint16_t port() const override { return server_->port(); }
  void open(const std::string& address, std::optional<swarm::PeerId> expected) override {
    dialler_->open(address, expected);
  }
  void send(const swarm::PeerId& to, swarm::SharedBytes frame) override {
    table_->send(to, std::move(frame));
  }
  void close(const swarm::PeerId& peer, const std::string& reason) override {
    table_->close(peer, reason);
  }
  void ban(const swarm::PeerId& peer) override { table_->ban(peer); }
  void set_admissions(std::shared_ptr<const swarm::Admissions> admissions) override {
    table_->set_admissions(std::move(admissions));
  }
  TransportCounters counters() const override { return terms_.traffic->snapshot(); }

  void stop() override {
    table_->stop("this node is stopping");
    if (dialler_) dialler_->stop();
    if (server_) server_->stop();
  }

 private:
  const LinkTerms terms_;
  const std::shared_ptr<PeerTable> table_;
  grpc::ResourceQuota quota_;
  std::unique_ptr<PeerDialler> dialler_;
  std::unique_ptr<PeerServer> server_;
};

}  // namespace

Result<std::unique_ptr<Transport>, std::string> Transport::start(
    const TransportOptions& options, const Identity& identity, const swarm::Membership& membership,
    const swarm::InboundRules& rules, Sink sink) {
  quiet_grpc();
  const auto pair = make_certificate(identity.signer(), membership);
  if (!pair) return Unexpected{pair.error()};
  auto transport = std::make_unique<GrpcTransport>(options, identity.id(), rules, std::move(sink));
  if (auto error = transport->begin(options, *pair)) return Unexpected{*error};
  return std::unique_ptr<Transport>(std::move(transport));
}

}  // namespace starling::node
