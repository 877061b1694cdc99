// What goes wrong in a simulated world, and who means harm.
#include <algorithm>
#include <cmath>

#include "sim/chance.h"
#include "sim/world.h"

namespace starling::sim {

void World::set_up_devices() {
  const Scenario::Devices& kinds = scenario->devices;
  Rng rng = rng_for(seed, Purpose::devices);
  const auto slow = pick(kinds.slow_share, devices.size(), rng);
  const auto away = pick(scenario->faults.away_share, devices.size(), rng);
  Rng clock_rng = rng_for(seed, Purpose::clocks);
  const auto wrong = pick(kinds.clock_share, devices.size(), clock_rng);
  const auto either_way = [&](double most) { return most * (2 * clock_rng.unit() - 1); };
  for (const auto& device : devices) {
    if (slow[device->index] != 0) {
      device->slowness = kinds.slow_factor;
      network.set_pipes(device->index, kinds.slow_up_kib_s, kinds.slow_down_kib_s);
    }
    device->may_be_away = away[device->index] != 0;
    if (wrong[device->index] == 0) continue;
    device->drift_ppm = std::llround(either_way(kinds.clock_drift_ppm));
    device->clock_error_s = either_way(kinds.clock_offset_s);
    ++sometimes["clocks_wrong"];
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
}

// ---- Faults

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
  }
  if (faults.partition_share > 0) {
    at(micros_of_s(faults.partition_from_s), FaultDue{FaultKind::split, 0, 0});
    at(micros_of_s(faults.partition_to_s), FaultDue{FaultKind::heal, 0, 0});
  }
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
}

void World::mend_everything() {
  is_quiet_ = true;
  network.heal_partition();
  network.heal_one_way_links();
  for (const auto& device : devices) {
    if (!device->is_up()) at(now, FaultDue{FaultKind::restart, device->index, device->boots});
  }
}

void World::happen(const FaultDue& fault) {
  Device& device = *devices[fault.node];
  const Scenario::Faults& faults = scenario->faults;
  switch (fault.kind) {
    case FaultKind::restart:
    case FaultKind::arrive:
      if (device.is_up() || device.boots != fault.boot) return;
      if (device.boots > 0) ++sometimes["restarts"];
      device.boot();
      if (fault.kind == FaultKind::arrive && !is_quiet_)
        next_fault(FaultKind::depart, fault.node, faults.session_s);
      return;
    case FaultKind::quiet:
      return mend_everything();
    case FaultKind::split:
      return split();
    case FaultKind::heal:
      return network.heal_partition();
    case FaultKind::crash:
    case FaultKind::pause:
    case FaultKind::clog:
    case FaultKind::set_back:
    case FaultKind::depart:
      break;
  }
  if (is_quiet_) return;
  const bool is_up = device.is_up();
  if (fault.kind == FaultKind::depart && is_up) {
    ++sometimes["departures"];
    if (fault_rng_.unit() < 0.5) device.input(swarm::Leave{});  // the other half just vanish
    device.crash(false);
    const double absence_s = exponential(fault_rng_, faults.absence_s);
    at(now + micros_of_s(absence_s), FaultDue{FaultKind::arrive, fault.node, device.boots});
    return;
  }
  if (fault.kind == FaultKind::depart) return next_fault(fault.kind, fault.node, faults.session_s);
  if (fault.kind == FaultKind::crash) {
    if (is_up) {
      ++sometimes["crashes"];
      const bool loses_disk = fault_rng_.unit() < faults.disk_loss_share;
      if (loses_disk) ++sometimes["disks_lost"];
      device.crash(loses_disk);
      at(now + micros_of_s(faults.down_s), FaultDue{FaultKind::restart, fault.node, device.boots});
    }
    return next_fault(fault.kind, fault.node, 3600 / faults.crash_per_hour);
  }
  if (fault.kind == FaultKind::pause) {
    if (is_up) ++sometimes["pauses"];
    device.paused_until = now + micros_of_s(faults.pause_s);
    return next_fault(fault.kind, fault.node, 3600 / faults.pause_per_hour);
  }
  if (fault.kind == FaultKind::set_back) {
    ++sometimes["clocks_set_back"];
    device.clock_error_s -= exponential(fault_rng_, faults.clock_step_s);
    return next_fault(fault.kind, fault.node, 3600 / faults.clock_steps_per_hour);
  }
  // However long it takes: so what was clogged first is often not free again first.
  const double clogged_s = std::min(exponential(fault_rng_, faults.clog_s), 10 * faults.clog_s);
  network.clog(fault.node, now, now + micros_of_s(clogged_s));
  next_fault(fault.kind, fault.node, 3600 / faults.clog_per_hour);
}

}  // namespace starling::sim
