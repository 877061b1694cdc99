#pragma once
// Checks from outside the product what must hold in every run. It keeps its own ledger of what was
// signed and works out for itself what a base must be.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sim/learner.h"

namespace starling::sim {

class Device;
class World;

// Every delta that was signed, with all its faces.
using Ledger = std::map<swarm::DeltaKey, std::vector<swarm::SharedBytes>>;

// What bases must be: genesis and the deltas of the ledger that they count. The next one asked for
// is worked out from the last, by what they count differently, as sums are exact.
class LedgerSum {
 public:
  // Requires: both outlive this.
  LedgerSum(const Course& course, const Ledger& ledger)
      : ledger_(&ledger), base_(course.table, course.genesis) {}
  // Nothing when a number was signed twice, or it is not known any more what a delta counts for.
  std::optional<swarm::Digest> of(const swarm::Exchange& exchange);

 private:
  const Ledger* ledger_;
  swarm::Base base_;
  std::vector<uint32_t> counted_;  // by place in the ledger: as one of so many copies
};

class Checker {
 public:
  explicit Checker(const Course& course) : course_(&course) {}

  struct Outcome {
    uint64_t checks = 0;
    uint64_t failures = 0;
    std::string first;  // failure, in words
  };
  using Outcomes = std::map<std::string, Outcome, std::less<>>;  // by check

  void signed_by_origin(const swarm::DeltaKey& key, const swarm::SharedBytes& frame);
  // What a node has published while a norm of `reference_norm` was usual for it; 0: none was.
  void published(const World& world, uint32_t node, const swarm::DeltaSummary& summary,
                 double reference_norm);
  // A node is about to add this to its base.
  void applied(const World& world, uint32_t node, const swarm::DeltaKey& key,
               const swarm::SharedBytes& frame);
  // All that can be seen at one instant; `is_thorough` also adds up every base anew.
  void look(const World& world, bool is_thorough);
  void liveness(const World& world);
  // At the end of a run without hostile nodes: of each node the mean score of its weights without
  // what it has learned and not sent; those that are not up are left out. All hold one base, which
  // their weights follow to within rounding, and what one brought back from a crash and did not
  // come to publish.
  void skills_alike(const World& world, const std::vector<double>& scores, bool is_text);
  void faults_happened(const World& world);

  const Outcomes& outcomes() const { return outcomes_; }
  bool is_satisfied() const;
  uint64_t deltas() const { return ledger_.size(); }
  double mean_delta_bytes() const;

 private:
  void sends_what_it_hosts(const World& world, uint32_t node, const swarm::DeltaSummary& summary);
  void keeps_budget(const World& world, const Device& device);
  // `failure` is put into words only when it is one.
  template <typename Words>
  void note(std::string_view check, bool is_good, Words failure);
  void compare_bases(const World& world, bool is_thorough);
  void judges_fairly(const World& world, const Device& device);
  void holds_for_cause(const World& world, const Device& device);
  bool is_large(const swarm::DeltaKey& key);
  std::string name(const World& world, uint32_t node) const;

  const Course* course_;
  Ledger ledger_;
  struct Size {
    uint64_t interval = 0;
    double norm = 0;
    std::optional<bool> is_large;  // none: nobody has asked
  };
  std::map<swarm::DeltaKey, Size> sizes_;  // of the ledger's deltas, once anybody asks
  uint64_t delta_bytes_max_ = 0;           // of the largest frame
  Outcomes outcomes_;
};

}  // namespace starling::sim
