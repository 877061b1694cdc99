// The byte budget's day: what the clock on the wall and the disk say of it.
#include "node/day_count.h"

#include <doctest/doctest.h>

#include "node/clock.h"
#include "node/schedule.h"

namespace starling::node {
namespace {

TEST_CASE("what was spent on a day is found again on that day alone") {
  const swarm::DayCount count{.sent_bytes = 123456789012, .received_bytes = 7};
  const std::string text = day_text(count, "2026-11-28");
  CHECK(read_day(text, "2026-11-28") == count);
  CHECK(read_day(text, "2026-11-29") == swarm::DayCount{});
  for (const char* damaged : {"", "2026-11-28", "2026-11-28 1", "2026-11-28 a b", "x 1 2"}) {
    CAPTURE(damaged);
    CHECK(read_day(damaged, "2026-11-28") == swarm::DayCount{});
  }
}

TEST_CASE("a day ends within 25 hours, and its date has ten characters") {
  CHECK(ms_to_midnight() >= 1);
  CHECK(ms_to_midnight() <= int64_t{25} * 3600 * 1000);
  CHECK(date_of_day().size() == 10);
  CHECK_FALSE(calendar_now("").is_quiet);
}

TEST_CASE("quiet hours may span midnight, and there are none unless they are set") {
  CHECK(is_within("22:00-06:00", 23 * 60));
  CHECK(is_within("22:00-06:00", 0));
  CHECK_FALSE(is_within("22:00-06:00", 6 * 60));
  CHECK(is_within("08:00-18:00", 8 * 60));
  CHECK_FALSE(is_within("08:00-18:00", 18 * 60));
  CHECK_FALSE(is_within("", 0));
}

TEST_CASE("limits are configured in KiB and MiB and kept in bytes") {
  Config config;
  CHECK(budget_limits(config.swarm) == swarm::BudgetLimits{});
  config.swarm.upload_kib_per_s = 8;
  config.swarm.download_kib_per_s = 16;
  config.swarm.daily_mib = 100;
  config.swarm.quiet_hours = "08:00-18:00";
  const swarm::BudgetLimits limits = budget_limits(config.swarm);
  CHECK(limits.up_bytes_per_s == 8192);
  CHECK(limits.down_bytes_per_s == 16384);
  CHECK(limits.day_bytes == 104857600);
  CHECK(limits.has_quiet_hours);
}

}  // namespace
}  // namespace starling::node
