// `starling-sim run` from the outside.
#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "sim/launcher.h"
#include "tests/sim/folder.h"

namespace starling::sim {
namespace {

struct Said {
  int code = 0;
  std::string text, errors;
};

Said simulate(const std::string& yaml, std::vector<std::string> more) {
  Signals signals;
  Folder folder;
  const std::string path = folder.write("small.yaml", yaml);
  std::vector<std::string> command = {STARLING_SIM_PROGRAM, "run", path};
  command.insert(command.end(), more.begin(), more.end());
  const Output output = run(command, std::chrono::seconds(120), signals);
  return {output.exit.code, output.text, output.errors};
}

}  // namespace

TEST_CASE("a run prints its seed first and its trace last, and leaves three files") {
  Folder folder;
  const Said said = simulate(
      "run: {nodes: 2}\nlearn: {model: micro, steps: 20, questions: 4, rows: 2, length: 64}\n",
      {"--seed", "9", "--out", folder / "out"});
  INFO(said.errors);
  CHECK(said.code == 0);
  CHECK(said.text.starts_with("seed 9\n"));
  const size_t last = said.text.rfind('\n', said.text.size() - 2) + 1;
  const std::string line = said.text.substr(last);
  CHECK(line.starts_with("trace "));
  const auto report = nlohmann::ordered_json::parse(read_file(folder / "out/report.json"));
  std::vector<std::string> keys;
  for (const auto& item : report.items()) keys.push_back(item.key());
  CHECK(keys == std::vector<std::string>{"scenario", "seed", "nodes", "trace", "virtual_seconds",
                                         "until_seconds", "wall_seconds", "tasks", "results",
                                         "bytes_per_node", "faults", "checkers", "bytes_by_kind",
                                         "fault_timeline", "faults_not_in_timeline", "link_breaks",
                                         "topology", "region_usage"});
  CHECK("trace " + report["trace"].get<std::string>() + "\n" == line);
  for (const char* name : {"swarm", "alone", "fedavg", "centralised"})
    CHECK(report["results"][name]["complete"].get<bool>());
  CHECK(read_file(folder / "out/series.csv").starts_with("series,second,steps"));
  const std::string page = read_file(folder / "out/report.html");
  CHECK(page.find("<svg") != std::string::npos);
  CHECK(page.find("<script") == std::string::npos);
  CHECK(page.ends_with("</html>\n"));
  CHECK(report["checkers"]["skills_alike"]["checks"] == 2);
  // What was sent is told kind by kind, and nothing else was sent.
  double bytes = 0;
  for (const auto& [kind, sent] : report["bytes_by_kind"].items())
    bytes += sent["bytes"].get<double>();
  CHECK(bytes == doctest::Approx(2 * report["bytes_per_node"].get<double>()));
  CHECK(report["bytes_by_kind"]["delta"]["frames"].get<int>() >= 4);
  CHECK(report["bytes_by_kind"].contains("hello"));
  CHECK_FALSE(report["bytes_by_kind"].contains("other"));
  CHECK(report["topology"]["links"] == std::vector<std::pair<int, int>>{{0, 1}});
  CHECK(report["fault_timeline"].empty());
  CHECK(report["link_breaks"]["by_cause"].empty());
  // Two regions of four are awake for a token: the first one always.
  const auto usage = report["region_usage"]["matrix"].get<std::vector<std::vector<double>>>();
  REQUIRE(usage.size() == 2);
  for (const std::vector<double>& shares : usage) {
    REQUIRE(shares.size() == 4);
    CHECK(shares[0] == doctest::Approx(1));
    CHECK(shares[1] + shares[2] + shares[3] == doctest::Approx(1));
  }
}

TEST_CASE("faults are told one by one, with their time and node") {
  Folder folder;
  const Said said = simulate(
      "run: {nodes: 4}\nlearn: {kind: synthetic, steps: 100, step_ms: 1000}\n"
      "faults: {until_s: 80, crash_per_hour: 100, down_s: 5, partition_share: 0.5,\n"
      "         partition_from_s: 30, partition_to_s: 50}\n",
      {"--out", folder / "out"});
  INFO(said.text, said.errors);
  CHECK(said.code == 0);
  const auto report = nlohmann::json::parse(read_file(folder / "out/report.json"));
  std::map<std::string, uint64_t> counts;
  double before = 0;
  for (const auto& fault : report["fault_timeline"]) {
    ++counts[fault["kind"].get<std::string>()];
    CHECK(fault["second"].get<double>() >= before);
    before = fault["second"].get<double>();
    CHECK(before <= 80);
    if (fault["kind"] == "partition") {
      CHECK(fault["node"].is_null());
      CHECK(before == 30);
    }
    if (fault["kind"] == "crash") CHECK(fault["node"].get<uint32_t>() < 4);
  }
  CHECK(counts["crash"] == report["faults"]["crashes"].get<uint64_t>());
  CHECK(counts["restart"] == report["faults"]["restarts"].get<uint64_t>());
  CHECK(counts["partition heals"] == 1);
  CHECK(report["faults_not_in_timeline"] == 0);
  uint64_t broken = 0, lost = 0;
  for (const auto& [cause, spans] : report["link_breaks"]["by_cause"].items()) {
    for (const auto& count : spans) broken += count.get<uint64_t>();
  }
  for (const auto& count : report["link_breaks"]["by_node"]) lost += count.get<uint64_t>();
  CHECK(broken > 0);
  CHECK(lost == 2 * broken);
  CHECK(report["link_breaks"]["by_cause"].contains("crash"));
  CHECK(report["region_usage"]["matrix"].empty());
  const std::string page = read_file(folder / "out/report.html");
  CHECK(page.find("aria-label=\"faults over time\"") != std::string::npos);
  CHECK(page.find("<title>partition, all, 30.0 s</title>") != std::string::npos);
}

TEST_CASE("a run stops at the virtual time that it is given, and baselines make no more steps") {
  Folder folder;
  const Said said = simulate(
      "run: {nodes: 2}\n"
      "learn: {model: micro, steps: 200, questions: 4, rows: 2, length: 64, baselines: [fedavg]}\n",
      {"--until", "4", "--out", folder / "out"});
  INFO(said.text, said.errors);
  CHECK(said.code == 0);
  const auto report = nlohmann::json::parse(read_file(folder / "out/report.json"));
  CHECK(report["virtual_seconds"] == 4);
  CHECK(report["until_seconds"] == 4);
  CHECK_FALSE(report["checkers"].contains("same_base_everywhere"));
  // 100 ms a step: about forty.
  const std::string series = read_file(folder / "out/series.csv");
  const size_t last = series.rfind("fedavg,,");
  REQUIRE(last != std::string::npos);
  const double steps = std::stod(series.substr(last + 8));
  CHECK(steps >= 20);
  CHECK(steps <= 40);
}

TEST_CASE("a wrong scenario ends with code 78 before anything runs") {
  const Said said = simulate("run: {nods: 3}\n", {});
  CHECK(said.code == 78);
  CHECK(said.errors.find("small.yaml:1: run.nods: unknown key; did you mean run.nodes?") !=
        std::string::npos);
  CHECK(said.text.empty());
}

TEST_CASE("files that are missing end with code 78 and the line, before anything runs") {
  const Said said = simulate("learn:\n  kind: images\n  images: none.gz\n  labels: none.gz\n", {});
  CHECK(said.code == 78);
  CHECK(said.errors.find("small.yaml:3: learn.images: ") != std::string::npos);
  CHECK(said.errors.find("/none.gz: No such file or directory; correct") != std::string::npos);
  CHECK(said.text.empty());
}

TEST_CASE("data that cannot be used end with code 65 and say which file") {
  Folder folder;
  const std::string path = folder.write("damaged", "no images");
  const Said said =
      simulate("learn: {kind: images, images: " + path + ", labels: " + path + "}\n", {});
  CHECK(said.code == 65);
  CHECK(said.errors.find(path + " begins with 6e 6f 20 69") != std::string::npos);
}

TEST_CASE("more nodes than a swarm has members are refused before anything runs") {
  const std::string yaml = "learn: {kind: synthetic}\n";
  const Said said = simulate(yaml, {"--nodes", "1025"});
  CHECK(said.code == 78);
  CHECK(said.errors.find("--nodes: run.nodes: must be from 1 to 1024 but is 1025") !=
        std::string::npos);
  CHECK(said.text.empty());
}

TEST_CASE("more memory than there is is refused with the estimate") {
  const Said said =
      simulate("run: {nodes: 1024}\nlearn: {model: tiny, rows: 256, length: 1024}\n", {});
  CHECK(said.code == 71);
  CHECK(said.errors.find("MiB") != std::string::npos);
}

// ---- Checkpoints (what they hold: resume_test.cc)

TEST_CASE("a run that is resumed ends with the trace of one that went through") {
  const std::string yaml =
      "run: {nodes: 2}\n"
      "learn: {model: micro, steps: 40, questions: 4, rows: 2, length: 64, baselines: []}\n";
  Folder folder;
  const std::string path = folder / "run.checkpoint";
  const auto last_line = [](const Said& said) {
    return said.text.substr(said.text.rfind('\n', said.text.size() - 2) + 1);
  };
  const Said whole = simulate(yaml, {});
  const Said first = simulate(yaml, {"--until", "2", "--checkpoint", path});
  CHECK(first.code == 0);
  CHECK(last_line(first) != last_line(whole));
  const Said second = simulate(yaml, {"--resume", path, "--checkpoint", path, "--threads", "2"});
  INFO(second.text, second.errors);
  CHECK(second.code == 0);
  CHECK(second.text.find("from " + path + ": virtual time 2.0 s") != std::string::npos);
  CHECK(last_line(second) == last_line(whole));

  const Said early = simulate(yaml, {"--resume", path, "--until", "1"});
  CHECK(early.code == 2);
  CHECK(early.errors.find("give a later one, or none") != std::string::npos);
  const Said other = simulate(yaml, {"--resume", path, "--seed", "2"});
  CHECK(other.code == 65);
  CHECK(other.errors.find(path + ": is of a run with seed 1, this one has 2") != std::string::npos);
}

TEST_CASE("a checkpoint that cannot be read ends with 65, one that cannot be written with 73") {
  const std::string yaml = "learn: {kind: synthetic}\n";
  Folder folder;
  const Said missing = simulate(yaml, {"--resume", folder / "none"});
  CHECK(missing.code == 65);
  CHECK(missing.errors.find("none: cannot be read: No such file") != std::string::npos);
  const Said foreign = simulate(yaml, {"--resume", folder.write("text", std::string(200, 'a'))});
  CHECK(foreign.code == 65);
  CHECK(foreign.errors.find("text: is not a checkpoint of a simulated run") != std::string::npos);
  const Said unwritable = simulate(yaml, {"--checkpoint", folder / "no/run.checkpoint"});
  CHECK(unwritable.code == 73);
  CHECK(unwritable.errors.find("no/run.checkpoint: No such file") != std::string::npos);
  CHECK(unwritable.text.find("trace") == std::string::npos);
  CHECK(simulate(yaml, {"--checkpoint-every", "5"}).code == 2);
}

}  // namespace starling::sim
