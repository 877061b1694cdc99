#include "tests/swarm/state_world.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace starling::swarm::state_test {
namespace {

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

Digest digest_of(uint64_t value) {
  Bytes bytes;
  for (int shift = 0; shift < 64; shift += 8) bytes.push_back(static_cast<uint8_t>(value >> shift));
  return blake2b(bytes);
}

}  // namespace

// ---- Node

Node::Node(World& in, size_t at, Config with)
    : world(in),
      index(at),
      config(std::move(with)),
      keys(static_cast<uint8_t>(100 + at)),
      id(peer_id_of(keys.public_key)),
      address("192.0.2." + std::to_string(at + 1) + ":7411"),
      advertised({address}),
      admissions(std::make_shared<const Admissions>(in.swarm)) {
  fingerprint.fill(7);
}

MemberRecord Node::record() const {
  MemberRecord record;
  record.membership = membership ? *membership : admit(world.root.signer(), keys.public_key, 0);
  record.name = "node " + std::to_string(index);
  record.addresses = advertised;
  record.epoch = epoch;
  record.incarnation = 1;
  return sign_record(record, keys.signer());
}

void Node::start() {
  REQUIRE(!is_up());
  ++epoch;
  published = 0;
  control_seq = 0;
  StateOptions options;
  options.config = config;
  options.swarm = world.swarm;
  options.fingerprint = fingerprint;
  options.self = record();
  options.software = "0.1.0";
  options.sign = [this](MemberRecord own) { return sign_record(std::move(own), keys.signer()); };
  options.version_min = version_min;
  options.version_max = version_max;
  state = std::make_unique<State>(options, Rng(world.rng.next()), world.now);
  last_deadline_ = never;
  Recovered recovered;
  recovered.have = applied;
  for (const DeltaKey& key : order) {
    const Filed& delta = filed.at(key);
    recovered.stored.push_back({key, {}, delta.summary.raw_norm});
    std::copy_n(delta.header.payload_hash.begin(), 16, recovered.stored.back().hash.begin());
    if (!applied.contains(key)) apply(key);  // the log's rest is replayed onto the base
  }
  recovered.have = applied;
  recovered.members = saved_members;
  for (const auto& [item_id, item] : admissions->items())
    recovered.admissions.push_back(item->bytes);
  input(recovered);
  report_base();
  for (const std::string& seed : seeds) input(AddAddress{seed});
}

void Node::crash() {
  REQUIRE(is_up());
  state.reset();
  ++wake_token_;
  for (const auto& other : world.nodes) world.cut(id, other->id, "connection reset");
}

void Node::pause() { waiting.emplace(); }

void Node::resume() {
  std::vector<Input> events = std::move(*waiting);
  waiting.reset();
  for (Input& event : events) input(std::move(event));
}

void Node::input(Input event) {
  if (!is_up()) return;
  if (waiting) return waiting->push_back(std::move(event));
  if (const auto* message = std::get_if<ReceivedMessage>(&event))
    received.emplace_back(world.now, message->size);
  if (const auto* delta = std::get_if<ReceivedDelta>(&event)) {
    received.emplace_back(world.now, delta->frame->size());
    ++bodies;
  }
  std::vector<Output> outbox;
  state->handle(std::move(event), world.now, outbox);
  const Instant deadline = state->next_deadline();
  REQUIRE(deadline > world.now);
  const uint64_t token = ++wake_token_;
  if (deadline != never) {
    world.at(deadline.ms - world.now.ms, [this, token] {
      if (token == wake_token_) input(Wake{});
    });
  }
  perform(outbox);
}

Filed Node::publish(double norm) {
  Filed delta;
  delta.header.kind = FrameKind::delta;
  delta.header.swarm = world.swarm;
  delta.header.origin = keys.public_key;
  delta.header.epoch = epoch;
  delta.header.seq = ++published;
  delta.header.fingerprint = fingerprint;
  const DeltaKey key{{id, epoch}, delta.header.seq};
  delta.header.payload_hash = digest_of(worth(key));
  delta.summary.norm = norm;
  delta.summary.raw_norm = static_cast<float>(norm);
  delta.frame = std::make_shared<const Bytes>(Bytes(world.delta_size, static_cast<uint8_t>(index)));
  apply(key);
  world.published.emplace(key, delta);
  input(Publish{delta.header, delta.summary, delta.frame});
  report_base();
  return delta;
}

uint64_t Node::worth(const DeltaKey& key) {
  const uint64_t mixed =
      key.stream.origin.bytes[0] * 1000003ULL + key.stream.epoch * 7919ULL + key.seq;
  return mixed * 0x9e3779b97f4a7c15ULL;
}

void Node::apply(const DeltaKey& key) {
  ++deliveries[key];
  base += worth(key);
  applied.insert(key);
}

// Without what came of members that are revoked, as Exchange::expel takes it out.
void Node::report_base() {
  uint64_t counted = base;
  for (const auto& [stream, seen] : applied.streams()) {
    if (admissions == nullptr || !admissions->expelled().contains(stream.origin)) continue;
    for (uint64_t seq = 1; seq <= seen.contiguous; ++seq) counted -= worth({stream, seq});
    for (uint64_t bit = 0; bit < 64; ++bit) {
      if ((seen.bitmap >> bit & 1) != 0) counted -= worth({stream, seen.contiguous + 2 + bit});
    }
  }
  input(BaseReached{applied, digest_of(counted)});
}

SnapshotOffer Node::make_snapshot(uint64_t forged) {
  SnapshotOffer offer;
  offer.hash = digest_of(base + forged);
  offer.have = applied;
  offer.size = 2 * chunk_size_max + 100;
  Bytes file(offer.size, static_cast<uint8_t>(index + 1));
  offer.file_hash = blake2b(file);
  files[offer.file_hash] = file;
  world.snapshots[offer.file_hash] = {offer, base + forged};
  input(SnapshotAvailable{offer});
  return offer;
}

void Node::forget(uint64_t count) {
  const auto end =
      order.begin() + static_cast<std::ptrdiff_t>(std::min<uint64_t>(count, order.size()));
  const std::vector<DeltaKey> keys_gone(order.begin(), end);
  order.erase(order.begin(), end);
  for (const DeltaKey& key : keys_gone) filed.erase(key);
  input(Forgotten{keys_gone});
}

size_t Node::count(Notice::Kind kind) const {
  return static_cast<size_t>(std::count(kinds.begin(), kinds.end(), kind));
}

std::string Node::last_reason(Notice::Kind kind) const {
  for (auto at = notices.rbegin(); at != notices.rend(); ++at) {
    if (at->kind == kind) return at->reason;
  }
  return "none";
}

const MemberView* Node::row(const std::vector<MemberView>& rows, const PeerId& peer) const {
  const auto found = std::find_if(rows.begin(), rows.end(),
                                  [&](const MemberView& view) { return view.id == peer; });
  return found == rows.end() ? nullptr : &*found;
}

std::string Node::lost_reason(const Node& other) const {
  const auto rows = state->members(world.now);
  const MemberView* const view = row(rows, other.id);
  return view == nullptr ? "unknown" : view->lost_reason;
}

MemberState Node::state_of(const Node& other) const {
  const auto rows = state->members(world.now);
  const MemberView* const view = row(rows, other.id);
  REQUIRE(view != nullptr);
  return view->state;
}

void Node::transmit(const PeerId& to, Input frame, size_t size) {
  ++frames_sent;
  if (is_up()) state->charge_sent(size, world.now);
  sent.emplace_back(world.now, size);
  world.transmit(*this, to, std::move(frame));
}

void Node::send_delta(const PeerId& to, const Filed& delta) {
  if (world.stingy.contains(index)) return;
  transmit(to, ReceivedDelta{id, delta.header, delta.summary, delta.frame}, delta.frame->size());
}

void Node::send_chunk(const SendChunk& send) {
  const Bytes& file = files.at(send.file_hash);
  const size_t begin = send.index * chunk_size_max;
  const size_t size = std::min(file.size() - begin, chunk_size_max);
  const auto first = file.begin() + static_cast<std::ptrdiff_t>(begin);
  perform_one(Send{send.to, Chunk{send.file_hash, send.index,
                                  Bytes(first, first + static_cast<std::ptrdiff_t>(size))}});
}

void Node::save_chunk(const SaveChunk& save) {
  ++chunks_saved;
  Bytes& file = files[save.file_hash];
  const size_t begin = save.index * chunk_size_max;
  file.resize(std::max(file.size(), begin + save.bytes.size()));
  std::copy(save.bytes.begin(), save.bytes.end(),
            file.begin() + static_cast<std::ptrdiff_t>(begin));
  world.at(3, [this, save] { input(ChunkSaved{save.file_hash, save.index, true}); });
}

void Node::install(const SnapshotOffer& offer) {
  const bool is_good = blake2b(files.at(offer.file_hash)) == offer.file_hash;
  if (is_good) {
    const VersionVector before = applied;
    const auto& [what, value] = world.snapshots.at(offer.file_hash);
    base = value;
    applied = what.have;
    for (const DeltaKey& key : order) {  // what was in the base and is not in the snapshot
      if (!before.contains(key) || what.have.contains(key)) continue;
      base += worth(key);
      applied.insert(key);
    }
  }
  input(SnapshotInstalled{offer, is_good, is_good ? "" : "damaged",
                          SnapshotInstalled::Fault::chunks});
  report_base();
}

void Node::perform_one(const Output& output) {
  std::visit(
      Overloaded{
          [&](const Send& send) {
            const Bytes bytes = encode_message(send.message);
            auto decoded = decode_message(bytes);
            REQUIRE(decoded.has_value());
            FrameHeader header;
            header.kind = FrameKind::control;
            header.origin = keys.public_key;
            header.epoch = epoch;
            header.seq = ++control_seq;
            const size_t size = bytes.size() + header_size;
            transmit(send.to, ReceivedMessage{id, header, *decoded, size}, size);
          },
          [&](const SendFrame& send) { send_delta(send.to, world.published.at(send.key)); },
          [&](const SendStored& send) { send_delta(send.to, filed.at(send.key)); },
          [&](const SendChunk& send) { send_chunk(send); },
          [&](const Open& open) {
            opens.push_back(open);
            world.dial(*this, open.address, open.expected);
          },
          [&](const Close& close) {
            closes.push_back(close);
            world.cut(id, close.peer, "closed by " + std::to_string(index) + ": " + close.reason);
          },
          [&](const Store& store) {
            REQUIRE(!filed.contains(store.key));
            filed[store.key] = world.published.at(store.key);
            order.push_back(store.key);
          },
          [&](const Deliver& deliver) {
            REQUIRE(filed.contains(deliver.key));
            REQUIRE(!applied.contains(deliver.key));
            apply(deliver.key);
            report_base();
          },
          [&](const SaveChunk& save) { save_chunk(save); },
          [&](const InstallSnapshot& ready) {
            world.at(20, [this, offer = ready.offer] { install(offer); });
          },
          [&](const SaveMembers& save) {
            saved_members.clear();
            for (const SharedRecord& record : save.records) saved_members.push_back(*record);
          },
          [&](const AdmissionsChanged& changed) {
            const bool is_less =
                admissions != nullptr && admissions->expelled() != changed.admissions->expelled();
            admissions = changed.admissions;
            if (is_less) report_base();
          },
          [&](const Drop& drop) { drops.push_back(drop); },
          [&](const Prove&) { ++proofs_wanted; },
          [&](const Notice& notice) {
            notices.push_back(notice);
            kinds.push_back(notice.kind);
          },
      },
      output);
}

void Node::perform(std::vector<Output>& outbox) {
  for (const Output& output : outbox) perform_one(output);
}

// ---- World

World::World(uint64_t with, Faults under)
    : seed(with), faults(under), rng(with), root(1), swarm(swarm_id_of(root.public_key)) {}

Node& World::add(Config config) {
  nodes.push_back(std::make_unique<Node>(*this, nodes.size(), std::move(config)));
  return *nodes.back();
}

void World::fill(size_t count, const Config& config) {
  for (size_t i = 0; i < count; ++i) {
    Node& node = add(config);
    if (i > 0) node.seeds = {nodes[0]->address};
    node.start();
  }
}

void World::at(int64_t delay_ms, std::function<void()> action) {
  agenda_.emplace(std::pair(now.ms + std::max<int64_t>(0, delay_ms), agenda_count_++),
                  std::move(action));
}

void World::run_for(int64_t ms) {
  run_until([] { return false; }, ms);
}

bool World::run_until(const std::function<bool()>& done, int64_t limit_ms) {
  const int64_t end = now.ms + limit_ms;
  while (!done()) {
    if (agenda_.empty() || agenda_.begin()->first.first > end) {
      now.ms = end;
      return done();
    }
    auto next = agenda_.extract(agenda_.begin());
    now.ms = next.key().first;
    next.mapped()();
  }
  return true;
}

bool World::is_blocked(size_t a, size_t b) const {
  const bool is_across = is_split_ && side_.contains(a) != side_.contains(b);
  return is_across || forbidden_.contains(std::minmax(a, b));
}

void World::set_blocked(const std::set<size_t>& side, bool is_blocked_now) {
  side_ = side;
  is_split_ = is_blocked_now;
}

Node* World::find(const PeerId& id) {
  for (const auto& node : nodes) {
    if (node->id == id) return node.get();
  }
  return nullptr;
}

void World::dial(Node& from, const std::string& address, std::optional<PeerId> expected) {
  const int64_t delay = faults.delay_min_ms + static_cast<int64_t>(rng.below(20));
  at(delay, [this, &from, address, expected] {
    Node* target = nullptr;
    for (const auto& node : nodes) {
      if (node->address == address) target = node.get();
    }
    if (target == nullptr || !target->is_up() || is_blocked(from.index, target->index)) {
      return from.input(DialFailed{address, "connection refused"});
    }
    if (expected && *expected != target->id)
      return from.input(DialFailed{address, "another identity"});
    if (!from.is_up() || are_linked(from.id, target->id)) return;
    links_[std::minmax(from.id, target->id)] = {++generations_, now, now};
    target->input(LinkUp{from.id, from.record().membership, "192.0.2.99:50000", false});
    from.input(LinkUp{target->id, target->record().membership, address, true});
  });
}

void World::transmit(Node& from, const PeerId& to, Input frame) {
  const auto found = links_.find(std::minmax(from.id, to));
  if (found == links_.end()) return;
  Node* const target = find(to);
  if (is_blocked(from.index, target->index) || rng.unit() < faults.loss) return;
  const auto* const said = std::get_if<ReceivedMessage>(&frame);
  const bool is_admission = said != nullptr && std::holds_alternative<AdmissionNews>(said->message);
  if (is_admission && withholding.contains(from.index)) return;
  const uint64_t generation = found->second.generation;
  const int copies = rng.unit() < faults.duplication ? 2 : 1;
  for (int copy = 0; copy < copies; ++copy) {
    const auto spread = static_cast<uint64_t>(faults.delay_max_ms - faults.delay_min_ms + 1);
    Instant arrival = now.after(faults.delay_min_ms + static_cast<int64_t>(rng.below(spread)));
    Instant& last = from.id < to ? found->second.last_arrival_a : found->second.last_arrival_b;
    if (faults.is_ordered) arrival = std::max(arrival, last);
    last = arrival;
    at(arrival.ms - now.ms, [this, target, generation, frame, from_id = from.id] {
      const auto link = links_.find(std::minmax(from_id, target->id));
      if (link == links_.end() || link->second.generation != generation) return;
      if (is_recording) recorded.emplace_back(target->id, frame);
      target->input(frame);
    });
  }
}

void World::cut(const PeerId& a, const PeerId& b, const std::string& reason) {
  if (links_.erase(std::minmax(a, b)) == 0) return;
  for (const auto& [peer, other] : {std::pair(a, b), std::pair(b, a)}) {
    at(1, [this, peer = peer, other = other, reason] {
      Node* const node = find(peer);
      // A newer link of the two is not what went down.
      if (!are_linked(peer, other)) node->input(LinkDown{other, reason});
    });
  }
}

bool World::is_converged() const {
  for (const auto& node : nodes) {
    if (!node->is_up()) continue;
    if (node->state->have().delta_count() != published.size()) return false;
    for (const auto& other : nodes) {
      if (!other->is_up()) continue;
      if (node->state->have() != other->state->have() || node->base != other->base) return false;
    }
  }
  return true;
}

bool World::is_meshed() const {
  for (const auto& node : nodes) {
    if (node->is_up() && node->state->view(now).neighbours + 1 != nodes.size()) return false;
  }
  return true;
}

}  // namespace starling::swarm::state_test
