// The checks themselves: that they see what they are for. Faults of the product: mutants/.
#include "sim/checker.h"

#include "tests/sim/world_run.h"

namespace starling::sim {
namespace {

uint64_t failures(const Run& run, std::string_view check) {
  const auto found = run.world.checker.outcomes().find(check);
  return found == run.world.checker.outcomes().end() ? 0 : found->second.failures;
}

uint64_t checks(const Run& run, std::string_view check) {
  const auto found = run.world.checker.outcomes().find(check);
  return found == run.world.checker.outcomes().end() ? 0 : found->second.checks;
}

}  // namespace

TEST_CASE("an honest node that sends more than is usual for it is seen, a hostile one is not") {
  Run run(
      "run: {nodes: 4}\nlearn: {kind: synthetic, steps: 40, step_ms: 1000}\n"
      "hostile: {attack: free_rider, share: 0.2}\n");
  run.check_all();
  Checker& checker = run.world.checker;
  const uint64_t before = checks(run, "clipped_to_what_is_usual");
  const uint32_t honest = 0, hostile = run.world.devices[1]->is_hostile()   ? 1
                                       : run.world.devices[2]->is_hostile() ? 2
                                                                            : 3;
  swarm::DeltaSummary summary;
  summary.norm = 2;
  checker.published(run.world, honest, summary, 2);
  checker.published(run.world, honest, summary, 0);  // nothing is usual yet
  checker.published(run.world, hostile, summary, 1);
  CHECK(failures(run, "clipped_to_what_is_usual") == 0);
  checker.published(run.world, honest, summary, 1.9);
  CHECK(failures(run, "clipped_to_what_is_usual") == 1);
  CHECK(checks(run, "clipped_to_what_is_usual") == before + 2);
}

TEST_CASE("honest nodes that are held by a hostile majority are a failure") {
  const Run run(
      "run: {nodes: 10}\n"
      "learn: {kind: skills, model: micro, steps: 120, rows: 2, length: 64, questions: 4,\n"
      "  judging: true}\ndeal: {partition: iid}\n"
      "hostile: {attack: sign_flip, share: 0.7, strength: 1}\n");
  CHECK(run.happened("honest_held") > 0);
  CHECK(failures(run, "held_for_cause") > 0);
}

TEST_CASE("one node that has fallen behind the others in skill is seen") {
  Run run("run: {nodes: 4}\nlearn: {kind: synthetic, steps: 20, step_ms: 1000}\n");
  Checker& checker = run.world.checker;
  checker.skills_alike(run.world, {0.8, 0.7, 0.9, 0.6}, false);
  CHECK(checks(run, "skills_alike") == 4);
  CHECK(failures(run, "skills_alike") == 0);
  checker.skills_alike(run.world, {0.8, 0.4, 0.9, 0.8}, false);
  CHECK(failures(run, "skills_alike") == 1);
  // Bits per byte: a tenth of what is usual, either way.
  checker.skills_alike(run.world, {2.0, 2.0, 1.9, 2.3}, true);
  CHECK(failures(run, "skills_alike") == 2);
}

}  // namespace starling::sim
