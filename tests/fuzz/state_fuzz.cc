// The state machine under a schedule that the bytes draw: three peers (one of them may lie about
// anything), time, the own node's commands, the driver's answers. Whatever comes: it wakes in the
// future only, stores and delivers each delta once, serves only what is stored, forgets nothing
// that it had.
#include <sodium.h>

#include <cassert>
#include <set>

#include "swarm/codec.h"
#include "swarm/state.h"

namespace starling::swarm {
namespace {

struct Keys {
  explicit Keys(uint8_t seed) {
    std::array<uint8_t, 32> bytes{};
    bytes.fill(seed);
    crypto_sign_seed_keypair(public_key.data(), secret.data(), bytes.data());
    id = peer_id_of(public_key);
  }
  Signer signer() const { return Signer(secret.data()); }
  PublicKey public_key{};
  std::array<uint8_t, 64> secret{};
  PeerId id;
};

// Signed once for all runs.
struct Cast {
  Cast() {
    for (size_t i = 0; i < keys.size(); ++i) {
      for (uint64_t epoch = 1; epoch <= 2; ++epoch) {
        MemberRecord record;
        record.membership = admit(root.signer(), keys[i].public_key, 0);
        record.addresses = {"192.0.2." + std::to_string(i) + ":1"};
        record.epoch = epoch;
        records[i].push_back(sign_record(record, keys[i].signer()));
      }
    }
  }
  Keys root{1};
  std::array<Keys, 4> keys{Keys(2), Keys(3), Keys(4), Keys(5)};  // the first is ourselves
  std::array<std::vector<MemberRecord>, 4> records;
};

class Schedule {
 public:
  Schedule(const Cast& cast, const uint8_t* bytes, size_t size)
      : cast_(cast), bytes_(bytes), left_(size) {
    StateOptions options;
    options.config.members_max = 3;
    options.config.active_view_max = 2;
    options.sign = [this](MemberRecord own) {
      return sign_record(std::move(own), cast_.keys[0].signer());
    };
    options.config.pulls_in_flight_max = 4;
    options.config.reference_window = 8;
    options.config.deltas_per_minute_max = 30;
    options.swarm = swarm_id_of(cast.root.public_key);
    options.self = cast.records[0][1];
    state_ = std::make_unique<State>(options, Rng(byte()), now_);
  }

  void run() {
    while (left_ > 0) {
      const uint8_t kind = byte();
      if (kind < 128)
        take_message(kind);
      else if (kind < 192)
        take_delta();
      else
        take_rest(kind);
    }
  }

 private:
  uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *bytes_++;
  }
  const Keys& peer() { return cast_.keys[1 + byte() % 3]; }

  VersionVector vector() {
    VersionVector vector;
    for (int i = byte() % 4; i > 0; --i) {
      const uint8_t draw = byte();
      const Seen seen{1 + uint64_t{byte()}, draw >= 128 ? uint64_t{byte()} << 8 : 0};
      vector.set({cast_.keys[draw % 4].id, uint64_t{1} + draw / 4 % 2}, seen);
    }
    return vector;
  }
  SnapshotOffer offer() {
    SnapshotOffer offer;
    offer.file_hash[0] = byte() % 2;
    offer.size = 1 + byte() * chunk_size_max / 64;
    offer.have = vector();
    return offer;
  }

  void take_message(uint8_t kind) {
    const size_t index = 1 + byte() % 3;
    ReceivedMessage received;
    received.from = cast_.keys[index].id;
    received.header.origin = cast_.keys[index].public_key;
    received.header.epoch = 1 + byte() % 2;
    received.header.seq = byte() % 4 == 0 ? byte() : ++control_seq_;
    switch (kind % 13) {
      case 0: {
        Hello hello;
        hello.self = cast_.records[byte() % 8 == 0 ? 3 : index][byte() % 2];
        if (byte() % 16 == 0) hello.fingerprint[0] = 1;
        hello.features = byte() % 8;
        hello.extension = {static_cast<uint8_t>(byte() % 6)};
        received.message = hello;
        break;
      }
      case 1:
        received.message = Members{{cast_.records[byte() % 4][byte() % 2]}};
        break;
      case 2: {
        Heartbeat heartbeat;
        heartbeat.sent_ms = byte();
        heartbeat.echo_ms = byte();
        heartbeat.have = vector();
        heartbeat.base_hash[0] = byte() % 4;
        heartbeat.base_count = byte();
        received.message = heartbeat;
        break;
      }
      case 3: {
        Pull pull;
        for (int i = byte() % 8; i > 0; --i) {
          pull.keys.push_back({{cast_.keys[byte() % 4].id, 1 + uint64_t{byte()} % 2}, byte()});
        }
        received.message = pull;
        break;
      }
      case 4:
        received.message = offer();
        break;
      case 5:
        received.message = ChunkRequest{{byte()}, byte()};
        break;
      case 6:
        received.message =
            Chunk{{byte()}, byte() % 4u, Bytes(byte() % 2 ? chunk_size_max : byte())};
        break;
      case 7:
        received.message = JoinWalk{cast_.keys[byte() % 4].id, byte() % 8u};
        break;
      case 8:
        received.message = ShuffleWalk{byte() % 4u, byte() % 8u, {cast_.keys[byte() % 4].id}};
        break;
      case 9:
        received.message = ShuffleAnswer{byte() % 4u, {cast_.keys[byte() % 4].id}};
        break;
      case 10:
        received.message = Disconnect{};
        break;
      case 11:
        received.message =
            Suspicion{{{cast_.keys[byte() % 4].id, uint64_t{1} + byte() % 2, byte() % 4u}}};
        break;
      default:
        received.message = Goodbye{"gone"};
        break;
    }
    put(received);
  }

  void take_delta() {
    const Keys& origin = cast_.keys[byte() % 4];
    ReceivedDelta received;
    received.from = peer().id;
    received.header.kind = FrameKind::delta;
    received.header.origin = origin.public_key;
    received.header.epoch = 1 + byte() % 2;
    received.header.seq = byte();
    received.header.payload_hash[0] = byte() % 4 == 0;
    received.summary.norm = byte() % 4 == 0 ? byte() : 1;
    received.summary.raw_norm = static_cast<float>(received.summary.norm);
    received.frame = std::make_shared<const Bytes>(Bytes(1));
    put(received);
  }

  void take_rest(uint8_t kind) {
    switch (kind % 15) {
      case 0:
      case 1:
        put(LinkUp{peer().id, {}, "192.0.2." + std::to_string(byte() % 4) + ":1", byte() % 2 == 0});
        break;
      case 2:
        put(LinkDown{peer().id, "cut"});
        break;
      case 3:
        put(DialFailed{"192.0.2." + std::to_string(byte() % 4) + ":1", "refused"});
        break;
      case 4:
        put(ReceivedRefused{peer().id, static_cast<DropReason>(byte() % 20)});
        break;
      case 5:
        publish();
        break;
      case 6:
      case 7:
        pass(int64_t{byte()} * byte());
        break;
      case 8:
        put(ChunkSaved{asked_file_, byte() % 4u, byte() % 8 != 0});
        break;
      case 9: {
        const uint8_t draw = byte();
        const auto fault = static_cast<SnapshotInstalled::Fault>(draw / 4 % 3);
        put(SnapshotInstalled{{}, draw % 4 != 0, "", fault});
        break;
      }
      case 10:
        forget();
        break;
      case 11: {
        Digest hash{};
        hash[0] = byte() % 4;
        put(BaseReached{state_->have(), hash});
        break;
      }
      case 12:
        if (byte() % 8 == 0) put(Ban{peer().id});
        break;
      case 13:
        assert(state_->members(now_).size() >= state_->view(now_).members);
        assert(state_->view(now_).active_origins <= state_->view(now_).members);
        break;
      default:
        take_address(byte());
        break;
    }
  }

  void take_address(uint8_t draw) {
    const std::string address = "192.0.2." + std::to_string(draw % 8) + ":1";
    if (draw < 192) return put(AddAddress{address});
    if (draw < 232) return put(Heard{cast_.keys[byte() % 4].id, address});
    put(Readdressed{{address}});
  }

  void publish() {
    Publish publish;
    publish.header.origin = cast_.keys[0].public_key;
    publish.header.epoch = 2;
    publish.header.seq = ++published_;
    publish.summary.norm = 1;
    publish.summary.raw_norm = 1;
    publish.frame = std::make_shared<const Bytes>(Bytes(1));
    put(publish);
  }
  void forget() {
    if (stored_.empty()) return;
    const DeltaKey key = *stored_.begin();
    stored_.erase(key);
    SnapshotOffer offer;
    offer.size = 10;
    offer.have = state_->have();
    put(SnapshotAvailable{offer});
    put(Forgotten{{key}});
  }
  void pass(int64_t ms) {
    const Instant end = now_.after(ms);
    while (state_->next_deadline() <= end) {
      now_ = state_->next_deadline();
      put(Wake{});
    }
    now_ = end;
  }

  void put(Input input) {
    std::vector<Output> outbox;
    const uint64_t before = state_->have().delta_count();
    state_->handle(std::move(input), now_, outbox);
    assert(state_->next_deadline() > now_);
    assert(state_->have().delta_count() >= before);
    for (const Output& output : outbox) {
      if (const auto* store = std::get_if<Store>(&output)) {
        assert(ever_stored_.insert(store->key).second);
        stored_.insert(store->key);
      } else if (const auto* deliver = std::get_if<Deliver>(&output)) {
        assert(ever_stored_.contains(deliver->key));
        assert(delivered_.insert(deliver->key).second);
        assert(state_->have().contains(deliver->key));
      } else if (const auto* send = std::get_if<SendStored>(&output)) {
        assert(stored_.contains(send->key));
      } else if (const auto* message = std::get_if<Send>(&output)) {
        assert(decode_message(encode_message(message->message)).has_value());
      } else if (const auto* chunk = std::get_if<SaveChunk>(&output)) {
        asked_file_ = chunk->file_hash;
      }
    }
  }

  const Cast& cast_;
  const uint8_t* bytes_;
  size_t left_;
  Instant now_{1000};
  std::unique_ptr<State> state_;
  uint64_t control_seq_ = 0, published_ = 0;
  Digest asked_file_{};
  std::set<DeltaKey> ever_stored_, stored_, delivered_;
};

}  // namespace
}  // namespace starling::swarm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const starling::swarm::Cast cast;
  starling::swarm::Schedule(cast, bytes, size).run();
  return 0;
}
