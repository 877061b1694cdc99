#include "node/source.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "node/schedule.h"

using namespace starling;
using namespace starling::node;

namespace {

std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

std::string refusal(const std::string& text, DataKind kind = DataKind::automatic) {
  const auto source = parse_source("file.txt", kind, bytes_of(text));
  return source ? "" : source.error().message;
}

}  // namespace

TEST_CASE("lines of PROMPT<TAB>ANSWER are pairs, anything else is text") {
  const auto pairs = parse_source("a", DataKind::automatic, bytes_of("one\teins\r\ntwo\tzwei\n\n"));
  REQUIRE(pairs);
  CHECK(pairs->kind == DataKind::pairs);
  REQUIRE(pairs->pairs.size() == 2);
  CHECK(pairs->pairs[0].prompt == "one");
  CHECK(pairs->pairs[0].answer == "eins");
  const auto text = parse_source("a", DataKind::automatic, bytes_of("one\teins\nno tab here\n"));
  REQUIRE(text);
  CHECK(text->kind == DataKind::text);
  CHECK(text->text.size() == 21);
  CHECK(text->note == "");
}

TEST_CASE("a .tsv that is not all pairs is taken as text, with the line that is none") {
  const auto source =
      parse_source("a.tsv", DataKind::automatic, bytes_of("one\teins\n\nno tab here\n"));
  REQUIRE(source);
  CHECK(source->kind == DataKind::text);
  CHECK(source->note == "taken as text: line 3 is not PROMPT<TAB>ANSWER");
}

TEST_CASE("what cannot be learned is refused with its name and the reason") {
  CHECK(refusal("").find("file.txt: is empty") == 0);
  CHECK(refusal(" \n\t\n").find("white space") != std::string::npos);
  CHECK(refusal(std::string("ab\0cd", 5)).find("NUL byte at offset 2") != std::string::npos);
  CHECK(refusal("\x01\x02\x03\x04 text").find("control characters") != std::string::npos);
  CHECK(refusal("a\tb\nno tab\n", DataKind::pairs).find("line 2") != std::string::npos);
  CHECK(refusal("a\tb\tc\n", DataKind::pairs).find("line 1") != std::string::npos);
  CHECK(refusal("\xe4\xb8\xad\xe6\x96\x87 und Umlaute \xc3\xa4") == "");
}

TEST_CASE("a folder is read in order of name, and only its texts") {
  std::string directory = std::filesystem::temp_directory_path() / "starling-source-XXXXXX";
  REQUIRE(mkdtemp(directory.data()) != nullptr);
  std::filesystem::create_directory(directory + "/sub");
  std::ofstream(directory + "/b.txt") << "bee";
  std::ofstream(directory + "/sub/a.tsv") << "q\ta\n";
  std::ofstream(directory + "/c.bin") << "not read";
  const auto sources = read_sources(directory);
  REQUIRE(sources);
  REQUIRE(sources->size() == 2);
  CHECK((*sources)[0].name == directory + "/b.txt");
  CHECK((*sources)[1].kind == DataKind::pairs);
  const auto missing = read_sources(directory + "/nothing");
  REQUIRE(!missing);
  CHECK(missing.error().kind == FailureKind::not_found);
  std::filesystem::remove_all(directory);
}

TEST_CASE("a finite run warms up, stays, cools down and ends") {
  Config config;
  config.learn.steps = 1000;
  config.learn.learning_rate = 1;
  const Schedule schedule(config);
  CHECK(schedule.learning_rate({.own_step = 0, .swarm_step = 0, .learned_seconds = 0}) ==
        doctest::Approx(1.0 / 40));
  CHECK(schedule.learning_rate({.own_step = 39, .swarm_step = 39, .learned_seconds = 0}) == 1);
  CHECK(schedule.learning_rate({.own_step = 600, .swarm_step = 600, .learned_seconds = 0}) == 1);
  CHECK(schedule.learning_rate({.own_step = 800, .swarm_step = 800, .learned_seconds = 0}) ==
        doctest::Approx(0.5));
  CHECK(schedule.learning_rate({.own_step = 999, .swarm_step = 999, .learned_seconds = 0}) ==
        doctest::Approx(0.02));
  CHECK(!schedule.is_over(999, 0));
  CHECK(schedule.is_over(1000, 0));
  CHECK(!schedule.is_rested_out(1000));
}

TEST_CASE("a node that lags behind cools with the swarm") {
  Config config;
  config.learn.steps = 1000;
  config.learn.learning_rate = 1;
  const Schedule schedule(config);
  CHECK(schedule.learning_rate({.own_step = 300, .swarm_step = 800}) == doctest::Approx(0.5));
  CHECK(!schedule.is_over(300, 0));
}

TEST_CASE("a run of steps ends for the whole swarm at one time") {
  Config config;
  config.learn.steps = 1000;
  const Schedule schedule(config);
  CHECK(!schedule.is_over_in_swarm(999, 900));
  CHECK(!schedule.is_over_in_swarm(1000, 900));  // ahead: it goes on with the others
  CHECK(schedule.is_over_in_swarm(1050, 900));   // but not for ever
  CHECK(schedule.is_over_in_swarm(1000, 1000));
  CHECK(schedule.is_over_in_swarm(900, 1000));   // behind: it ends with the others
  CHECK(!schedule.is_over_in_swarm(100, 9000));  // new: it has its own run before it
  CHECK(schedule.is_over_in_swarm(1000, 0));     // alone
}

TEST_CASE("a run in a swarm may end with steps for the node itself, cooler and cooler") {
  Config config;
  config.learn.steps = 1000;
  config.learn.learning_rate = 1;
  config.learn.personal_fraction = 0.2;
  const Schedule schedule(config);
  CHECK(schedule.personal_steps() == 200);
  CHECK(schedule.is_over_in_swarm(800, 800));
  CHECK(!schedule.is_over_in_swarm(799, 700));
  CHECK(schedule.learning_rate({.own_step = 640, .swarm_step = 640}) == doctest::Approx(0.5));
  CHECK(schedule.personal_rate(0) == doctest::Approx(0.3));
  CHECK(schedule.personal_rate(100) == doctest::Approx(0.15));
  config.swarm.exchange = false;
  CHECK(Schedule(config).personal_steps() == 0);
}

TEST_CASE("a run of minutes is measured in learning time") {
  Config config;
  config.learn.minutes = 2;
  const Schedule schedule(config);
  CHECK(!schedule.is_over(1000000, 119));
  CHECK(schedule.is_over(1, 120));
}

TEST_CASE("an endless run keeps to its pace and rests after its passes") {
  Config config;
  config.learn.passes = 3;
  config.learn.learning_rate = 1;
  const Schedule schedule(config);
  CHECK(schedule.learning_rate({.own_step = 1000, .swarm_step = 1000, .pace = 0.25}) == 0.25);
  CHECK(schedule.learning_rate({.own_step = 19, .swarm_step = 19, .pace = 0.5}) == 0.25);
  CHECK(!schedule.is_rested_out(2));
  CHECK(schedule.is_rested_out(3));
}

TEST_CASE("hours may pass midnight") {
  Config config;
  config.limits.hours = "22:00-06:00";
  const Schedule night(config);
  CHECK(night.is_allowed_at(23 * 60));
  CHECK(night.is_allowed_at(5 * 60 + 59));
  CHECK(!night.is_allowed_at(6 * 60));
  CHECK(!night.is_allowed_at(12 * 60));
  int from = 0, to = 0;
  CHECK(!parse_hours("25:00-06:00", from, to));
  CHECK(!parse_hours("22-6", from, to));
}

TEST_CASE("learning that may use a quarter of a core rests three times as long as it works") {
  Config config;
  config.limits.cpu_percent = 25;
  CHECK(Schedule(config).rest_after(2) == doctest::Approx(6));
  config.limits.cpu_percent = 100;
  CHECK(Schedule(config).rest_after(2) == 0);
}
