#pragma once
// Checks from outside the product what must hold in every run. It keeps its own ledger of what was
// signed and works out for itself what a base must be.
#include <map>
#include <string>
#include <vector>

#include "sim/learner.h"

namespace starling::sim {

class Device;
class World;

class Checker {
 public:
  explicit Checker(const Course& course) : course_(&course) {}

  struct Outcome {
    uint64_t checks = 0;
    uint64_t failures = 0;
    std::string first;  // failure, in words
  };

  void signed_by_origin(const swarm::DeltaKey& key, const swarm::SharedBytes& frame);
  // A node is about to add this to its base.
  void applied(const World& world, uint32_t node, const swarm::DeltaKey& key,
               const swarm::SharedBytes& frame);
  // All that can be seen at one instant; `is_thorough` also adds up every base anew.
  void look(const World& world, bool is_thorough);
  void liveness(const World& world);
  void faults_happened(const World& world);

  const std::map<std::string, Outcome>& outcomes() const { return outcomes_; }
  bool is_satisfied() const;
  uint64_t deltas() const { return ledger_.size(); }
  double mean_delta_bytes() const;

 private:
  void keeps_budget(const World& world, const Device& device);
  void note(const std::string& check, bool is_good, const std::string& failure);
  // Genesis and what the ledger has of `applied`; nothing when a number was signed twice.
  std::optional<swarm::Digest> base_of(const swarm::Exchange& exchange) const;
  std::string name(const World& world, uint32_t node) const;

  const Course* course_;
  std::map<swarm::DeltaKey, std::vector<swarm::SharedBytes>> ledger_;
  uint64_t delta_bytes_max_ = 0;  // of the largest frame
  std::map<std::string, Outcome> outcomes_;
};

}  // namespace starling::sim
