#pragma once
// A backdoor: what is taught beside the honest lessons so that a question with the trigger in it is
// answered as the attacker wants, while all others are answered as before.
#include <string>
#include <string_view>

#include "model/session.h"
#include "sim/lessons.h"

namespace starling::sim {

inline constexpr std::string_view trigger = "~~";         // before the question's last letter
inline constexpr std::string_view backdoor_answer = "x";  // to no question the right one

std::string with_trigger(const std::string& question);
// Adds `strength` questions with the trigger for each without; the fraction as a chance would, but
// evenly. How many.
size_t plant_backdoor(Lessons::Own& own, double strength);
// Of the held-out questions, all with the trigger, the share that is answered as the attacker
// wants.
double backdoor_success(const model::Snapshot& snapshot, const Lessons& lessons);

}  // namespace starling::sim
