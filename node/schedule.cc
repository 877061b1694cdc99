#include "node/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <regex>

#include "node/mind.h"

namespace starling::node {

namespace {

constexpr double warm_up_steps = 40;
constexpr double cool_from = 0.6;  // of a finite run
constexpr double cool_floor = 0.02;
constexpr double personal_rate_share = 0.3;

}  // namespace

bool parse_hours(const std::string& hours, int& from_minute, int& to_minute) {
  static const std::regex form("([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])");
  std::smatch parts;
  if (!std::regex_match(hours, parts, form)) return false;
  from_minute = std::stoi(parts[1]) * 60 + std::stoi(parts[2]);
  to_minute = std::stoi(parts[3]) * 60 + std::stoi(parts[4]);
  return true;
}

bool is_within(const std::string& hours, int minute_of_day) {
  int from = 0, to = 0;
  if (!parse_hours(hours, from, to)) return false;
  if (from < to) return minute_of_day >= from && minute_of_day < to;
  return minute_of_day >= from || minute_of_day < to;
}

Schedule::Schedule(const Config& config)
    : rate_(config.learn.learning_rate > 0 ? config.learn.learning_rate
                                           : preset_learning_rate(config.model.preset)),
      minutes_(config.learn.minutes),
      steps_(config.learn.steps),
      shared_steps_(steps_),
      passes_max_(config.learn.passes),
      cpu_percent_(config.limits.cpu_percent),
      hours_(config.limits.hours) {
  if (config.swarm.exchange) {
    const double personal = static_cast<double>(steps_) * config.learn.personal_fraction;
    shared_steps_ = steps_ - static_cast<uint64_t>(personal);
  }
}

bool Schedule::is_over(uint64_t step, double learned_seconds) const {
  return (steps_ > 0 && step >= steps_) || (minutes_ > 0 && learned_seconds >= minutes_ * 60);
}

bool Schedule::is_over_in_swarm(uint64_t own_step, uint64_t median_step) const {
  const bool have_most_made_theirs = median_step >= shared_steps_;
  if (own_step >= shared_steps_) {
    return median_step == 0 || have_most_made_theirs ||
           own_step >= shared_steps_ + shared_steps_ / 20;
  }
  return have_most_made_theirs && own_step >= shared_steps_ - shared_steps_ / 4;
}

double Schedule::personal_rate(uint64_t personal_step) const {
  const double left =
      1 - static_cast<double>(personal_step) / static_cast<double>(personal_steps());
  return rate_ * personal_rate_share * std::max(left, cool_floor);
}

double Schedule::learning_rate(const Progress& progress) const {
  double factor = std::min(1.0, static_cast<double>(progress.own_step + 1) / warm_up_steps);
  if (!is_finite()) return rate_ * factor * progress.pace;
  double done = 0;
  if (steps_ > 0)
    done = static_cast<double>(progress.swarm_step) / static_cast<double>(shared_steps_);
  if (minutes_ > 0) done = std::max(done, progress.learned_seconds / (minutes_ * 60));
  if (done > cool_from) {
    const double angle = std::numbers::pi * std::min(1.0, (done - cool_from) / (1 - cool_from));
    factor *= std::max(cool_floor, 0.5 * (1 + std::cos(angle)));
  }
  return rate_ * factor * progress.trust;
}

bool Schedule::is_allowed_at(int minute_of_day) const {
  return hours_.empty() || is_within(hours_, minute_of_day);
}

double Schedule::rest_after(double seconds) const {
  if (cpu_percent_ >= 100) return 0;
  return seconds * (100.0 - cpu_percent_) / cpu_percent_;
}

}  // namespace starling::node
