#include "sim/checker.h"

#include <algorithm>

#include "sim/world.h"
#include "swarm/codec.h"

namespace starling::sim {
namespace {

// What came of members that are shut out differs between the others, and is in no base.
swarm::VersionVector what_counts(const Device& device) {
  const swarm::VersionVector& applied = device.learner().exchange().applied();
  const swarm::Admissions* const known = device.admissions();
  if (known == nullptr || known->expelled().empty()) return applied;
  swarm::VersionVector rest;
  for (const auto& [stream, seen] : applied.streams()) {
    if (!known->expelled().contains(stream.origin)) rest.set(stream, seen);
  }
  return rest;
}

constexpr double banned_below = -50;  // points, as swarm/score.h

}  // namespace

std::string Checker::name(const World& world, uint32_t node) const {
  return "node " + std::to_string(node) + " at " +
         std::to_string(static_cast<double>(world.now) / 1e6) + " s";
}

void Checker::note(const std::string& check, bool is_good, const std::string& failure) {
  Outcome& outcome = outcomes_[check];
  ++outcome.checks;
  if (is_good) return;
  if (outcome.failures++ == 0) outcome.first = failure;
}

bool Checker::is_satisfied() const {
  return std::all_of(outcomes_.begin(), outcomes_.end(),
                     [](const auto& each) { return each.second.failures == 0; });
}

double Checker::mean_delta_bytes() const {
  double bytes = 0;
  for (const auto& [key, frames] : ledger_) bytes += static_cast<double>(frames[0]->size());
  return ledger_.empty() ? 0 : bytes / static_cast<double>(ledger_.size());
}

void Checker::signed_by_origin(const swarm::DeltaKey& key, const swarm::SharedBytes& frame) {
  ledger_[key].push_back(frame);
  delta_bytes_max_ = std::max<uint64_t>(delta_bytes_max_, frame->size());
}

void Checker::applied(const World& world, uint32_t node, const swarm::DeltaKey& key,
                      const swarm::SharedBytes& frame) {
  const auto found = ledger_.find(key);
  const bool is_signed =
      found != ledger_.end() &&
      std::any_of(found->second.begin(), found->second.end(),
                  [&](const auto& known) { return known == frame || *known == *frame; });
  note("only_signed_deltas", is_signed, name(world, node) + " took a delta that nobody signed");
  const bool is_new = !world.devices[node]->learner().exchange().applied().contains(key);
  note("no_delta_twice", is_new, name(world, node) + " was given a delta that its base holds");
}

// None: what counts is not known any more for all, or a delta has two faces.
std::optional<swarm::Digest> Checker::base_of(const swarm::Exchange& exchange) const {
  if (exchange.judgement().has_final()) return std::nullopt;
  swarm::Base base(course_->table, course_->genesis);
  for (const auto& [key, frames] : ledger_) {
    if (!exchange.applied().contains(key)) continue;
    if (exchange.judgement().is_expelled(key.stream.origin)) continue;  // all of it is taken out
    if (frames.size() != 1) return std::nullopt;
    const auto payload = swarm::ByteView(*frames[0]).subspan(swarm::header_size);
    const auto divisor = exchange.judgement().divisor_of(key);
    if (!divisor) return std::nullopt;
    if (*divisor != swarm::Judgement::apart) base.apply(payload, {}, *divisor);
  }
  return base.hash();
}

// A second's worth may be saved up, the last delta goes out on the last byte, and control that
// comes then goes into debt.
void Checker::keeps_budget(const World& world, const Device& device) {
  constexpr uint64_t seconds = 62;
  const swarm::BudgetView budget = device.state().budget(device.instant());
  const auto check = [&](uint64_t rate, uint64_t moved, uint64_t last, const char* way) {
    if (rate == 0) return;
    note("budgets_kept", moved <= seconds * rate + last * delta_bytes_max_,
         name(world, device.index) + way + std::to_string(moved) + " bytes in a minute");
  };
  check(budget.limits.up_bytes_per_s, budget.sent_last_minute, 1, " sent ");
  check(budget.limits.down_bytes_per_s, budget.received_last_minute, 2, " received ");
}

void Checker::look(const World& world, bool is_thorough) {
  std::map<swarm::Bytes, std::pair<uint32_t, swarm::Digest>> first_of_set;
  for (const auto& device : world.devices) {
    if (!device->is_up() || device->is_hostile()) continue;
    const Learner& learner = device->learner();
    const uint32_t node = device->index;
    note("weights_finite", learner.is_finite(), name(world, node));
    keeps_budget(world, *device);
    swarm::Bytes set = swarm::encode(learner.exchange().applied());
    // A node that has not judged yet may count otherwise: at the end all must have.
    const swarm::Bytes judgement = learner.exchange().judgement().encode();
    set.insert(set.end(), judgement.begin(), judgement.end());
    const auto [at, is_new] = first_of_set.try_emplace(set, node, learner.base_hash());
    if (!is_new) {
      note("equal_sets_equal_bits", at->second.second == learner.base_hash(),
           name(world, node) + " and node " + std::to_string(at->second.first) +
               " hold the same deltas and different bases");
    } else if (is_thorough) {
      const auto expected = base_of(learner.exchange());
      if (expected)
        note("base_is_the_sum", *expected == learner.base_hash(),
             name(world, node) + ": its base is not genesis plus what it holds");
    }
    if (!is_thorough) continue;
    if (const swarm::Admissions* const known = device->admissions()) {
      for (const swarm::PeerId& peer : known->expelled())
        note("bans_only_for_the_guilty", !world.is_honest(world.node_of(peer)),
             name(world, node) + " has shut an honest node out");
    }
    for (const swarm::MemberView& row : device->state().members(device->instant())) {
      if (row.is_self || !world.is_honest(world.node_of(row.id))) continue;
      note("bans_only_for_the_guilty", row.score > banned_below,
           name(world, node) + " would ban " + row.name);
    }
  }
}

void Checker::liveness(const World& world) {
  const Device* first = nullptr;
  note("one_component", world.component_count() == 1,
       "the nodes that are up fall into " + std::to_string(world.component_count()) + " parts");
  for (const auto& device : world.devices) {
    const std::string who = name(world, device->index);
    note("all_are_up", device->is_up(), who + " is not up");
    if (!device->is_up() || device->is_hostile()) continue;
    if (first == nullptr) first = device.get();
    const swarm::VersionVector applied = what_counts(*device);
    note("same_deltas_everywhere", applied == what_counts(*first),
         who + " holds " + std::to_string(applied.delta_count()) + " deltas, node " +
             std::to_string(first->index) + " holds " +
             std::to_string(what_counts(*first).delta_count()));
    note("same_base_everywhere", device->learner().base_hash() == first->learner().base_hash(),
         who + " has another base than node " + std::to_string(first->index));
  }
}

void Checker::faults_happened(const World& world) {
  const Scenario& scenario = *world.scenario;
  const auto expect = [&](bool is_wanted, std::string_view name) {
    if (!is_wanted) return;
    const auto found = world.sometimes.find(name);
    note("every_fault_happened", found != world.sometimes.end() && found->second > 0,
         std::string(name) + " never happened; make the run longer or the fault more frequent");
  };
  expect(scenario.network.loss > 0, "frames_resent");
  expect(scenario.network.drop > 0, "frames_dropped");
  expect(scenario.network.duplicate > 0, "frames_duplicated");
  expect(scenario.network.reorder > 0, "frames_reordered");
  expect(scenario.network.nat_share > 0, "nodes_behind_nat");
  expect(scenario.faults.crash_per_hour > 0, "crashes");
  expect(scenario.faults.crash_per_hour > 0 && scenario.faults.disk_loss_share > 0, "disks_lost");
  expect(scenario.faults.pause_per_hour > 0, "pauses");
  expect(scenario.faults.clog_per_hour > 0, "frames_clogged");
  expect(scenario.faults.partition_share > 0, "frames_cut");
  expect(scenario.faults.one_way_share > 0, "frames_one_way");
  expect(scenario.faults.clock_steps_per_hour > 0, "clocks_set_back");
  expect(scenario.devices.clock_share > 0, "clocks_wrong");
  expect(scenario.faults.away_share > 0, "departures");
  expect(scenario.faults.duty_share > 0, "duty_ends");
  expect(!scenario.faults.churn.empty(), "churn_downs");
  expect(scenario.run.log_deltas_max > 0, "snapshots_made");
  const std::string& attack = scenario.hostile.attack;
  expect(attack != "none", "hostile_deltas");
  expect(attack == "replay", "replays");
  expect(attack == "equivocate", "equivocations");
  expect(attack == "equivocate", "expulsions");
  expect(attack == "selective_drop", "withheld");
  expect(attack == "announce", "false_announcements");
  expect(attack == "dissensus", "dissensus_pushes");
  expect(attack == "eclipse", "eclipse_links_most");
  expect(attack == "eclipse", "walks_forged");
  expect(attack == "backdoor", "lessons_with_trigger");
  expect(attack == "sybil_join", "sybils_joined");
  expect(attack == "sybil_join", "sybil_pushes");
}

}  // namespace starling::sim
