#include "node/lan.h"

#include <poll.h>
#include <sodium.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "node/clock.h"
#include "node/log.h"

namespace starling::node {
namespace {

constexpr int64_t look_interval_ms = 60000;   // should the system not have told of a change
constexpr int64_t settle_ms = 500;            // changes come in bunches
constexpr int64_t change_interval_ms = 5000;  // of a network that comes and goes
constexpr uint32_t quick_beacons = 3;         // a datagram may be lost
constexpr int64_t quick_interval_ms = 1000;
constexpr int64_t beacon_interval_ms = 30000;
constexpr int64_t interval_per_member_ms = 300;  // of a hundred members and more

}  // namespace

std::vector<LocalAddress> beacon_addresses(const std::vector<LocalAddress>& all,
                                           const std::string& listen_host) {
  std::vector<LocalAddress> chosen = listening_addresses(all, listen_host);
  std::erase_if(chosen, [](const LocalAddress& local) { return !local.can_multicast; });
  if (chosen.size() > Lan::sockets_max) chosen.resize(Lan::sockets_max);
  return chosen;
}

Lan::Lan(LanOptions options)
    : options_(std::move(options)),
      rng_(options_.seed),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      ear_(options_.swarm, options_.identity->public_key(), boot_now()),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

void Lan::stop() {
  thread_.request_stop();
  const uint64_t one = 1;
  if (wake_.is_open()) {
    [[maybe_unused]] const ssize_t written = ::write(wake_.descriptor(), &one, sizeof one);
  }
  if (thread_.joinable()) thread_.join();
}

void Lan::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const swarm::Instant now = boot_now();
    if (look_at_ <= now) look_around(now);
    if (speak_at_ <= now) speak(now);
    wait(now);
  }
}

void Lan::look_around(swarm::Instant now) {
  look_at_ = now.after(look_interval_ms);
  std::vector<LocalAddress> all = local_addresses();
  if (all != all_) {
    all_ = std::move(all);
    changed_at_ = now;
    options_.on_changed(all_);
  }
  if (options_.has_beacon) open_sockets(now);
}

void Lan::open_sockets(swarm::Instant now) {
  std::vector<LocalAddress> addresses = beacon_addresses(all_, options_.listen_host);
  // Those of which none could be opened are tried again.
  if (addresses == addresses_ && !sockets_.empty()) return;
  sockets_.clear();
  addresses_ = std::move(addresses);
  std::string failure = "no interface that can multicast", hosts;
  for (const LocalAddress& local : addresses_) {
    auto socket = BeaconSocket::open(local);
    if (!socket) {
      failure = socket.error();
      continue;
    }
    sockets_.push_back(std::move(*socket));
    hosts += (hosts.empty() ? "" : " ") + sockets_.back().host();
  }
  speak_at_ = sockets_.empty() ? swarm::never : now;
  quick_left_ = quick_beacons;
  if (sockets_.empty()) return tell_silence(failure);
  log_info("beacon", {{"from", hosts}});
}

void Lan::speak(swarm::Instant now) {
  std::string failure;
  for (const BeaconSocket& socket : sockets_) {
    swarm::Beacon beacon;
    beacon.epoch = options_.epoch;
    beacon.number = ++number_;
    beacon.address = socket.host() + ":" + std::to_string(options_.port);
    swarm::BeaconSalt salt{};
    randombytes_buf(salt.data(), salt.size());
    const auto sent =
        socket.send(swarm::seal_beacon(beacon, options_.swarm, options_.identity->signer(), salt));
    if (!sent) failure = socket.host() + ": " + sent.error();
  }
  if (!failure.empty()) tell_silence(failure);
  int64_t interval_ms = quick_interval_ms;
  if (quick_left_ > 0) --quick_left_;
  if (quick_left_ == 0) {
    const auto members = static_cast<int64_t>(options_.members());
    interval_ms = std::max(beacon_interval_ms, members * interval_per_member_ms);
  }
  // Between three quarters and five quarters, so that nodes started together fall apart.
  const auto half = static_cast<uint64_t>(interval_ms / 2 + 1);
  speak_at_ = now.after(interval_ms * 3 / 4 + static_cast<int64_t>(rng_.below(half)));
}

// While the ear has enough, the sockets are left alone: what comes in then is the system's to lose.
void Lan::wait(swarm::Instant now) {
  const swarm::Instant ready_at = ear_.ready_at(now);
  std::vector<pollfd> polled{{.fd = wake_.descriptor(), .events = POLLIN, .revents = 0},
                             {.fd = watch_.descriptor(), .events = POLLIN, .revents = 0}};
  for (const BeaconSocket& socket : sockets_) {
    if (ready_at <= now) polled.push_back({socket.descriptor(), POLLIN, 0});
  }
  swarm::Instant until = std::min(look_at_, speak_at_);
  if (ready_at > now) until = std::min(until, ready_at);
  const int64_t delay_ms = std::clamp<int64_t>(until.ms - now.ms, 0, look_interval_ms);
  if (::poll(polled.data(), polled.size(), static_cast<int>(delay_ms)) <= 0) return;
  if (polled[1].revents != 0) {
    watch_.clear();
    const swarm::Instant calm_at = changed_at_.after(change_interval_ms);
    look_at_ = std::min(look_at_, std::max(boot_now().after(settle_ms), calm_at));
  }
  for (size_t i = 2; i < polled.size(); ++i) {
    if (polled[i].revents != 0) listen_to(sockets_[i - 2]);
  }
}

void Lan::listen_to(const BeaconSocket& socket) {
  const auto datagram = socket.receive();
  if (!datagram) return;
  const auto heard = ear_.hear(datagram->bytes, datagram->host, boot_now());
  if (!heard) return;
  log_debug("beacon heard",
            {{"peer", swarm::short_string(heard->peer)}, {"address", heard->address}});
  options_.on_heard(*heard);
}

void Lan::tell_silence(const std::string& reason) {
  if (is_silence_told_) return;
  is_silence_told_ = true;
  log_info("no beacon", {{"reason", reason},
                         {"effect", "members on the same network do not find this node by it"},
                         {"next", "name one of them in node.seeds, unless it is there already"}});
}

}  // namespace starling::node
