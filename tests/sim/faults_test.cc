// What each fault of the network and of the devices does, and that all agree when it is over.
#include <doctest/doctest.h>

#include <map>

#include "sim/network.h"
#include "tests/sim/folder.h"
#include "tests/sim/world_run.h"

namespace starling::sim {

TEST_CASE("a slow device's link is narrower each way by its own measure") {
  Scenario scenario = *parse_scenario(
      "run: {nodes: 3}\nnetwork: {latency_ms: 1, jitter_ms: 0, up_kib_s: 100, down_kib_s: 1000}\n",
      "test.yaml");
  Sometimes sometimes;
  Network network(scenario, 1, sometimes);
  network.set_pipes(1, 10, 50);
  const auto seconds = [&](uint32_t from, uint32_t to) {
    Network fresh = network;
    Way way;
    return static_cast<double>(fresh.send(from, to, way, 100 * 1024, 0).arrives_at) / 1e6;
  };
  CHECK(seconds(0, 2) == doctest::Approx(1 + 0.1).epsilon(0.01));
  CHECK(seconds(1, 2) == doctest::Approx(10 + 0.1).epsilon(0.01));  // up is the narrow one
  CHECK(seconds(0, 1) == doctest::Approx(1 + 2).epsilon(0.01));     // down is
}

TEST_CASE("a pair whose link goes one way only is another one after a while") {
  Scenario scenario = *parse_scenario(
      "run: {nodes: 40}\nfaults: {until_s: 100, one_way_share: 0.2, one_way_s: 10}\n", "test.yaml");
  Sometimes sometimes;
  Network network(scenario, 1, sometimes);
  uint32_t cut = 0, both_ways = 0, changed = 0;
  for (uint32_t a = 0; a < 40; ++a) {
    for (uint32_t b = a + 1; b < 40; ++b) {
      const bool there = network.is_cut(a, b, 0), back = network.is_cut(b, a, 0);
      cut += there || back ? 1 : 0;
      both_ways += there && back ? 1 : 0;
      changed += there != network.is_cut(a, b, micros_of_s(10)) ? 1 : 0;
    }
  }
  CHECK(cut > 100);  // of 780, a fifth
  CHECK(cut < 220);
  CHECK(both_ways == 0);
  CHECK(changed > 50);
  network.heal_one_way_links();
  CHECK_FALSE(network.is_cut(0, 1, 0));
}

TEST_CASE("links that carry frames one way only part nobody for good") {
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    const Run run(
        synthetic + "run: {nodes: 8}\nfaults: {until_s: 180, one_way_share: 0.3, one_way_s: 40}\n",
        seed);
    run.check_all();
    CHECK(run.happened("frames_one_way") > 0);
    CHECK(run.happened("links_broken") > 0);
    CHECK(run.happened("dials_failed") > 0);
  }
}

TEST_CASE("what is clogged first is not always free again first") {
  const Run run(synthetic +
                "run: {nodes: 8}\nfaults: {until_s: 200, clog_per_hour: 120, clog_s: 20}\n");
  run.check_all();
  CHECK(run.happened("clogs_out_of_order") > 0);
}

TEST_CASE("devices whose clocks are years off, run fast and are set back remain of the swarm") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const Run run(synthetic +
                      "run: {nodes: 7}\n"
                      "devices: {clock_share: 0.8, clock_offset_s: 1e9, clock_drift_ppm: 50000}\n"
                      "faults: {until_s: 200, crash_per_hour: 60, disk_loss_share: 0.3,\n"
                      "  clock_steps_per_hour: 60, clock_step_s: 1e8}\n",
                  seed);
    run.check_all();
    CHECK(run.happened("clocks_wrong") > 0);
    CHECK(run.happened("clocks_set_back") > 0);
    CHECK(run.happened("boots_by_count") > 0);  // the clock was behind the last boot's number
  }
}

TEST_CASE("a clock that is past an invite's end keeps its device out until it is set") {
  uint64_t expired = 0;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const Run run(synthetic +
                      "run: {nodes: 6}\ndevices: {clock_share: 1, clock_offset_s: 1e8}\n"
                      "faults: {until_s: 150, crash_per_hour: 100, disk_loss_share: 1}\n",
                  seed);
    run.check_all();
    expired += run.happened("invites_expired");
  }
  CHECK(expired > 0);
}

TEST_CASE("a clock that runs fast wakes its device early, and one that runs slow late") {
  Run run(synthetic + "run: {nodes: 2}\ndevices: {clock_share: 1, clock_drift_ppm: 100000}\n");
  run.check_all();
  Device& device = *run.world.devices[1];
  REQUIRE(device.drift_ppm != 0);
  const double own = static_cast<double>(device.instant().ms) * 1000;
  const double rate = 1 + static_cast<double>(device.drift_ppm) / 1e6;
  CHECK(own == doctest::Approx(rate * static_cast<double>(run.world.now)).epsilon(1e-4));
  CHECK(run.world.devices[0]->drift_ppm == 0);
}

TEST_CASE("who is up in some hours of the day only learns what the others did meanwhile") {
  const Run run(synthetic +
                "run: {nodes: 8}\nfaults: {until_s: 300, duty_share: 0.6, day_s: 120,\n"
                "  duty_from_h: 18, duty_to_h: 8, duty_spread_h: 3}\n");
  run.check_all();
  CHECK(run.happened("duty_ends") >= 8);
  CHECK(run.happened("duty_begins") >= 4);
  uint32_t fewest = 8;
  for (const Moment& moment : run.world.moments) fewest = std::min(fewest, moment.up);
  CHECK(fewest <= 5);
  CHECK(run.world.moments.back().up == 8);
}

TEST_CASE("a file says when which node is up") {
  Folder folder;
  folder.write("churn.tsv", "# seconds node what\n20\t1\tdown\n\n25,2,down\n60 1 up\n90 9 down\n");
  const auto scenario = load_scenario(
      folder.write("s.yaml", synthetic + "run: {nodes: 4}\n"
                                         "faults: {until_s: 120, churn_trace: churn.tsv}\n"));
  REQUIRE(scenario.has_value());
  REQUIRE(scenario->faults.churn.size() == 4);
  const Run run(*scenario, 1, 1);
  run.check_all();
  CHECK(run.happened("churn_downs") == 2);  // there is no node 9
  const auto up_at = [&](double second) {
    const auto after = std::find_if(run.world.moments.begin(), run.world.moments.end(),
                                    [&](const Moment& moment) { return moment.second > second; });
    return after->up;
  };
  CHECK(up_at(15) == 4);
  CHECK(up_at(40) == 2);
  CHECK(up_at(70) == 3);
  CHECK(run.world.moments.back().up == 4);
}

TEST_CASE("a line that says nothing about a node's ups and downs is shown with its number") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"1 2 down\n3 up\n",
       "x.tsv:2: must be three words: seconds, node, and up or down, such as 120 3 down"},
      {"1 2 down now\n",
       "x.tsv:1: must be three words: seconds, node, and up or down, such as 120 3 down"},
      {"-1 2 down\n", "x.tsv:1: the seconds must be a number from 0 to 2592000 but are \"-1\""},
      {"nan 2 up\n", "x.tsv:1: the seconds must be a number from 0 to 2592000 but are \"nan\""},
      {"#\n\n5 1 up\n4 1 down\n",
       "x.tsv:4: is earlier than the line before; sort the lines by time"},
      {"1 two up\n", "x.tsv:1: the node must be a whole number from 0 on but is \"two\""},
      {"1 0 down\n", "x.tsv:1: node 0 must stay up: its address is the one that all others know"},
      {"1 1 off\n", "x.tsv:1: the last word must be up or down but is \"off\""},
      {"\n", "x.tsv: says of no node when it is up; write a line for each change"},
  };
  for (const auto& [text, expected] : cases) {
    const auto churn = parse_churn(text, "x.tsv");
    REQUIRE_FALSE(churn.has_value());
    CHECK(churn.error() == expected);
  }
  Folder folder;
  const std::string path =
      folder.write("s.yaml", synthetic + "faults: {until_s: 120, churn_trace: none.tsv}\n");
  const auto scenario = load_scenario(path);
  REQUIRE_FALSE(scenario.has_value());
  CHECK(scenario.error().message ==
        path + ":2: faults.churn_trace: " + (folder / "none.tsv") +
            ": No such file or directory; correct the path or put it there");
}

TEST_CASE("a link that breaks is told with its time and what broke it") {
  const auto causes = [](const std::string& yaml) {
    const Run run(synthetic + "run: {nodes: 6}\n" + yaml);
    std::map<std::string_view, uint64_t> sums;
    for (const auto& [cause, counts] : run.world.breaks.by_cause()) {
      for (const uint64_t count : counts) sums[cause] += count;
    }
    return sums;
  };
  CHECK(causes("").empty());
  const auto crashed = causes("faults: {until_s: 150, crash_per_hour: 60}\n");
  CHECK(crashed.at("crash") > 10);
  CHECK_FALSE(crashed.contains("departure"));
  CHECK(causes("faults: {until_s: 150, away_share: 0.5, session_s: 30}\n").at("departure") > 3);
  const auto paused = causes("faults: {until_s: 150, pause_per_hour: 60, pause_s: 30}\n");
  CHECK(paused.at("pause") >= 3);
  CHECK_FALSE(paused.contains("silence"));
  const auto parted = causes(
      "faults: {until_s: 150, partition_share: 0.5, partition_from_s: 60, partition_to_s: 120}\n");
  CHECK(parted.at("partition") >= 5);
  CHECK_FALSE(parted.contains("crash"));
  CHECK(causes("network: {loss: 0.3}\n").at("loss") > 0);
  CHECK(causes("faults: {until_s: 150, one_way_share: 0.3}\n").at("one way") > 0);
}

TEST_CASE("nothing goes wrong before its time") {
  const std::string faults =
      "faults: {until_s: 150, crash_per_hour: 60, pause_per_hour: 60, clog_per_hour: 60,\n"
      "  clock_steps_per_hour: 60, away_share: 0.5, session_s: 30, absence_s: 10,\n"
      "  duty_share: 0.3, day_s: 60, one_way_share: 0.2, from_s: ";
  const Run all(synthetic + "run: {nodes: 6}\n" + faults + "0}\n");
  const Run late(synthetic + "run: {nodes: 6}\n" + faults + "90}\n");
  all.check_all();
  late.check_all();
  REQUIRE_FALSE(all.world.faults_seen.empty());
  CHECK(all.world.faults_seen.front().second < 30);
  REQUIRE_FALSE(late.world.faults_seen.empty());
  CHECK(late.world.faults_seen.front().second >= 90);
  CHECK(late.world.faults_seen.size() < all.world.faults_seen.size());
  for (const std::string what : {"crashes", "pauses", "clocks_set_back", "departures", "duty_ends",
                                 "frames_clogged", "frames_one_way"})
    CHECK_MESSAGE(late.happened(what) > 0, what);
}

TEST_CASE("one seed decides every fault and attack, for any number of threads") {
  const std::string faults =
      "devices: {slow_share: 0.3, slow_up_kib_s: 20, clock_share: 0.5, clock_offset_s: 1e6,\n"
      "  clock_drift_ppm: 1000}\n"
      "faults: {until_s: 120, crash_per_hour: 30, disk_loss_share: 0.5, clog_per_hour: 60,\n"
      "  one_way_share: 0.1, clock_steps_per_hour: 30, duty_share: 0.3, day_s: 60}\n";
  for (const char* attack : {"eclipse", "sybil_join"}) {
    const std::string yaml =
        "learn: {kind: synthetic, steps: 120, step_ms: 1000}\n"
        "run: {nodes: 9}\nhostile: {join_s: 30, share: 0.3, attack: " +
        std::string(attack) + "}\n" + faults;
    Run first(yaml, 5), again(yaml, 5), other(yaml, 6);
    first.check_all();
    CHECK(first.world.trace() == again.world.trace());
    CHECK(first.world.trace() != other.world.trace());
  }
  for (const char* attack : {"dissensus", "backdoor"}) {
    const std::string yaml =
        micro + "run: {nodes: 5}\nhostile: {share: 0.2, attack: " + std::string(attack) +
        "}\nfaults: {until_s: 4, duty_share: 0.5, day_s: 24}\n";
    Run serial(yaml, 1, 1), parallel(yaml, 1, 2);
    CHECK(serial.world.trace() == parallel.world.trace());
  }
}

}  // namespace starling::sim
