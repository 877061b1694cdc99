#pragma once
// Learners that mean harm: what they publish instead of what they learned. Those that attack the
// protocol (replay, equivocation, selective drop, announcing what is never sent) act in device.cc.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/rng.h"
#include "swarm/exchange.h"

namespace starling::sim {

enum class Attack : uint8_t {
  none,
  sign_flip,       // -strength times what was learned
  scale,           // strength times what was learned, not clipped
  gaussian,        // noise of strength times its size
  label_flip,      // learns from wrong answers
  free_rider,      // learns nothing, sends next to nothing
  alie,            // mean - strength * deviation of what others sent ("A little is enough")
  inner_product,   // -strength times the mean of what others sent
  replay,          // sends old frames again
  equivocate,      // two deltas with one number
  selective_drop,  // passes on only a share (1 - strength) of what others published
  announce,        // tells of deltas that it never sends
  dissensus,       // strength times that in which it differs from the others: drives them apart
  eclipse,         // colluders take all links of one victim, and let nothing through
  sybil_join,      // one attacker's identities come in numbers: -strength times the mean of what
                   // others sent, each with a direction of its own, so that none is like another
  backdoor,        // learns besides to answer as the attacker wants where a trigger is (backdoor.h)
};
// Requires: a name of a scenario's hostile.attack.
Attack attack_of(const std::string& name);

// What a hostile node knows of the others, and what it makes of its own delta.
class Tamper {
 public:
  Tamper(Attack attack, double strength, Rng rng)
      : attack_(attack), strength_(strength), rng_(rng) {}

  Attack attack() const { return attack_; }
  double strength() const { return strength_; }
  Rng& rng() { return rng_; }
  bool learns() const { return attack_ != Attack::free_rider; }
  // A delta of another.
  void see(const model::RegionTable& table, swarm::ByteView payload, size_t parameters);
  // Moves x so that the exchange sends what the attack wants; may change what the sender knows.
  void alter(std::span<float> x, const swarm::Exchange& exchange, swarm::SwarmView& view);
  // How often it had seen others and turned what it saw against them.
  uint64_t pushes() const { return pushes_; }

 private:
  bool looks_at_others() const {
    return attack_ == Attack::alie || attack_ == Attack::inner_product ||
           attack_ == Attack::dissensus || attack_ == Attack::sybil_join;
  }
  void push_against_others(std::span<float> x, const swarm::Exchange& exchange,
                           const swarm::SwarmView& view);
  Attack attack_;
  double strength_;
  Rng rng_;
  Rng own_direction_ = rng_;  // the same at every push
  uint64_t seen_ = 0, pushes_ = 0;
  std::vector<double> sum_, squares_;  // of what others sent since the last own delta
};

}  // namespace starling::sim
