#include "node/day_count.h"

#include <sstream>

#include "node/clock.h"
#include "node/schedule.h"

namespace starling::node {

namespace {

constexpr const char* day_key = "budget_day";

}  // namespace

swarm::BudgetLimits budget_limits(const Config::Swarm& config) {
  return {.up_bytes_per_s = config.upload_kib_per_s * 1024,
          .down_bytes_per_s = config.download_kib_per_s * 1024,
          .day_bytes = config.daily_mib << 20,
          .has_quiet_hours = !config.quiet_hours.empty()};
}

swarm::Calendar calendar_now(const std::string& quiet_hours) {
  return {.day_left_ms = ms_to_midnight(), .is_quiet = is_within(quiet_hours, minute_of_day())};
}

swarm::DayCount read_day(const std::string& text, const std::string& date) {
  std::istringstream in(text);
  std::string day;
  swarm::DayCount count;
  const bool is_read = static_cast<bool>(in >> day >> count.sent_bytes >> count.received_bytes);
  return is_read && day == date ? count : swarm::DayCount{};
}

std::string day_text(const swarm::DayCount& count, const std::string& date) {
  return date + ' ' + std::to_string(count.sent_bytes) + ' ' + std::to_string(count.received_bytes);
}

swarm::DayCount load_day(const StateDb& db) {
  return read_day(db.get(day_key).value_or(""), date_of_day());
}

void save_day(StateDb& db, const swarm::DayCount& count) {
  db.set(day_key, day_text(count, date_of_day()));
}

}  // namespace starling::node
