// When the byte budget lets the learner publish, and how much. First the deltas get smaller, down
// to a size that is worth its passage; then they get rarer.
#include <algorithm>

#include "node/learner.h"

namespace starling::node {

namespace {

constexpr uint64_t payload_bytes_least = 1024;  // a delta below this is not worth its header
// One bit for eight parameters: about k = 1/128 of them (bits a parameter in swarm/README.md).
constexpr uint64_t parameters_per_byte = 64;

}  // namespace

// What the budget leaves for one delta; 0: no bound. None: it is to wait, and what was learned will
// be in the next one.
std::optional<uint64_t> Learner::payload_bytes_max(const swarm::SwarmView& view) const {
  if (view.restraint != swarm::Restraint::none) return std::nullopt;
  if (view.own_bytes_per_s == 0) return 0;
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - exchanged_;
  const auto bytes =
      static_cast<uint64_t>(static_cast<double>(view.own_bytes_per_s) * since.count());
  const uint64_t parameters = wiring_.mind->exchange().error().size();
  const uint64_t least = std::max(payload_bytes_least, parameters / parameters_per_byte);
  if (bytes < least) return std::nullopt;
  return bytes;
}

// Steps that no delta holds yet, or a delta that had to wait and need not any more.
bool Learner::has_unsent() const {
  return steps_since_exchange_ > 0 || (owes_delta_ && payload_bytes_max(wiring_.view()));
}

// For `next`; empty: nothing waits for the budget.
std::string Learner::what_waits() const {
  if (!wiring_.config.swarm.exchange) return "";
  switch (wiring_.view().restraint) {
    case swarm::Restraint::none:
      return owes_delta_ ? "publishes when the byte budget has room for a delta" : "";
    case swarm::Restraint::quiet_hours: {
      const std::string& hours = wiring_.config.swarm.quiet_hours;
      return "publishes and fetches deltas again at " + hours.substr(hours.find('-') + 1);
    }
    case swarm::Restraint::day_used:
      return "publishes and fetches deltas again after midnight: the day's " +
             std::to_string(wiring_.config.swarm.daily_mib) + " MiB are used up";
  }
  return "";
}

}  // namespace starling::node
