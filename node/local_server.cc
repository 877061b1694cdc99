#include "node/local_server.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "node/local_path.h"
#include "node/local_reflection.h"
#include "node/local_services.h"

namespace starling::node {

namespace {

constexpr int message_size_max = 1 << 20;  // bytes; uploads come in chunks
constexpr size_t quota_bytes = 64u << 20;  // what gRPC may hold for all local calls
constexpr uint32_t quick_threads = 4;
constexpr uint32_t quick_places = 32;
constexpr const char* nest = ".api";
constexpr const char* nest_socket = ".api/api.sock";
constexpr std::chrono::seconds stop_wait{2};  // for calls that could end by themselves

std::vector<std::string> service_names() {
  return {"starling.v1.InspectService", "starling.v1.MindService", "starling.v1.AdminService",
          "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"};
}

// Writes a fresh secret that only the owner can read.
Result<std::string, HomeError> write_token(const LocalPath& place, const std::string& directory) {
  std::array<uint8_t, 32> secret{};
  randombytes_buf(secret.data(), secret.size());
  std::string token(secret.size() * 2 + 1, '\0');
  sodium_bin2hex(token.data(), token.size(), secret.data(), secret.size());
  token.pop_back();
  unlinkat(place.fd(), "api.token", 0);
  const int fd = openat(place.fd(), "api.token", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool is_written =
      fd >= 0 && write(fd, token.data(), token.size()) == static_cast<ssize_t>(token.size());
  const std::string why = std::strerror(errno);
  if (fd >= 0) close(fd);
  if (is_written) return token;
  return Unexpected{
      HomeError{ExitCode::cannot_create, directory + "/api.token: cannot be written: " + why}};
}

class Server final : public LocalServer {
 public:
  Server(const LocalServerOptions& options, Daemon& daemon, LocalPath place, std::string token)
      : place_(std::move(place)),
        token_(std::move(token)),
        mind_(options.requests_max, options.requests_max),
        parts_{daemon, quick_, mind_, watchers_, token_, is_stopping_} {}

  ~Server() override {
    is_stopping_ = true;
    // First of all: a call that does not end must not keep the way to a node that is no more.
    unlinkat(place_.fd(), api_socket_name, 0);
    if (!token_.empty()) unlinkat(place_.fd(), "api.token", 0);
    if (!server_) return;
    server_->Shutdown(std::chrono::system_clock::now() + stop_wait);
    server_->Wait();
  }

  Result<Done, HomeError> listen(const LocalServerOptions& options) {
    const std::string shown = options.directory + "/" + api_socket_name;
    make_nest();
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(message_size_max);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 8 << 10);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 64);
    builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
    builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
    builder.SetResourceQuota(grpc::ResourceQuota("local").Resize(quota_bytes));
    int socket_bound = 0;
    builder.AddListeningPort("unix:" + place_.below(nest_socket), grpc::InsecureServerCredentials(),
                             &socket_bound);
    if (!options.api.empty()) {
      builder.AddListeningPort(options.api, grpc::InsecureServerCredentials(), &port_);
    }
    for (grpc::Service* service :
         {static_cast<grpc::Service*>(&inspect_), static_cast<grpc::Service*>(&mind_calls_),
          static_cast<grpc::Service*>(&admin_), static_cast<grpc::Service*>(&health_),
          static_cast<grpc::Service*>(&reflection_)}) {
      builder.RegisterService(service);
    }
    server_ = builder.BuildAndStart();
    if (!server_ && socket_bound > 0) {
      return Unexpected{
          HomeError{ExitCode::unreachable,
                    "node.api: cannot listen on " + options.api + "; is the address in use?"}};
    }
    if (!server_ || !leave_nest()) {
      return Unexpected{
          HomeError{ExitCode::cannot_create,
                    shown + ": cannot listen there; is something in the way, or the disk full?"}};
    }
    return Done{};
  }

  int port() const override { return port_; }

 private:
  // A socket is born with the modes that the process's umask leaves it. So it is born in a
  // directory that only the owner can enter, and moves out when its modes are right.
  void make_nest() {
    unlinkat(place_.fd(), nest_socket, 0);
    unlinkat(place_.fd(), nest, AT_REMOVEDIR);
    mkdirat(place_.fd(), nest, 0700);  // when it fails, so does the bind
  }
  bool leave_nest() {
    const bool is_out = fchmodat(place_.fd(), nest_socket, 0600, 0) == 0 &&
                        renameat(place_.fd(), nest_socket, place_.fd(), api_socket_name) == 0;
    unlinkat(place_.fd(), nest, AT_REMOVEDIR);
    return is_out;
  }

  const LocalPath place_;
  const std::string token_;  // empty: no TCP
  std::atomic<bool> is_stopping_{false};
  CallThreads quick_{quick_threads, quick_places};
  CallThreads mind_;
  CallThreads watchers_{local_watchers_max, local_watchers_max};
  const LocalParts parts_;
  InspectCalls inspect_{parts_};
  MindCalls mind_calls_{parts_};
  AdminCalls admin_{parts_};
  LocalHealth health_{service_names()};
  LocalReflection reflection_{service_names()};
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

Result<std::unique_ptr<LocalServer>, HomeError> LocalServer::start(
    const LocalServerOptions& options, Daemon& daemon) {
  LocalPath place(options.directory);
  if (!place.is_open()) {
    return Unexpected{
        HomeError{ExitCode::cannot_create, options.directory + ": " + std::strerror(errno)}};
  }
  struct stat facts {};
  if (fstat(place.fd(), &facts) != 0 || (facts.st_mode & 022) != 0) {
    return Unexpected{HomeError{ExitCode::permission,
                                options.directory + ": others may write there; run: chmod 700 '" +
                                    options.directory + "'"}};
  }
  std::string token;
  if (!options.api.empty()) {
    auto written = write_token(place, options.directory);
    if (!written) return Unexpected{written.error()};
    token = *written;
  }
  auto server = std::make_unique<Server>(options, daemon, std::move(place), std::move(token));
  if (auto done = server->listen(options); !done) return Unexpected{done.error()};
  return Result<std::unique_ptr<LocalServer>, HomeError>(
      std::unique_ptr<LocalServer>(std::move(server)));
}

}  // namespace starling::node
