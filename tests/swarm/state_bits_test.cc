// The whole way of a delta through several States: compressed, sealed, opened as at a port, ordered
// by chance, added to a base of real numbers. All nodes come to the same bits.
#include <map>

#include "swarm/base.h"
#include "swarm/inbound.h"
#include "tests/swarm/delta_fixture.h"
#include "tests/swarm/state_desk.h"

namespace starling::swarm::state_test {
namespace {

// Nodes that are linked all with all by a net that loses, doubles and disorders frames. Every frame
// is sealed, and goes through receive().
struct Sealed {
  explicit Sealed(uint64_t seed) : rng(seed), root(1), table(delta_test::small_table()) {
    for (uint8_t i = 0; i < 4; ++i) nodes.push_back(std::make_unique<One>(*this, i));
    rules = {swarm_id_of(root.public_key), {}, &table};
    for (auto& a : nodes) {
      for (auto& b : nodes) {
        if (a == b) continue;
        put(*a, LinkUp{b->peer.id, admit(root.signer(), b->peer.keys.public_key, 0), "", false});
      }
    }
  }

  struct One {
    One(Sealed& in, uint8_t index)
        : peer(static_cast<uint8_t>(20 + index)),
          base(in.table, std::vector<float>(delta_test::size_of(in.table), 0.0f)) {
      StateOptions options;
      options.swarm = swarm_id_of(in.root.public_key);
      options.self.membership = admit(in.root.signer(), peer.keys.public_key, 0);
      options.self.epoch = 1;
      options.self = sign_record(options.self, peer.keys.signer());
      state = std::make_unique<State>(options, Rng(index), in.now);
    }
    Peer peer;
    Base base;
    std::unique_ptr<State> state;
    std::map<DeltaKey, SharedBytes> log;
    uint64_t published = 0;
  };

  void put(One& node, Input input) {
    std::vector<Output> outbox;
    node.state->handle(std::move(input), now, outbox);
    for (Output& output : outbox) perform(node, output);
  }

  void perform(One& node, Output& output) {
    if (auto* send = std::get_if<Send>(&output)) {
      FrameHeader header;
      header.kind = FrameKind::control;
      header.swarm = rules.swarm;
      header.epoch = 1;
      header.seq = ++node.peer.control_seq;
      const Bytes frame = seal(header, encode_message(send->message), node.peer.keys.signer());
      post(node, send->to, std::make_shared<const Bytes>(frame));
    } else if (auto* frame = std::get_if<SendFrame>(&output)) {
      post(node, frame->to, frame->frame);
    } else if (auto* stored = std::get_if<SendStored>(&output)) {
      post(node, stored->to, node.log.at(stored->key));
    } else if (auto* store = std::get_if<Store>(&output)) {
      node.log[store->key] = store->frame;
    } else if (auto* deliver = std::get_if<Deliver>(&output)) {
      const SharedBytes signed_frame = deliver->frame ? deliver->frame : node.log.at(deliver->key);
      node.base.apply(open(*signed_frame, rules.swarm)->payload, {});
      put(node, BaseReached{node.state->have(), node.base.hash()});
    } else if (const auto* close = std::get_if<Close>(&output)) {
      FAIL_CHECK(close->reason);
    }
  }

  void post(const One& from, const PeerId& to, SharedBytes frame) {
    if (rng.unit() < loss) return;
    const int copies = rng.unit() < 0.1 ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
      const int64_t at = now.ms + 1 + static_cast<int64_t>(rng.below(100));
      mail.emplace(std::pair(at, ++posted), Letter{from.peer.id, to, frame});
    }
  }

  void publish(One& node) {
    auto d = delta_test::normal_delta(table, rng.next(), 1e-2f);
    const std::vector<uint64_t> tokens(table.size(), 1);
    Compressed made = compress(table, d, tokens, {}, {.fraction = 0.25, .steps = 10});
    FrameHeader header;
    header.kind = FrameKind::delta;
    header.swarm = rules.swarm;
    header.epoch = 1;
    header.seq = ++node.published;
    const auto frame =
        std::make_shared<const Bytes>(seal(header, made.payload, node.peer.keys.signer()));
    node.base.apply(made.payload, {});
    put(node, Publish{open(*frame, rules.swarm)->header, made.summary, frame});
  }

  void run_for(int64_t ms) {
    const int64_t end = now.ms + ms;
    while (true) {
      int64_t next = end;
      for (const auto& node : nodes) next = std::min(next, node->state->next_deadline().ms);
      if (!mail.empty()) next = std::min(next, mail.begin()->first.first);
      now.ms = next;
      if (next >= end) return;
      for (const auto& node : nodes) {
        if (node->state->next_deadline() <= now) put(*node, Wake{});
      }
      while (!mail.empty() && mail.begin()->first.first <= now.ms) {
        const Letter letter = mail.extract(mail.begin()).mapped();
        for (const auto& node : nodes) {
          if (node->peer.id == letter.to) put(*node, receive(letter.from, letter.frame, rules));
        }
      }
    }
  }

  struct Letter {
    PeerId from, to;
    SharedBytes frame;
  };
  Instant now{1000};
  Rng rng;
  wire_test::Keys root;
  model::RegionTable table;
  InboundRules rules;
  double loss = 0.3;
  std::vector<std::unique_ptr<One>> nodes;
  std::map<std::pair<int64_t, uint64_t>, Letter> mail;
  uint64_t posted = 0;
};

TEST_CASE(
    "real deltas, sealed and lost and doubled and disordered, give the same bits everywhere") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    Sealed world(seed);
    world.run_for(5000);
    for (int round = 0; round < 15; ++round) {
      for (const auto& node : world.nodes) world.publish(*node);
      world.run_for(static_cast<int64_t>(world.rng.below(2000)));
    }
    world.loss = 0;
    world.run_for(20000);
    for (const auto& node : world.nodes) {
      CHECK(node->state->have().delta_count() == 60);
      CHECK(node->state->have() == world.nodes[0]->state->have());
      CHECK(node->base.hash() == world.nodes[0]->base.hash());
      for (const MemberView& row : node->state->members(world.now)) {
        CHECK((row.is_self || row.base_hash == world.nodes[0]->base.hash()));
      }
    }
  }
}

}  // namespace
}  // namespace starling::swarm::state_test
