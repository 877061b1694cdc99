#include "tests/node/raw_peer.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "node/peer_settings.h"
#include "node/queue.h"
#include "starling/v1/peer.grpc.pb.h"

namespace starling::node {
namespace {

namespace tls = grpc::experimental;

constexpr size_t frames_max = 4096;

class AnyVerifier : public tls::ExternalCertificateVerifier {
 public:
  bool Verify(tls::TlsCustomVerificationCheckRequest*, std::function<void(grpc::Status)>,
              grpc::Status* status) override {
    *status = grpc::Status::OK;
    return true;
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}
};

std::shared_ptr<grpc::ChannelCredentials> credentials_of(const RawPeer::Options& options) {
  if (options.plaintext) return grpc::InsecureChannelCredentials();
  tls::TlsChannelCredentialsOptions credentials;
  if (options.pair) {
    credentials.set_certificate_provider(
        std::make_shared<tls::StaticDataCertificateProvider>(std::vector<tls::IdentityKeyCertPair>{
            {.private_key = options.pair->key, .certificate_chain = options.pair->certificate}}));
    credentials.watch_identity_key_cert_pairs();
  }
  credentials.set_verify_server_certs(false);
  credentials.set_check_call_host(false);
  credentials.set_certificate_verifier(tls::ExternalCertificateVerifier::Create<AnyVerifier>());
  return tls::TlsCredentials(credentials);
}

}  // namespace

struct RawPeer::Parts {
  using Stream = grpc::ClientReaderWriter<v1::Frame, v1::Frame>;

  Parts(const std::string& address, const Options& options) {
    stub = v1::PeerService::NewStub(channel(address, options));
    if (options.gzip) call.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    stream = stub->Exchange(&call);
    reader = std::jthread([this, reads = options.reads] { read(reads); });
  }
  ~Parts() { call.TryCancel(); }

  void read(bool reads) {
    stream->WaitForInitialMetadata();
    {
      std::unique_lock lock(mutex);
      is_linked = call.GetServerInitialMetadata().contains(link_metadata_key);
      changed.notify_all();
      if (!reads && is_linked) changed.wait(lock, [this] { return is_leaving; });
    }
    v1::Frame frame;
    while (stream->Read(&frame)) {
      if (!frames.push(swarm::Bytes(frame.data().begin(), frame.data().end()))) break;
    }
    frames.close();
    std::lock_guard lock(mutex);
    is_ended = true;
    changed.notify_all();
  }

  std::unique_ptr<v1::PeerService::Stub> stub;
  grpc::ClientContext call;
  std::unique_ptr<Stream> stream;
  Queue<swarm::Bytes> frames{frames_max};
  std::mutex mutex;
  std::condition_variable changed;
  bool is_linked = false, is_ended = false, is_leaving = false;
  std::jthread reader;
};

TlsPair RawPeer::pair_of(const Identity& identity, const swarm::Membership& membership) {
  return make_certificate(identity.signer(), membership).value();
}

std::shared_ptr<grpc::Channel> RawPeer::channel(const std::string& address,
                                                const Options& options) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  return grpc::CreateCustomChannel("ipv4:" + address, credentials_of(options), arguments);
}

RawPeer::RawPeer(const std::string& address, const Options& options)
    : parts_(std::make_unique<Parts>(address, options)) {}

RawPeer::~RawPeer() {
  parts_->call.TryCancel();
  std::lock_guard lock(parts_->mutex);
  parts_->is_leaving = true;
  parts_->changed.notify_all();
}

bool RawPeer::wait_linked(std::chrono::milliseconds timeout) {
  std::unique_lock lock(parts_->mutex);
  parts_->changed.wait_for(lock, timeout, [this] { return parts_->is_linked || parts_->is_ended; });
  return parts_->is_linked;
}

bool RawPeer::send(const swarm::Bytes& frame) {
  v1::Frame message;
  message.set_data(frame.data(), frame.size());
  return parts_->stream->Write(message);
}

std::optional<swarm::Bytes> RawPeer::receive(std::chrono::milliseconds timeout) {
  return parts_->frames.pop_until(std::chrono::steady_clock::now() + timeout);
}

bool RawPeer::wait_ended(std::chrono::milliseconds timeout) {
  std::unique_lock lock(parts_->mutex);
  return parts_->changed.wait_for(lock, timeout, [this] { return parts_->is_ended; });
}

}  // namespace starling::node
