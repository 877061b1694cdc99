// Who tells of deltas and does not give them, and who only seems to: one State, and a swarm.
#include "swarm/promises.h"
#include "swarm/score.h"
#include "tests/swarm/state_desk.h"
#include "tests/swarm/state_world.h"

namespace starling::swarm::state_test {
namespace {

constexpr int64_t ten_minutes_ms = 600000;
constexpr int64_t step_ms = 2000;

// A neighbour that tells of a stranger's deltas, beside another.
struct Story {
  explicit Story(uint64_t features = 0) {
    desk.link(ada);
    desk.up(teller);
    Hello hello = desk.hello_of(teller);
    hello.features = features;
    desk.say(teller, hello);
    desk.say(ada, Members{{desk.record_of(eve)}});
  }
  // Both go on for a step, and the teller has told of so many by then. What it is asked for; the
  // other one gives what it is asked for.
  std::vector<DeltaKey> step(uint64_t told, uint64_t told_by_ada = 0) {
    std::vector<Output> outputs = desk.tell(teller, vector_of({eve.id, 1}, told));
    for (Output& output : desk.tell(ada, vector_of({eve.id, 1}, told_by_ada)))
      outputs.push_back(std::move(output));
    for (Output& output : desk.pass(step_ms)) outputs.push_back(std::move(output));
    std::vector<DeltaKey> keys;
    for (const Pull& pull : sent_to<Pull>(outputs, teller.id))
      keys.insert(keys.end(), pull.keys.begin(), pull.keys.end());
    for (const Pull& pull : sent_to<Pull>(outputs, ada.id)) {
      for (const DeltaKey& key : pull.keys) desk.put(desk.delta(ada, eve, key.seq));
    }
    for (const Close& close : all_of<Close>(outputs)) closes.push_back(close);
    return keys;
  }
  uint64_t broken() const { return desk.refused(DropReason::broken_promise); }

  Desk desk;
  Peer ada{10}, teller{11}, eve{12};
  std::vector<Close> closes;
};

// ---- Bookkeeping

TEST_CASE("a promise is broken after patience, many questions, and with news still coming") {
  const Instant start{1000000};
  const auto breaks = [&](int64_t every_ms, int64_t last_news_ms, int64_t last_given_ms) {
    Promises promises;
    uint32_t faults = 0;
    for (int64_t ms = 0; ms <= 300000; ms += every_ms) {
      const Instant now = start.after(ms);
      promises.asked(std::span<const DeltaKey>(), now);
      if (ms <= last_news_ms) promises.told_more(now);
      if (ms <= last_given_ms) promises.kept();
      faults += promises.broken(now) ? 1 : 0;
    }
    return faults;
  };
  CHECK(breaks(5000, 300000, -1) == 37);      // from 120 s on
  CHECK(breaks(5000, 300000, 100000) == 16);  // from 225 s on
  CHECK(breaks(5000, 300000, 300000) == 0);
  CHECK(breaks(40000, 300000, -1) == 0);  // eight questions in vain are spared
  CHECK(breaks(5000, 60000, -1) == 0);    // it had nothing new to tell for a minute
}

// ---- One State

TEST_CASE("who goes on telling of deltas and gives none is refused within ten minutes") {
  for (const int64_t pause_ms : {2000, 10000, 50000}) {
    CAPTURE(pause_ms);
    Story story;
    int64_t passed_ms = 0;
    for (; passed_ms < ten_minutes_ms && story.closes.empty(); passed_ms += step_ms)
      story.step(static_cast<uint64_t>(1 + passed_ms / pause_ms));
    REQUIRE(story.closes.size() == 1);
    CHECK(passed_ms > promise_patience_ms);
    CHECK(story.closes[0].peer == story.teller.id);
    CHECK(story.closes[0].reason == "misbehaving: broken_promise");
    CHECK(story.broken() >= 50);
    CHECK(story.desk.view_of(story.teller).score < score_floor);
    CHECK(story.desk.view_of(story.ada).score == 0);
    const auto again = all_of<Close>(story.desk.up(story.teller));
    REQUIRE(again.size() == 1);
    CHECK(again[0].reason.starts_with("refused for "));
  }
}

TEST_CASE("who tells of new deltas by their hashes and gives none is refused as well") {
  Story story;
  uint64_t seq = 0;
  for (int64_t ms = 0; ms < ten_minutes_ms && story.closes.empty(); ms += step_ms) {
    if (++seq <= 65) story.desk.say(story.teller, Witness{{{{{story.eve.id, 1}, seq}, {}}}});
    story.desk.say(story.ada, Heartbeat{});
    for (const Close& close : all_of<Close>(story.desk.pass(step_ms)))
      story.closes.push_back(close);
  }
  REQUIRE(story.closes.size() == 1);
  CHECK(story.closes[0].peer == story.teller.id);
}

TEST_CASE("promises that run out within a second cost one point") {
  Story story;
  for (int64_t ms = 0; ms < promise_patience_ms + 20000; ms += step_ms)
    story.step(static_cast<uint64_t>(1 + ms / step_ms));
  const double points = -story.desk.view_of(story.teller).score;
  CHECK(points > 0);
  CHECK(points <= 21);
  CHECK(static_cast<double>(story.broken()) > points);
}

TEST_CASE("who answers one question in ten keeps what it promises") {
  Story story;
  uint64_t told = 0, asked = 0;
  for (int64_t ms = 0; ms < ten_minutes_ms; ms += step_ms) {
    for (const DeltaKey& key : story.step(++told)) {
      if (++asked % 10 == 0) story.desk.put(story.desk.delta(story.teller, story.eve, key.seq));
    }
  }
  CHECK(asked > 100);
  CHECK(story.broken() == 0);
  CHECK(story.desk.view_of(story.teller).score == 0);
}

TEST_CASE("who answers late, when another has given it already, keeps what it promises") {
  Story story;
  std::vector<DeltaKey> late;
  uint64_t told = 0;
  for (int64_t ms = 0; ms < ten_minutes_ms; ms += 3 * step_ms) {
    ++told;
    for (const DeltaKey& key : late) {
      story.desk.put(story.desk.delta(story.ada, story.eve, key.seq));
      story.desk.put(story.desk.delta(story.teller, story.eve, key.seq));
    }
    late = story.step(told);
    for (int i = 0; i < 2; ++i) {
      for (const DeltaKey& key : story.step(told)) late.push_back(key);
    }
  }
  CHECK(story.desk.state->counters().duplicates > 50);
  CHECK(story.broken() == 0);
}

TEST_CASE("who may send nothing for hours and so has nothing new to tell is not blamed") {
  Story story;
  for (int64_t ms = 0; ms < ten_minutes_ms; ms += step_ms) story.step(50);
  CHECK(sent_to<Pull>(story.desk.outputs, story.teller.id).size() > 20);
  CHECK(story.broken() == 0);
}

TEST_CASE("who has folded what it is asked for and offers a snapshot is not blamed") {
  Story story;
  uint64_t told = 0, asked = 0;
  for (int64_t ms = 0; ms < ten_minutes_ms; ms += step_ms) {
    if (story.step(++told).empty() || ++asked % 2 == 0) continue;  // every second offer is lost
    SnapshotOffer offer;
    offer.size = 10;
    offer.have = vector_of({story.eve.id, 1}, told);
    story.desk.say(story.teller, offer);
  }
  CHECK(story.broken() == 0);
}

TEST_CASE("who has been silent since it was asked may be asleep, and is not blamed for that") {
  Story story;
  uint64_t told = 0;
  for (int64_t ms = 0; ms < promise_patience_ms + 10000; ms += step_ms) story.step(++told);
  const auto listen = [&](int64_t ms) {
    for (int64_t passed_ms = 0; passed_ms < ms; passed_ms += step_ms) {
      story.desk.tell(story.ada, {});
      story.desk.pass(step_ms);
    }
  };
  listen(6000);  // what was asked while it still spoke has run out
  const uint64_t before = story.broken();
  CHECK(before > 0);
  listen(20000);
  CHECK(story.broken() == before);
}

TEST_CASE("who keeps to a byte budget is to blame only for what few others tell of") {
  for (const bool is_told_by_ada : {true, false}) {
    Story story(feature_waits);
    uint64_t told = 0;
    for (int64_t ms = 0; ms < ten_minutes_ms && story.closes.empty(); ms += step_ms) {
      ++told;
      story.step(told, is_told_by_ada && told > 2 ? told - 2 : 0);  // before a pull runs out
    }
    CHECK(sent_to<Pull>(story.desk.outputs, story.teller.id).size() > 40);
    CHECK((story.broken() == 0) == is_told_by_ada);
    if (!is_told_by_ada) CHECK(story.closes.size() == 1);
  }
}

TEST_CASE("who keeps to a byte budget is asked only for what others cannot be asked for") {
  Story story(feature_waits);
  CHECK(story.step(20, 20).empty());
  CHECK(story.step(22, 20).size() == 2);
}

TEST_CASE("a node that keeps to a byte budget says so") {
  for (const BudgetLimits& limits :
       {BudgetLimits{}, BudgetLimits{.up_bytes_per_s = 1000}, BudgetLimits{.day_bytes = 100000},
        BudgetLimits{.has_quiet_hours = true}, BudgetLimits{.down_bytes_per_s = 1000}}) {
    Config config;
    config.budget = limits;
    Desk desk(config);
    Peer ada(10);
    const auto hello = sent_to<Hello>(desk.up(ada), ada.id);
    const bool is_said = (hello.at(0).features & feature_waits) != 0;
    CHECK(is_said == (limits != BudgetLimits{} && limits.down_bytes_per_s == 0));
  }
}

TEST_CASE("what ran out while we slept ourselves is nobody's fault") {
  Story story;
  uint64_t told = 0;
  for (int round = 0; round < 30; ++round) {
    for (int64_t ms = 0; ms < 10000; ms += step_ms) story.step(++told);
    story.desk.now = story.desk.now.after(60000);
    story.desk.put(Wake{});
  }
  CHECK(story.broken() == 0);
}

// ---- A swarm

// Every node that is up publishes at intervals of about `pause_ms`.
void talk(World& world, int64_t pause_ms, int64_t span_ms) {
  for (const auto& node : world.nodes) {
    for (int64_t ms = 0; ms < span_ms; ms += pause_ms) {
      const auto extra = static_cast<int64_t>(world.rng.below(static_cast<uint64_t>(pause_ms)));
      world.at(ms + extra, [&node = *node] {
        if (node.is_up() && !node.waiting) node.publish();
      });
    }
  }
}

double lowest_score(const World& world) {
  double lowest = 0;
  for (const auto& node : world.nodes) {
    for (const auto& [peer, score] : node->state->scores(world.now))
      lowest = std::min(lowest, score);
  }
  return lowest;
}

double lowest_within(World& world, int64_t span_ms) {
  double lowest = 0;
  for (int64_t ms = 0; ms < span_ms; ms += 1000) {
    world.run_for(1000);
    lowest = std::min(lowest, lowest_score(world));
  }
  return lowest;
}

TEST_CASE("a swarm refuses the member that tells of its deltas and sends them to nobody") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    World world(seed, {.loss = 0.1});
    world.fill(5);
    REQUIRE(world.run_until([&] { return world.is_meshed(); }, 20000));
    world.stingy = {3};
    talk(world, 10000, ten_minutes_ms);
    const auto is_refused = [&] { return world.nodes[3]->state->view(world.now).neighbours == 0; };
    CHECK(world.run_until(is_refused, ten_minutes_ms));
    for (const auto& node : world.nodes) {
      if (node->index == 3) continue;
      for (const auto& [peer, score] : node->state->scores(world.now)) {
        if (peer == world.nodes[3]->id) CHECK(score < -40);  // some is forgiven by now
        if (peer != world.nodes[3]->id) CHECK(score > -5);
      }
    }
  }
}

TEST_CASE("in ten minutes with a third of all frames lost nobody comes near being refused") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    World world(seed, {.loss = 0.3, .delay_max_ms = 200, .is_ordered = false});
    world.fill(6);
    world.run_for(10000);
    talk(world, 5000, ten_minutes_ms);
    CHECK(lowest_within(world, ten_minutes_ms) > -10);
  }
}

TEST_CASE("a relay whose bytes do not suffice is slow, and not blamed") {
  World world(5);
  world.delta_size = 16000;
  Config poor;
  poor.budget.up_bytes_per_s = 1000;
  for (size_t i = 0; i < 3; ++i) {
    Node& node = world.add(i == 1 ? poor : Config());
    if (i > 0) node.seeds = {world.nodes[i - 1]->address};
  }
  world.forbid(0, 2);
  for (const auto& node : world.nodes) node->start();
  world.run_for(10000);
  talk(world, 20000, ten_minutes_ms);
  CHECK(lowest_within(world, ten_minutes_ms) == 0);
  CHECK(world.nodes[0]->state->have().delta_count() < world.published.size());
  CHECK(world.run_until([&] { return world.is_converged(); }, 6 * ten_minutes_ms));
}

TEST_CASE("a device that sleeps most of the time is not blamed for what it then does not give") {
  World world(7);
  world.fill(4);
  REQUIRE(world.run_until([&] { return world.is_meshed(); }, 20000));
  Node& sleeper = *world.nodes[2];
  for (int64_t ms = 0; ms < ten_minutes_ms; ms += 30000) {
    world.at(ms, [&] { sleeper.pause(); });
    world.at(ms + 25000, [&] { sleeper.resume(); });
  }
  talk(world, 5000, ten_minutes_ms);
  CHECK(lowest_within(world, ten_minutes_ms) > -10);
  CHECK(world.run_until([&] { return world.is_converged(); }, 60000));
}

}  // namespace
}  // namespace starling::swarm::state_test
