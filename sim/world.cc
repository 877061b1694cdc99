#include "sim/world.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "sim/chance.h"
#include "sim/overloaded.h"
#include "swarm/codec.h"
#include "swarm/inbound.h"
#include "swarm/roster.h"
#include "swarm/shared_admissions.h"
#include "swarm/signature_memory.h"

namespace starling::sim {
namespace {

constexpr Micros tick_settling = micros_of_s(1);
constexpr Micros dial_timeout = micros_of_s(5);
constexpr Micros handshake_work = micros_of_ms(4);  // measured for mTLS on one machine
constexpr double moments_wanted = 100;
constexpr Micros link_gone_delay = micros_of_ms(1);
constexpr size_t signatures_remembered_max = 1u << 18;

const Ranks alone;

double learning_seconds(const Scenario& scenario) {
  const Scenario::Learn& learn = scenario.learn;
  const double bound = learn.seconds > 0 ? learn.seconds : scenario.run.seconds_max;
  return std::min(bound, learn.steps * learn.step_ms / 1000);
}

}  // namespace

World::World(const Scenario& with, const Course& of, const Lessons& dealt,
             const WorldOptions& options)
    : scenario(&with),
      course(&of),
      lessons(&dealt),
      seed(options.seed),
      root(rng_for(options.seed, Purpose::keys, ~0ull).next()),
      swarm(swarm::swarm_id_of(root.public_key)),
      network(with, options.seed, sometimes),
      checker(of),
      links_(with.run.nodes),
      fault_rng_(rng_for(options.seed, Purpose::faults)),
      until_(options.until_s > 0 ? micros_of_s(options.until_s)
                                 : std::numeric_limits<Micros>::max()),
      threads_(options.threads),
      journal_(options.journal),
      ranks_(options.ranks != nullptr ? options.ranks : &alone) {
  config.heartbeat_interval_ms = static_cast<int64_t>(with.network.heartbeat_ms);
  config.budget.up_bytes_per_s = static_cast<uint64_t>(with.budget.up_kib_s * 1024);
  config.budget.down_bytes_per_s = static_cast<uint64_t>(with.budget.down_kib_s * 1024);
  config.members_max = std::max(config.members_max, with.run.nodes + with.run.nodes / 4);
  for (uint32_t node = 0; node < with.run.nodes; ++node) {
    devices.push_back(std::make_unique<Device>(*this, node));
    nodes_of_addresses_[devices.back()->address] = node;
  }
  set_up_devices();
  equip_devices();
  set_up_hostile();
  plan_faults();
  for (const auto& device : devices)
    at(device->first_boot, FaultDue{FaultKind::restart, device->index, 0});
  at(tick_settling, Tick{});
}

// ---- Events

void World::at(Micros when, Happening happening) {
  agenda_.put(std::max(when, now), std::move(happening));
}

bool World::run(const std::function<bool()>& watch) {
  watch_ = watch;
  swarm::SignatureMemory good(signatures_remembered_max);
  const swarm::SignatureMemory::Scope scope(good);
  // Nor has each its own copy of what all know of each other.
  swarm::Roster::InternedRecords records;
  const swarm::Roster::InternedRecords::Scope records_scope(records);
  swarm::Admissions::InternedItems items;
  const swarm::Admissions::InternedItems::Scope items_scope(items);
  swarm::SharedAdmissions::InternedSets sets;
  const swarm::SharedAdmissions::InternedSets::Scope sets_scope(sets);
  while (!is_over_ && !agenda_.empty()) {
    if (journal_ != nullptr && !journal_->step(*this)) return false;
    if (agenda_.next_at() > until_) {
      stop_here();
      break;
    }
    auto [at, what] = agenda_.take();
    now = at;
    perform(std::move(what));
  }
  if (journal_ != nullptr) journal_->finish(*this, is_stopped_);
  return !is_stopped_;
}

void World::record(const Happening& what) {
  trace_.absorb(static_cast<uint64_t>(now));
  trace_.absorb(what.index());
  std::visit(
      Overloaded{
          [&](const Arrival& arrival) {
            trace_.absorb(uint64_t{arrival.from} << 32 | arrival.to);
            const swarm::ByteView bytes(*arrival.parcel.bytes);
            // Of a sealed frame the header, which holds the hash of the rest.
            trace_.absorb(arrival.parcel.is_delta ? bytes.first(swarm::header_size) : bytes);
          },
          [&](const LinkBreaks& broken) { trace_.absorb(uint64_t{broken.from} << 32 | broken.to); },
          [&](const FaultDue& fault) {
            trace_.absorb(uint64_t{fault.node} << 8 | static_cast<uint64_t>(fault.kind));
          },
          [&](const Tick&) {},
          [&](const auto& of_a_node) { trace_.absorb(of_a_node.node); },
      },
      what);
}

void World::perform(Happening event) {
  const auto node_of_event =
      std::visit(Overloaded{[](const Arrival& arrival) -> int64_t { return arrival.to; },
                            [](const LinkBreaks&) -> int64_t { return -1; },
                            [](const FaultDue&) -> int64_t { return -1; },
                            [](const Tick&) -> int64_t { return -1; },
                            [](const auto& other) -> int64_t { return other.node; }},
                 event);
  // A paused device meets everything when it wakes, in the order it came.
  if (node_of_event >= 0 && devices[static_cast<size_t>(node_of_event)]->paused_until > now) {
    return at(devices[static_cast<size_t>(node_of_event)]->paused_until, std::move(event));
  }
  ++events;
  record(event);
  std::visit(Overloaded{
                 [&](const Arrival& what) { happen(what); },
                 [&](const LinkBreaks& what) { happen(what); },
                 [&](const LinkGone& what) {
                   Device& device = *devices[what.node];
                   const uint32_t other = node_of(what.peer);
                   // A newer link of the two is not what went down.
                   if (is_stale(what.node, what.boot) || links_.contains(what.node, other)) return;
                   device.input(swarm::LinkDown{what.peer, what.reason});
                 },
                 [&](const DialEnds& what) { happen(what); },
                 [&](const WakeUp& what) { devices[what.node]->wake(what.token); },
                 [&](const SliceEnds& what) { happen(what); },
                 [&](const AnnounceDue& what) {
                   if (!is_stale(what.node, what.boot)) devices[what.node]->announce();
                 },
                 [&](const ChunkWritten& what) {
                   if (!is_stale(what.node, what.boot))
                     devices[what.node]->chunk_written(what.file, what.index);
                 },
                 [&](const SnapshotReady& what) {
                   if (!is_stale(what.node, what.boot)) devices[what.node]->install(what.offer);
                 },
                 [&](const IntrigueDue& what) {
                   if (!is_stale(what.node, what.boot)) devices[what.node]->intrigue();
                 },
                 [&](const FaultDue& what) { happen(what); },
                 [&](const Tick& what) { happen(what); },
             },
             event);
}

swarm::Input World::opened(const Arrival& arrival) {
  const swarm::PeerId from = devices[arrival.from]->id();
  const Parcel& parcel = arrival.parcel;
  if (!parcel.is_delta) {
    auto message = swarm::decode_message(*parcel.bytes);
    const size_t size = parcel.bytes->size() + swarm::header_size;
    if (!message) return swarm::ReceivedRefused{from, message.error(), size};
    return swarm::ReceivedMessage{from, parcel.header, std::move(*message), size};
  }
  auto found = judged_.find(parcel.bytes.get());
  if (found == judged_.end()) {
    const swarm::InboundRules rules{swarm, course->fingerprint, &course->table};
    swarm::Input verdict = swarm::receive(from, parcel.bytes, rules);
    found = judged_.emplace(parcel.bytes.get(), std::pair(parcel.bytes, std::move(verdict))).first;
  }
  const swarm::Input& verdict = found->second.second;
  if (const auto* refused = std::get_if<swarm::ReceivedRefused>(&verdict))
    return swarm::ReceivedRefused{from, refused->reason, refused->size};
  const auto* const delta = std::get_if<swarm::ReceivedDelta>(&verdict);
  assert(delta != nullptr);  // a parcel that says it is a delta is sealed as one
  return swarm::ReceivedDelta{from, delta->header, delta->summary, delta->frame};
}

void World::happen(const Arrival& arrival) {
  const Link* const link = links_.find(arrival.from, arrival.to);
  if (link == nullptr || link->generation != arrival.generation) return;
  Device& device = *devices[arrival.to];
  device.received_bytes +=
      arrival.parcel.bytes->size() + (arrival.parcel.is_delta ? 0 : swarm::header_size);
  device.input(opened(arrival));
}

void World::happen(const LinkBreaks& broken) {
  const Link* const link = links_.find(broken.from, broken.to);
  if (link == nullptr || link->generation != broken.generation) return;
  ++sometimes["links_broken"];
  cut(broken.from, devices[broken.to]->id(), "connection timed out", broken.cause);
}

void World::happen(const SliceEnds& ends) {
  if (is_stale(ends.node, ends.boot)) return;
  if (!devices[ends.node]->slice->is_computed) compute_slices();
  devices[ends.node]->learned();
}

// ---- Links

void World::dial(uint32_t from, const std::string& address,
                 const std::optional<swarm::PeerId>& expected) {
  const auto found = nodes_of_addresses_.find(address);
  Micros delay = dial_timeout;
  if (found != nodes_of_addresses_.end()) {
    const bool is_reachable = !network.is_cut(from, found->second, now) &&
                              !network.is_cut(found->second, from, now) &&
                              !network.only_dials_out(found->second);
    if (is_reachable) delay = network.round_trip(from, found->second) * 3 / 2 + handshake_work;
  }
  at(now + delay, DialEnds{from, devices[from]->boots, address, expected});
}

void World::happen(const DialEnds& ends) {
  if (is_stale(ends.node, ends.boot)) return;
  Device& device = *devices[ends.node];
  const auto fail = [&](const char* reason) {
    ++sometimes["dials_failed"];
    device.input(swarm::DialFailed{ends.address, reason});
  };
  const auto found = nodes_of_addresses_.find(ends.address);
  if (found == nodes_of_addresses_.end()) return fail("no such host");
  Device& target = *devices[found->second];
  if (network.only_dials_out(target.index) || network.is_cut(device.index, target.index, now) ||
      network.is_cut(target.index, device.index, now) || target.paused_until > now)
    return fail("timed out");
  if (!target.is_up()) return fail("connection refused");
  if (target.id() == device.id() || (ends.expected && *ends.expected != target.id()))
    return fail("another identity");
  if (links_.contains(device.index, target.index)) return;
  links_.add(device.index, target.index).generation = ++generations_;
  ++sometimes["links"];
  const swarm::PeerId target_id = target.id();
  const swarm::Membership membership = target.membership();
  target.input(swarm::LinkUp{device.id(), device.membership(), device.address, false});
  device.input(swarm::LinkUp{target_id, membership, ends.address, true});
}

void World::transmit(uint32_t from, const swarm::PeerId& to, Parcel parcel) {
  const uint32_t target = node_of(to);
  Link* const found = links_.find(from, target);
  if (found == nullptr) return;
  Link& link = *found;
  const size_t size = parcel.bytes->size() + (parcel.is_delta ? 0 : swarm::header_size);
  devices[from]->charge(size);
  ++devices[from]->frames_sent;
  Traffic& of_kind = traffic[parcel.kind];
  ++of_kind.frames;
  of_kind.bytes += size;
  const auto transit = network.send(from, target, link.ways[from < target ? 0 : 1], size, now);
  if (transit.is_broken)
    return at(transit.arrives_at, LinkBreaks{from, target, link.generation, transit.cause});
  if (transit.is_lost) return;
  if (transit.copy_at > 0) at(transit.copy_at, Arrival{from, target, link.generation, parcel});
  at(transit.arrives_at, Arrival{from, target, link.generation, std::move(parcel)});
}

void World::cut(uint32_t node, const swarm::PeerId& peer, const std::string& reason,
                std::string_view cause) {
  const uint32_t other = node_of(peer);
  if (!links_.erase(node, other)) return;
  breaks.add(static_cast<double>(now) / 1e6, cause, node, other);
  const Micros when = now + link_gone_delay;
  at(when, LinkGone{node, devices[node]->boots, devices[other]->id(), reason});
  at(when, LinkGone{other, devices[other]->boots, devices[node]->id(), reason});
}

void World::cut_all(uint32_t node, const std::string& reason, std::string_view cause) {
  for (const swarm::PeerId& peer : linked_to(node)) cut(node, peer, reason, cause);
}

void World::close(uint32_t node, const swarm::PeerId& peer, const std::string& reason) {
  cut(node, peer, reason, cause_of_close(node, node_of(peer), reason));
}

std::vector<swarm::PeerId> World::linked_to(uint32_t node) const {
  std::vector<swarm::PeerId> peers;
  for (const auto& [other, place] : links_.of(node)) peers.push_back(devices[other]->id());
  return peers;
}

bool World::is_shut_out(uint32_t node) const {
  return std::any_of(devices.begin(), devices.end(), [&](const auto& device) {
    const swarm::Admissions* const known = device->admissions();
    return is_honest(device->index) && known != nullptr &&
           known->standing(devices[node]->membership()) != swarm::Admissions::Standing::good;
  });
}

uint32_t World::component_count() const {
  std::vector<uint32_t> leader(devices.size());
  for (uint32_t node = 0; node < leader.size(); ++node) leader[node] = node;
  const auto find = [&](uint32_t node) {
    while (leader[node] != node) node = leader[node] = leader[leader[node]];
    return node;
  };
  for (uint32_t node = 0; node < leader.size(); ++node) {
    for (const auto& [other, place] : links_.of(node)) leader[find(node)] = find(other);
  }
  uint32_t count = 0;
  for (uint32_t node = 0; node < leader.size(); ++node)
    count += devices[node]->is_up() && find(node) == node && !is_shut_out(node) ? 1 : 0;
  return count;
}

// ---- Watching

double World::progress() const {
  double steps = 0;
  for (const auto& device : devices)
    steps += device->is_up() ? static_cast<double>(device->learner().steps()) : 0;
  const Scenario::Learn& learn = scenario->learn;
  const double of_time = learn.seconds > 0 ? static_cast<double>(now) / 1e6 / learn.seconds : 0;
  const double of_steps =
      steps / (static_cast<double>(devices.size()) * static_cast<double>(scenario->learn.steps));
  const double until =
      scenario->faults.until_s > 0 ? static_cast<double>(now) / 1e6 / scenario->faults.until_s : 1;
  return std::min({std::max(of_steps, of_time), until, 1.0});
}

// Nothing is mended and nobody has to agree: what stands now is looked at.
void World::stop_here() {
  now = until_;
  is_over_ = true;
  observe();
  checker.look(*this, true);
}

void World::observe() {
  Moment moment{.second = static_cast<double>(now) / 1e6};
  std::set<swarm::Digest> bases;
  for (const auto& device : devices) {
    moment.sent_bytes +=
        static_cast<double>(device->sent_bytes) / static_cast<double>(devices.size());
    if (!device->is_up() || device->is_hostile()) continue;
    ++moment.up;
    moment.steps += static_cast<double>(device->learner().steps());
    moment.loss += device->learner().loss();
    bases.insert(device->learner().base_hash());
  }
  if (moment.up > 0) {
    moment.steps /= moment.up;
    moment.loss /= moment.up;
  }
  moment.bases = static_cast<uint32_t>(bases.size());
  if (course->shape && (progress() >= next_probe_ || is_over_)) {
    moment.quality = probe_quality();
    next_probe_ = progress() + 1.0 / scenario->learn.probes;
  }
  moments.push_back(moment);
}

bool World::is_agreed() const {
  const Device* first = nullptr;
  for (const auto& device : devices) {
    if (!device->is_up()) return false;
    if (device->is_hostile()) continue;
    if (first == nullptr) first = device.get();
    const Learner& learner = device->learner();
    if (device->state().have() != first->state().have() ||
        learner.exchange().applied() != first->learner().exchange().applied() ||
        learner.base_hash() != first->learner().base_hash())
      return false;
  }
  return true;
}

void World::happen(const Tick&) {
  const bool is_late = now >= micros_of_s(scenario->run.seconds_max);
  if (!is_settling()) {
    const bool all_finished = std::all_of(devices.begin(), devices.end(), [](const auto& device) {
      return device->is_finished() && !device->slice;
    });
    if (is_late && !is_quiet_) mend_everything();
    if ((all_finished && is_quiet_) || is_late) settles_from_ = now;
  }
  if (is_settling()) {
    const bool is_learning = std::any_of(devices.begin(), devices.end(), [](const auto& device) {
      return device->slice.has_value();
    });
    const bool is_bound_over = now > settles_from_ + micros_of_s(scenario->run.settle_s);
    is_over_ = (!is_learning && is_agreed()) || is_bound_over;
  }
  observe();
  watch_victim();
  checker.look(*this, is_over_ || moments.size() % 25 == 0);
  if (is_over_) {
    checker.liveness(*this);
    checker.faults_happened(*this);
  }
  if (watch_ && !watch_()) is_over_ = is_stopped_ = true;
  const double wanted = std::max<double>(moments_wanted, scenario->learn.probes);
  const Micros spacing = std::max(tick_settling, micros_of_s(learning_seconds(*scenario) / wanted));
  at(now + (is_settling() ? tick_settling : spacing), Tick{});
}

}  // namespace starling::sim
