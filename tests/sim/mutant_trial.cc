// The simulator's test of itself: runs of a world in which the product has a known fault. Linked
// with one source of libswarm that mutate.cmake has damaged, it must see the fault by the check
// that is named; linked with the product as it is, it must see nothing in any of the same runs.
//   mutant_NAME killed SITUATION CHECK SEEDS   exit code 0: CHECK failed with one of seeds 1..SEEDS
//   mutant_none sound SITUATION - SEEDS        exit code 0: no check failed with any of them
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "sim/world.h"

namespace starling::sim {
namespace {

const std::string synthetic = "learn: {kind: synthetic, steps: 200, step_ms: 1000}\n";
const std::map<std::string, std::string> situations = {
    {"lossy", synthetic + "run: {nodes: 6}\nnetwork: {drop: 0.05, duplicate: 0.05}\n"},
    {"forgery", synthetic + "run: {nodes: 5}\nhostile: {attack: free_rider, share: 0.2}\n"},
    {"equivocation", synthetic + "run: {nodes: 6}\nhostile: {attack: equivocate, share: 0.17}\n"},
    {"crashes", synthetic + "run: {nodes: 5, checkpoint_s: 20}\n"
                            "faults: {until_s: 150, crash_per_hour: 60}\n"},
    {"folding",
     "learn: {kind: synthetic, steps: 300, step_ms: 1000}\n"
     "run: {nodes: 6, log_deltas_max: 40, checkpoint_s: 20}\n"
     "faults: {until_s: 250, crash_per_hour: 60, disk_loss_share: 0.5}\n"},
};

// A hostile node sends its neighbours a delta in another's name, with that one's next number.
// Twice, so that it is not shut out for it.
class Forger {
 public:
  explicit Forger(World& world) : world_(&world), keys_(world.seed) {}

  void act() {
    constexpr int forgeries = 2;
    for (const auto& device : world_->devices) {
      const bool is_able = device->is_up() && device->is_hostile() && !device->disk().log.empty();
      if (is_able && done_ < forgeries && world_->now > micros_of_s(60)) forge(*device);
    }
  }

 private:
  void forge(const Device& device) {
    const std::vector<swarm::PeerId> peers = world_->linked_to(device.index);
    if (peers.empty()) return;
    const Device& victim = *world_->devices[world_->node_of(peers.front())];
    const swarm::PublicKey name = victim.record().membership.identity;
    const swarm::Bytes& real = *device.disk().log.front().frame;
    swarm::FrameHeader header = *swarm::parse_header(real);
    header.epoch = victim.disk().epoch;
    header.seq = 1;
    const auto& streams = device.state().have().streams();
    const auto found = streams.find({victim.id(), header.epoch});
    if (found != streams.end()) header.seq = found->second.contiguous + 1;
    constexpr size_t origin_offset = 18;  // envelope.cc
    swarm::Bytes frame =
        swarm::seal(header, swarm::ByteView(real).subspan(swarm::header_size), keys_.signer());
    std::copy(name.begin(), name.end(), frame.begin() + origin_offset);
    const auto shared = std::make_shared<const swarm::Bytes>(std::move(frame));
    for (const swarm::PeerId& peer : peers)
      world_->transmit(device.index, peer, {.is_delta = true, .header = {}, .bytes = shared});
    ++done_;
  }

  World* world_;
  Keys keys_;
  int done_ = 0;
};

// The outcomes of all checks.
Checker::Outcomes run(const std::string& situation, uint64_t seed) {
  const auto scenario = parse_scenario(situations.at(situation), situation);
  assert(scenario.has_value());
  const auto lessons = deal_lessons(*scenario, seed);
  const Course course = make_course(*scenario);
  World world(*scenario, course, *lessons, {.seed = seed});
  Forger forger(world);
  world.run([&] {
    if (situation == "forgery") forger.act();
    return true;
  });
  return world.checker.outcomes();
}

int try_out(const std::string& wanted, const std::string& situation, const std::string& check,
            uint64_t seeds) {
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    for (const auto& [name, outcome] : run(situation, seed)) {
      if (outcome.failures == 0) continue;
      std::printf("seed %llu of %s: %s: %s\n", static_cast<unsigned long long>(seed),
                  situation.c_str(), name.c_str(), outcome.first.c_str());
      if (wanted == "sound") return 1;
      if (name == check) return 0;
    }
  }
  std::printf("%s: %llu seeds, %s\n", situation.c_str(), static_cast<unsigned long long>(seeds),
              wanted == "sound" ? "all checks held" : "the fault was not seen by the check");
  return wanted == "sound" ? 0 : 1;
}

}  // namespace
}  // namespace starling::sim

int main(int count, char** words) {
  const bool is_usable = count == 5 && starling::sim::situations.contains(words[2]);
  if (!is_usable) {
    std::fprintf(stderr, "usage: %s killed|sound SITUATION CHECK SEEDS\n", words[0]);
    return 2;
  }
  return starling::sim::try_out(words[1], words[2], words[3], std::strtoull(words[4], nullptr, 10));
}
