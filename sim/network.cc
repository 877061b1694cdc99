#include "sim/network.h"

#include <algorithm>
#include <cmath>

#include "sim/chance.h"

namespace starling::sim {
namespace {

constexpr double packet_size = 1400;                      // bytes
constexpr uint32_t resends_max = 6;                       // then the link is given up
constexpr Micros resend_timeout_min = micros_of_ms(200);  // RFC 6298 allows 1 s, Linux 200 ms
constexpr Micros cut_timeout = micros_of_s(15);           // until a stream notices a partition
constexpr Micros backlog_max = micros_of_s(30);           // of a node's uplink; more is dropped

}  // namespace

Network::Network(const Scenario& scenario, uint64_t seed, Sometimes& sometimes)
    : knobs_(scenario.network),
      seed_(seed),
      rng_(rng_for(seed, Purpose::network)),
      sometimes_(&sometimes),
      is_nat_(pick(knobs_.nat_share, scenario.run.nodes, rng_)),
      up_kib_s_(scenario.run.nodes, knobs_.up_kib_s),
      down_kib_s_(scenario.run.nodes, knobs_.down_kib_s),
      up_free_at_(scenario.run.nodes, 0),
      down_free_at_(scenario.run.nodes, 0),
      clogged_until_(scenario.run.nodes, 0),
      one_way_share_(scenario.faults.one_way_share),
      one_way_s_(scenario.faults.one_way_s),
      one_way_from_(micros_of_s(scenario.faults.from_s)) {
  for (const uint8_t behind : is_nat_) sometimes["nodes_behind_nat"] += behind;
}

Micros Network::latency(uint32_t a, uint32_t b) const {
  const uint64_t pair = (uint64_t{std::min(a, b)} << 32) | std::max(a, b);
  Rng own = rng_for(seed_, Purpose::latency, pair);
  return micros_of_ms(knobs_.latency_ms * (0.5 + own.unit()));
}

bool Network::is_parted(uint32_t from, uint32_t to) const {
  if (far_side_.empty() || far_side_[from] == far_side_[to]) return false;
  return !is_one_way_ || far_side_[from] != 0;
}

// Which pairs, and which way of them, is drawn anew for every while: nothing has to be kept.
bool Network::is_deaf(uint32_t from, uint32_t to, Micros now) const {
  if (one_way_share_ <= 0 || now < one_way_from_) return false;
  const auto turn = static_cast<uint64_t>(now / micros_of_s(one_way_s_));
  const uint64_t pair = (uint64_t{std::min(from, to)} << 32) | std::max(from, to);
  Rng own = rng_for(seed_, Purpose::one_way, pair ^ (turn << 16));
  if (own.unit() >= one_way_share_) return false;
  return (own.below(2) == 0) == (from < to);
}

std::string_view Network::cut_cause(uint32_t from, uint32_t to, Micros now) const {
  if (is_parted(from, to)) return "partition";
  return is_deaf(from, to, now) ? "one way" : "";
}

bool Network::is_cut(uint32_t from, uint32_t to, Micros now) const {
  return !cut_cause(from, to, now).empty();
}

void Network::set_pipes(uint32_t node, double up_kib_s, double down_kib_s) {
  if (up_kib_s > 0) up_kib_s_[node] = up_kib_s;
  if (down_kib_s > 0) down_kib_s_[node] = down_kib_s;
}

void Network::clog(uint32_t node, Micros now, Micros until) {
  for (size_t other = 0; other < clogged_until_.size(); ++other) {
    const bool is_later = other != node && clogged_until_[other] > until;
    if (is_later && until > now) ++(*sometimes_)["clogs_out_of_order"];
  }
  clogged_until_[node] = until;
}

void Network::partition(std::vector<uint8_t> far_side, bool one_way) {
  far_side_ = std::move(far_side);
  is_one_way_ = one_way;
}

Micros Network::through_pipes(uint32_t from, uint32_t to, size_t size, Micros now) {
  const auto bytes = static_cast<double>(size);
  Micros at = std::max(now, clogged_until_[from]);
  if (up_kib_s_[from] > 0) {
    at = up_free_at_[from] = std::max(at, up_free_at_[from]) +
                             static_cast<Micros>(bytes / (up_kib_s_[from] * 1024) * 1e6);
  }
  if (down_kib_s_[to] > 0) {
    at = down_free_at_[to] = std::max(at, down_free_at_[to]) +
                             static_cast<Micros>(bytes / (down_kib_s_[to] * 1024) * 1e6);
  }
  return at;
}

Network::Transit Network::send(uint32_t from, uint32_t to, Way& way, size_t size, Micros now) {
  if (const std::string_view cause = cut_cause(from, to, now); !cause.empty()) {
    ++(*sometimes_)[is_parted(from, to) ? "frames_cut" : "frames_one_way"];
    return {.arrives_at = now + cut_timeout, .is_broken = true, .cause = cause};
  }
  if (up_kib_s_[from] > 0 && up_free_at_[from] > now + backlog_max) {
    ++(*sometimes_)["frames_queue_full"];
    return {.is_lost = true};
  }
  if (knobs_.drop > 0 && rng_.unit() < knobs_.drop) {
    ++(*sometimes_)["frames_dropped"];
    return {.is_lost = true};
  }
  if (clogged_until_[from] > now) ++(*sometimes_)["frames_clogged"];
  Micros at = through_pipes(from, to, size, now) + latency(from, to) +
              static_cast<Micros>(rng_.unit() * knobs_.jitter_ms * 1000);
  if (knobs_.loss > 0) {
    const double packets = std::ceil(static_cast<double>(size) / packet_size);
    const double lost_share = 1 - std::pow(1 - knobs_.loss, packets);
    Micros timeout = std::max(resend_timeout_min, round_trip(from, to));
    for (uint32_t resends = 0; rng_.unit() < lost_share; ++resends, timeout *= 2) {
      ++(*sometimes_)["frames_resent"];
      at += timeout;
      if (resends == resends_max) return {.arrives_at = at, .is_broken = true, .cause = "loss"};
    }
  }
  Transit transit;
  const bool overtakes = knobs_.reorder > 0 && rng_.unit() < knobs_.reorder;
  if (overtakes) {
    ++(*sometimes_)["frames_reordered"];
  } else {
    at = way.last_arrival = std::max(at, way.last_arrival);
  }
  transit.arrives_at = at;
  if (knobs_.duplicate > 0 && rng_.unit() < knobs_.duplicate) {
    ++(*sometimes_)["frames_duplicated"];
    transit.copy_at = at + micros_of_ms(1);
  }
  return transit;
}

}  // namespace starling::sim
