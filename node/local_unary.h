#pragma once
// Unary calls whose work may block.
#include "node/local_services.h"

namespace starling::node {

class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  void OnDone() override { delete this; }
};

// `work` returns the status and has filled the response by then; it runs on one of `threads`.
template <typename Work>
grpc::ServerUnaryReactor* answer(grpc::CallbackServerContext* call, const LocalParts& parts,
                                 CallThreads& threads, Work work) {
  const bool is_allowed = is_owner(*call, parts.token);
  if (!is_allowed || !threads.take_place()) {
    auto* refused = new UnaryCall;
    refused->Finish(is_allowed ? busy() : no_token());
    return refused;
  }
  auto* reactor = new UnaryCall;
  threads.run([reactor, &threads, work = std::move(work)] {
    const grpc::Status status = work();
    // Before the answer: a caller that has it may call again at once, and must find the place free.
    threads.give_place_back();
    reactor->Finish(status);
  });
  return reactor;
}

}  // namespace starling::node
