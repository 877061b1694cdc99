#pragma once
// Host names to addresses, off every other thread: a lookup may hang for as long as the name server
// likes.
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "model/result.h"
#include "node/endpoint.h"
#include "node/queue.h"

namespace starling::node {

class Resolver {
 public:
  static constexpr size_t lookups_waiting_max = 64;
  static constexpr int lookup_timeout_ms = 10000;
  static constexpr size_t addresses_max = 8;  // of one name; the rest is not tried

  using Answer = std::function<void(Result<std::vector<SocketAddress>, std::string>)>;
  Resolver();
  ~Resolver();
  // A literal address is answered at once, on this thread; a name later, on the resolver's thread.
  // Errors: a line that says what is wrong with the address, or why it was not found.
  void resolve(const std::string& address, Answer answer);
  void stop();  // no answer comes after it returns

 private:
  struct Question {
    HostPort at;
    Answer answer;
  };
  void run(const std::stop_token& stop);
  Queue<Question> questions_{lookups_waiting_max};
  std::jthread thread_;
};

}  // namespace starling::node
