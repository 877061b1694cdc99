// Short runs of the simulated world: what holds in every one of them, and what each fault and each
// attack does. A failure names the seed and the first thing that went wrong.
#include <doctest/doctest.h>

#include "tests/sim/world_run.h"

namespace starling::sim {
namespace {

// Long enough that logs have something to fold: what may still be judged stays in them.
const std::string storm =
    "learn: {kind: synthetic, steps: 300, step_ms: 1000}\n"
    "run: {nodes: 7, log_deltas_max: 40, checkpoint_s: 20}\n"
    "network: {latency_ms: 40, jitter_ms: 30, loss: 0.02, drop: 0.02, duplicate: 0.02,\n"
    "  reorder: 0.02, nat_share: 0.3, up_kib_s: 200, down_kib_s: 400}\n"
    "faults: {until_s: 300, crash_per_hour: 40, disk_loss_share: 0.3, pause_per_hour: 30,\n"
    "  clog_per_hour: 60, partition_from_s: 40, partition_to_s: 90, partition_share: 0.4,\n"
    "  away_share: 0.3, session_s: 60, absence_s: 30}\n";
}  // namespace

TEST_CASE("in calm weather all nodes come to one base that is the sum of what was signed") {
  const Run run(synthetic + "run: {nodes: 5}\n");
  run.check_all();
  CHECK(run.world.checker.deltas() == 5 * 20);
  CHECK(run.world.checker.outcomes().at("base_is_the_sum").checks > 0);
  CHECK(run.world.checker.outcomes().at("same_base_everywhere").checks == 5);
}

TEST_CASE("few events are wake-ups that nobody needs any more") {
  const Run run(synthetic + "run: {nodes: 5}\n");
  uint64_t frames = 0;
  for (const auto& device : run.world.devices) frames += device->frames_sent;
  CHECK(2 * run.world.events < 5 * frames);  // otherwise six for every two frames
}

TEST_CASE("when every fault strikes and then stops, all nodes agree again and nothing was lost") {
  uint64_t installed = 0;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const Run run(storm, seed);
    run.check_all();
    CHECK(run.happened("crashes") > 0);
    CHECK(run.happened("frames_cut") > 0);
    installed += run.happened("snapshots_installed");
  }
  CHECK(installed > 0);
}

TEST_CASE("one seed decides everything, for any number of threads") {
  Run first(storm, 5), again(storm, 5), other(storm, 6);
  CHECK(first.world.trace() == again.world.trace());
  CHECK(first.world.trace() != other.world.trace());
  const std::string yaml = micro + "run: {nodes: 4}\n";
  Run serial(yaml, 1, 1), parallel(yaml, 1, 2);
  serial.check_all();
  CHECK(serial.world.trace() == parallel.world.trace());
}

TEST_CASE("real trainers learn from each other's deltas in virtual time") {
  const Run run(
      "run: {nodes: 2}\n"
      "learn: {kind: skills, model: micro, steps: 150, questions: 4, rows: 4, length: 64}\n");
  run.check_all();
  const double first = run.world.moments.at(2).loss, last = run.world.moments.back().loss;
  CHECK(first > 0);
  CHECK(last < 0.8 * first);
}

TEST_CASE("nodes with little to send and receive keep to it, and still all agree") {
  const std::string yaml = synthetic + "run: {nodes: 6}\n";
  const Run free(yaml);
  const Run frugal(yaml + "budget: {up_kib_s: 3, down_kib_s: 3}\n");
  frugal.check_all();
  CHECK(frugal.world.checker.outcomes().at("budgets_kept").checks > 0);
  CHECK(!free.world.checker.outcomes().contains("budgets_kept"));
  CHECK(frugal.world.checker.deltas() == free.world.checker.deltas());
}

TEST_CASE("where the time ends the learning, it ends for slow and late ones as for all others") {
  const Run run(
      "learn: {kind: synthetic, steps: 1000, seconds: 150, step_ms: 1000}\n"
      "run: {nodes: 5}\ndevices: {slow_share: 0.4, slow_factor: 3}\n"
      "faults: {until_s: 140, crash_per_hour: 12, disk_loss_share: 1}\n");
  run.check_all();
  CHECK(run.happened("disks_lost") > 0);
  uint64_t most = 0, least = 1000;
  for (const auto& device : run.world.devices) {
    most = std::max(most, device->learner().steps());
    least = std::min(least, device->learner().steps());
  }
  CHECK(most <= 160);  // the last exchange ends
  CHECK(most >= 100);
  CHECK(least < 60);
  CHECK(static_cast<double>(run.world.now) / 1e6 < 280);
}

TEST_CASE("the rate cools by the time where the time ends the learning") {
  Scenario::Learn learn;
  learn.steps = 1000;
  learn.learning_rate = 1;
  CHECK(learning_rate(learn, 500, {.swarm_step = 500, .second = 99}) == doctest::Approx(1));
  learn.seconds = 100;
  CHECK(learning_rate(learn, 500, {.swarm_step = 500, .second = 50}) == doctest::Approx(1));
  CHECK(learning_rate(learn, 50, {.swarm_step = 900, .second = 80}) == doctest::Approx(0.5));
  CHECK(learning_rate(learn, 50, {.swarm_step = 50, .second = 100}) == doctest::Approx(0.02));
}

TEST_CASE("a partition is bridged by what both sides learned") {
  const Run run(synthetic +
                "run: {nodes: 6}\nfaults: {until_s: 150, partition_from_s: 30,\n"
                "  partition_to_s: 120, partition_share: 0.5}\n");
  run.check_all();
  uint32_t most = 0;
  for (const Moment& moment : run.world.moments) {
    if (moment.second > 60 && moment.second < 120) most = std::max(most, moment.bases);
  }
  CHECK(most >= 2);
  CHECK(run.world.moments.back().bases == 1);
}

TEST_CASE("who only loses frames one way is one of the swarm again afterwards") {
  const Run run(synthetic +
                "run: {nodes: 5}\nfaults: {until_s: 150, partition_from_s: 30,\n"
                "  partition_to_s: 120, partition_share: 0.2, one_way: true}\n");
  run.check_all();
}

TEST_CASE("a delta that is far larger than the others' is held by everyone") {
  const Run run(synthetic +
                "run: {nodes: 5}\nhostile: {attack: scale, share: 0.2, strength: 100}\n");
  run.check_all();
  CHECK(run.happened("deltas_held") >= 4 * 10);
  CHECK(run.world.checker.outcomes().at("only_signed_deltas").failures == 0);
}

TEST_CASE("old frames that are sent again change nothing") {
  const Run run(synthetic + "run: {nodes: 5}\nhostile: {attack: replay, share: 0.2}\n");
  run.check_all();
  CHECK(run.happened("replays") > 50);
}

TEST_CASE("two deltas with one number are noticed") {
  const Run run(synthetic + "run: {nodes: 6}\nhostile: {attack: equivocate, share: 0.17}\n");
  CHECK(run.happened("equivocations") > 0);
  CHECK(run.world.checker.outcomes().at("only_signed_deltas").failures == 0);
}

TEST_CASE("a node that passes nothing on, or tells of what it never sends, stops nobody") {
  for (const char* attack : {"selective_drop", "announce"}) {
    const Run run(synthetic + "run: {nodes: 6}\nnetwork: {drop: 0.05}\nhostile: {attack: " +
                  attack + ", share: 0.3}\n");
    run.check_all();
  }
}

TEST_CASE("every attack on what is learned leaves the honest with one base and finite weights") {
  for (const char* attack : {"sign_flip", "gaussian", "label_flip", "free_rider", "alie",
                             "inner_product", "dissensus"}) {
    CAPTURE(attack);
    const Run run(micro + "run: {nodes: 4}\nhostile: {attack: " + attack +
                  ", share: 0.25, strength: 1}\n");
    CHECK(run.happened("hostile_deltas") > 0);
    CHECK(run.world.checker.outcomes().at("weights_finite").failures == 0);
    CHECK(run.world.checker.outcomes().at("only_signed_deltas").failures == 0);
    CHECK(run.world.checker.outcomes().at("equal_sets_equal_bits").failures == 0);
  }
}

TEST_CASE("the checker sees a base that is not the sum") {
  Run run(synthetic + "run: {nodes: 3}\n");
  run.check_all();
  Learner& learner = run.world.devices[1]->learner();
  std::vector<int32_t> values(learner.exchange().base().values().begin(),
                              learner.exchange().base().values().end());
  values[7] += 1;
  const swarm::VersionVector applied = learner.exchange().applied();
  learner.replace_base(std::move(values), applied, learner.exchange().judgement());
  run.world.checker.look(run.world, true);
  run.world.checker.liveness(run.world);
  CHECK(run.world.checker.outcomes().at("equal_sets_equal_bits").failures == 1);
  CHECK(run.world.checker.outcomes().at("same_base_everywhere").failures == 1);
  CHECK_FALSE(run.world.checker.is_satisfied());
}

}  // namespace starling::sim
