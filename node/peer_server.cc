#include "node/peer_server.h"

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <condition_variable>
#include <mutex>

#include "node/peer_settings.h"
#include "node/peer_table.h"
#include "starling/v1/peer.grpc.pb.h"

namespace starling::node {
namespace {

namespace tls = grpc::experimental;

constexpr int streams_per_connection_max = 16;
constexpr int min_ping_interval_ms = 20000;  // peers ping every 30 s; faster ones are cut off
constexpr int connection_idle_max_ms = 5 * 60'000;  // without any stream; a live link is never idle
constexpr auto shutdown_time = std::chrono::seconds(1);

// Looks at a dialling peer's certificate inside the handshake. gRPC may keep it longer than the
// server lives.
class InboundVerifier : public tls::ExternalCertificateVerifier {
 public:
  InboundVerifier(const swarm::SwarmId& swarm, std::shared_ptr<PeerTable> table,
                  std::shared_ptr<AcceptorMail> mail)
      : swarm_(swarm), table_(std::move(table)), mail_(std::move(mail)) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* status) override {
    const grpc::string_ref pem = request->peer_cert();
    const auto proof = check_certificate({pem.data(), pem.size()}, swarm_);
    AcceptorMail::Verdict verdict;
    if (!proof) {
      verdict.reason = certificate_error_name(proof.error());
      verdict.id = certificate_identity({pem.data(), pem.size()});
    } else {
      verdict.reason = table_->why_unwelcome(*proof).value_or("");
      verdict.id = proof->id;
    }
    *status = verdict.reason.empty()
                  ? grpc::Status::OK
                  : grpc::Status(grpc::StatusCode::UNAUTHENTICATED, verdict.reason);
    mail_->post(std::move(verdict));
    return true;  // done, here and now
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  const swarm::SwarmId swarm_;
  const std::shared_ptr<PeerTable> table_;
  const std::shared_ptr<AcceptorMail> mail_;
};

using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// Counts the streams that are not quite over yet; what they use must not go before.
class LiveStreams {
 public:
  void add() {
    std::lock_guard lock(mutex_);
    ++count_;
  }
  void remove() {
    std::lock_guard lock(mutex_);
    if (--count_ == 0) none_.notify_all();
  }
  void wait_none() {
    std::unique_lock lock(mutex_);
    none_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable none_;
  size_t count_ = 0;
};

// What every stream of the server needs.
struct Grounds {
  std::shared_ptr<PeerTable> table;
  const LinkTerms& terms;
  std::shared_ptr<AcceptorMail> mail;
  std::shared_ptr<SocketGauges> gauges;
  std::shared_ptr<LiveStreams> live = std::make_shared<LiveStreams>();
};

class InboundLink final : public PeerLink, public Reactor {
 public:
  InboundLink(const Grounds& grounds, grpc::CallbackServerContext* call)
      : PeerLink(grounds.table, grounds.terms, false), live_(grounds.live), call_(call) {
    live_->add();
  }

  // Lives until OnDone.
  static Reactor* start(const Grounds& grounds, grpc::CallbackServerContext* call) {
    auto link = std::make_shared<InboundLink>(grounds, call);
    link->self_ = link;
    const std::string address = from_grpc_peer(call->peer());
    // The handshake has checked this certificate; who it is, is read from the connection itself.
    const auto pems = call->auth_context()->FindPropertyValues("x509_pem_cert");
    const grpc::string_ref pem = pems.empty() ? grpc::string_ref() : pems.front();
    auto proof = check_certificate({pem.data(), pem.size()}, grounds.terms.rules.swarm);
    if (!proof) {
      link->code_ = grpc::StatusCode::UNAUTHENTICATED;
      link->refuse(std::string(certificate_error_text(proof.error())));
      return link.get();
    }
    grounds.mail->post(AcceptorMail::Linked{.address = address});
    link->gauge_ = grounds.gauges->find(address);
    link->identify(std::move(proof).value(), address);
    if (const std::optional<std::string> refusal = grounds.table->admit_inbound(link)) {
      link->code_ = grpc::StatusCode::ALREADY_EXISTS;
      link->refuse(*refusal);
      return link.get();
    }
    call->AddInitialMetadata(link_metadata_key, "1");
    link->StartSendInitialMetadata();
    link->read_next();
    return link.get();
  }

  void OnSendInitialMetadataDone(bool ok) override { let_write(ok); }
  void OnReadDone(bool ok) override {
    const std::optional<uint64_t> received = gauge_.received_bytes();
    const bool is_refused = !ok && received && *received - received_bytes_ > unread_size_max();
    if (is_refused) count_refused(swarm::DropReason::oversized);
    received_bytes_ = received.value_or(received_bytes_);
    read_done(ok);
  }
  void OnWriteDone(bool ok) override { write_done(ok); }
  void OnDone() override {
    std::shared_ptr<InboundLink> last = std::move(self_);
    const std::shared_ptr<LiveStreams> live = live_;
    stream_done("connection lost, or ended by the peer");
    last.reset();
    live->remove();
  }

 private:
  void start_read(grpc::ByteBuffer* message) override { StartRead(message); }
  void start_write(const grpc::ByteBuffer* message) override { StartWrite(message); }
  void cancel() override { call_->TryCancel(); }
  void finish(const std::string& reason) override { Finish(grpc::Status(code_, reason)); }

  // When reading fails although the connection is open and so much has come since the last message,
  // gRPC has refused a message for its size. Some of it may have come with that last message, hence
  // the half; no honest frame is nearly as large.
  uint64_t unread_size_max() const { return terms_.frame_size_max / 2; }

  const std::shared_ptr<LiveStreams> live_;
  SocketGauge gauge_;
  uint64_t received_bytes_ = 0;  // of the connection, when the last message had been read
  grpc::CallbackServerContext* const call_;  // gRPC's, until OnDone
  grpc::StatusCode code_ = grpc::StatusCode::ABORTED;
  std::shared_ptr<InboundLink> self_;
};

void limit(grpc::ServerBuilder& builder, const PeerServer::Options& options,
           const LinkTerms& terms) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(terms.frame_size_max) + message_size_extra);
  // A compressed message is unpacked before its size is known: a bomb. Frames are compressed by
  // their own codec.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, streams_per_connection_max);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, metadata_size_max);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             static_cast<int>(options.limits.handshake_timeout_ms));
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, keepalive_interval_ms);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, keepalive_timeout_ms);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             min_ping_interval_ms);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, connection_idle_max_ms);
}

}  // namespace

class PeerServer::Service final
    : public v1::PeerService::WithRawCallbackMethod_Exchange<v1::PeerService::Service> {
 public:
  explicit Service(Grounds grounds) : grounds_(std::move(grounds)) {}
  Reactor* Exchange(grpc::CallbackServerContext* call) override {
    return InboundLink::start(grounds_, call);
  }
  void wait_streams() { grounds_.live->wait_none(); }

 private:
  const Grounds grounds_;
};

PeerServer::PeerServer() = default;
PeerServer::~PeerServer() { stop(); }

Result<std::unique_ptr<PeerServer>, std::string> PeerServer::start(
    const Options& options, const TlsPair& pair, const LinkTerms& terms,
    const std::shared_ptr<PeerTable>& table, const grpc::ResourceQuota& quota) {
  auto acceptor = Acceptor::bind(options.listen, options.limits);
  if (!acceptor) return Unexpected{acceptor.error()};
  std::unique_ptr<PeerServer> server(new PeerServer);
  server->acceptor_ = std::move(acceptor).value();
  const std::shared_ptr<AcceptorMail> mail = server->acceptor_->mail();
  server->service_ = std::make_unique<Service>(
      Grounds{.table = table, .terms = terms, .mail = mail, .gauges = server->acceptor_->gauges()});

  tls::TlsServerCredentialsOptions credentials(
      std::make_shared<tls::StaticDataCertificateProvider>(std::vector<tls::IdentityKeyCertPair>{
          {.private_key = pair.key, .certificate_chain = pair.certificate}}));
  credentials.watch_identity_key_cert_pairs();
  // Asked for, and its absence refused by the verifier rather than by OpenSSL, so that the reason
  // can be counted.
  credentials.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  credentials.set_certificate_verifier(
      tls::ExternalCertificateVerifier::Create<InboundVerifier>(terms.rules.swarm, table, mail));

  grpc::ServerBuilder builder;
  limit(builder, options, terms);
  builder.SetResourceQuota(quota);
  builder.RegisterService(server->service_.get());
  server->connections_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      tls::TlsServerCredentials(credentials));
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr)
    return Unexpected{"cannot serve on " + options.listen + ": gRPC refused to start"};

  server->acceptor_->run(
      [connections = server->connections_.get(), traffic = terms.traffic](int fd) {
        traffic->add_accepted();
        tls::ExternalConnectionAcceptor::NewConnectionParameters parameters;
        parameters.fd = fd;
        connections->HandleNewConnection(&parameters);
      },
      [traffic = terms.traffic, on_refused = options.on_refused](const Refused& refused) {
        traffic->add_refused(refused.reason);
        if (on_refused) on_refused(refused);
      });
  return server;
}

void PeerServer::stop() {
  acceptor_->stop();
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + shutdown_time);
  server_->Wait();
  service_->wait_streams();
  server_.reset();
}

}  // namespace starling::node
