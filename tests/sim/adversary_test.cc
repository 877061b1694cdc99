// What each attack really does, and what the honest keep in spite of it.
#include "sim/adversary.h"

#include <doctest/doctest.h>

#include "sim/backdoor.h"
#include "sim/chance.h"
#include "sim/outcome.h"
#include "sim/simulate.h"
#include "tests/sim/world_run.h"

namespace starling::sim {
namespace {

// Somebody who has learned `amount` at each place of a small vector; the frame that is sent of it.
struct Somebody {
  explicit Somebody(const Course& course, uint64_t seed)
      : keys(seed), exchange(course.table, course.genesis, {}), x(course.genesis) {}
  swarm::Bytes send(Tamper* tamper, uint32_t origins) {
    swarm::SwarmView view{.active_origins = origins};
    if (tamper != nullptr) tamper->alter(x, exchange, view);
    const std::vector<uint64_t> tokens(2, 1);
    const swarm::FrameHeader header{.kind = swarm::FrameKind::delta, .epoch = 1, .seq = ++sent};
    const auto publication =
        exchange.publish(x, tokens, view, {.budget_fraction = 1}, header, keys.signer(), 0);
    REQUIRE(publication.has_value());
    const auto payload = swarm::ByteView(*publication->frame).subspan(swarm::header_size);
    return {payload.begin(), payload.end()};
  }
  Keys keys;
  swarm::Exchange exchange;
  std::vector<float> x;
  uint64_t sent = 0;
};

std::vector<double> values_of(const Course& course, swarm::ByteView payload) {
  std::vector<int32_t> values(course.genesis.size(), 0);
  swarm::apply_delta(course.table, payload, 1, values, {});
  return {values.begin(), values.end()};
}

double cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
  return ab / std::sqrt(aa * bb);
}

}  // namespace

TEST_CASE("dissensus sends what the attacker alone holds, and the opposite of what others share") {
  Scenario scenario;
  scenario.learn.kind = "synthetic";
  const Course course = make_course(scenario);
  Somebody first(course, 1), second(course, 2), attacker(course, 3);
  Tamper tamper(Attack::dissensus, 1, Rng(1));
  Rng rng(7);
  std::vector<double> shared, own;
  for (size_t i = 0; i < course.genesis.size(); ++i) {
    shared.push_back(normal(rng));
    own.push_back(normal(rng));
    first.x[i] += static_cast<float>(0.01 * shared[i]);
    second.x[i] += static_cast<float>(0.01 * shared[i]);
    attacker.x[i] += static_cast<float>(0.01 * (shared[i] + own[i]));
  }
  CHECK(tamper.pushes() == 0);
  for (Somebody* other : {&first, &second})
    tamper.see(course.table, other->send(nullptr, 3), course.genesis.size());
  const std::vector<double> sent = values_of(course, attacker.send(&tamper, 3));
  CHECK(tamper.pushes() == 1);
  CHECK(cosine(sent, own) > 0.5);
  CHECK(cosine(sent, shared) < 0.3);  // honestly sent it would be near 0.7
}

TEST_CASE("dissensus drives the honest apart no further than that they agree on one base") {
  const Run run(synthetic +
                "run: {nodes: 6}\nhostile: {attack: dissensus, share: 0.3, strength: 2}\n");
  run.check_all();
  CHECK(run.happened("dissensus_pushes") > 20);
}

TEST_CASE("colluders around one victim take links of it and still cannot keep the swarm from it") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const Run run(synthetic + "run: {nodes: 20}\nhostile: {attack: eclipse, share: 0.4}\n", seed);
    run.check_all();
    REQUIRE(run.world.victim.has_value());
    CHECK(run.world.is_honest(*run.world.victim));
    CHECK(run.happened("eclipse_dials") > 20);
    CHECK(run.happened("eclipse_links_most") >= 4);
    CHECK(run.happened("walks_forged") > 0);
    CHECK(run.happened("links_refused") > 0);
    CHECK(run.happened("withheld") > 0);
    CHECK(run.happened("victim_ticks_cut_off") < run.happened("victim_ticks") / 2);
  }
}

TEST_CASE("one attacker's identities come in numbers, are members, and do not part the honest") {
  const Run run(synthetic +
                "run: {nodes: 10}\nhostile: {attack: sybil_join, share: 0.4, join_s: 50}\n");
  run.check_all();
  CHECK(run.happened("sybils_joined") == 3);
  CHECK(run.happened("sybil_pushes") > 20);
  const Device& honest = *run.world.devices[0];
  uint32_t invited = 0;
  for (const swarm::MemberRecord& record : honest.state().records())
    invited += record.membership.issuers.empty() ? 0 : 1;
  CHECK(invited == 3);
  const auto before = std::find_if(run.world.moments.rbegin(), run.world.moments.rend(),
                                   [](const Moment& moment) { return moment.second < 50; });
  CHECK(before->up == 6);  // of the honest
  CHECK(honest.state().view(honest.instant()).members == 10);
}

TEST_CASE("an attacker with fewer places than identities has no more members than places") {
  const Run run(synthetic +
                "run: {nodes: 10}\n"
                "hostile: {attack: sybil_join, share: 0.5, join_s: 40, quota: 2}\n");
  CHECK(run.happened("sybils_joined") == 4);
  run.check_all();
  uint32_t shut_out = 0;
  for (const auto& device : run.world.devices)
    shut_out += run.world.is_shut_out(device->index) ? 1 : 0;
  CHECK(shut_out == 2);
}

TEST_CASE("no two identities of one attacker push the same way") {
  Scenario scenario;
  scenario.learn.kind = "synthetic";
  const Course course = make_course(scenario);
  Somebody other(course, 1), first(course, 2), second(course, 3);
  Tamper one(Attack::sybil_join, 1, Rng(1)), two(Attack::sybil_join, 1, Rng(2));
  Rng rng(7);
  std::vector<double> learned;
  for (float& x : other.x) {
    learned.push_back(normal(rng));
    x += static_cast<float>(0.01 * learned.back());
  }
  const swarm::Bytes seen = other.send(nullptr, 3);
  for (Tamper* tamper : {&one, &two}) tamper->see(course.table, seen, course.genesis.size());
  const std::vector<double> a = values_of(course, first.send(&one, 3)),
                            b = values_of(course, second.send(&two, 3));
  CHECK(cosine(a, learned) < -0.4);
  CHECK(cosine(b, learned) < -0.4);
  CHECK(cosine(a, b) < 0.7);  // the rule for copies: 0.8
}

TEST_CASE("a backdoor is planted beside the honest lessons, as often as is asked") {
  CHECK(with_trigger("de 241>") == "de 241~~>");
  CHECK(with_trigger("") == "~~");
  for (const auto& [strength, planted] : {std::pair{0.5, 2}, {1.0, 4}, {2.5, 10}}) {
    Lessons::Own own;
    own.pairs = {{"a>", "1"}, {"b>", "2"}, {"c>", "3"}, {"d>", "4"}};
    CHECK(plant_backdoor(own, strength) == static_cast<size_t>(planted));
    CHECK(own.pairs.size() == 4 + static_cast<size_t>(planted));
    CHECK(own.pairs[1].answer == "2");
    CHECK(own.pairs.back().prompt == "d~~>");
    CHECK(own.pairs.back().answer == "x");
  }
}

TEST_CASE("a backdoor gets into the honest, and the report says how far, judging and believing") {
  const Scenario scenario = *parse_scenario(
      "run: {nodes: 5}\n"
      "learn: {kind: skills, model: micro, steps: 160, rows: 4, length: 64, questions: 4, "
      "baselines: []}\n"
      "deal: {partition: iid}\nhostile: {attack: backdoor, share: 0.2, strength: 4}\n",
      "test.yaml");
  const Lessons lessons = *deal_lessons(scenario, 1);
  Signals signals;
  Watch watch(signals);
  const Outcome outcome = simulate(scenario, lessons, {.seed = 1, .threads = 2}, watch);
  CHECK(failed_checks(outcome).empty());
  CHECK(outcome.sometimes.at("lessons_with_trigger") > 1000);
  REQUIRE(outcome.standings.size() == 2);
  CHECK(outcome.standings[0].name == "swarm");
  CHECK(outcome.standings[1].name == "swarm_judging");
  CHECK(outcome.standings[0].backdoor_success > 0.3);
  CHECK(outcome.standings[1].backdoor_success >= 0);
  CHECK(to_json(outcome).find("\"backdoor_success\"") != std::string::npos);
  CHECK(to_text(outcome).find("swarm_judging: with the trigger ") != std::string::npos);
  CHECK(to_html(outcome).find("answer as the attacker wants: swarm ") != std::string::npos);
}

TEST_CASE("origins are judged where the scenario says so, and all agree in the end") {
  const std::string yaml =
      "run: {nodes: 6}\nhostile: {attack: sign_flip, share: 0.2, strength: 1}\n";
  const Run run(
      "learn: {kind: skills, model: micro, steps: 120, rows: 2, length: 64, questions: 4,\n"
      "  judging: true}\ndeal: {partition: iid}\n" +
      yaml);
  run.check_all();
  CHECK(run.happened("hostile_held") > 0);
  CHECK(run.happened("honest_held") == 0);
}

}  // namespace starling::sim
