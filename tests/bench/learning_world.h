#pragma once
// Some real trainers in one process that learn together by the product's own exchange, compression
// and judgement: exchanges in step, deltas that come late, nodes that are away or slow, members
// that attack. The baselines are trained on the same data with the same steps.
#include <string>

#include "swarm/judgement.h"
#include "tests/bench/learning_tasks.h"

namespace starling::bench {

enum class Attack : uint8_t {
  none,
  silent,         // takes part and says nothing: what its absence costs
  sign_flip,      // -10 times the others' mean
  gaussian,       // noise
  alie,           // mean - 1.5 deviations, the same from all (Baruch et al., 2019)
  inner_product,  // -2 times the mean (Xie et al., 2019)
  label_flip,     // learns wrong answers honestly (digits); learns text backwards
  adaptive,       // -a of the mean's direction, the rest along a fixed direction of its own
  sybils,         // the same, and half of the rest along a direction that all hostile share
  drift,          // +a of the mean's direction, the rest along one that all hostile share in part
};
std::string attack_name(Attack attack);
std::optional<Attack> attack_of(const std::string& name);

struct Setup {
  size_t nodes = 20;
  uint32_t exchanges = 40;
  uint32_t steps = 10;  // H
  double learning_rate = 8e-3;
  double fraction = 1.0 / 16;
  double outer = 2;
  double beta1 = 0.5;  // of the members' optimisers
  uint32_t width = 32;
  uint32_t rows = 4;
  uint64_t seed = 1;
  uint32_t late_max = 0;  // exchanges; each delta comes to each node so late, evenly drawn
  double loss = 0;        // of messages; what is lost comes an exchange later
  double away = 0;        // share of nodes away in each exchange
  double slow = 0;        // share of nodes at a quarter of the speed
  Attack attack = Attack::none;
  double hostile = 0;     // share of nodes
  double strength = 0.5;  // a, of the attacks that have one
  double norm = 1;        // of hostile deltas, times the reference; 4 is the most that is taken
  uint32_t attack_until = UINT32_MAX;  // exchange at which the hostile are expelled
  bool is_judged = true;
  bool adapts = true;  // outer, to lateness
  bool weighs_regions = false;
  bool working_set = false;
  bool measures_consistency = false;
  uint32_t regions = 8;  // a layer, a quarter of them always awake, two of the others selected
  swarm::JudgementRules rules;
};

struct Outcome {
  double score = 0;
  bool is_agreed = false;  // all honest bases are the same bits in the end
  size_t hostile = 0, hostile_held = 0, honest_held = 0;  // at the end, by the first honest node
  size_t honest_ever_held = 0;
  double honest_agreement_min = 1;    // over the run, once four cuts were made
  double honest_agreement = 0;        // median of the honest, mean over the run
  double hostile_agreement_max = -1;  // at the end
  uint32_t honest_share_max = 1;
  double mean_bytes = 0;  // published a node
  double lateness = 0;    // as the nodes measured it before what was under way came, mean
  // Of each window but the first: the cosine of a member's sum with its own of the window before,
  // and the larger of that and the one with the others' sum. Only if asked for.
  struct Consistency {
    std::vector<double> own, either;
  };
  Consistency honest_consistency, hostile_consistency;
};

Outcome run_swarm(const Task& task, const Setup& setup);
double run_fedavg(const Task& task, const Setup& setup);
double run_central(const Task& task, const Setup& setup);
double run_alone(const Task& task, const Setup& setup);  // mean of four nodes

}  // namespace starling::bench
