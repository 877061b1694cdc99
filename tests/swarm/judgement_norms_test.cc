// What is usual, and so too large, where what members say shrinks within a window: because they
// cool, or because many begin anew.
#include <doctest/doctest.h>

#include <algorithm>

#include "model/rng.h"
#include "swarm/judgement.h"
#include "tests/swarm/delta_fixture.h"

namespace starling::swarm {
namespace {

constexpr uint8_t origins = 8;
const Bytes payload{1, 2, 3};

PeerId peer(uint8_t number) {
  PeerId id;
  id.bytes.fill(number);
  return id;
}

std::optional<Bytes> nothing(const DeltaKey&) { return std::nullopt; }

using Log = std::vector<std::pair<DeltaKey, DeltaSummary>>;

void say(Log& log, uint8_t origin, uint64_t epoch, uint64_t seq, uint64_t interval, double norm) {
  DeltaSummary summary;
  summary.interval = interval;
  summary.norm = norm;
  summary.raw_norm = norm;
  log.emplace_back(DeltaKey{{peer(origin), epoch}, seq}, summary);
}

// What a node comes to that reads the log in this order.
class Reading {
 public:
  explicit Reading(const model::RegionTable& table) : judgement_(table, {.is_on = false}) {}
  void add(const DeltaKey& key, const DeltaSummary& summary) {
    counted_[key] = judgement_.add(key, summary, payload);
  }
  void update() {
    for (const Judgement::Change& change : judgement_.update(nothing)) {
      CHECK(counted_.at(change.key) == change.before);
      counted_[change.key] = change.after;
    }
  }
  void restart() { REQUIRE(judgement_.decode(judgement_.encode()).has_value()); }
  Judgement& judgement() { return judgement_; }
  const std::map<DeltaKey, uint32_t>& counted() const { return counted_; }
  size_t held() const {
    return static_cast<size_t>(std::count_if(
        counted_.begin(), counted_.end(),
        [](const auto& item) { return item.second == Judgement::apart; }));
  }

 private:
  Judgement judgement_;
  std::map<DeltaKey, uint32_t> counted_;
};

TEST_CASE("what was usual when it was said is not too large for what others say later") {
  const model::RegionTable table = delta_test::small_table();
  Reading reading(table);
  Log log;
  for (uint64_t interval = 1; interval <= 12; ++interval) {
    for (uint8_t origin = 1; origin <= origins; ++origin)
      say(log, origin, 1, interval, interval, interval <= 6 ? 1 : 0.05);
  }
  for (const auto& [key, summary] : log) reading.add(key, summary);
  reading.update();
  CHECK(reading.held() == 0);
}

TEST_CASE("members that begin anew and say little do not withdraw what was said before") {
  const model::RegionTable table = delta_test::small_table();
  Reading reading(table);
  Log log;
  for (uint8_t origin = 1; origin <= origins; ++origin) {
    for (uint64_t interval = 1; interval <= 8; ++interval)
      say(log, origin, 1, interval, interval, 1);
    // With an empty log again, most of them: the newest interval they know of, more than once.
    for (uint64_t boot = 2; origin > 2 && boot <= 8; ++boot) {
      for (uint64_t seq = 1; seq <= 3; ++seq) say(log, origin, boot, seq, 7 + seq, 0.05);
    }
  }
  for (const auto& [key, summary] : log) reading.add(key, summary);
  reading.update();
  CHECK(reading.held() == 0);
}

TEST_CASE("what is far above all that was usual around it is held, from the first interval on") {
  const model::RegionTable table = delta_test::small_table();
  for (uint64_t large_at = 1; large_at <= 20; ++large_at) {
    CAPTURE(large_at);
    Reading reading(table);
    Log log;
    for (uint64_t interval = 1; interval <= 26; ++interval) {
      for (uint8_t origin = 1; origin <= origins; ++origin) {
        const bool is_large = origin == 3 && interval == large_at;
        say(log, origin, 1, interval, interval, is_large ? 4.1 : 1);
      }
    }
    for (const auto& [key, summary] : log) reading.add(key, summary);
    reading.update();
    CHECK(reading.held() == 1);
    CHECK(reading.counted().at({{peer(3), 1}, large_at}) == Judgement::apart);
  }
}

// Long enough that cuts become final, with late deltas and restarts from what was written down.
TEST_CASE("while norms fall and rise, equal logs decide alike, beyond the horizon as well") {
  const model::RegionTable table = delta_test::small_table();
  size_t held = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    Log log;
    double usual = 1;
    for (uint64_t interval = 1; interval <= 90; ++interval) {
      if (rng.below(6) == 0) usual = rng.below(2) == 0 ? 1 : 0.05;
      for (uint8_t origin = 1; origin <= origins; ++origin) {
        const double large = rng.below(30) == 0 ? 3 + 9 * rng.unit() : 1;
        say(log, origin, 1, interval, interval, usual * (0.5 + rng.unit()) * large);
      }
    }
    std::optional<Bytes> first;
    std::optional<std::map<DeltaKey, uint32_t>> counted;
    for (int order = 0; order < 4; ++order) {
      const size_t late_max = order == 0 ? 1 : 12 * origins;  // deltas
      std::multimap<size_t, size_t> arrivals;
      for (size_t k = 0; k < log.size(); ++k) arrivals.emplace(k + rng.below(late_max), k);
      Reading reading(table);
      for (const auto& [arrival, k] : arrivals) {
        const auto& [key, summary] = log[k];
        reading.add(key, summary);
        if (rng.below(40) == 0) reading.update();
        if (order > 1 && rng.below(100) == 0) reading.restart();
      }
      reading.update();
      CHECK(reading.judgement().has_final());
      if (!counted) counted = reading.counted();
      CHECK(reading.counted() == *counted);
      if (!first) first = reading.judgement().encode();
      CHECK(reading.judgement().encode() == *first);
      held += reading.held();
    }
  }
  CHECK(held > 100);
}

}  // namespace
}  // namespace starling::swarm
