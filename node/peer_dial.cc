#include "node/peer_dial.h"

#include <grpcpp/alarm.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>

#include "node/peer_settings.h"
#include "node/peer_table.h"

namespace starling::node {
namespace {

namespace tls = grpc::experimental;

constexpr char exchange_method[] = "/starling.v1.PeerService/Exchange";
constexpr char authority[] =
    "starling";                        // a fixed name: who the peer is, only its certificate says
constexpr size_t told_size_max = 128;  // bytes of a peer's own words that are shown

// What the certificate check of one dial found. Shared with gRPC, which may check again after the
// dial is over.
class DialVerdict {
 public:
  void refuse(std::string reason) {
    std::lock_guard lock(mutex_);
    refusal_ = std::move(reason);
  }
  void met(const PeerProof& itself) {
    std::lock_guard lock(mutex_);
    itself_ = itself;
  }
  std::optional<PeerProof> itself() const {
    std::lock_guard lock(mutex_);
    return itself_;
  }
  void pass() {
    std::lock_guard lock(mutex_);
    has_passed_ = true;
  }
  std::string refusal() const {
    std::lock_guard lock(mutex_);
    return refusal_;
  }
  bool has_passed() const {
    std::lock_guard lock(mutex_);
    return has_passed_;
  }
  // A reservation made after the dial is over would never be released.
  std::optional<std::string> reserve(PeerTable& table, const PeerProof& proof, uint64_t dial) {
    std::lock_guard lock(mutex_);
    return is_over_ ? "the dial is over" : table.reserve(proof, dial);
  }
  void release(PeerTable& table, uint64_t dial) {
    std::lock_guard lock(mutex_);
    is_over_ = true;
    table.release(dial);
  }

 private:
  mutable std::mutex mutex_;
  std::string refusal_;
  std::optional<PeerProof> itself_;  // the dial came back to this node
  bool has_passed_ = false;
  bool is_over_ = false;
};

struct Expectation {
  swarm::SwarmId swarm{};
  std::optional<swarm::PeerId> id;
  uint64_t dial = 0;
};

// Why the peer behind a certificate is not the one to link with; none: it is.
struct Refusal {
  std::string name;  // empty: nothing to count
  std::string text;
};
std::optional<Refusal> judge(std::string_view pem, const Expectation& expected,
                             DialVerdict& verdict, PeerTable& table) {
  const auto proof = check_certificate(pem, expected.swarm);
  if (!proof) {
    return Refusal{std::string(certificate_error_name(proof.error())),
                   std::string(certificate_error_text(proof.error()))};
  }
  if (expected.id && proof.value().id != *expected.id) {
    return Refusal{"wrong_peer", "another node answers there: expected " +
                                     swarm::to_string(*expected.id) + ", found " +
                                     swarm::to_string(proof.value().id)};
  }
  if (table.is_self(proof.value().id)) verdict.met(proof.value());
  if (auto reason = verdict.reserve(table, proof.value(), expected.dial))
    return Refusal{"", *reason};
  return std::nullopt;
}

class DialVerifier : public tls::ExternalCertificateVerifier {
 public:
  DialVerifier(const Expectation& expected, std::shared_ptr<PeerTable> table,
               std::shared_ptr<DialVerdict> verdict, std::shared_ptr<Traffic> traffic)
      : expected_(expected),
        table_(std::move(table)),
        verdict_(std::move(verdict)),
        traffic_(std::move(traffic)) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* status) override {
    const grpc::string_ref pem = request->peer_cert();
    const auto refusal = judge({pem.data(), pem.size()}, expected_, *verdict_, *table_);
    if (refusal) {
      verdict_->refuse(refusal->text);
      if (!refusal->name.empty()) traffic_->add_refused(refusal->name);
    } else {
      verdict_->pass();
    }
    *status =
        refusal ? grpc::Status(grpc::StatusCode::UNAUTHENTICATED, refusal->text) : grpc::Status::OK;
    return true;  // done, here and now
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  const Expectation expected_;
  const std::shared_ptr<PeerTable> table_;
  const std::shared_ptr<DialVerdict> verdict_;
  const std::shared_ptr<Traffic> traffic_;
};

grpc::ChannelArguments channel_arguments(const LinkTerms& terms, const grpc::ResourceQuota& quota) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // each dial has its own verifier
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY,
                   0);  // an environment variable must not take our dials away
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, keepalive_interval_ms);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, keepalive_timeout_ms);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, metadata_size_max);
  arguments.SetInt("grpc.compression_enabled_algorithms_bitset",
                   1);  // identity alone: no bombs from servers either
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, authority);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(terms.frame_size_max) + message_size_extra);
  arguments.SetResourceQuota(quota);
  return arguments;
}

// A peer's words, made harmless for a log line.
std::string told(const std::string& text) {
  std::string shown = text.substr(0, told_size_max);
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return shown;
}

// gRPC hides the system's error in its message.
std::string connect_failure_text(const std::string& message) {
  for (const char* known :
       {"Connection refused", "No route to host", "Network is unreachable", "Host is unreachable",
        "Connection timed out", "Connection reset", "Permission denied"}) {
    if (message.find(known) == std::string::npos) continue;
    std::string text = known;
    text.front() = static_cast<char>(text.front() - 'A' + 'a');
    return text;
  }
  return "closed before the handshake was over: no node there, or it takes no more connections";
}

std::string dial_failure_text(const grpc::Status& status, const DialVerdict& verdict) {
  if (std::string refusal = verdict.refusal(); !refusal.empty()) return refusal;
  switch (status.error_code()) {
    case grpc::StatusCode::ALREADY_EXISTS:
      return "refused: " + told(status.error_message());
    case grpc::StatusCode::UNAUTHENTICATED:
      return "refused: not a member, or its swarm is another";
    case grpc::StatusCode::UNIMPLEMENTED:
      return "no peer service there: another version?";
    default:
      break;
  }
  // In TLS 1.3 the client is done before the server has looked at the client's certificate.
  if (verdict.has_passed())
    return "refused in the handshake: not a member, or its swarm is another";
  return connect_failure_text(status.error_message());
}

std::string end_text(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
    case grpc::StatusCode::CANCELLED:
      return "ended by the peer";
    case grpc::StatusCode::ABORTED:
      return "ended by the peer: " + told(status.error_message());
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return "it sent a message above the size limit, or memory is short";
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::INTERNAL:
      return "it broke the protocol: " + told(status.error_message());
    default:
      return "connection lost";
  }
}

}  // namespace

class DialledLink final : public PeerLink,
                          public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  DialledLink(PeerDialler& dialler, PeerDialler::Plan plan, uint64_t dial)
      : PeerLink(dialler.table_, dialler.terms_, true),
        dialler_(dialler),
        plan_(std::move(plan)),
        dial_(dial) {}

  // Lives until OnDone; the dialler has counted it before.
  void start() {
    self_ = std::static_pointer_cast<DialledLink>(shared_from_this());
    tls::TlsChannelCredentialsOptions options;
    options.set_certificate_provider(dialler_.provider_);
    options.watch_identity_key_cert_pairs();
    options.set_verify_server_certs(false);  // there is no authority; the verifier decides
    options.set_check_call_host(false);
    options.set_certificate_verifier(tls::ExternalCertificateVerifier::Create<DialVerifier>(
        Expectation{.swarm = terms_.rules.swarm, .id = plan_.expected, .dial = dial_}, table_,
        verdict_, terms_.traffic));
    channel_ = grpc::CreateCustomChannel(to_grpc_target(plan_.targets[plan_.next]),
                                         tls::TlsCredentials(options),
                                         channel_arguments(terms_, dialler_.quota_));
    stub_ = std::make_unique<grpc::GenericStub>(channel_);
    stub_->PrepareBidiStreamingCall(&call_, exchange_method, grpc::StubOptions(), this);
    AddHold();  // writes come from outside of reactions; let go in finish()
    const auto deadline =
        std::chrono::system_clock::now() + std::chrono::milliseconds(dialler_.options_.timeout_ms);
    alarm_.Set(deadline, [weak = std::weak_ptr<DialledLink>(self_)](bool is_expired) {
      const std::shared_ptr<DialledLink> link = is_expired ? weak.lock() : nullptr;
      if (link && !link->is_taken_) link->time_out();
    });
    StartCall();
    let_write(true);
  }

  void OnReadInitialMetadataDone(bool ok) override {
    if (!ok) return over();
    // Without the mark the server refuses the stream: its status, which says why, ends the read.
    const auto pems = call_.auth_context()->FindPropertyValues("x509_pem_cert");
    if (pems.empty() || !call_.GetServerInitialMetadata().contains(link_metadata_key))
      return read_next();
    // The verifier has checked this certificate; who it is, is read from the connection itself.
    auto proof = check_certificate({pems.front().data(), pems.front().size()}, terms_.rules.swarm);
    if (!proof) return stop_stream("bad certificate");
    identify(std::move(proof).value(), plan_.address);
    const std::optional<std::string> refusal = table_->admit_dialled(shared_from_this(), dial_);
    if (refusal) {
      verdict_->refuse(*refusal);
      return stop_stream(*refusal);
    }
    is_taken_ = true;
    read_next();
  }
  void OnReadDone(bool ok) override { ok ? read_done(true) : over(); }
  void OnWriteDone(bool ok) override { write_done(ok); }
  void OnDone(const grpc::Status& status) override {
    alarm_.Cancel();
    verdict_->release(*table_, dial_);
    if (is_taken_) {
      if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED)
        count_refused(swarm::DropReason::oversized);
      stream_done(end_text(status));
    } else if (const std::optional<PeerProof> itself = verdict_->itself()) {
      table_->met_itself(*itself, plan_.address);
    } else {
      dialler_.failed(std::move(plan_), dial_failure_text(status, *verdict_));
    }
    dialler_.bury(std::move(self_));  // the link, and even the dialler, may be gone after this
  }
  uint64_t dial() const { return dial_; }

 private:
  // The server ended the stream. Cancelling would now put our own status in the place of its last
  // words.
  void over() {
    is_over_ = true;
    read_done(false);
  }
  void time_out() {
    verdict_->refuse("no answer within " + std::to_string(dialler_.options_.timeout_ms / 1000) +
                     " s");
    stop_stream("timed out");
  }
  void start_read(grpc::ByteBuffer* message) override { StartRead(message); }
  void start_write(const grpc::ByteBuffer* message) override { StartWrite(message); }
  void cancel() override {
    if (!is_over_) call_.TryCancel();
  }
  void finish(const std::string&) override {
    cancel();
    RemoveHold();
  }

  PeerDialler& dialler_;
  PeerDialler::Plan plan_;
  const uint64_t dial_;
  const std::shared_ptr<DialVerdict> verdict_ = std::make_shared<DialVerdict>();
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::GenericStub> stub_;
  grpc::ClientContext call_;
  grpc::Alarm alarm_;
  std::atomic<bool> is_taken_ = false;  // the server took the stream: it is, or was, the link
  std::atomic<bool> is_over_ = false;   // no more reads succeed
  std::shared_ptr<DialledLink> self_;
};

PeerDialler::PeerDialler(const Options& options, const TlsPair& pair, const LinkTerms& terms,
                         std::shared_ptr<PeerTable> table, const grpc::ResourceQuota& quota)
    : options_(options),
      terms_(terms),
      table_(std::move(table)),
      quota_(quota),
      provider_(std::make_shared<tls::StaticDataCertificateProvider>(
          std::vector<tls::IdentityKeyCertPair>{
              {.private_key = pair.key, .certificate_chain = pair.certificate}})),
      sexton_([this] { run_graves(); }) {}

PeerDialler::~PeerDialler() { stop(); }

void PeerDialler::open(const std::string& address, std::optional<swarm::PeerId> expected) {
  {
    std::lock_guard lock(mutex_);
    if (is_stopped_) return;
  }
  resolver_.resolve(
      address, [this, address, expected](Result<std::vector<SocketAddress>, std::string> found) {
        if (found) {
          attempt({.address = address,
                   .expected = expected,
                   .targets = std::move(found).value(),
                   .next = 0,
                   .failures = ""});
        } else {
          table_->dial_failed(address, found.error());
        }
      });
}

void PeerDialler::attempt(Plan plan) {
  std::shared_ptr<DialledLink> link;
  {
    std::lock_guard lock(mutex_);
    if (is_stopped_) return;
    if (dials_.size() < dials_max) {
      const uint64_t dial = next_dial_++;
      link = std::make_shared<DialledLink>(*this, plan, dial);
      dials_.emplace(dial, link);
    }
  }
  if (link == nullptr) return table_->dial_failed(plan.address, "too many dials at once");
  link->start();
}

void PeerDialler::failed(Plan plan, const std::string& reason) {
  if (plan.targets.size() > 1) {
    plan.failures +=
        (plan.failures.empty() ? "" : "; ") + to_string(plan.targets[plan.next]) + ": " + reason;
  } else {
    plan.failures = reason;
  }
  if (++plan.next < plan.targets.size()) return attempt(std::move(plan));
  table_->dial_failed(plan.address, plan.failures);
}

void PeerDialler::bury(std::shared_ptr<DialledLink> link) {
  const bool is_taken = graves_.push(std::move(link));
  assert(is_taken);
}

void PeerDialler::run_graves() {
  while (auto grave = graves_.pop_until(std::chrono::steady_clock::time_point::max())) {
    std::shared_ptr<DialledLink> link = *std::move(grave);
    const uint64_t dial = link->dial();
    {
      std::lock_guard lock(mutex_);
      dials_[dial].reset();
    }
    link.reset();
    std::lock_guard lock(mutex_);
    dials_.erase(dial);
    if (dials_.empty()) idle_.notify_all();
  }
}

void PeerDialler::stop() {
  resolver_.stop();
  std::vector<std::shared_ptr<DialledLink>> dials;
  {
    std::lock_guard lock(mutex_);
    is_stopped_ = true;
    for (const auto& [dial, link] : dials_) dials.push_back(link);
  }
  for (const auto& link : dials) {
    if (link != nullptr) link->stop_stream("this node is stopping");
  }
  dials.clear();
  {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return dials_.empty(); });
  }
  graves_.close();
  if (sexton_.joinable()) sexton_.join();
}

}  // namespace starling::node
