// The peer port, and the members that the node would dial first.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "node/acceptor.h"
#include "node/doctor.h"
#include "node/file.h"
#include "node/resolver.h"

namespace starling::node {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Verdict = Check::Verdict;

constexpr milliseconds lookup_time{10'500};  // a little more than the resolver takes for a name
constexpr milliseconds connect_time{3000};
constexpr size_t failures_shown_max = 3;

Check examine_port(const Config& config, const std::optional<Running>& running) {
  const char* name = "port";
  const std::string listen = running ? running->listen : config.node.listen;
  const auto bound = Acceptor::bind(listen, {});
  const bool is_in_use = !bound && bound.error().starts_with("address in use");
  if (running) {
    if (is_in_use) return {name, Verdict::ok, "the node listens on " + listen, ""};
    return {name, Verdict::warning,
            "the node says that it listens on " + listen + ", but " +
                (bound ? "nobody does here" : bound.error()),
            "does it run in a container or a network of its own? then look there"};
  }
  if (bound) return {name, Verdict::ok, listen + " is free", ""};
  return {name, Verdict::failed, bound.error(),
          is_in_use ? "end the program that has it, or set another port: node.listen"
                    : "set an address of this machine: node.listen"};
}

// One address of a seed, being dialled.
struct Dial {
  File socket;
  std::string problem;  // empty while it is under way, and when it is connected
  bool is_connected = false;
};

Dial begin_dial(const SocketAddress& address) {
  Dial dial{
      File(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)), "",
      false};
  const void* raw = &address.storage;
  const int done =
      ::connect(dial.socket.descriptor(), static_cast<const sockaddr*>(raw), address.size);
  dial.is_connected = done == 0;
  if (done != 0 && errno != EINPROGRESS) dial.problem = std::strerror(errno);
  return dial;
}

void finish_dial(Dial& dial) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(dial.socket.descriptor(), SOL_SOCKET, SO_ERROR, &error, &size);
  dial.is_connected = error == 0;
  if (error != 0) dial.problem = std::strerror(error);
}

struct Seed {
  std::string address;
  std::string problem;  // of the lookup
  std::vector<Dial> dials;

  bool is_reached() const {
    return std::any_of(dials.begin(), dials.end(), [](const Dial& d) { return d.is_connected; });
  }
  std::string failure() const {
    const std::string& why = dials.empty() ? problem : dials.back().problem;
    return address + ": " + (why.empty() ? "no answer" : why);
  }
};

// Looks all of them up, then begins a dial to each address that was found.
std::vector<Seed> begin_dials(const std::vector<std::string>& addresses) {
  struct Found {
    size_t seed;
    Result<std::vector<SocketAddress>, std::string> answer;
  };
  Queue<Found> answers(addresses.size());
  std::vector<Seed> seeds;
  Resolver resolver;  // goes first: its thread answers into the queue
  for (const std::string& address : addresses) {
    seeds.push_back({address, "its name could not be looked up in time", {}});
    resolver.resolve(address, [&answers, seed = seeds.size() - 1](auto answer) {
      [[maybe_unused]] const bool is_in = answers.push({seed, std::move(answer)});
    });
  }
  const auto deadline = steady_clock::now() + lookup_time;
  for (size_t left = seeds.size(); left > 0; --left) {
    auto found = answers.pop_until(deadline);
    if (!found) break;
    Seed& seed = seeds[found->seed];
    if (!found->answer) seed.problem = found->answer.error();
    if (!found->answer) continue;
    for (const SocketAddress& each : *found->answer) seed.dials.push_back(begin_dial(each));
  }
  return seeds;
}

void wait_for_dials(std::vector<Seed>& seeds) {
  const auto deadline = steady_clock::now() + connect_time;
  while (true) {
    std::vector<pollfd> polled;
    std::vector<Dial*> waiting;
    for (Seed& seed : seeds) {
      for (Dial& dial : seed.dials) {
        if (dial.is_connected || !dial.problem.empty()) continue;
        polled.push_back({.fd = dial.socket.descriptor(), .events = POLLOUT, .revents = 0});
        waiting.push_back(&dial);
      }
    }
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    if (waiting.empty() || left.count() <= 0) return;
    ::poll(polled.data(), polled.size(), static_cast<int>(left.count()));
    for (size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].revents != 0) finish_dial(*waiting[i]);
    }
  }
}

Check examine_seeds(const Config& config, const std::optional<Running>& running) {
  const char* name = "seeds";
  const std::vector<std::string>& all = config.node.seeds;
  if (all.empty())
    return {name, Verdict::ok, "none: others dial this node, or it knows them from before", ""};
  std::vector<std::string> to_dial;
  for (const std::string& each : all) {
    const bool is_linked = running && std::find(running->linked.begin(), running->linked.end(),
                                                each) != running->linked.end();
    if (!is_linked) to_dial.push_back(each);
  }
  std::vector<Seed> seeds = begin_dials(to_dial);
  wait_for_dials(seeds);
  size_t reached = all.size() - to_dial.size();
  std::vector<std::string> failures;
  for (const Seed& seed : seeds) {
    if (seed.is_reached())
      ++reached;
    else
      failures.push_back(seed.failure());
  }
  std::string found = std::to_string(reached) + " of " + std::to_string(all.size()) + " answer";
  for (size_t i = 0; i < std::min(failures.size(), failures_shown_max); ++i)
    found += "; " + failures[i];
  if (failures.empty()) return {name, Verdict::ok, found, ""};
  // One is enough to find the others; a node that has links needs none.
  const bool is_cut_off = reached == 0 && !(running && !running->linked.empty());
  return {name, is_cut_off ? Verdict::failed : Verdict::warning, found,
          "is that device on, its node running, its port let through by firewalls? or correct "
          "node.seeds"};
}

}  // namespace

Checks examine_network(const Config& config, const std::optional<Running>& running) {
  return {examine_port(config, running), examine_seeds(config, running)};
}

}  // namespace starling::node
