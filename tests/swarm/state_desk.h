#pragma once
// One State on a desk, with made-up peers around it: what is put in, what comes out.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "swarm/codec.h"
#include "swarm/state.h"
#include "tests/swarm/wire_fixture.h"

namespace starling::swarm::state_test {

// A member that the desk plays; its numbers count up as a real one's would.
struct Peer {
  explicit Peer(uint8_t seed) : keys(seed), id(peer_id_of(keys.public_key)) {}
  wire_test::Keys keys;
  PeerId id;
  uint64_t epoch = 1;
  uint64_t control_seq = 0;
};

class Desk {
 public:
  static constexpr uint8_t own_seed = 2;

  explicit Desk(const Config& with = Config())
      : config(with), root(1), swarm(swarm_id_of(root.public_key)), self(own_seed) {
    self.epoch = 5;
    options.config = with;
    options.swarm = swarm;
    options.fingerprint.fill(7);
    options.self = record_of(self, {"192.0.2.1:7411"});
    options.software = "0.1.0";
    options.sign = [this](MemberRecord own) { return sign_record(own, self.keys.signer()); };
    state = std::make_unique<State>(options, Rng(1), now);
  }

  MemberRecord record_of(const Peer& peer, std::vector<std::string> addresses = {}) const {
    MemberRecord record;
    record.membership = admit(root.signer(), peer.keys.public_key, 0);
    record.name = "peer";
    record.addresses = std::move(addresses);
    record.epoch = peer.epoch;
    record.incarnation = 1;
    return sign_record(record, peer.keys.signer());
  }

  // The outputs of one input; all of them are kept in `outputs` too.
  std::vector<Output> put(Input input) {
    std::vector<Output> outbox;
    state->handle(std::move(input), now, outbox);
    CHECK(state->next_deadline() > now);
    outputs.insert(outputs.end(), outbox.begin(), outbox.end());
    return outbox;
  }

  // Lets `ms` pass, waking the state whenever it asked for it.
  std::vector<Output> pass(int64_t ms) {
    const Instant end = now.after(ms);
    std::vector<Output> all;
    while (state->next_deadline() <= end) {
      now = state->next_deadline();
      for (Output& output : put(Wake{})) all.push_back(std::move(output));
    }
    now = end;
    return all;
  }

  std::vector<Output> up(const Peer& peer, const std::string& address = "192.0.2.9:1",
                         bool dialled = false) {
    return put(LinkUp{peer.id, admit(root.signer(), peer.keys.public_key, 0), address, dialled});
  }
  FrameHeader control_header(Peer& peer) {
    FrameHeader header;
    header.kind = FrameKind::control;
    header.origin = peer.keys.public_key;
    header.epoch = peer.epoch;
    header.seq = ++peer.control_seq;
    return header;
  }
  std::vector<Output> say(Peer& peer, Message message) {
    return put(ReceivedMessage{peer.id, control_header(peer), std::move(message)});
  }
  Hello hello_of(const Peer& peer, std::vector<std::string> addresses = {}) const {
    Hello hello;
    hello.fingerprint = options.fingerprint;
    hello.software = "0.1.0";
    hello.self = record_of(peer, std::move(addresses));
    return hello;
  }
  // Up and greeted.
  std::vector<Output> link(Peer& peer, std::vector<std::string> addresses = {}) {
    std::vector<Output> all = up(peer);
    for (Output& output : say(peer, hello_of(peer, std::move(addresses)))) all.push_back(output);
    return all;
  }
  std::vector<Output> tell(Peer& peer, const VersionVector& have) {
    Heartbeat heartbeat;
    heartbeat.sent_ms = 1;
    heartbeat.have = have;
    return say(peer, heartbeat);
  }

  static DeltaKey key_of(const Peer& origin, uint64_t seq) {
    return {{origin.id, origin.epoch}, seq};
  }
  ReceivedDelta delta(const Peer& from, const Peer& origin, uint64_t seq, double norm = 1,
                      uint8_t content = 0) const {
    ReceivedDelta received;
    received.from = from.id;
    received.header.kind = FrameKind::delta;
    received.header.origin = origin.keys.public_key;
    received.header.epoch = origin.epoch;
    received.header.seq = seq;
    received.header.fingerprint = options.fingerprint;
    received.header.payload_hash.fill(static_cast<uint8_t>(seq * 16 + content));
    received.summary.norm = norm;
    received.summary.raw_norm = static_cast<float>(norm);
    received.frame = std::make_shared<const Bytes>(Bytes(10));
    return received;
  }
  std::vector<Output> push(const Peer& origin, uint64_t seq, double norm = 1) {
    return put(delta(origin, origin, seq, norm));
  }
  std::vector<Output> publish(uint64_t seq, double norm = 1) {
    const ReceivedDelta own = delta(self, self, seq, norm);
    return put(Publish{own.header, own.summary, own.frame});
  }

  MemberView view_of(const Peer& peer) const {
    for (const MemberView& row : state->members(now)) {
      if (row.id == peer.id) return row;
    }
    FAIL("no such member");
    return {};
  }
  uint64_t refused(DropReason reason) const {
    return state->counters().refused_by_reason[static_cast<size_t>(reason)];
  }

  Config config;
  wire_test::Keys root;
  SwarmId swarm;
  Peer self;
  StateOptions options;
  Instant now{1000000};
  std::unique_ptr<State> state;
  std::vector<Output> outputs;
};

template <typename T>
std::vector<T> all_of(const std::vector<Output>& outputs) {
  std::vector<T> found;
  for (const Output& output : outputs) {
    if (const T* one = std::get_if<T>(&output)) found.push_back(*one);
  }
  return found;
}

// The messages of one kind that went to `to`.
template <typename T>
std::vector<T> sent_to(const std::vector<Output>& outputs, const PeerId& to) {
  std::vector<T> found;
  for (const Send& send : all_of<Send>(outputs)) {
    if (const T* one = std::get_if<T>(&send.message); one != nullptr && send.to == to) {
      found.push_back(*one);
    }
  }
  return found;
}

inline std::vector<Notice> notices_of(const std::vector<Output>& outputs, Notice::Kind kind) {
  std::vector<Notice> found;
  for (const Notice& notice : all_of<Notice>(outputs)) {
    if (notice.kind == kind) found.push_back(notice);
  }
  return found;
}

inline VersionVector vector_of(const Stream& stream, uint64_t contiguous) {
  VersionVector vector;
  vector.set(stream, {contiguous, 0});
  return vector;
}

}  // namespace starling::swarm::state_test
