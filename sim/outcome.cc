#include "sim/outcome.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sim/drawing.h"
#include "sim/report.h"

namespace starling::sim {
namespace {

using Json = nlohmann::ordered_json;

Json quality_json(const Outcome& outcome, const Standing& standing) {
  const Quality& quality = outcome.qualities.at(standing.name);
  Json json = {{"metric", outcome.is_text ? "bits_per_byte" : "exact_match"},
               {"mean", quality.mean},
               {"own", quality.own},
               {"others", quality.others},
               {"complete", standing.is_complete},
               {"matrix", standing.matrix}};
  if (standing.backdoor_success >= 0) json["backdoor_success"] = standing.backdoor_success;
  return json;
}

std::string shown(const Outcome& outcome, double value) {
  if (value < 0) return "-";
  return outcome.is_text ? fixed(value, 3) : fixed(100 * value, 1) + " %";
}

}  // namespace

std::vector<std::string> failed_checks(const Outcome& outcome) {
  std::vector<std::string> names;
  for (const auto& [name, found] : outcome.checkers) {
    if (found.failures > 0) names.push_back(name);
  }
  return names;
}

std::string to_json(const Outcome& outcome) {
  Json results = Json::object();
  for (const Standing& standing : outcome.standings)
    results[standing.name] = quality_json(outcome, standing);
  Json faults = Json::object();
  for (const auto& [name, count] : outcome.sometimes) faults[std::string(name)] = count;
  Json traffic = Json::object();
  for (const auto& [kind, sent] : outcome.traffic)
    traffic[std::string(kind)] = {{"frames", sent.frames}, {"bytes", sent.bytes}};
  Json timeline = Json::array();
  for (const FaultSeen& fault : outcome.faults_seen) {
    timeline.push_back({{"second", fault.second}, {"node", nullptr}, {"kind", fault.kind}});
    if (fault.node) timeline.back()["node"] = *fault.node;
  }
  const std::vector<uint64_t>& lost = outcome.breaks.by_node();
  const size_t told = std::min<size_t>(lost.size(), nodes_drawn_max);
  Json causes = Json::object();
  for (const auto& [cause, counts] : outcome.breaks.by_cause()) causes[std::string(cause)] = counts;
  const Json breaks = {
      {"span_seconds", outcome.breaks.span_s()},
      {"by_cause", causes},
      {"by_node", std::vector(lost.begin(), lost.begin() + static_cast<std::ptrdiff_t>(told))}};
  const Json topology = {{"nodes", std::min(outcome.nodes, nodes_drawn_max)},
                         {"links", outcome.links}};
  const Json usage = {{"regions", outcome.regions}, {"matrix", outcome.region_usage}};
  Json checkers = Json::object();
  for (const auto& [name, found] : outcome.checkers) {
    checkers[name] = {
        {"checks", found.checks}, {"failures", found.failures}, {"first_failure", found.first}};
  }
  const Json json = {{"scenario", outcome.scenario},
                     {"seed", outcome.seed},
                     {"nodes", outcome.nodes},
                     {"trace", outcome.trace},
                     {"virtual_seconds", outcome.virtual_seconds},
                     {"until_seconds", outcome.until_s},
                     {"wall_seconds", outcome.wall_seconds},
                     {"tasks", outcome.tasks},
                     {"results", results},
                     {"bytes_per_node", outcome.sent_bytes_per_node},
                     {"faults", faults},
                     {"checkers", checkers},
                     {"bytes_by_kind", traffic},
                     {"fault_timeline", timeline},
                     {"faults_not_in_timeline", outcome.faults_not_kept},
                     {"link_breaks", breaks},
                     {"topology", topology},
                     {"region_usage", usage}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_csv(const Outcome& outcome) {
  std::string csv = "series,second,steps,loss,quality,sent_bytes_per_node,up,bases\n";
  for (const Moment& moment : outcome.moments) {
    csv += "swarm," + fixed(moment.second, 3) + "," + fixed(moment.steps, 1) + "," +
           fixed(moment.loss, 4) + "," +
           (moment.quality < 0 ? std::string() : fixed(moment.quality, 4)) + "," +
           fixed(moment.sent_bytes, 0) + "," + std::to_string(moment.up) + "," +
           std::to_string(moment.bases) + "\n";
  }
  for (const Standing& standing : outcome.standings) {
    // The moments say it already.
    if (standing.name == "swarm" && !outcome.moments.empty()) continue;
    for (const Standing::Point& point : standing.points) {
      // A baseline has no time of its own.
      const bool is_run = standing.name.starts_with("swarm");
      csv += standing.name + "," + (is_run ? fixed(point.second, 3) : "") + "," +
             fixed(point.steps, 1) + ",," + fixed(point.quality, 4) + "," +
             (point.sent_bytes < 0 ? "" : fixed(point.sent_bytes, 0)) + ",,\n";
    }
  }
  return csv;
}

std::string to_text(const Outcome& outcome) {
  std::string text = std::to_string(outcome.nodes) + " nodes, " +
                     fixed(outcome.virtual_seconds, 1) + " virtual seconds in " +
                     fixed(outcome.wall_seconds, 1) + " s";
  if (!outcome.is_complete) text += ", cut short";
  if (outcome.until_s > 0) text += ", to stop at " + fixed(outcome.until_s, 1) + " s";
  text += "\n" + std::to_string(outcome.deltas) + " deltas of " + fixed(outcome.delta_bytes, 0) +
          " bytes on average; a node sent " + fixed(outcome.sent_bytes_per_node / 1e6, 3) +
          " MB (control " + fixed(outcome.control_bytes_per_node / 1e6, 3) + " MB)\n";
  for (const Standing& standing : outcome.standings) {
    const Quality& quality = outcome.qualities.at(standing.name);
    text += standing.name + ": " + (outcome.is_text ? "bits per byte " : "exact match ") +
            shown(outcome, quality.mean) + ", own " + shown(outcome, quality.own) + ", others' " +
            shown(outcome, quality.others) + (standing.is_complete ? "" : " (cut short)") + "\n";
    if (standing.backdoor_success >= 0)
      text += standing.name + ": with the trigger " + fixed(100 * standing.backdoor_success, 1) +
              " % of the held-out questions are answered as the attacker wants\n";
  }
  text += "faults:";
  for (const auto& [name, count] : outcome.sometimes)
    text += " " + std::string(name) + " " + std::to_string(count);
  text += "\n";
  for (const auto& [name, found] : outcome.checkers) {
    text += (found.failures == 0 ? "ok    " : "FAILED ") + name + ": " +
            std::to_string(found.checks) + " checks";
    if (found.failures > 0)
      text += ", " + std::to_string(found.failures) + " failures, first: " + found.first;
    text += "\n";
  }
  return text;
}

Result<Done, Failure> write_outcome(const Outcome& outcome, const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error)
    return Unexpected{
        Failure{ExitCode::cannot_create, "cannot make " + directory + ": " + error.message()}};
  if (auto done = write_whole(directory + "/report.json", to_json(outcome)); !done) return done;
  if (auto done = write_whole(directory + "/series.csv", to_csv(outcome)); !done) return done;
  return write_whole(directory + "/report.html", to_html(outcome));
}

}  // namespace starling::sim
