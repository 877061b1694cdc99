#pragma once
// The listening socket and everything that is decided about a connection before gRPC sees it: how
// many in all and per address, how fast, whether its first bytes are a TLS 1.3 client hello, and
// how long they may take. gRPC 1.51 has no such limits of its own, and its listener never accepts
// again once descriptors have run out; this one keeps a spare. What passes is handed over as a
// descriptor, which gRPC then owns.
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "model/result.h"
#include "node/client_hello.h"
#include "node/endpoint.h"
#include "node/queue.h"
#include "node/refused.h"
#include "node/socket_gauge.h"
#include "node/token_buckets.h"

namespace starling::node {

struct AcceptorLimits {
  uint32_t connections_max = 64;             // open at once
  uint32_t connections_per_address_max = 8;  // of one IPv4 address or IPv6 /48
  bool is_loopback_exempt = true;            // from the limit per address: a swarm on one machine
  uint32_t accepts_per_s_max = 5;            // per address, in the long run
  uint32_t accepts_burst = 20;               // per address, at once
  uint32_t hello_timeout_ms = 1500;          // until the client hello is whole
  uint32_t handshake_timeout_ms = 1500;      // gRPC's own, after that
};

// What gRPC's threads tell the accept loop. Owned jointly with the certificate verifiers, which may
// outlive it.
class AcceptorMail {
 public:
  struct Verdict {                    // a certificate was looked at
    std::string reason;               // empty: it passed
    std::optional<swarm::PeerId> id;  // whose it is, where it was refused and proved that
  };
  struct Linked {  // a stream of a member runs over the connection from this address
    std::string address;
  };
  using Letter = std::variant<Verdict, Linked>;

  static std::shared_ptr<AcceptorMail> create();  // null: no descriptor to be had
  ~AcceptorMail();
  AcceptorMail(const AcceptorMail&) = delete;
  AcceptorMail& operator=(const AcceptorMail&) = delete;

  void post(Letter letter);  // dropped when full: a refusal is then logged without its address
  std::optional<Letter> take() { return letters_.try_pop(); }
  void wake() const;
  int wake_fd() const { return wake_fd_; }  // readable when there is mail, or wake was called

 private:
  static constexpr size_t letters_max = 1024;
  explicit AcceptorMail(int wake_fd) : wake_fd_(wake_fd) {}
  const int wake_fd_;
  Queue<Letter> letters_{letters_max};
};

class Acceptor {
 public:
  using HandOver = std::function<void(int fd)>;
  // Every connection that came to nothing; the reasons are: not_tls, old_tls,
  // handshake_timeout, too_many_connections, too_many_from_address, too_fast, out_of_descriptors,
  // displaced, handshake_failed, or the verifier's. The address of a verifier's reason is the best
  // guess when several handshakes run at once.
  using OnRefused = std::function<void(const Refused& refused)>;

  // Errors: a line that names the address, such as "address in use: 0.0.0.0:7411".
  static Result<std::unique_ptr<Acceptor>, std::string> bind(const std::string& listen,
                                                             const AcceptorLimits& limits);
  ~Acceptor();
  uint16_t port() const { return port_; }
  const std::shared_ptr<AcceptorMail>& mail() const { return mail_; }
  // Of the connections that were handed over and are not known to be closed.
  const std::shared_ptr<SocketGauges>& gauges() const { return gauges_; }
  void run(HandOver hand_over,
           OnRefused on_refused);  // starts the thread, on which both are called
  void stop();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Stage : uint8_t { hello, handed_over, linked };
  struct Connection {
    int fd = -1;          // from handed_over on it is gRPC's: only asked for its cookie
    uint64_t cookie = 0;  // the kernel's number of the socket; tells a re-used descriptor from ours
    std::string address, key;
    bool is_exempt = false;
    Stage stage = Stage::hello;
    Clock::time_point deadline;
  };

  Acceptor(int listen_fd, uint16_t port, std::shared_ptr<AcceptorMail> mail,
           const AcceptorLimits& limits);
  void loop(const std::stop_token& stop);
  Clock::time_point next_wake() const;
  void accept_all();
  void accept_failed(int error);
  void admit(int fd, const SocketAddress& address);
  bool make_room(const std::string& key, bool is_exempt);
  bool displace_oldest_hello(const std::string* key);
  void look_at_hello(Connection& connection);
  void hand_over(Connection& connection);
  void refuse(Connection& connection, const std::string& reason);
  void expire();
  void sweep();

  const AcceptorLimits limits_;
  const int listen_fd_;
  const uint16_t port_;
  const std::shared_ptr<AcceptorMail> mail_;
  const std::shared_ptr<SocketGauges> gauges_ = std::make_shared<SocketGauges>();
  int spare_fd_ = -1;
  HandOver hand_over_;
  OnRefused on_refused_;
  std::vector<Connection> connections_;  // oldest first; stage hello and fd -1: to be erased
  std::vector<AcceptorMail::Verdict> verdicts_;  // not yet matched with a connection
  TokenBuckets<std::string> buckets_;            // by limit_key
  Clock::time_point listen_again_{};
  std::jthread thread_;
};

}  // namespace starling::node
