#pragma once
// The byte budget as the clock on the wall and the disk know it: when a day ends, whether it is a
// quiet hour, what was spent today before this start.
#include <string>

#include "node/config.h"
#include "node/state_db.h"
#include "swarm/config.h"
#include "swarm/event.h"

namespace starling::node {

swarm::BudgetLimits budget_limits(const Config::Swarm& config);
swarm::Calendar calendar_now(const std::string& quiet_hours);
// What `text` says of `date`; of any other day, or if it cannot be read: nothing was spent.
swarm::DayCount read_day(const std::string& text, const std::string& date);
std::string day_text(const swarm::DayCount& count, const std::string& date);
swarm::DayCount load_day(const StateDb& db);
void save_day(StateDb& db, const swarm::DayCount& count);

}  // namespace starling::node
