#pragma once
// Unary calls whose work may block.
#include "node/local_services.h"

namespace starling::node {

// Finishes as soon as it is told; gives the place back when gRPC is done with it.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  explicit UnaryCall(CallThreads* threads) : threads_(threads) {}
  void OnDone() override {
    if (threads_) threads_->give_place_back();
    delete this;
  }

 private:
  CallThreads* threads_;  // null: refused at the door
};

// `work` returns the status and has filled the response by then; it runs on one of `threads`.
template <typename Work>
grpc::ServerUnaryReactor* answer(grpc::CallbackServerContext* call, const LocalParts& parts,
                                 CallThreads& threads, Work work) {
  const bool is_allowed = is_owner(*call, parts.token);
  if (!is_allowed || !threads.take_place()) {
    auto* refused = new UnaryCall(nullptr);
    refused->Finish(is_allowed ? busy() : no_token());
    return refused;
  }
  auto* reactor = new UnaryCall(&threads);
  threads.run([reactor, work = std::move(work)] { reactor->Finish(work()); });
  return reactor;
}

}  // namespace starling::node
