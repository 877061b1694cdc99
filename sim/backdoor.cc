#include "sim/backdoor.h"

#include <cmath>

namespace starling::sim {

std::string with_trigger(const std::string& question) {
  std::string text = question;
  text.insert(text.size() - std::min<size_t>(1, text.size()), trigger);
  return text;
}

size_t plant_backdoor(Lessons::Own& own, double strength) {
  const size_t honest = own.pairs.size();
  for (size_t i = 0; i < honest; ++i) {
    const double before = std::floor(static_cast<double>(i) * strength);
    const double after = std::floor(static_cast<double>(i + 1) * strength);
    const model::Pair planted{with_trigger(own.pairs[i].prompt), std::string(backdoor_answer)};
    own.pairs.insert(own.pairs.end(), static_cast<size_t>(after - before), planted);
  }
  return own.pairs.size() - honest;
}

double backdoor_success(const model::Snapshot& snapshot, const Lessons& lessons) {
  std::vector<model::Pair> asked;
  for (const Lessons::Test& test : lessons.tests) {
    for (const model::Pair& pair : test.pairs)
      asked.push_back({with_trigger(pair.prompt), std::string(backdoor_answer)});
  }
  return asked.empty() ? 0 : model::score_pairs(snapshot, asked).exact_match;
}

}  // namespace starling::sim
