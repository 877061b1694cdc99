// getaddrinfo has no deadline and cannot be interrupted. So each lookup has a thread of its own,
// and the resolver's thread waits for it with a deadline. A lookup that outlives its deadline is
// abandoned: its thread stays in a list until it ends, and the list is short.
#include "node/resolver.h"

#include <netdb.h>
#include <netinet/in.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>

namespace starling::node {
namespace {

using Addresses = Result<std::vector<SocketAddress>, std::string>;
using Deadline = std::chrono::steady_clock::time_point;
constexpr size_t abandoned_max = 8;  // lookups of the whole process that outlived their deadline

std::vector<SocketAddress> collect(const addrinfo* found) {
  std::vector<SocketAddress> addresses;
  for (; found != nullptr && addresses.size() < Resolver::addresses_max; found = found->ai_next) {
    if (found->ai_family != AF_INET && found->ai_family != AF_INET6) continue;
    SocketAddress address;
    address.size = found->ai_addrlen;
    std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
    addresses.push_back(address);
  }
  return addresses;
}

Addresses look_up(const HostPort& at) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(at.host.c_str(), std::to_string(at.port).c_str(), &hints, &found);
  if (error != 0) return Unexpected{std::string(gai_strerror(error))};
  std::vector<SocketAddress> addresses = collect(found);
  freeaddrinfo(found);
  if (addresses.empty()) return Unexpected<std::string>{"it has no address"};
  return addresses;
}

class Lookup {
 public:
  explicit Lookup(HostPort at) : at_(std::move(at)), thread_([this] { run(); }) {}

  // None: not answered by then, or `stop` was requested.
  std::optional<Addresses> wait_until(Deadline deadline, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    answered_.wait_until(lock, stop, deadline, [this] { return answer_.has_value(); });
    return answer_;
  }
  bool is_answered() {
    std::lock_guard lock(mutex_);
    return answer_.has_value();
  }

 private:
  void run() {
    Addresses answer = look_up(at_);
    std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
    answered_.notify_all();
  }
  const HostPort at_;
  std::mutex mutex_;
  std::condition_variable_any answered_;
  std::optional<Addresses> answer_;
  std::jthread thread_;  // last: it uses the others
};

class Abandoned {
 public:
  bool is_full() {
    std::lock_guard lock(mutex_);
    std::erase_if(lookups_, [](const auto& lookup) { return lookup->is_answered(); });
    return lookups_.size() >= abandoned_max;
  }
  void add(std::unique_ptr<Lookup> lookup) {
    std::lock_guard lock(mutex_);
    lookups_.push_back(std::move(lookup));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Lookup>> lookups_;
};
// Never destroyed: the process does not wait for a name server when it exits.
Abandoned& abandoned() {
  static auto* const list = new Abandoned;
  return *list;
}

Addresses look_up_in_time(const HostPort& at, const std::stop_token& stop) {
  const std::string failure = "cannot look up " + at.host + ": ";
  if (abandoned().is_full())
    return Unexpected{failure + "earlier lookups still hang; is the name server up?"};
  auto lookup = std::make_unique<Lookup>(at);
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(Resolver::lookup_timeout_ms);
  std::optional<Addresses> answer = lookup->wait_until(deadline, stop);
  if (!answer) {
    abandoned().add(std::move(lookup));
    return Unexpected{failure + "no answer from the name server"};
  }
  if (!*answer) return Unexpected{failure + answer->error()};
  return *std::move(answer);
}

}  // namespace

Resolver::Resolver() : thread_([this](const std::stop_token& stop) { run(stop); }) {}

Resolver::~Resolver() { stop(); }

void Resolver::resolve(const std::string& address, Answer answer) {
  const std::optional<HostPort> at = parse_host_port(address);
  if (!at || at->host.empty() || at->port == 0) {
    answer(Unexpected<std::string>{"not an address: expected host:port"});
    return;
  }
  if (const std::optional<SocketAddress> literal = parse_literal(*at)) {
    answer(std::vector<SocketAddress>{*literal});
    return;
  }
  if (!questions_.push({*at, answer}))
    answer(Unexpected<std::string>{"too many names wait to be looked up"});
}

void Resolver::stop() {
  questions_.close();
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Resolver::run(const std::stop_token& stop) {
  while (std::optional<Question> question = questions_.pop_until(Deadline::max())) {
    if (stop.stop_requested()) return;
    Addresses addresses = look_up_in_time(question->at, stop);
    if (stop.stop_requested()) return;
    question->answer(std::move(addresses));
  }
}

}  // namespace starling::node
