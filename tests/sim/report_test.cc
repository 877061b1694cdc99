#include "sim/report.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "sim/page.h"
#include "sim/status.h"
#include "sim/table.h"
#include "tests/sim/folder.h"

using namespace starling::sim;

namespace {

Report two_by_two() {
  Report report;
  report.kind = Kind::text;
  report.nodes = {"node-1", "node-2"};
  report.tasks = {"a<b", "c"};
  report.own = {{0}, {1}};
  report.alone = {{2.0, 6.0}, {5.0, 3.0}};
  report.swarm = {{2.5, 3.0}, {2.5, 3.5}};
  report.parameters = 1000;
  report.seconds = 12.5;
  report.sent_bytes = {1000000, 2000000};
  report.received_bytes = {2000000, 1000000};
  report.bits_per_parameter = 1.1;
  report.base_hashes = {"abcdef0123", "abcdef0123"};
  report.seed = 7;
  report.steps = {100, 100};
  Series series;
  series.phase = "swarm";
  series.node = "node-1";
  for (int i = 0; i < 5; ++i) series.add(i, static_cast<uint64_t>(i), 5.0 - i, 10);
  report.series = {series};
  return report;
}

}  // namespace

TEST_CASE("report.json holds exactly what it promises") {
  const auto json = nlohmann::json::parse(to_json(two_by_two()));
  const std::vector<std::string> keys = {
      "kind",        "metric",     "nodes",          "tasks",
      "own",         "alone",      "swarm",          "parameters",
      "seconds",     "sent_bytes", "received_bytes", "bits_per_parameter",
      "base_hashes", "seed",       "steps",          "series"};
  CHECK(json.size() == keys.size());
  for (const std::string& key : keys) CHECK_MESSAGE(json.contains(key), key);
  CHECK(json["kind"] == "text");
  CHECK(json["metric"] == "bits_per_byte");
  CHECK(json["alone"][1][0] == 5.0);
  CHECK(json["own"][1][0] == 1);
  CHECK(json["series"][0]["loss"].size() == 5);
}

TEST_CASE("means are taken over all cells, own cells and the others'") {
  const Report report = two_by_two();
  const Means alone = means(report, report.alone);
  CHECK(alone.all == doctest::Approx(4.0));
  CHECK(alone.own == doctest::Approx(2.5));
  CHECK(alone.others == doctest::Approx(5.5));
  Report single = report;
  single.own = {{0, 1}, {0, 1}};
  CHECK(means(single, single.alone).others == -1);
}

TEST_CASE("bases agree only when there are some and all are equal") {
  Report report = two_by_two();
  CHECK(report.is_agreed());
  CHECK(to_text(report).find("all equal") != std::string::npos);
  report.base_hashes[1] = "other";
  CHECK_FALSE(report.is_agreed());
  CHECK(to_text(report).find("NOT equal") != std::string::npos);
  CHECK(to_html(report).find("<b>not</b>") != std::string::npos);
  report.base_hashes = {"", ""};
  CHECK_FALSE(report.is_agreed());
}

TEST_CASE("the page stands alone and escapes names") {
  const std::string page = to_html(two_by_two());
  for (const char* outside : {"http:", "https:", "src=", "<script", "<link", "url(", "@import"}) {
    CHECK_MESSAGE(page.find(outside) == std::string::npos, outside);
  }
  CHECK(page.find("a&lt;b") != std::string::npos);
  CHECK(page.find("a<b") == std::string::npos);
  CHECK(page.find("prefers-color-scheme: dark") != std::string::npos);
  CHECK(page.find(">2.50<") != std::string::npos);
  CHECK(page.find("<polyline") != std::string::npos);
  CHECK(page.ends_with("</html>\n"));
  Report empty = two_by_two();
  empty.series.clear();
  CHECK(to_html(empty).find("too short for a curve") != std::string::npos);
}

TEST_CASE("a report is written whole, or the failure says where") {
  const Folder folder;
  REQUIRE(write_report(two_by_two(), folder.path()).has_value());
  CHECK(read_file(folder / "report.json") == to_json(two_by_two()));
  CHECK(read_file(folder / "report.html") == to_html(two_by_two()));
  CHECK_FALSE(std::filesystem::exists(folder / "report.json.new"));
  const auto failed = write_report(two_by_two(), folder / "nowhere");
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().code == ExitCode::cannot_create);
  CHECK(failed.error().message.find("nowhere/report.json") != std::string::npos);
}

TEST_CASE("a curve of a long run stays within its bound and spans the run") {
  Series series;
  for (int second = 0; second < 100000; ++second)
    series.add(second, static_cast<uint64_t>(second), 1.0, 0);
  CHECK(series.seconds.size() <= Series::points_max);
  CHECK(series.seconds.size() > Series::points_max / 4);
  CHECK(series.seconds.front() == 0);
  CHECK(series.seconds.back() > 99000);
  CHECK(series.steps.size() == series.seconds.size());
  for (size_t i = 0; i < series.steps.size(); ++i)
    CHECK(static_cast<double>(series.steps[i]) == series.seconds[i]);
}

TEST_CASE("a status is read with plain and with quoted numbers, and nonsense is no status") {
  const auto status =
      parse_status(R"({"name":"a","state":"learning","finished":true,)"
                   R"("model":{"parameters":"157000","step":12,"loss":1.5},)"
                   R"("swarm":{"neighbours":"3","sent_bytes":"5000000000","base_hash":"ab",)"
                   R"("deltas":"9","bits_per_parameter":1.1}})");
  REQUIRE(status.has_value());
  CHECK(status->parameters == 157000);
  CHECK(status->step == 12);
  CHECK(status->loss == 1.5);
  CHECK(status->neighbours == 3);
  CHECK(status->sent_bytes == 5000000000);
  CHECK(status->base_hash == "ab");
  CHECK(status->deltas == 9);
  CHECK(status->is_finished);
  for (const char* text : {"", "{", "[]", "{}", R"({"model":1,"swarm":{}})", "null"}) {
    CHECK_FALSE(parse_status(text).has_value());
  }
  CHECK(parse_number(R"({"accuracy":0.5})", "accuracy") == 0.5);
  CHECK_FALSE(parse_number(R"({"accuracy":"x"})", "accuracy").has_value());
  CHECK_FALSE(parse_number("oops", "accuracy").has_value());
}

TEST_CASE("the live table shows each node in one line that fits the terminal") {
  TableView view{.phase = "swarm (2 of 2)", .seconds = 65, .seconds_left = 30, .rows = {}};
  NodeStatus status{.state = "learning",
                    .step = 320,
                    .loss = 1.25,
                    .sent_bytes = 2500000,
                    .base_hash = "0123456789"};
  view.rows.push_back({.node = "node-1", .tasks = "de fr", .status = status, .is_running = true});
  view.rows.push_back({.node = "node-2", .tasks = "es zh", .status = status, .is_running = false});
  const auto lines = table_lines(view, 200);
  REQUIRE(lines.size() == 4);
  CHECK(lines[0] == "swarm (2 of 2)  1:05, about 0:30 left");
  CHECK(lines[2].find("de fr") != std::string::npos);
  CHECK(lines[2].find("2.50 MB") != std::string::npos);
  CHECK(lines[2].find("01234567") != std::string::npos);
  CHECK(lines[2].find("012345678") == std::string::npos);
  CHECK(lines[3].find("restarting") != std::string::npos);
  for (const std::string& line : table_lines(view, 40)) CHECK(line.size() <= 40);
  CHECK(progress_line(view).find("steps 320..320, loss 1.250") != std::string::npos);
}
