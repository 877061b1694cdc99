#pragma once
// A real node that is attacked, and members of its swarm with a client of their own: made by invite
// and join as anyone would be, and free to send what they like. The victim knows what its base has
// to be, so that nothing can change it unseen.
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "model/rng.h"
#include "model/shape.h"
#include "node/home.h"
#include "node/mind.h"
#include "swarm/codec.h"
#include "tests/node/raw_peer.h"
#include "tests/node/real_node.h"

namespace starling::node {

inline constexpr int hostile_patience_s = 15;  // far above what anything here takes

// What every node of the demo preset starts from.
struct DemoModel {
  model::Shape shape = model::shape_of_preset("demo").value();
  model::RegionTable regions = model::region_table(shape);
  std::vector<float> genesis = model::genesis(shape, genesis_seed);
  std::array<uint8_t, 16> fingerprint = model_fingerprint(shape, genesis);

  static const DemoModel& get() {
    static const DemoModel model;
    return model;
  }
  // An honest delta: every sixteenth parameter moved, by about `size`.
  swarm::Bytes delta(uint64_t seed, float size = 1e-3f, uint64_t interval = 0) const {
    Rng rng(seed);
    std::vector<float> d(genesis.size());
    for (float& value : d) value = size * static_cast<float>(rng.unit() - 0.5);
    const std::vector<uint64_t> tokens(regions.size(), 1);
    const swarm::CompressOptions options{.fraction = 1.0 / 16, .steps = 1, .interval = interval};
    return swarm::compress(regions, d, tokens, {}, options).payload;
  }
};

inline std::string hex_of(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

inline void must(const std::vector<std::string>& arguments) {
  const testing::CliResult result = testing::starling_cli(arguments);
  INFO(arguments.front(), ": ", result.err);
  REQUIRE(result.exit_code == 0);
}

// The node under attack.
class Victim {
 public:
  using Settings = std::vector<std::pair<std::string, std::string>>;
  explicit Victim(const Settings& settings = {})
      : base_(DemoModel::get().regions, DemoModel::get().genesis), node_(folder_ / "victim") {
    must({"init", "--dir", node_.directory(), "--name", "victim", "--listen", "127.0.0.1:0"});
    // Guests say nothing but what the test is about: at 5 s they may be silent for 50.
    testing::configure(node_.directory(),
                       {{"model.preset", "demo"}, {"swarm.sync_interval_s", "5"}});
    testing::configure(node_.directory(), settings);
    node_.start();
    REQUIRE(node_.wait_until(hostile_patience_s,
                             [](const nlohmann::json& s) { return s["state"] == "idle"; }));
    must({"pause", "--dir", node_.directory()});
    nlohmann::json status;
    REQUIRE(node_.wait_until(hostile_patience_s, [&](const nlohmann::json& s) {
      status = s;
      return s["paused"] == true && s["swarm"]["base_hash"] != std::string(64, '0');
    }));
    listen_ = status["listen"];
    expected_ = status["swarm"];
    check_untouched(expected_);
  }

  const std::string& listen() const { return listen_; }
  const std::string& directory() const { return node_.directory(); }
  const testing::Folder& folder() const { return folder_; }
  nlohmann::json swarm() const { return node_.status()["swarm"]; }
  pid_t pid() const { return node_.pid(); }
  nlohmann::json members() const {
    return nlohmann::json::parse(
        testing::starling_cli({"members", "--dir", directory(), "--json"}).out)["members"];
  }

  // Until now `count` more were refused for `reason`, none for another, and nothing else changed.
  void check_refused(const std::string& reason, uint64_t count = 1) {
    CAPTURE(reason);
    nlohmann::json& reasons = expected_["refused_by_reason"];
    reasons[reason] = reasons.value(reason, uint64_t{0}) + count;
    expected_["refused"] = expected_["refused"].get<uint64_t>() + count;
    check_counted([&](const nlohmann::json& swarm) {
      return swarm["refused_by_reason"].value(reason, uint64_t{0}) >= reasons[reason];
    });
  }
  void check_duplicates(uint64_t count) {
    expected_["duplicates"] = expected_["duplicates"].get<uint64_t>() + count;
    check_counted([&](const nlohmann::json& swarm) {
      return swarm["duplicates"] >= expected_["duplicates"];
    });
  }
  // It was taken, and the base is as if it had not been.
  void check_held(uint64_t count) {
    ++deltas_;
    expected_["accepted"] = expected_["accepted"].get<uint64_t>() + 1;
    expected_["held"] = count;
    check_counted([&](const nlohmann::json& swarm) {
      return swarm["held"] >= count && swarm["deltas"] >= deltas_;
    });
  }
  // To be called for what has to be taken before the delta of the next check_accepted.
  void expect_accepted(const swarm::Bytes& payload) {
    base_.apply(payload, {});
    ++deltas_;
    expected_["accepted"] = expected_["accepted"].get<uint64_t>() + 1;
  }
  // The delta was taken, and the base is what it makes of it, to the bit.
  void check_accepted(const swarm::Bytes& payload) {
    expect_accepted(payload);
    check_counted([&](const nlohmann::json& swarm) {
      return swarm["deltas"] >= deltas_ && swarm["accepted"] >= expected_["accepted"];
    });
  }
  // The same, whatever was counted meanwhile.
  void check_accepted_amid_faults(const swarm::Bytes& payload) {
    base_.apply(payload, {});
    ++deltas_;
    CHECK(node_.wait_until(hostile_patience_s, [&](const nlohmann::json& status) {
      expected_ = status["swarm"];
      return expected_["deltas"] >= deltas_;
    }));
    check_untouched(expected_);
  }
  // What it taught is out of the base again.
  void check_withdrawn(const swarm::Bytes& payload) {
    base_.withdraw(payload, {});
    CHECK(node_.wait_until(hostile_patience_s, [&](const nlohmann::json& status) {
      return status["swarm"]["base_hash"] == hex_of(base_.hash());
    }));
  }
  // Everybody is revoked whom it took anything from: the base is genesis again.
  bool is_back_at_genesis(int timeout_s) const {
    const swarm::Base genesis(DemoModel::get().regions, DemoModel::get().genesis);
    return node_.wait_until(timeout_s, [&](const nlohmann::json& status) {
      return status["swarm"]["base_hash"] == hex_of(genesis.hash());
    });
  }
  bool wait_until(int timeout_s, const std::function<bool(const nlohmann::json&)>& is_so) const {
    return node_.wait_until(timeout_s, is_so);
  }
  // As of the last check.
  uint64_t refused(const std::string& reason) const {
    return expected_["refused_by_reason"].value(reason, uint64_t{0});
  }

 private:
  template <typename Predicate>
  void check_counted(Predicate is_so) {
    nlohmann::json now;
    CHECK(node_.wait_until(hostile_patience_s, [&](const nlohmann::json& status) {
      now = status["swarm"];
      return is_so(now);
    }));
    for (const char* key : {"refused_by_reason", "refused", "duplicates", "held", "accepted"}) {
      CAPTURE(std::string(key));
      CHECK(now[key] == expected_[key]);
    }
    check_untouched(now);
  }
  void check_untouched(const nlohmann::json& swarm) const {
    CHECK(swarm["base_hash"] == hex_of(base_.hash()));
    CHECK(swarm["deltas"] == deltas_);
  }

  testing::Folder folder_;
  swarm::Base base_;  // what the victim's has to be
  uint64_t deltas_ = 0;
  testing::RealNode node_;
  std::string listen_;
  nlohmann::json expected_;
};

// A member of the victim's swarm that does what the test likes.
class Guest {
 public:
  Guest(const Victim& victim, const std::string& name)
      : home_(join(victim, name)), address_(victim.listen()) {
    header_.swarm = home_.swarm;
    header_.epoch = 7;
    header_.fingerprint = DemoModel::get().fingerprint;
  }

  const Home& home() const { return home_; }
  TlsPair pair() const { return RawPeer::pair_of(home_.identity, home_.membership); }
  swarm::FrameHeader header() const { return header_; }
  RawPeer& link() { return *link_; }

  void go_through(const std::string& address) { address_ = address; }  // at the next connect
  // A new stream; nothing is said on it yet.
  void connect() {
    link_.reset();
    link_ = std::make_unique<RawPeer>(address_, RawPeer::Options{.pair = pair()});
    REQUIRE(link_->wait_linked());
  }
  swarm::Hello hello() const {
    swarm::MemberRecord self;
    self.membership = home_.membership;
    self.name = home_.config.node.name;
    self.epoch = header_.epoch;
    self.incarnation = 1;
    swarm::Hello hello;
    hello.fingerprint = header_.fingerprint;
    hello.software = "guest";
    hello.self = swarm::sign_record(self, home_.identity.signer());
    return hello;
  }
  void introduce() { send(control(hello())); }
  void greet() {
    connect();
    introduce();
  }
  void send(const swarm::Bytes& frame) {
    CAPTURE(home_.config.node.name);
    REQUIRE(link_->send(frame));
  }

  // Sealed as a well-behaved node would, with the next number of its kind unless one is given.
  swarm::Bytes control(const swarm::Message& message, uint64_t seq = 0) {
    return sealed_control(swarm::encode_message(message), seq);
  }
  swarm::Bytes sealed_control(const swarm::Bytes& payload, uint64_t seq = 0) {
    swarm::FrameHeader header = header_;
    header.kind = swarm::FrameKind::control;
    header.seq = seq != 0 ? seq : ++control_seq_;
    return swarm::seal(header, payload, home_.identity.signer());
  }
  swarm::Bytes delta(const swarm::Bytes& payload, uint64_t seq = 0) {
    swarm::FrameHeader header = header_;
    header.kind = swarm::FrameKind::delta;
    header.seq = seq != 0 ? seq : ++delta_seq_;
    return swarm::seal(header, payload, home_.identity.signer());
  }
  // A delta that has to be taken.
  void contribute(Victim& victim, uint64_t seed, float size = 1e-3f) {
    const swarm::Bytes payload = DemoModel::get().delta(seed, size);
    send(delta(payload));
    victim.check_accepted(payload);
  }

 private:
  static Home join(const Victim& victim, const std::string& name) {
    const testing::CliResult invite =
        testing::starling_cli({"invite", "--dir", victim.directory()});
    INFO(invite.err);
    REQUIRE(invite.exit_code == 0);
    const std::string directory = victim.folder() / name;
    must({"join", "--dir", directory, "--name", name, "--listen", "127.0.0.1:0",
          invite.out.substr(0, invite.out.find('\n'))});
    auto home = open_home(directory);
    REQUIRE(home);
    return std::move(home).value();
  }

  Home home_;
  std::string address_;
  swarm::FrameHeader header_;
  uint64_t control_seq_ = 0, delta_seq_ = 0;
  std::unique_ptr<RawPeer> link_;
};

}  // namespace starling::node
