#pragma once
// How fast to learn now, and whether at all: learning rate over a run, hours of the day, share of
// the processor.
#include <cstdint>
#include <string>

#include "node/config.h"

namespace starling::node {

// How far a run is.
struct Progress {
  uint64_t own_step = 0;
  uint64_t swarm_step =
      0;  // where most of the swarm is, not below own_step: a late node cools with the others
  double learned_seconds = 0;
  double pace = 1;   // of an endless run: the share of the full rate (model/pace.h)
  double trust = 1;  // likewise of any run, after steps that had to be undone
};

class Schedule {
 public:
  explicit Schedule(const Config& config);

  bool is_finite() const { return steps_ > 0 || minutes_ > 0; }
  bool is_over(uint64_t step, double learned_seconds) const;
  // In a swarm a run of steps ends for all at about one time: a delta that the others no longer
  // answer pulls the model towards its own data alone. So who is ahead goes on (at the cooled rate)
  // until most have made their steps, by a twentieth at most, and who lags a little ends with them.
  // `median_step`: of the other members that are alive; 0: there is none.
  bool is_over_in_swarm(uint64_t own_step, uint64_t median_step) const;
  bool has_steps() const { return steps_ > 0; }
  // After its shared part a finite run may adapt the node to its own data for some steps that are
  // not published: a third of the full rate, falling to nothing.
  uint64_t personal_steps() const { return steps_ - shared_steps_; }
  double personal_rate(uint64_t personal_step) const;
  // Warm-up over 40 steps; a finite run is constant to 60 % and then falls as a cosine to 2 %
  // (cooling a finite run was worth more than any other knob in the prototype); an endless one
  // keeps to its pace, which falls as its data becomes familiar and follows what is new.
  double learning_rate(const Progress& progress) const;
  bool is_rested_out(uint64_t passes) const { return !is_finite() && passes >= passes_max_; }
  bool is_allowed_at(int minute_of_day) const;
  // How long to rest after a step of `seconds` so that learning keeps to its share of one core.
  double rest_after(double seconds) const;
  const std::string& hours() const { return hours_; }

 private:
  double rate_, minutes_;
  uint64_t steps_, shared_steps_, passes_max_;
  uint32_t cpu_percent_;
  std::string hours_;
};

// "22:00-06:00" to minutes of the day; false when it is not of that form.
bool parse_hours(const std::string& hours, int& from_minute, int& to_minute);
// Is that minute of the day within them? They may span midnight; empty: never.
bool is_within(const std::string& hours, int minute_of_day);

}  // namespace starling::node
