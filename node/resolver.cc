// glibc's getaddrinfo_a looks names up on its own thread; ours waits for it with a deadline, as
// getaddrinfo itself has none and cannot be interrupted. A lookup that outlives its deadline is
// abandoned: its memory stays until glibc is done with it.
#include "node/resolver.h"

#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>

namespace starling::node {
namespace {

using Addresses = Result<std::vector<SocketAddress>, std::string>;
constexpr long poll_ns = 100'000'000;  // how soon a stop is seen during a lookup
constexpr size_t abandoned_max = 8;    // lookups of the whole process that outlived their deadline

struct Lookup {
  std::string host, port;
  addrinfo hints{};
  gaicb request{};
  ~Lookup() {
    if (request.ar_result != nullptr) freeaddrinfo(request.ar_result);
  }
};

struct Abandoned {
  std::mutex mutex;
  std::vector<std::unique_ptr<Lookup>> lookups;

  void reap() {
    std::erase_if(lookups,
                  [](const auto& lookup) { return gai_error(&lookup->request) != EAI_INPROGRESS; });
  }
  bool is_full() {
    std::lock_guard lock(mutex);
    reap();
    return lookups.size() >= abandoned_max;
  }
  void add(std::unique_ptr<Lookup> lookup) {
    std::lock_guard lock(mutex);
    lookups.push_back(std::move(lookup));
  }
};
// Never destroyed: glibc may still write into a lookup while the process exits.
Abandoned& abandoned() {
  static auto* const list = new Abandoned;
  return *list;
}

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

Addresses look_up(const HostPort& at, const std::stop_token& stop) {
  const std::string failure = "cannot look up " + at.host + ": ";
  if (abandoned().is_full())
    return Unexpected{failure + "earlier lookups still hang; is the name server up?"};
  auto lookup = std::make_unique<Lookup>();
  lookup->host = at.host;
  lookup->port = std::to_string(at.port);
  lookup->hints.ai_family = AF_UNSPEC;
  lookup->hints.ai_socktype = SOCK_STREAM;
  lookup->hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
  lookup->request.ar_name = lookup->host.c_str();
  lookup->request.ar_service = lookup->port.c_str();
  lookup->request.ar_request = &lookup->hints;
  gaicb* list[] = {&lookup->request};
  if (const int error = getaddrinfo_a(GAI_NOWAIT, list, 1, nullptr); error != 0) {
    return Unexpected{failure + gai_strerror(error)};
  }
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(Resolver::lookup_timeout_ms);
  int error = gai_error(&lookup->request);
  while (error == EAI_INPROGRESS && !stop.stop_requested() &&
         std::chrono::steady_clock::now() < deadline) {
    const timespec pause{.tv_sec = 0, .tv_nsec = poll_ns};
    gai_suspend(list, 1, &pause);
    error = gai_error(&lookup->request);
  }
  if (error == EAI_INPROGRESS) {
    if (gai_cancel(&lookup->request) != EAI_CANCELED) abandoned().add(std::move(lookup));
    return Unexpected{failure + "no answer from the name server"};
  }
  if (error != 0) return Unexpected{failure + gai_strerror(error)};
  std::vector<SocketAddress> addresses = collect(lookup->request.ar_result);
  if (addresses.empty()) return Unexpected{failure + "it has no address"};
  return addresses;
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
  while (std::optional<Question> question =
             questions_.pop_until(std::chrono::steady_clock::time_point::max())) {
    if (stop.stop_requested()) return;
    Addresses addresses = look_up(question->at, stop);
    if (stop.stop_requested()) return;
    question->answer(std::move(addresses));
  }
}

}  // namespace starling::node
