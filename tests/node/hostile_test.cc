// What a hostile peer can do to a running node at its real port, and what it then finds in
// `status`.
#include <doctest/doctest.h>
#include <grpcpp/grpcpp.h>
#include <sys/stat.h>

#include <limits>

#include "grpc/health/v1/health.grpc.pb.h"
#include "node/transport.h"
#include "starling/v1/admin.grpc.pb.h"
#include "starling/v1/inspect.grpc.pb.h"
#include "starling/v1/mind.grpc.pb.h"
#include "starling/v1/peer.grpc.pb.h"
#include "swarm/wire.h"
#include "tests/node/hostile_fixture.h"
#include "tests/node/small_swarm.h"
#include "tests/node/transport_certificate.h"

namespace starling::node {
namespace {

using swarm::Bytes;

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinite = std::numeric_limits<float>::infinity();

// Places in a frame (swarm/envelope.cc) and in a delta (swarm/delta_codec.cc).
constexpr size_t kind_at = 1, epoch_at = 50, size_at = 114, signature_at = 126;
constexpr size_t scale_at = 1, raw_norm_at = 5, norm_at = 9, regions_at = 15, gap_at = 16,
                 blocks_at = 18;

// A fault costs ten points at most and a peer is shut out below -50: so many are safe.
constexpr size_t faults_per_guest = 4;

template <typename Change>
Bytes changed(Bytes bytes, Change change) {
  change(bytes);
  return bytes;
}

Bytes with_float(const Bytes& payload, size_t at, float value) {
  return changed(payload, [&](Bytes& bytes) {
    swarm::Writer writer;
    writer.f32(value);
    std::copy(writer.bytes().begin(), writer.bytes().end(),
              bytes.begin() + static_cast<std::ptrdiff_t>(at));
  });
}

float float_at(const Bytes& payload, size_t at) {
  return swarm::Reader(swarm::ByteView(payload).subspan(at)).finite_f32();
}

struct Attack {
  std::string what, reason;
  std::function<Bytes(Guest&)> make;  // the frame
};

// Every attack is refused for its reason and changes nothing, and afterwards an honest neighbour is
// still heard.
void check_attacks(const std::vector<Attack>& attacks) {
  Victim victim;
  Guest honest(victim, "honest");
  honest.greet();
  honest.contribute(victim, 1);
  std::unique_ptr<Guest> guest;
  for (size_t i = 0; i < attacks.size(); ++i) {
    if (i % faults_per_guest == 0) {
      guest = std::make_unique<Guest>(victim, "guest" + std::to_string(i));
      guest->greet();
    }
    CAPTURE(attacks[i].what);
    guest->send(attacks[i].make(*guest));
    victim.check_refused(attacks[i].reason);
  }
  guest->contribute(victim, 2);  // the last of them is still linked, and heard when it behaves
  honest.contribute(victim, 3);
}

swarm::Goodbye goodbye() { return {"bye"}; }

TEST_CASE("a stranger gets no further than the handshake, whatever certificate it shows") {
  Victim victim;
  const auto knock = [&](const RawPeer::Options& options) {
    RawPeer stranger(victim.listen(), options);
    CHECK(stranger.wait_ended());
    CHECK_FALSE(stranger.wait_linked());
  };
  knock({});
  victim.check_refused("handshake_no_certificate");
  knock({.pair = {}, .plaintext = true});
  victim.check_refused("handshake_not_tls");
  knock({.pair = plain_certificate()});
  victim.check_refused("handshake_not_a_member");

  const std::string elsewhere = victim.folder() / "elsewhere";
  must({"init", "--dir", elsewhere, "--name", "eve", "--listen", "127.0.0.1:0"});
  const auto eve = open_home(elsewhere);
  REQUIRE(eve);
  knock({.pair = RawPeer::pair_of(eve->identity, eve->membership)});
  victim.check_refused("handshake_another_swarm");

  Guest honest(victim, "honest");
  knock({.pair = RawPeer::pair_of(eve->identity, honest.home().membership)});
  victim.check_refused("handshake_bad_signature");
  honest.greet();
  honest.contribute(victim, 1);
}

TEST_CASE("a member's cut, swollen, forged and senseless frames are refused with their reasons") {
  const Identity stranger = [] {
    const testing::Folder folder;
    return Identity::create(folder / "identity.key").value();
  }();
  const auto bye = [](Guest& guest) { return guest.control(goodbye()); };
  const auto flipped = [&](size_t at) {
    return [=](Guest& guest) { return changed(bye(guest), [=](Bytes& f) { f[at] ^= 0x10; }); };
  };
  check_attacks({
      {"nothing at all", "truncated", [](Guest&) { return Bytes(); }},
      {"half a header", "truncated",
       [&](Guest& g) { return changed(bye(g), [](Bytes& f) { f.resize(100); }); }},
      {"a payload without its end", "truncated",
       [&](Guest& g) { return changed(bye(g), [](Bytes& f) { f.pop_back(); }); }},
      {"one byte too many", "malformed",
       [&](Guest& g) { return changed(bye(g), [](Bytes& f) { f.push_back(0); }); }},
      {"a size field above the limit", "oversized",
       [&](Guest& g) { return changed(bye(g), [](Bytes& f) { f[size_at + 3] = 0xff; }); }},
      {"a frame above the limit", "oversized",
       [](Guest&) { return Bytes(swarm::header_size + swarm::payload_size_max + 1, 1); }},
      {"noise", "bad_version", [](Guest&) { return Bytes(5000, 0xa5); }},
      {"noise that begins like a frame", "oversized", [](Guest&) { return Bytes(5000, 0x01); }},
      {"a kind that does not exist", "malformed",
       [&](Guest& g) { return changed(bye(g), [](Bytes& f) { f[kind_at] = 3; }); }},
      {"a flipped signature", "bad_signature", flipped(signature_at)},
      {"a changed header", "bad_signature", flipped(epoch_at)},
      {"a changed payload", "bad_payload_hash", flipped(swarm::header_size)},
      {"a frame for another swarm", "wrong_swarm",
       [](Guest& g) {
         swarm::FrameHeader header = g.header();
         header.swarm[0] ^= 1;
         header.seq = 1;
         return swarm::seal(header, swarm::encode_message(goodbye()), g.home().identity.signer());
       }},
      {"a message in another's name", "bad_signature",
       [&](Guest& g) {
         swarm::FrameHeader header = g.header();
         header.seq = 1;
         return swarm::seal(header, swarm::encode_message(goodbye()), stranger.signer());
       }},
      {"a well signed message of no type that a version has", "malformed",
       [](Guest& g) { return g.sealed_control(Bytes(40, 0)); }},
      {"a well signed message of a type that a later version may have", "unknown_kind",
       [](Guest& g) { return g.sealed_control(Bytes(40, 0xee)); }},
  });
}

TEST_CASE("a frame above what the port takes is counted, ends its sender's link and nothing else") {
  Victim victim;
  Guest honest(victim, "honest"), hostile(victim, "hostile");
  honest.greet();
  hostile.greet();
  honest.contribute(victim, 1);
  hostile.link().send(Bytes(TransportOptions().frame_size_max + (1u << 20)));
  CHECK(hostile.link().wait_ended());
  victim.check_refused("oversized");
  honest.contribute(victim, 2);
  hostile.greet();
  hostile.contribute(victim, 3);
}

TEST_CASE("a message of all the memory that links may use does not stop the node") {
  Victim victim;
  Guest honest(victim, "honest"), hostile(victim, "hostile");
  honest.greet();
  hostile.greet();
  honest.contribute(victim, 1);
  hostile.link().send(Bytes(TransportOptions().quota_bytes));
  CHECK(hostile.link().wait_ended());
  honest.greet();  // gRPC may have ended its link too, to have memory back; it dials again
  const Bytes payload = DemoModel::get().delta(2);
  honest.send(honest.delta(payload));
  victim.check_accepted_amid_faults(payload);
}

TEST_CASE("deltas with impossible values, regions or sizes are refused and change nothing") {
  const Bytes good = DemoModel::get().delta(9);
  REQUIRE(good[gap_at] == 0);
  const float norm = float_at(good, norm_at);
  std::vector<Attack> attacks = {{"of another model", "wrong_fingerprint", [&](Guest& g) {
                                    swarm::FrameHeader header = g.header();
                                    header.kind = swarm::FrameKind::delta;
                                    header.fingerprint[3] ^= 1;
                                    header.seq = 1;
                                    return swarm::seal(header, good, g.home().identity.signer());
                                  }}};
  const auto add = [&](const std::string& what, const std::string& reason, const Bytes& payload) {
    attacks.push_back({what, reason, [payload](Guest& g) { return g.delta(payload, 1); }});
  };
  for (const float scale : {not_a_number, infinite, -1.0f, 0.0f, 1e30f})
    add("scale " + std::to_string(scale), "bad_scale", with_float(good, scale_at, scale));
  for (const float bad : {not_a_number, infinite, -norm, 1e30f, 0.0f})
    add("norm " + std::to_string(bad), "bad_norm", with_float(good, norm_at, bad));
  for (const float bad : {not_a_number, infinite, -norm, 0.5f * norm})
    add("raw norm " + std::to_string(bad), "bad_norm", with_float(good, raw_norm_at, bad));
  add("a value beyond the largest", "bad_scale", changed(good, [](Bytes& payload) {
        payload[blocks_at + 1] |= 0xf8;  // the first block's code: 255 of at most 216
        payload[blocks_at + 2] |= 0x07;
      }));
  add("a region beyond the last", "unknown_region",
      changed(good, [](Bytes& payload) { payload[gap_at] = 0x7f; }));
  add("more regions than there are", "unknown_region",
      changed(good, [](Bytes& payload) { payload[regions_at] = 0x7f; }));
  add("no region", "malformed", changed(good, [](Bytes& payload) { payload[regions_at] = 0; }));
  add("garbage behind it", "malformed",
      changed(good, [](Bytes& payload) { payload.insert(payload.end(), 100, 0x5a); }));
  add("cut off", "truncated", changed(good, [](Bytes& payload) { payload.pop_back(); }));
  add("empty", "truncated", Bytes());
  add("of a later version", "bad_version", changed(good, [](Bytes& payload) { payload[0] = 9; }));
  check_attacks(attacks);
}

TEST_CASE("frames sent again, out of their order or before a greeting are refused") {
  Victim victim;
  Guest honest(victim, "honest"), hostile(victim, "hostile");
  honest.greet();
  hostile.connect();
  hostile.send(hostile.delta(DemoModel::get().delta(4), 1));
  victim.check_refused("unexpected");
  hostile.introduce();

  const Bytes heartbeat = hostile.control(swarm::Heartbeat(), 2000);
  hostile.send(heartbeat);
  hostile.send(heartbeat);
  victim.check_refused("replayed");
  hostile.send(hostile.control(swarm::Heartbeat(), 2));  // older than what is kept track of
  victim.check_refused("replayed");
  swarm::FrameHeader before = hostile.header();
  before.epoch -= 1;
  before.seq = 3000;
  hostile.send(swarm::seal(before, swarm::encode_message(swarm::Heartbeat()),
                           hostile.home().identity.signer()));
  victim.check_refused("replayed");

  const Bytes payload = DemoModel::get().delta(5);
  const Bytes delta = hostile.delta(payload);
  hostile.send(delta);
  victim.check_accepted(payload);
  for (int i = 0; i < 3; ++i) hostile.send(delta);
  honest.send(delta);  // passed on by another, as anyone may
  victim.check_duplicates(4);
  hostile.send(hostile.delta(DemoModel::get().delta(6), 1000));
  victim.check_refused("too_far_ahead");
  honest.contribute(victim, 7);
}

TEST_CASE("who signs two deltas with one number is shut out for good, and what it taught with it") {
  Victim victim;
  Guest honest(victim, "honest"), hostile(victim, "hostile");
  honest.greet();
  hostile.greet();
  const Bytes first = DemoModel::get().delta(1), second = DemoModel::get().delta(2);
  hostile.send(hostile.delta(first, 1));
  victim.check_accepted(first);
  honest.send(hostile.delta(second, 1));  // the proof may come through anyone
  victim.check_withdrawn(first);
  victim.check_refused("equivocation");
  CHECK(hostile.link().wait_ended());
  honest.send(hostile.delta(second, 2));
  victim.check_refused("revoked");
  honest.contribute(victim, 3);
}

TEST_CASE(
    "who spoils what the node knows is left out, accused, and revoked where one word suffices") {
  // It learns without saying so: what is in the base is the guest's.
  Victim victim({{"swarm.steps_per_exchange", "1000000"},
                 {"swarm.accusers_to_revoke", "1"},
                 {"learn.rows", "4"},
                 {"learn.length", "64"}});
  const std::string& directory = victim.directory();
  const std::string text = victim.folder().write("text.txt", testing::sentences(0, 900));
  must({"learn", "--dir", directory, text});
  must({"resume", "--dir", directory});
  REQUIRE(victim.wait_until(60, [](const auto& s) { return s["model"]["step"] >= 200; }));
  must({"pause", "--dir", directory});
  must({"snapshot", "--dir", directory});  // what is saved is scored
  const auto bits = [&] {
    const auto result = testing::starling_cli({"eval", "--dir", directory, "--json", text});
    return nlohmann::json::parse(result.out)["bits_per_byte"].get<double>();
  };
  const double before = bits();
  CHECK(before < 3);

  Guest hostile(victim, "hostile");
  hostile.greet();
  hostile.send(hostile.delta(DemoModel::get().delta(1, 4)));
  CHECK(hostile.link().wait_ended());
  CHECK(victim.is_back_at_genesis(hostile_patience_s));
  CHECK(bits() == doctest::Approx(before).epsilon(0.01));
  const std::string said =
      testing::starling_cli({"watch", "--dir", directory, "--json", "--timeout", "2"}).out;
  for (const char* part : {"\"delta_held\"", "the probe rose from", "\"accused\"", "\"revoked\""}) {
    CAPTURE(std::string(part));
    CHECK(said.find(part) != std::string::npos);
  }
}

TEST_CASE("deltas in the name of others change nothing") {
  Victim victim;
  Guest honest(victim, "honest"), hostile(victim, "hostile"), silent(victim, "silent");
  honest.greet();
  hostile.greet();
  const Bytes second = DemoModel::get().delta(2);
  // Of a member that has never shown its record, and of one that was never invited.
  hostile.send(silent.delta(second, 1));
  victim.check_refused("not_a_member");
  const Identity stranger = Identity::create(victim.folder() / "stranger.key").value();
  swarm::FrameHeader header = hostile.header();
  header.kind = swarm::FrameKind::delta;
  header.seq = 1;
  hostile.send(swarm::seal(header, second, stranger.signer()));
  victim.check_refused("not_a_member");
  // In the victim's own name, with its own key: a copy of its directory runs elsewhere.
  const auto owner = open_home(victim.directory());
  REQUIRE(owner);
  header.epoch = uint64_t{1} << 44;  // above the victim's, which counts milliseconds
  hostile.send(swarm::seal(header, second, owner->identity.signer()));
  victim.check_refused("equivocation");
  honest.contribute(victim, 3);
}

TEST_CASE("a record that its member did not sign is refused") {
  Victim victim;
  Guest honest(victim, "honest"), hostile(victim, "hostile"), other(victim, "other");
  honest.greet();
  hostile.greet();
  swarm::MemberRecord forged = other.hello().self;
  forged.addresses = {"127.0.0.1:1"};
  hostile.send(hostile.control(swarm::Members{{forged}}));
  victim.check_refused("bad_signature");
  hostile.send(hostile.control(other.hello()));  // a greeting with another's record
  victim.check_refused("malformed");
  CHECK(hostile.link().wait_ended());
  other.greet();
  other.contribute(victim, 1);
  honest.contribute(victim, 2);
}

TEST_CASE("a delta far larger than the swarm's is held back, whatever norm it states") {
  Victim victim;
  Guest honest(victim, "honest"), hostile(victim, "hostile");
  honest.greet();
  hostile.greet();
  for (uint64_t seed = 1; seed <= 8; ++seed) {  // two intervals and eight norms say what is usual
    const Bytes payload = DemoModel::get().delta(seed, 1e-3f, (seed + 3) / 4);
    honest.send(honest.delta(payload));
    if (seed < 8) victim.expect_accepted(payload);
    if (seed == 8) victim.check_accepted(payload);
  }
  const Bytes large = DemoModel::get().delta(9, 1.0f, 2);
  hostile.send(hostile.delta(large));
  victim.check_held(1);
  hostile.send(hostile.delta(with_float(large, norm_at, 1e-3f)));  // in the small one's clothes
  victim.check_refused("bad_norm");
  honest.contribute(victim, 10);
}

TEST_CASE("a member that goes on attacking is shut out, and the others do not notice") {
  Victim victim;
  Guest honest(victim, "honest"), hostile(victim, "hostile");
  honest.greet();
  hostile.greet();
  honest.contribute(victim, 1);
  constexpr uint64_t faults = 6;
  for (uint64_t i = 0; i < faults; ++i) hostile.send(Bytes(300, 0xa5));
  victim.check_refused("bad_version", faults);
  CHECK(hostile.link().wait_ended());
  hostile.connect();  // its certificate is still good
  CHECK(hostile.link().wait_ended());
  bool is_named = false;
  for (const nlohmann::json& member : victim.members()) {
    if (member["name"] == "hostile") is_named = member["score"] < -50;
  }
  CHECK(is_named);
  honest.contribute(victim, 2);
}

TEST_CASE("a flood of messages is cut to the limit, and the others do not notice") {
  Victim victim;
  Guest honest(victim, "honest"), hostile(victim, "hostile");
  honest.greet();
  hostile.greet();
  for (int i = 0; i < 2000; ++i) hostile.link().send(hostile.control(swarm::Heartbeat()));
  const Bytes payload = DemoModel::get().delta(1);
  hostile.send(hostile.delta(payload));  // behind all of them in its stream
  victim.check_accepted_amid_faults(payload);
  CHECK(victim.refused("rate_limited") > 1000);
  honest.contribute(victim, 2);
  for (const nlohmann::json& member : victim.members()) {
    const uint64_t counted = member["refused_by_reason"].value("rate_limited", uint64_t{0});
    CHECK(counted == (member["name"] == "hostile" ? victim.refused("rate_limited") : 0));
  }
  const std::string said =
      testing::starling_cli({"watch", "--dir", victim.directory(), "--json", "--timeout", "2"}).out;
  const size_t first = said.find("\"peer_fault\"");
  REQUIRE(first != std::string::npos);
  CHECK(said.find("rate_limited") != std::string::npos);
  CHECK(said.find("\"peer_fault\"", first + 1) == std::string::npos);  // once, not a thousand times
}

mode_t mode_of(const std::string& path) {
  struct stat facts {};
  REQUIRE(stat(path.c_str(), &facts) == 0);
  return facts.st_mode & 07777;
}

template <typename Request, typename Response, typename Call>
grpc::StatusCode code_of(Call call) {
  grpc::ClientContext terms;
  terms.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(hostile_patience_s));
  Response response;
  return call(&terms, Request(), &response).error_code();
}

TEST_CASE("the owner's services are on the owner's socket alone, the peers' on the port alone") {
  Victim victim;
  CHECK(mode_of(victim.directory()) == 0700);
  CHECK(mode_of(victim.directory() + "/api.sock") == 0600);
  const auto codes = [](const std::shared_ptr<grpc::Channel>& channel) {
    const auto inspect = v1::InspectService::NewStub(channel);
    const auto mind = v1::MindService::NewStub(channel);
    const auto admin = v1::AdminService::NewStub(channel);
    const auto health = grpc::health::v1::Health::NewStub(channel);
    return std::vector<grpc::StatusCode>{
        code_of<v1::GetStatusRequest, v1::GetStatusResponse>(
            [&](auto* terms, const auto& ask, auto* answer) {
              return inspect->GetStatus(terms, ask, answer);
            }),
        code_of<v1::TeachRequest, v1::TeachResponse>(
            [&](auto* terms, const auto& ask, auto* answer) {
              return mind->Teach(terms, ask, answer);
            }),
        code_of<v1::SnapshotRequest, v1::SnapshotResponse>(
            [&](auto* terms, const auto& ask, auto* answer) {
              return admin->Snapshot(terms, ask, answer);
            }),
        code_of<grpc::health::v1::HealthCheckRequest, grpc::health::v1::HealthCheckResponse>(
            [&](auto* terms, const auto& ask, auto* answer) {
              return health->Check(terms, ask, answer);
            }),
    };
  };
  Guest guest(victim, "guest");
  const auto port = RawPeer::channel(victim.listen(), {.pair = guest.pair()});
  CHECK(codes(port) == std::vector<grpc::StatusCode>(4, grpc::StatusCode::UNIMPLEMENTED));
  const auto socket = grpc::CreateChannel("unix:" + victim.directory() + "/api.sock",
                                          grpc::InsecureChannelCredentials());
  for (const grpc::StatusCode code : codes(socket)) CHECK(code != grpc::StatusCode::UNIMPLEMENTED);

  grpc::ClientContext terms;
  const auto stream = v1::PeerService::NewStub(socket)->Exchange(&terms);
  v1::Frame frame;
  CHECK_FALSE(stream->Read(&frame));
  CHECK(stream->Finish().error_code() == grpc::StatusCode::UNIMPLEMENTED);
}

}  // namespace
}  // namespace starling::node
