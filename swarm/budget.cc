#include "swarm/budget.h"

#include <algorithm>

namespace starling::swarm {

namespace {

constexpr int64_t parts_per_byte = 1000;
constexpr int64_t minute_ms = 60000;

}  // namespace

ByteBucket::ByteBucket(uint64_t bytes_per_s, Instant now)
    : rate_(static_cast<int64_t>(std::min(bytes_per_s, bytes_per_s_max))),
      parts_(rate_ * parts_per_byte),
      filled_at_(now) {}

int64_t ByteBucket::parts_at(Instant now) const {
  const int64_t room = rate_ * parts_per_byte - parts_;
  const int64_t elapsed_ms = std::max<int64_t>(0, now.ms - filled_at_.ms);
  // Divided, not multiplied: a long sleep must not overflow.
  if (elapsed_ms > room / std::max<int64_t>(1, rate_)) return parts_ + room;
  return parts_ + elapsed_ms * rate_;
}

void ByteBucket::spend(uint64_t bytes, Instant now) {
  if (!is_limited()) return;
  const int64_t parts = static_cast<int64_t>(std::min(bytes, bytes_per_s_max)) * parts_per_byte;
  const int64_t least = -rate_ * parts_per_byte * debt_max_s;
  parts_ = std::max(parts_at(now) - parts, least);
  filled_at_ = std::max(filled_at_, now);
}

int64_t ByteBucket::left(Instant now) const {
  return is_limited() ? parts_at(now) / parts_per_byte : INT64_MAX;
}

Instant ByteBucket::ready_at(Instant now) const {
  if (left(now) > 0) return now;
  return now.after((parts_per_byte - parts_at(now) + rate_ - 1) / rate_);
}

void LastMinute::add(uint64_t bytes, Instant now) {
  const int64_t number = now.ms / slot_ms;
  Slot& slot = slots_[static_cast<size_t>(number) % slots_.size()];
  if (slot.number != number) slot = {number, 0};
  slot.bytes += bytes;
}

uint64_t LastMinute::sum(Instant now) const {
  const int64_t newest = now.ms / slot_ms;
  uint64_t sum = 0;
  for (const Slot& slot : slots_) {
    if (slot.number > newest - static_cast<int64_t>(slots_.size())) sum += slot.bytes;
  }
  return sum;
}

Budget::Budget(const BudgetLimits& limits, Instant now)
    : limits_(limits),
      up_(limits.up_bytes_per_s, now),
      down_(limits.down_bytes_per_s, now),
      began_at_(now),
      day_ends_at_(now.after(day_ms)) {}

void Budget::charge_sent(uint64_t bytes, Instant now) {
  up_.spend(bytes, now);
  sent_.add(bytes, now);
  today_.sent_bytes += bytes;
}

void Budget::charge_received(uint64_t bytes, Instant now) {
  down_.spend(bytes, now);
  received_.add(bytes, now);
  today_.received_bytes += bytes;
}

void Budget::delta_sent(uint64_t bytes, Instant now) { deltas_.add(bytes, now); }

void Budget::delta_seen(uint64_t bytes) { delta_size_ += bytes / 8 - delta_size_ / 8; }

void Budget::follow(const Calendar& calendar, Instant now) {
  is_quiet_ = calendar.is_quiet;
  day_ends_at_ = now.after(std::clamp<int64_t>(calendar.day_left_ms, 1, day_ms));
}

bool Budget::advance(Instant now) {
  if (now < day_ends_at_) return false;
  const int64_t days = (now.ms - day_ends_at_.ms) / day_ms + 1;
  day_ends_at_ = day_ends_at_.after(days * day_ms);
  const bool was_used = restraint() == Restraint::day_used;
  today_ = {};
  return was_used;
}

bool Budget::is_limited() const {
  return up_.is_limited() || down_.is_limited() || limits_.day_bytes > 0 || limits_.has_quiet_hours;
}

bool Budget::wants_pulls_only(const BudgetLimits& limits) {
  return limits.down_bytes_per_s > 0 || limits.day_bytes > 0 || limits.has_quiet_hours;
}

bool Budget::waits_to_send(const BudgetLimits& limits) {
  return limits.up_bytes_per_s > 0 || limits.day_bytes > 0 || limits.has_quiet_hours;
}

Restraint Budget::restraint() const {
  const uint64_t used = today_.sent_bytes + today_.received_bytes;
  if (limits_.day_bytes > 0 && used >= limits_.day_bytes) return Restraint::day_used;
  return is_quiet_ ? Restraint::quiet_hours : Restraint::none;
}

bool Budget::may_send(uint64_t released, Instant now) const {
  if (restraint() != Restraint::none) return false;
  return !up_.is_limited() || up_.left(now) > static_cast<int64_t>(released);
}

Instant Budget::send_at(Instant now) const {
  return restraint() == Restraint::none ? up_.ready_at(now) : never;
}

uint64_t Budget::coming_max(uint64_t size, Instant now) const {
  if (restraint() != Restraint::none) return 0;
  if (!down_.is_limited()) return UINT64_MAX;
  const int64_t left = down_.left(now);
  if (left <= 0) return 0;
  return (static_cast<uint64_t>(left) - 1) / std::max<uint64_t>(1, size) + 1;
}

Instant Budget::ask_at(Instant now) const {
  return restraint() == Restraint::none ? down_.ready_at(now) : never;
}

uint64_t Budget::own_bytes_per_s(uint32_t others, Instant now) const {
  if (!up_.is_limited() && limits_.day_bytes == 0) return 0;
  const int64_t past_ms = std::clamp<int64_t>(now.ms - began_at_.ms, 1000, minute_ms);
  const uint64_t sent = sent_.sum(now), deltas = std::min(deltas_.sum(now), sent);
  const uint64_t control_per_s = (sent - deltas) * 1000 / static_cast<uint64_t>(past_ms);
  uint64_t rate = bytes_per_s_max;
  if (up_.is_limited()) rate = std::min(rate, limits_.up_bytes_per_s);
  if (limits_.day_bytes > 0) {
    // What is left of the day, in even parts, half of it for sending.
    const uint64_t used = today_.sent_bytes + today_.received_bytes;
    const uint64_t left = limits_.day_bytes - std::min(used, limits_.day_bytes);
    const auto left_s = static_cast<uint64_t>((day_ends_at_.ms - now.ms) / 1000);
    rate = std::min(rate, left / 2 / std::max<uint64_t>(1, left_s));
  }
  // A quarter is for deltas whatever control takes, or a full swarm would learn nothing.
  const uint64_t for_deltas = std::max(rate / 4, rate - std::min(rate, control_per_s));
  return std::max<uint64_t>(1, for_deltas / std::max(1u, others));
}

BudgetView Budget::view(Instant now) const {
  BudgetView view{.limits = limits_, .today = today_, .restraint = restraint()};
  view.sent_last_minute = sent_.sum(now);
  view.received_last_minute = received_.sum(now);
  view.is_up_short = up_.left(now) <= 0;
  view.is_down_short = down_.left(now) <= 0;
  return view;
}

}  // namespace starling::swarm
