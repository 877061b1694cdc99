// A run that goes on from a checkpoint ends as one that nobody stopped, to the last bit.
#include <doctest/doctest.h>
#include <signal.h>

#include <bit>
#include <cstdlib>

#include "sim/simulate.h"
#include "tests/sim/folder.h"
#include "tests/sim/world_run.h"

namespace starling::sim {
namespace {

const std::string lives =
    "run: {nodes: 6, checkpoint_s: 3, log_deltas_max: 24}\n"
    "learn: {kind: skills, model: micro, steps: 60, step_ms: 500, steps_per_exchange: 8,\n"
    "        questions: 4, rows: 2, length: 64, judging: true}\n"
    "network: {loss: 0.01, duplicate: 0.02, nat_share: 0.2}\n"
    "faults: {until_s: 25, crash_per_hour: 300, down_s: 3, disk_loss_share: 0.3,\n"
    "         pause_per_hour: 100, pause_s: 2, away_share: 0.3, session_s: 10, absence_s: 4}\n";

std::string with_attack(const std::string& attack) {
  return lives + "hostile: {attack: " + attack + ", share: 0.3, strength: 2}\n";
}

// What a run came to, as far as anybody can see it; numbers by their bits.
struct End {
  std::string trace;
  std::vector<uint64_t> moments;
  std::map<std::string, uint64_t> sometimes, checks, failures;
  std::vector<swarm::Bytes> learners;
  bool operator==(const End&) const = default;
};

End end_of(World& world) {
  End end;
  for (const Moment& moment : world.moments) {
    for (const double value :
         {moment.second, moment.steps, moment.loss, moment.quality, moment.sent_bytes})
      end.moments.push_back(std::bit_cast<uint64_t>(value));
    end.moments.push_back(uint64_t{moment.up} << 32 | moment.bases);
  }
  for (const auto& [name, count] : world.sometimes) end.sometimes[std::string(name)] = count;
  for (const auto& [name, outcome] : world.checker.outcomes()) {
    end.checks[name] = outcome.checks;
    end.failures[name] = outcome.failures;
  }
  RunCheckpoint learners;
  learners.identity.nodes = 1;
  learners.identity.scenario = learners.identity.lessons = learners.trace = std::string(32, '0');
  for (const auto& device : world.devices) {
    learners.nodes.assign(1, {});
    device->tell_presence(learners.nodes[0]);
    end.learners.push_back(encode(learners));
  }
  end.trace = world.trace();
  return end;
}

struct Story {
  explicit Story(const std::string& yaml, uint64_t with_seed = 1)
      : Story(*parse_scenario(yaml, "test.yaml"), with_seed) {}
  Story(const Scenario& with, uint64_t with_seed)
      : scenario(with),
        lessons(*deal_lessons(scenario, with_seed)),
        course(make_course(scenario)),
        seed(with_seed) {}

  Journal journal(const std::string& from, const std::string& to, double every_s = 1e6) const {
    const RunIdentity identity = identity_of(scenario, lessons, seed);
    std::optional<RunCheckpoint> resumed;
    if (!from.empty()) {
      auto read = read_run_checkpoint(from, identity);
      REQUIRE_MESSAGE(read.has_value(), read.error().message);
      resumed = std::move(*read);
    }
    return Journal({.identity = identity, .path = to, .every_s = every_s, .resumed_from = from},
                   std::move(resumed));
  }
  // `watch` is told the virtual second.
  template <typename F>
  End live(Journal* journal, uint32_t threads, F watch, double until_s = 0) const {
    World world(scenario, course, lessons,
                {.seed = seed, .threads = threads, .until_s = until_s, .journal = journal});
    world.run([&] { return watch(static_cast<double>(world.now) / 1e6); });
    if (journal != nullptr && journal->failure()) {
      FAIL_CHECK(journal->failure()->message);
      return {};
    }
    return end_of(world);
  }
  End whole() const {
    return live(nullptr, 1, [](double) { return true; });
  }

  Scenario scenario;
  Lessons lessons;
  Course course;
  uint64_t seed;
};

bool for_ever(double) { return true; }

// Stopped at `second`, and on from there with other threads.
End in_two_parts(const Story& story, double second) {
  const Folder folder;
  const std::string path = folder / "run.checkpoint";
  Journal first = story.journal("", path);
  story.live(&first, 1, [&](double now) { return now < second; });
  Journal second_part = story.journal(path, "");
  End end = story.live(&second_part, 3, for_ever);
  CHECK_FALSE(second_part.is_replaying());
  return end;
}

}  // namespace

TEST_CASE("a stopped run with crashes, churn and attackers goes on as if nobody had stopped it") {
  for (const char* attack : {"dissensus", "gaussian", "backdoor"}) {
    const Story story(with_attack(attack));
    const End whole = story.whole();
    CHECK(whole.sometimes.at("crashes") > 0);
    CHECK(whole.sometimes.at("disks_lost") > 0);
    CHECK(whole.sometimes.at("departures") > 0);
    INFO(attack);
    CHECK(in_two_parts(story, 14) == whole);
  }
}

TEST_CASE("a checkpoint does not change the run that it is of") {
  const Story story(with_attack("alie"), 2);
  const Folder folder;
  Journal journal = story.journal("", folder / "run.checkpoint", 0.7);
  CHECK(story.live(&journal, 2, for_ever) == story.whole());
}

TEST_CASE("a checkpoint from between two looks serves as well, and so does one of a resumed run") {
  const Story story(with_attack("inner_product"), 3);
  const End whole = story.whole();
  const Folder folder;
  const std::string path = folder / "run.checkpoint";
  Journal first = story.journal("", path, 4.3);
  story.live(&first, 1, [&](double now) {
    if (now > 12 && !std::filesystem::exists(folder / "early"))
      std::filesystem::copy_file(path, folder / "early");
    return true;
  });
  Journal second = story.journal(folder / "early", folder / "late");
  story.live(&second, 2, [](double now) { return now < 22; });
  Journal third = story.journal(folder / "late", "");
  CHECK(story.live(&third, 1, for_ever) == whole);
  // From its own end nothing is left to do.
  Journal fourth = story.journal(path, "");
  CHECK(story.live(&fourth, 1, for_ever) == whole);
}

TEST_CASE("a text is read on in the midst of a stream") {
  const Folder folder;
  std::string text;
  for (int line = 0; line < 4000; ++line)
    text +=
        "the " + std::to_string(line * 7919 % 1000) + "th line of " + std::to_string(line) + "\n";
  const std::string yaml =
      folder.write("texts.yaml",
                   "run: {nodes: 2, checkpoint_s: 3}\n"
                   "learn: {kind: text, texts: [" +
                       folder.write("one.txt", text) +
                       "], model: micro,\n"
                       "        steps: 40, step_ms: 500, rows: 2, length: 64}\n");
  const Story story(*load_scenario(yaml), 1);
  CHECK(in_two_parts(story, 11) == story.whole());
}

TEST_CASE("a run without a model is run again up to its checkpoint") {
  const Story story(synthetic + "run: {nodes: 6}\nfaults: {until_s: 100, crash_per_hour: 30}\n");
  CHECK(in_two_parts(story, 60) == story.whole());
}

TEST_CASE("a run that was given an end goes on beyond it") {
  const Story story(with_attack("sign_flip"), 4);
  const Folder folder;
  Journal first = story.journal("", folder / "run.checkpoint");
  story.live(&first, 1, for_ever, 13);
  Journal second = story.journal(folder / "run.checkpoint", "");
  CHECK(story.live(&second, 1, for_ever) == story.whole());
}

TEST_CASE("a run that turns out otherwise than its checkpoint says ends with what to do") {
  const Story story(lives);
  const Folder folder;
  const std::string path = folder / "run.checkpoint";
  Journal first = story.journal("", path);
  story.live(&first, 1, [](double now) { return now < 9; });
  const RunCheckpoint good =
      *read_run_checkpoint(path, identity_of(story.scenario, story.lessons, 1));
  const auto failure_of = [&](const RunCheckpoint& damaged) {
    REQUIRE(write_run_checkpoint(damaged, path).has_value());
    Journal journal = story.journal(path, path);
    World world(story.scenario, story.course, story.lessons, {.seed = 1, .journal = &journal});
    world.run([] { return true; });
    REQUIRE(journal.failure().has_value());
    CHECK(journal.failure()->code == ExitCode::bad_data);
    CHECK(journal.failure()->message.find("another build") != std::string::npos);
    // What was there is not overwritten.
    CHECK(encode(*read_run_checkpoint(path, good.identity)) == encode(damaged));
    return journal.failure()->message;
  };
  RunCheckpoint damaged = good;
  damaged.trace[5] = damaged.trace[5] == '0' ? '1' : '0';
  CHECK(failure_of(damaged).find("are not those of the checkpoint") != std::string::npos);
  damaged = good;
  damaged.events = uint64_t{1} << 60;
  CHECK(failure_of(damaged).find("came to its end") != std::string::npos);
  damaged = good;
  damaged.nodes[1].slices.emplace_back();
  CHECK(failure_of(damaged).find("node 1 has learned otherwise") != std::string::npos);
  damaged = good;
  damaged.qualities.clear();
  CHECK(failure_of(damaged).find("asked") != std::string::npos);
  for (const auto& spoil : {+[](Learner::Presence& was) { was.error.pop_back(); },
                            +[](Learner::Presence& was) { was.sections.pop_back(); },
                            +[](Learner::Presence& was) { was.interval.pop_back(); }}) {
    damaged = good;
    for (RunCheckpoint::Node& node : damaged.nodes) {
      if (node.learner) spoil(*node.learner);
    }
    CHECK(failure_of(damaged).find("does not fit") != std::string::npos);
  }
}

TEST_CASE("Ctrl-C leaves a checkpoint, and the report of the resumed run is that of a whole one") {
  const Scenario scenario = *parse_scenario(with_attack("scale"), "test.yaml");
  const Lessons lessons = *deal_lessons(scenario, 1);
  const RunIdentity identity = identity_of(scenario, lessons, 1);
  const Folder folder;
  const std::string path = folder / "run.checkpoint";
  const auto report = [&](Journal* journal) {
    Signals signals;
    Watch watch(signals);
    Outcome outcome = simulate(scenario, lessons, {.seed = 1, .journal = journal}, watch);
    outcome.wall_seconds = 0;
    return to_json(outcome) + to_csv(outcome);
  };
  const std::string whole = report(nullptr);
  Journal first({.identity = identity, .path = path, .every_s = 1e6, .resumed_from = ""},
                std::nullopt);
  {
    Signals signals;
    Watch watch(signals);
    ::raise(SIGINT);
    CHECK_FALSE(simulate(scenario, lessons, {.seed = 1, .journal = &first}, watch).is_complete);
  }
  Journal second({.identity = identity, .path = "", .every_s = 1e6, .resumed_from = path},
                 *read_run_checkpoint(path, identity));
  CHECK(report(&second) == whole);
}

TEST_CASE("a checkpoint knows its scenario by what is in it, not by where its files lie") {
  const Folder here, there;
  const std::string text(5000, 'a');
  const auto identity = [&](const std::string& words, const std::string& path) {
    const Scenario scenario = *parse_scenario(
        "run: {nodes: 2}\nlearn: {kind: text, texts: [" + path + "], " + words + "}\n", "t.yaml");
    return identity_of(scenario, *deal_lessons(scenario, 1), 1);
  };
  const RunIdentity one = identity("steps: 50", here.write("one.txt", text));
  const RunIdentity moved = identity("steps: 50", there.write("two.txt", text));
  CHECK(one.scenario == moved.scenario);
  CHECK(one.lessons == moved.lessons);
  CHECK(identity("steps: 51", here / "one.txt").scenario != one.scenario);
  CHECK(identity("steps: 50", here.write("one.txt", text + "b")).lessons != one.lessons);
}

}  // namespace starling::sim
