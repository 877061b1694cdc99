#include "sim/checker.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "sim/world.h"

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

// Of the numbers in it: equal for equal sets.
uint64_t hash_of_set(const swarm::VersionVector& set) {
  uint64_t hash = set.streams().size();
  for (const auto& [stream, seen] : set.streams()) {
    for (const uint64_t number : {seen.contiguous, seen.bitmap})
      hash = (hash ^ number) * 0x9e3779b97f4a7c15 + (hash >> 29);
  }
  return hash;
}

constexpr double banned_below = -50;  // points, as swarm/score.h
constexpr double rounding = 1.001;
// Where four times the usual norm is held: half of it, as what is usual is asked here in another
// way.
constexpr double large_norms = 2;
constexpr double alike_answers = 0.25, alike_bits = 0.1;  // the second: of the bits

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::string Checker::name(const World& world, uint32_t node) const {
  return "node " + std::to_string(node) + " at " +
         std::to_string(static_cast<double>(world.now) / 1e6) + " s";
}

template <typename Words>
void Checker::note(std::string_view check, bool is_good, Words failure) {
  auto found = outcomes_.find(check);
  if (found == outcomes_.end()) found = outcomes_.emplace(check, Outcome{}).first;
  Outcome& outcome = found->second;
  ++outcome.checks;
  if (is_good) return;
  if (outcome.failures++ == 0) outcome.first = failure();
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

void Checker::published(const World& world, uint32_t node, const swarm::DeltaSummary& summary,
                        double reference_norm) {
  sends_what_it_hosts(world, node, summary);
  if (reference_norm <= 0 || !world.is_honest(node)) return;
  note("clipped_to_what_is_usual", summary.norm <= reference_norm * rounding, [&] {
    return name(world, node) + " published a delta of norm " + std::to_string(summary.norm) +
           " where " + std::to_string(reference_norm) + " is usual";
  });
}

void Checker::sends_what_it_hosts(const World& world, uint32_t node,
                                  const swarm::DeltaSummary& summary) {
  const model::HostedSet& hosted = world.devices[node]->equipment.hosted;
  if (hosted.empty() || !world.is_honest(node)) return;
  for (const auto& [id, tokens] : summary.region_tokens) {
    const model::Region& region = course_->table[id];
    const bool is_hosted =
        region.kind != model::RegionKind::mlp || (hosted[region.layer] >> region.index & 1) != 0;
    note("sends_what_it_hosts", is_hosted, [&] {
      return name(world, node) + " published a delta with " + model::region_name(region) +
             ", which it does not host";
    });
  }
}

void Checker::applied(const World& world, uint32_t node, const swarm::DeltaKey& key,
                      const swarm::SharedBytes& frame) {
  const auto found = ledger_.find(key);
  const bool is_signed =
      found != ledger_.end() &&
      std::any_of(found->second.begin(), found->second.end(),
                  [&](const auto& known) { return known == frame || *known == *frame; });
  note("only_signed_deltas", is_signed,
       [&] { return name(world, node) + " took a delta that nobody signed"; });
  const bool is_new = !world.devices[node]->learner().exchange().applied().contains(key);
  note("no_delta_twice", is_new,
       [&] { return name(world, node) + " was given a delta that its base holds"; });
}

std::optional<swarm::Digest> LedgerSum::of(const swarm::Exchange& exchange) {
  const swarm::Judgement& judgement = exchange.judgement();
  if (judgement.has_final()) return std::nullopt;
  const auto divisors = judgement.divisors();
  auto divisor = divisors.begin();
  std::vector<uint32_t> wanted;
  for (const auto& [key, frames] : *ledger_) {
    while (divisor != divisors.end() && divisor->first < key) ++divisor;
    wanted.push_back(swarm::Judgement::apart);
    if (!exchange.applied().contains(key)) continue;
    if (judgement.is_expelled(key.stream.origin)) continue;  // all of it is taken out
    const bool is_known = divisor != divisors.end() && divisor->first == key;
    if (frames.size() != 1 || !is_known) return std::nullopt;
    wanted.back() = divisor->second;
  }
  counted_.resize(wanted.size(), swarm::Judgement::apart);
  size_t place = 0;
  for (const auto& [key, frames] : *ledger_) {
    const uint32_t before = std::exchange(counted_[place], wanted[place]);
    const uint32_t after = wanted[place++];
    if (before == after) continue;
    const auto payload = swarm::ByteView(*frames[0]).subspan(swarm::header_size);
    if (before != swarm::Judgement::apart) base_.withdraw(payload, {}, before);
    if (after != swarm::Judgement::apart) base_.apply(payload, {}, after);
  }
  return base_.hash();
}

// A second's worth may be saved up, the last delta goes out on the last byte, and control that
// comes then goes into debt.
void Checker::keeps_budget(const World& world, const Device& device) {
  constexpr uint64_t seconds = 62;
  const swarm::BudgetView budget = device.state().budget(device.instant());
  const auto check = [&](uint64_t rate, uint64_t moved, uint64_t last, const char* way) {
    if (rate == 0) return;
    note("budgets_kept", moved <= seconds * rate + last * delta_bytes_max_, [&] {
      return name(world, device.index) + way + std::to_string(moved) + " bytes in a minute";
    });
  };
  check(budget.limits.up_bytes_per_s, budget.sent_last_minute, 1, " sent ");
  check(budget.limits.down_bytes_per_s, budget.received_last_minute, 2, " received ");
}

// A node that has not judged yet may count otherwise: at the end all must have. What they have
// judged is compared in every thorough look, and in the others only where bases differ.
void Checker::compare_bases(const World& world, bool is_thorough) {
  struct First {
    const Device* device;
    swarm::Bytes judgement;  // as encoded; empty: not asked yet
  };
  std::map<uint64_t, std::vector<First>> firsts;  // of each set, by its hash
  LedgerSum expected(*course_, ledger_);
  for (const auto& device : world.devices) {
    if (!device->is_up() || device->is_hostile()) continue;
    const Learner& learner = device->learner();
    const auto judgement_of = [](First& first) -> const swarm::Bytes& {
      if (first.judgement.empty())
        first.judgement = first.device->learner().exchange().judgement().encode();
      return first.judgement;
    };
    First own{device.get(), {}};
    const First* other = nullptr;
    bool is_same_base = false;
    std::vector<First>& alike = firsts[hash_of_set(learner.exchange().applied())];
    for (First& first : alike) {
      const Learner& its = first.device->learner();
      if (its.exchange().applied() != learner.exchange().applied()) continue;
      is_same_base = its.base_hash() == learner.base_hash();
      const bool is_asked = is_thorough || !is_same_base;
      if (is_asked && judgement_of(first) != judgement_of(own)) continue;
      other = &first;
      break;
    }
    if (other != nullptr) {
      note("equal_sets_equal_bits", is_same_base, [&] {
        return name(world, device->index) + " and node " + std::to_string(other->device->index) +
               " hold the same deltas and different bases";
      });
      continue;
    }
    alike.push_back(std::move(own));
    if (!is_thorough) continue;
    const auto sum = expected.of(learner.exchange());
    if (!sum) continue;
    note("base_is_the_sum", *sum == learner.base_hash(), [&] {
      return name(world, device->index) + ": its base is not genesis plus what it holds";
    });
  }
}

void Checker::judges_fairly(const World& world, const Device& device) {
  if (const swarm::Admissions* const known = device.admissions()) {
    for (const swarm::PeerId& peer : known->expelled())
      note("bans_only_for_the_guilty", !world.is_honest(world.node_of(peer)),
           [&] { return name(world, device.index) + " has shut an honest node out"; });
  }
  for (const auto& [peer, score] : device.state().scores(device.instant())) {
    const uint32_t other = world.node_of(peer);
    if (!world.is_honest(other)) continue;
    note("bans_only_for_the_guilty", score > banned_below,
         [&] { return name(world, device.index) + " would ban node " + std::to_string(other); });
  }
}

// Whether it is larger than twice what is usual of its interval and six before it, around it or
// after it. Each origin has one vote, as in the product: who comes late often says little, and so
// what an earlier one has said may be large in the end.
bool Checker::is_large(const swarm::DeltaKey& key) {
  for (const auto& [each, frames] : ledger_) {
    if (sizes_.size() >= ledger_.size()) break;
    const auto payload = swarm::ByteView(*frames[0]).subspan(swarm::header_size);
    const auto summary = swarm::inspect_delta(course_->table, payload);
    if (summary) sizes_[each] = {summary->interval, summary->norm, std::nullopt};
  }
  Size& own = sizes_[key];
  if (own.is_large) return *own.is_large;
  own.is_large = false;
  for (const uint64_t before :
       {uint64_t{0}, swarm::window_intervals / 2, swarm::window_intervals}) {
    const uint64_t from = own.interval - std::min(own.interval, before);
    std::map<swarm::PeerId, std::vector<double>> norms;
    for (const auto& [each, size] : sizes_) {
      if (size.interval >= from && size.interval <= from + swarm::window_intervals)
        norms[each.stream.origin].push_back(size.norm);
    }
    std::vector<double> votes;
    for (auto& [origin, own_norms] : norms) votes.push_back(median_of(std::move(own_norms)));
    own.is_large = *own.is_large || own.norm > large_norms * median_of(std::move(votes));
  }
  return *own.is_large;
}

// Whoever is held is hostile. A delta of an honest one that nobody has ever held counts, unless it
// is large or says that it belongs to a time to come.
void Checker::holds_for_cause(const World& world, const Device& device) {
  const swarm::Judgement& judgement = device.learner().exchange().judgement();
  for (const auto& [origin, standing] : judgement.standings()) {
    const uint32_t node = world.node_of(origin);
    note("held_for_cause", !standing.is_held || !world.is_honest(node), [&] {
      return name(world, device.index) + " holds node " + std::to_string(node) +
             ", which is honest";
    });
  }
  for (const auto& [key, divisor] : judgement.divisors()) {
    const swarm::PeerId& origin = key.stream.origin;
    if (divisor != swarm::Judgement::apart || world.were_held.contains(origin)) continue;
    if (!world.is_honest(world.node_of(origin)) || !ledger_.contains(key)) continue;
    const bool is_good = is_large(key) || sizes_.at(key).interval > judgement.clock();
    note("held_for_cause", is_good, [&] {
      return name(world, device.index) + " does not count a delta of node " +
             std::to_string(world.node_of(origin)) + ", which is of the usual size: interval " +
             std::to_string(sizes_.at(key).interval) + ", norm " +
             std::to_string(sizes_.at(key).norm);
    });
  }
}

void Checker::skills_alike(const World& world, const std::vector<double>& scores, bool is_text) {
  std::vector<double> of_all;
  for (const auto& device : world.devices) {
    if (device->is_up()) of_all.push_back(scores[device->index]);
  }
  if (of_all.empty()) return;
  const double usual = median_of(std::move(of_all));
  const double bound = is_text ? alike_bits * usual : alike_answers;
  for (const auto& device : world.devices) {
    if (!device->is_up()) continue;
    const double own = scores[device->index];
    note("skills_alike", std::abs(own - usual) <= bound, [&] {
      return name(world, device->index) + " reaches " + std::to_string(own) + ", the median is " +
             std::to_string(usual);
    });
  }
}

void Checker::look(const World& world, bool is_thorough) {
  for (const auto& device : world.devices) {
    if (!device->is_up() || device->is_hostile()) continue;
    note("weights_finite", device->learner().is_finite(),
         [&] { return name(world, device->index); });
    keeps_budget(world, *device);
    if (is_thorough) judges_fairly(world, *device);
  }
  compare_bases(world, is_thorough);
}

void Checker::liveness(const World& world) {
  const Device* first = nullptr;
  swarm::VersionVector of_first;
  const uint32_t parts = world.component_count();
  note("one_component", parts == 1,
       [&] { return "the nodes that are up fall into " + std::to_string(parts) + " parts"; });
  for (const auto& device : world.devices) {
    const auto who = [&] { return name(world, device->index); };
    note("all_are_up", device->is_up(), [&] { return who() + " is not up"; });
    if (!device->is_up() || device->is_hostile()) continue;
    const swarm::VersionVector applied = what_counts(*device);
    if (first == nullptr) {
      first = device.get();
      of_first = applied;
    }
    note("same_deltas_everywhere", applied == of_first, [&] {
      return who() + " holds " + std::to_string(applied.delta_count()) + " deltas, node " +
             std::to_string(first->index) + " holds " + std::to_string(of_first.delta_count());
    });
    note("same_base_everywhere", device->learner().base_hash() == first->learner().base_hash(),
         [&] { return who() + " has another base than node " + std::to_string(first->index); });
    holds_for_cause(world, *device);
  }
}

void Checker::faults_happened(const World& world) {
  const Scenario& scenario = *world.scenario;
  const auto expect = [&](bool is_wanted, std::string_view name) {
    if (!is_wanted) return;
    const auto found = world.sometimes.find(name);
    note("every_fault_happened", found != world.sometimes.end() && found->second > 0, [&] {
      return std::string(name) + " never happened; make the run longer or the fault more frequent";
    });
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
