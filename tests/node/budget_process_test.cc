// The byte budget of real processes, by what their links carry and what their status says.
#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <ctime>

#include "tests/node/small_swarm.h"

using namespace starling::testing;
using nlohmann::json;

namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

// Anna and Ben with a text each, both set up as given, and linked.
struct Frugal {
  void start(const Settings& settings) {
    found(folder / "a", "anna");
    configure(folder / "a", settings);
    a.start();
    REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
    join(folder / "b", "ben", a);
    configure(folder / "b", settings);
    b.start();
    REQUIRE(b.wait_until(patience_s, [](const json& s) { return s["swarm"]["neighbours"] == 1; }));
    learn(a, sentences(0, 400));
    learn(b, sentences(400, 800));
  }
  void learn(const RealNode& node, const std::string& text) const {
    const std::string path = folder.write("text" + std::to_string(node.pid()) + ".txt", text);
    REQUIRE(starling_cli({"learn", "--dir", node.directory(), path}).exit_code == 0);
  }

  Folder folder;
  RealNode a{folder / "a"}, b{folder / "b"};
};

// From an hour ago until in an hour, local time.
std::string hours_around_now() {
  std::string text;
  for (const int offset_s : {-3600, 3600}) {
    const time_t at = std::time(nullptr) + offset_s;
    tm local{};
    localtime_r(&at, &local);
    char time[8];
    strftime(time, sizeof time, "%H:%M", &local);
    text += (text.empty() ? "" : "-") + std::string(time);
  }
  return "\"" + text + "\"";
}

}  // namespace

TEST_CASE_FIXTURE(Frugal,
                  "two nodes with little to send keep within it and learn from each other") {
  constexpr double rate = 8 * 1024;
  start({{"swarm.upload_kib_per_s", "8"}, {"swarm.download_kib_per_s", "8"}});
  for (const RealNode* node : {&a, &b})
    REQUIRE(node->wait_until(patience_s, [](const json& s) { return s["swarm"]["accepted"] > 0; }));
  const auto begin = std::chrono::steady_clock::now();
  const json before = a.status();
  REQUIRE(before.is_object());
  const auto uptime_s = [](const json& s) { return s["resources"]["uptime_s"].get<int>(); };
  json after;
  REQUIRE(a.wait_until(patience_s, [&](const json& s) {
    after = s;
    return uptime_s(s) >= uptime_s(before) + 20;
  }));
  const std::chrono::duration<double> window = std::chrono::steady_clock::now() - begin;
  const auto moved = [&](const char* way) {
    return after["swarm"][way].get<double>() - before["swarm"][way].get<double>();
  };
  // A second's worth may have been saved up; the last delta goes out on the last byte.
  const double delta_max = 32768;
  CHECK(moved("sent_bytes") <= rate * (window.count() + 1) + delta_max);
  CHECK(moved("received_bytes") <= rate * (window.count() + 1) + delta_max);
  CHECK(after["swarm"]["accepted"] > before["swarm"]["accepted"]);
  const json& budget = after["swarm"]["budget"];
  CHECK(budget["upload_bytes_per_s"] == 8192);
  CHECK(budget["upload_used"].get<double>() > 0);
  CHECK(budget["daily_used"].is_null());
  CHECK(budget["restraint"] == "none");
  CHECK(budget["sent_today"].get<uint64_t>() >= budget["sent_last_minute"].get<uint64_t>());
  CHECK(budget["duplicates_ratio"].get<double>() <= 1.3);
}

TEST_CASE_FIXTURE(Frugal, "in quiet hours nodes stay linked and learn, and no delta moves") {
  start({{"swarm.quiet_hours", hours_around_now()}});
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["model"]["step"] > 30; }));
  const json now = a.status();
  REQUIRE(now.is_object());
  CHECK(now["swarm"]["neighbours"] == 1);
  CHECK(now["swarm"]["published"] == 0);
  CHECK(now["swarm"]["accepted"] == 0);
  CHECK(now["swarm"]["budget"]["restraint"] == "quiet_hours");
  CHECK(now["next"].get<std::string>().starts_with("publishes and fetches deltas again at "));
}

TEST_CASE_FIXTURE(Frugal, "a day's bytes are counted across restarts") {
  start({{"swarm.daily_mib", "1"}});
  const auto is_used = [](const json& s) {
    return s["swarm"]["budget"]["daily_used"].get<double>() > 0.01;
  };
  REQUIRE(a.wait_until(patience_s, is_used));
  const auto of_today = [](const json& s) {
    return s["swarm"]["budget"]["sent_today"].get<uint64_t>();
  };
  const uint64_t before = of_today(a.status());
  a.signal(SIGTERM);
  REQUIRE(a.wait_exit(10) == 0);
  a.start();
  REQUIRE(a.wait_until(patience_s, [&](const json& s) { return of_today(s) >= before; }));
}
