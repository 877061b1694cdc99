// What goes wrong in a simulated world, and who means harm.
#include <algorithm>
#include <cmath>

#include "sim/chance.h"
#include "sim/world.h"

namespace starling::sim {
namespace {

constexpr Micros just_woken = micros_of_s(1);  // whoever was paused notices it by then
constexpr Micros sybil_spacing = micros_of_ms(200);

}  // namespace

void World::set_up_devices() {
  const Scenario::Devices& kinds = scenario->devices;
  Rng rng = rng_for(seed, Purpose::devices);
  const auto slow = pick(kinds.slow_share, devices.size(), rng);
  const auto away = pick(scenario->faults.away_share, devices.size(), rng);
  Rng clock_rng = rng_for(seed, Purpose::clocks);
  const auto wrong = pick(kinds.clock_share, devices.size(), clock_rng);
  Rng duty_rng = rng_for(seed, Purpose::duty);
  const auto on_duty = pick(scenario->faults.duty_share, devices.size(), duty_rng);
  const auto either_way = [&](double most) { return most * (2 * clock_rng.unit() - 1); };
  for (const auto& device : devices) {
    if (slow[device->index] != 0) {
      device->slowness = kinds.slow_factor;
      network.set_pipes(device->index, kinds.slow_up_kib_s, kinds.slow_down_kib_s);
    }
    device->may_be_away = away[device->index] != 0;
    device->has_hours = on_duty[device->index] != 0;
    device->hours_shifted = scenario->faults.duty_spread_h * (2 * duty_rng.unit() - 1);
    if (wrong[device->index] == 0) continue;
    device->drift_ppm = std::llround(either_way(kinds.clock_drift_ppm));
    device->clock_error_s = either_way(kinds.clock_offset_s);
    ++sometimes["clocks_wrong"];
  }
}

void World::equip_devices() {
  const Scenario::Devices& kinds = scenario->devices;
  Rng rng = rng_for(seed, Purpose::equipment);
  const auto hosting = pick(kinds.hosting_share, devices.size(), rng);
  const auto small = pick(kinds.small_share, devices.size(), rng);
  for (const auto& device : devices) {
    device->equipment = usual_equipment(scenario->learn);
    if (small[device->index] != 0) {
      const auto bytes = static_cast<uint64_t>(kinds.small_memory_mib * (1 << 20));
      device->equipment = *fitted(*course->shape, device->equipment, bytes);
      ++sometimes["devices_small"];
    }
    if (hosting[device->index] == 0) continue;
    device->equipment.hosted = draw_hosted(*course->shape, kinds.hosted_regions, rng);
    ++sometimes["devices_hosting_part"];
  }
}

void World::set_up_hostile() {
  Rng rng = rng_for(seed, Purpose::attack);
  const auto hostile = pick(scenario->hostile.share, devices.size(), rng);
  for (const auto& device : devices) {
    if (hostile[device->index] == 0) continue;
    device->tamper.emplace(attack_of(scenario->hostile.attack), scenario->hostile.strength,
                           rng_for(seed, Purpose::attack, device->index + 1));
  }
  if (scenario->hostile.attack == "eclipse") choose_victim();
  if (scenario->hostile.attack == "sybil_join") invite_sybils();
}

// The first hostile one has an invite with places to give; the others are its identities, which
// come soon after each other.
void World::invite_sybils() {
  uint32_t places = 0;
  for (const auto& device : devices) {
    if (!device->is_hostile()) continue;
    if (!ringleader) {
      device->is_ringleader = true;
      device->join();
      ringleader = Ringleader{device->keys(), device->membership()};
      continue;
    }
    device->sybil_place = ++places;
    device->join();
    device->first_boot = micros_of_s(scenario->hostile.join_s) + places * sybil_spacing;
  }
}

// The last honest one that can be dialled.
void World::choose_victim() {
  for (const auto& device : devices) {
    if (device->is_hostile() || network.only_dials_out(device->index)) continue;
    victim = device->index;
  }
}

// How near the colluders have come to what they want.
void World::watch_victim() {
  if (!victim || !devices[*victim]->is_up()) return;
  uint64_t held = 0, honest = 0;
  for (const swarm::PeerId& peer : linked_to(*victim)) ++(is_honest(node_of(peer)) ? honest : held);
  uint64_t& most = sometimes["eclipse_links_most"];
  most = std::max(most, held);
  ++sometimes["victim_ticks"];
  if (honest == 0 && held > 0) ++sometimes["victim_ticks_cut_off"];
}

// ---- Faults

void World::saw(std::string_view kind, std::optional<uint32_t> node) {
  if (faults_seen.size() == faults_seen_max) {
    ++faults_not_kept;
    return;
  }
  faults_seen.push_back({static_cast<double>(now) / 1e6, kind, node});
}

// The protocol knows only that it heard nothing.
std::string_view World::cause_of_close(uint32_t node, uint32_t other,
                                       std::string_view reason) const {
  if (reason.starts_with("leaving") || reason.starts_with("left")) return "departure";
  if (!reason.starts_with("silent") && !reason.starts_with("no greeting")) return "protocol";
  for (const uint32_t each : {node, other}) {
    const Micros until = devices[each]->paused_until;
    if (until > 0 && now - until < just_woken) return "pause";
  }
  for (const auto& [from, to] : {std::pair(node, other), std::pair(other, node)}) {
    const std::string_view cause = network.cut_cause(from, to, now);
    if (!cause.empty()) return cause;
  }
  return "silence";
}

void World::next_fault(FaultKind kind, uint32_t node, double mean_s) {
  const Micros when = now + micros_of_s(exponential(fault_rng_, mean_s));
  at(when, FaultDue{kind, node, 0});
}

void World::plan_faults() {
  const Scenario::Faults& faults = scenario->faults;
  is_quiet_ = faults.until_s == 0;
  if (is_quiet_) return;
  at(micros_of_s(faults.until_s), FaultDue{FaultKind::quiet, 0, 0});
  for (const auto& device : devices) {
    const uint32_t node = device->index;
    if (faults.crash_per_hour > 0) next_fault(FaultKind::crash, node, 3600 / faults.crash_per_hour);
    if (faults.pause_per_hour > 0) next_fault(FaultKind::pause, node, 3600 / faults.pause_per_hour);
    if (faults.clog_per_hour > 0) next_fault(FaultKind::clog, node, 3600 / faults.clog_per_hour);
    if (faults.clock_steps_per_hour > 0)
      next_fault(FaultKind::set_back, node, 3600 / faults.clock_steps_per_hour);
    if (device->may_be_away) next_fault(FaultKind::depart, node, faults.session_s);
    if (device->has_hours) at(1, FaultDue{FaultKind::duty, node, 0});
  }
  plan_churn();
  if (faults.partition_share > 0) {
    at(micros_of_s(faults.partition_from_s), FaultDue{FaultKind::split, 0, 0});
    at(micros_of_s(faults.partition_to_s), FaultDue{FaultKind::heal, 0, 0});
  }
}

// Of nodes that there are.
void World::plan_churn() {
  for (const ChurnChange& change : scenario->faults.churn) {
    const FaultKind kind = change.is_up ? FaultKind::churn_up : FaultKind::churn_down;
    const Micros when = std::max<Micros>(1, micros_of_s(change.second));  // after all have begun
    const bool is_told = change.second >= scenario->faults.from_s;
    if (is_told && change.node < devices.size()) at(when, FaultDue{kind, change.node, 0});
  }
}

// By its own clock, and with habits of its own.
bool World::is_on_duty(const Device& device) const {
  const Scenario::Faults& faults = scenario->faults;
  const double begun = static_cast<double>(first_second);
  const double days = (static_cast<double>(device.clock_s()) - begun) / faults.day_s;
  const double hour = 24 * (days - std::floor(days)) + device.hours_shifted;
  const double of_day = hour - 24 * std::floor(hour / 24);
  const bool is_after = of_day >= faults.duty_from_h, is_before = of_day < faults.duty_to_h;
  return faults.duty_from_h < faults.duty_to_h ? is_after && is_before : is_after || is_before;
}

// Four times an hour.
void World::look_at_the_hours(Device& device) {
  const bool is_wanted = is_early() || is_on_duty(device);
  if (device.is_up() && !is_wanted) {
    ++sometimes["duty_ends"];
    saw("duty ends", device.index);
    go_away(device);
  } else if (!device.is_up() && is_wanted) {
    ++sometimes["duty_begins"];
    saw("duty begins", device.index);
    device.boot();
  }
  constexpr double looks_a_day = 96;
  at(now + micros_of_s(scenario->faults.day_s / looks_a_day),
     FaultDue{FaultKind::duty, device.index, 0});
}

void World::go_away(Device& device) {
  if (fault_rng_.unit() < 0.5) device.input(swarm::Leave{});  // the other half just vanish
  device.crash(false, "departure");
}

void World::split() {
  std::vector<uint32_t> order(devices.size());
  for (uint32_t node = 0; node < order.size(); ++node) order[node] = node;
  shuffle(order, fault_rng_);
  const double wanted = scenario->faults.partition_share * static_cast<double>(order.size());
  std::vector<uint8_t> far(order.size(), 0);
  for (size_t i = 0; i < static_cast<size_t>(std::lround(wanted)); ++i) far[order[i]] = 1;
  network.partition(std::move(far), scenario->faults.one_way);
  ++sometimes["partitions"];
  saw("partition");
}

void World::mend_everything() {
  is_quiet_ = true;
  saw("all is mended");
  network.heal_partition();
  network.heal_one_way_links();
  for (const auto& device : devices) {
    if (!device->is_up()) at(now, FaultDue{FaultKind::restart, device->index, device->boots});
  }
}

void World::happen(const FaultDue& fault) {
  Device& device = *devices[fault.node];
  switch (fault.kind) {
    case FaultKind::restart:
    case FaultKind::arrive:
      if (device.is_up() || device.boots != fault.boot) return;
      if (device.boots > 0) {
        ++sometimes["restarts"];
        saw(fault.kind == FaultKind::arrive ? "arrival" : "restart", device.index);
      }
      device.boot();
      if (fault.kind == FaultKind::arrive && !is_quiet_)
        next_fault(FaultKind::depart, fault.node, scenario->faults.session_s);
      return;
    case FaultKind::quiet:
      return mend_everything();
    case FaultKind::split:
      return split();
    case FaultKind::heal:
      saw("partition heals");
      return network.heal_partition();
    case FaultKind::duty:
      if (!is_quiet_) look_at_the_hours(device);
      return;
    case FaultKind::churn_up:
      if (is_quiet_ || device.is_up()) return;
      saw("churn up", device.index);
      return device.boot();
    case FaultKind::churn_down:
      if (is_quiet_ || !device.is_up()) return;
      ++sometimes["churn_downs"];
      saw("churn down", device.index);
      return go_away(device);
    case FaultKind::crash:
    case FaultKind::pause:
    case FaultKind::clog:
    case FaultKind::set_back:
    case FaultKind::depart:
      if (!is_quiet_) strike(fault.kind, device);
      return;
  }
}

// What happens to each node again and again. What would come too early is drawn and let go, so that
// the same befalls the nodes afterwards, as far as it does not follow from what went before.
void World::strike(FaultKind kind, Device& device) {
  const Scenario::Faults& faults = scenario->faults;
  const bool is_up = device.is_up(), is_struck = !is_early();
  if (kind == FaultKind::depart && is_up && is_struck) {
    ++sometimes["departures"];
    saw("departure", device.index);
    go_away(device);
    const double absence_s = exponential(fault_rng_, faults.absence_s);
    at(now + micros_of_s(absence_s), FaultDue{FaultKind::arrive, device.index, device.boots});
    return;
  }
  if (kind == FaultKind::depart) return next_fault(kind, device.index, faults.session_s);
  if (kind == FaultKind::crash) {
    const bool loses_disk = is_up && fault_rng_.unit() < faults.disk_loss_share;
    if (is_up && is_struck) crash(device, loses_disk);
    return next_fault(kind, device.index, 3600 / faults.crash_per_hour);
  }
  if (kind == FaultKind::pause) {
    if (is_up && is_struck) {
      ++sometimes["pauses"];
      saw("pause", device.index);
    }
    if (is_struck) device.paused_until = now + micros_of_s(faults.pause_s);
    return next_fault(kind, device.index, 3600 / faults.pause_per_hour);
  }
  if (kind == FaultKind::set_back) {
    const double step_s = exponential(fault_rng_, faults.clock_step_s);
    if (is_struck) {
      ++sometimes["clocks_set_back"];
      saw("clock set back", device.index);
      device.clock_error_s -= step_s;
    }
    return next_fault(kind, device.index, 3600 / faults.clock_steps_per_hour);
  }
  // However long it takes: so what was clogged first is often not free again first.
  const double clogged_s = std::min(exponential(fault_rng_, faults.clog_s), 10 * faults.clog_s);
  if (is_struck) network.clog(device.index, now, now + micros_of_s(clogged_s));
  if (is_up && is_struck) saw("clog", device.index);
  next_fault(kind, device.index, 3600 / faults.clog_per_hour);
}

void World::crash(Device& device, bool loses_disk) {
  ++sometimes["crashes"];
  if (loses_disk) ++sometimes["disks_lost"];
  saw(loses_disk ? "crash, disk lost" : "crash", device.index);
  device.crash(loses_disk, "crash");
  at(now + micros_of_s(scenario->faults.down_s),
     FaultDue{FaultKind::restart, device.index, device.boots});
}

}  // namespace starling::sim
