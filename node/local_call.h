#pragma once
// What the services of the local API share: who may call, where blocking work runs, how failures
// are said.
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "node/daemon.h"
#include "node/queue.h"

namespace starling::node {

// A few threads for work that may block, so that gRPC's own never do. At most `places` calls are in
// at once, running or waiting for a thread; a call beyond that is told so.
class CallThreads {
 public:
  CallThreads(uint32_t threads, uint32_t places);
  ~CallThreads();  // waits for the jobs that run

  // A place is taken before a job is given, so that an upload which was let in is also served.
  [[nodiscard]] bool take_place();
  void give_place_back();
  void run(std::function<void()> job);  // requires a place

 private:
  const uint32_t places_max_;
  std::atomic<uint32_t> places_taken_{0};
  Queue<std::function<void()>> jobs_;
  std::vector<std::jthread> threads_;
};

// The caller is on the unix socket, or shows the token. `token` empty: the socket only.
bool is_owner(const grpc::CallbackServerContext& call, const std::string& token);

// A status with the stable reason in its details (proto/starling/v1/error.proto).
grpc::Status refusal(grpc::StatusCode code, const std::string& reason, const std::string& message);
grpc::Status refusal_of(const Failure& failure);
grpc::Status busy();
grpc::Status no_token();
// The stable reason of a status; "" when the other side gave none.
std::string reason_of(const grpc::Status& status);

}  // namespace starling::node
