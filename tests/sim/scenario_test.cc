#include "sim/scenario.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/sim/folder.h"

namespace starling::sim {
namespace {

std::string problem_of(const std::string& yaml) {
  const auto scenario = parse_scenario(yaml, "x.yaml");
  return scenario ? "" : scenario.error().message;
}

}  // namespace

TEST_CASE("a scenario says only what differs from the defaults") {
  const auto scenario = parse_scenario(
      "run: {nodes: 3}\nnetwork:\n  loss: 0.1\nlearn:\n  baselines: [alone]\n", "dir/small.yaml");
  REQUIRE(scenario.has_value());
  CHECK(scenario->name == "small");
  CHECK(scenario->run.nodes == 3);
  CHECK(scenario->network.loss == doctest::Approx(0.1));
  CHECK(scenario->learn.baselines == std::vector<std::string>{"alone"});
  CHECK(scenario->learn.steps == Scenario().learn.steps);
}

TEST_CASE("what a scenario cannot mean is said with line, key and the nearest known key") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"run:\n  node: 3\n", "x.yaml:2: run.node: unknown key; did you mean run.nodes?"},
      {"run:\n  loss: 3\n", "x.yaml:2: run.loss: unknown key; did you mean network.loss?"},
      {"runs: {}\n", "x.yaml:1: runs: unknown section; did you mean run?"},
      {"run: {nodes: 0}\n", "x.yaml:1: run.nodes: must be from 1 to 1024 but is 0"},
      {"run: {nodes: 2.5}\n", "x.yaml:1: run.nodes: must be a whole number but is 2.5"},
      {"run: {nodes: many}\n", "x.yaml:1: run.nodes: must be a number but is \"many\""},
      {"run: {nodes: 2, nodes: 3}\n", "x.yaml:1: run.nodes: given twice; keep one"},
      {"network: {loss: nan}\n", "x.yaml:1: network.loss: must be a number but is \"nan\""},
      {"learn: {kind: skill}\n", "x.yaml:1: learn.kind: knows no \"skill\"; did you mean skills?"},
      {"learn: {kind: text}\n",
       "x.yaml:1: learn.texts: must say what to learn when learn.kind is text"},
      {"learn: {kind: images, images: a}\n",
       "x.yaml:1: learn.labels: must say what to learn when learn.kind is images"},
      {"learn: {table: a}\n", "x.yaml:1: learn.table: is only for learn.kind table"},
      {"learn: {kind: speakers, texts: [a, b]}\n",
       "x.yaml:1: learn.texts: must be one file when learn.kind is speakers"},
      {"learn: {label: a}\n", "x.yaml:1: learn.label: unknown key; did you mean learn.labels?"},
      {"faults: {one_way: maybe}\n",
       "x.yaml:1: faults.one_way: must be true or false but is \"maybe\""},
      {"faults: {crash_per_hour: 1}\n",
       "x.yaml:1: faults.until_s: must be more than 0 when there are faults"},
      {"faults: {until_s: 9, from_s: 9}\n",
       "x.yaml:1: faults.from_s: must be earlier than faults.until_s"},
      {"faults:\n  until_s: 9\n  from_s: 4\n  partition_share: 0.5\n  partition_from_s: 3\n",
       "x.yaml:5: faults.partition_from_s: must not be earlier than faults.from_s"},
      {"hostile: {share: 0.2}\n", "x.yaml:1: hostile: needs both an attack and a share"},
      {"learn: {kind: synthetic}\nhostile: {attack: backdoor, share: 0.2}\n",
       "x.yaml:2: hostile.attack: backdoor needs questions and answers: learn.kind skills or "
       "images"},
      {"hostile: {attack: sybil_join, share: 0.2, join_s: 4000}\n",
       "x.yaml:1: hostile.join_s: must not be later than run.seconds_max"},
      {"faults: {until_s: 9, duty_share: 0.5, duty_from_h: 8}\n",
       "x.yaml:1: faults.duty_to_h: must differ from faults.duty_from_h"},
      {"faults: {one_way_share: 0.1}\n",
       "x.yaml:1: faults.until_s: must be more than 0 when there are faults"},
      {"[1, 2]\n", "x.yaml:1: must be sections with keys below them"},
  };
  for (const auto& [yaml, expected] : cases) CHECK(problem_of(yaml) == expected);
  CHECK(problem_of("run: {nodes: [\n").starts_with("x.yaml:2: is not YAML: "));
  const auto missing = load_scenario("no/such.yaml");
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().message == "no/such.yaml: No such file or directory");
}

TEST_CASE("paths in a scenario start at its folder") {
  Folder folder, other;
  folder.write("images.gz", "");
  const std::string labels = other.write("labels.gz", "");
  const std::string path = folder.write(
      "digits.yaml", "learn: {kind: images, images: images.gz, labels: " + labels + "}\n");
  const auto scenario = load_scenario(path);
  REQUIRE(scenario.has_value());
  CHECK(scenario->learn.images == folder / "images.gz");
  CHECK(scenario->learn.labels == labels);
  CHECK(scenario->learn.table.empty());
}

TEST_CASE("a file that a scenario names and that cannot be read is said with line and key") {
  Folder folder;
  const std::string text = folder.write("text", "words");
  REQUIRE(std::filesystem::create_directory(folder / "texts"));
  std::filesystem::create_symlink("loop", folder / "loop");
  const auto problem = [&](const std::string& yaml) {
    const auto scenario = load_scenario(folder.write("s.yaml", yaml));
    return scenario ? "" : scenario.error().message;
  };
  const std::string at = folder / "s.yaml:";
  const std::string missing = ": No such file or directory; correct the path or put it there";
  const std::string is_folder = folder / "texts: is a folder; name a file in it";
  CHECK(problem("learn:\n  kind: text\n  texts: [text, none]\n") ==
        at + "3: learn.texts: " + (folder / "none") + missing);
  CHECK(problem("learn:\n  kind: images\n  images: none\n  labels: text\n") ==
        at + "3: learn.images: " + (folder / "none") + missing);
  CHECK(problem("learn:\n  kind: images\n  images: text\n  labels: none\n") ==
        at + "4: learn.labels: " + (folder / "none") + missing);
  CHECK(problem("learn: {kind: table, table: texts}\n") == at + "1: learn.table: " + is_folder);
  CHECK(problem("learn: {kind: speakers, texts: [texts]}\n") ==
        at + "1: learn.texts: " + is_folder);
  CHECK(problem("learn: {kind: table, table: text/none}\n")
            .find("learn.table: " + (folder / "text/none: Not a directory; ")) !=
        std::string::npos);
  CHECK(problem("learn: {kind: table, table: loop}\n").find("loop: Too many levels") !=
        std::string::npos);
  CHECK(problem("learn: {kind: table, table: /dev/null}\n") ==
        at + "1: learn.table: /dev/null: is no file that can be read twice; name one that can");
  CHECK(problem("faults:\n  until_s: 9\n  churn_trace: texts\n") ==
        at + "3: faults.churn_trace: " + is_folder);
  // A text may be a folder.
  CHECK(problem("learn: {kind: text, texts: [text, texts]}\n").empty());
  // Whose the file is, is not asked of who may read everything.
  std::filesystem::permissions(text, std::filesystem::perms::none);
  const std::string closed = problem("learn: {kind: table, table: text}\n");
  if (!std::ifstream(text))
    CHECK(closed == at + "1: learn.table: " + text + ": Permission denied; make it readable");
}

TEST_CASE("every scenario of the library can be read") {
  size_t count = 0;
  const std::filesystem::path folder = std::filesystem::path(STARLING_SOURCE_DIR) / "sim/scenarios";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    // The data of some of them are for the reader to put there.
    const std::string path = entry.path().string();
    const auto scenario = parse_scenario(read_file(path), path);
    const std::string problem = scenario.has_value() ? "" : scenario.error().message;
    CHECK(problem.empty());
    ++count;
  }
  CHECK(count >= 7);
}

}  // namespace starling::sim
