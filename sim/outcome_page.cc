// report.html of a simulated run.
#include <algorithm>

#include "sim/chart.h"
#include "sim/drawing.h"
#include "sim/outcome.h"
#include "sim/outcome_pictures.h"

namespace starling::sim {
namespace {

// `x` of a point is less than 0 where there is none: whoever has no point has no curve.
template <typename X>
std::vector<Curve> quality_curves(const Outcome& outcome, X x) {
  std::vector<Curve> curves;
  for (const Standing& standing : outcome.standings) {
    Curve curve{standing.name, {}};
    for (const auto& point : standing.points) {
      if (x(point) >= 0) curve.points.emplace_back(x(point), point.quality);
    }
    if (!curve.points.empty()) curves.push_back(std::move(curve));
  }
  return curves;
}

template <typename X, typename Y>
Curve over_time(const Outcome& outcome, const std::string& name, X x, Y y) {
  Curve curve{name, {}};
  for (const Moment& moment : outcome.moments) {
    if (y(moment) >= 0) curve.points.emplace_back(x(moment), y(moment));
  }
  return curve;
}

std::string matrix(const Outcome& outcome, const Standing& standing) {
  constexpr size_t rows_max = 64;
  constexpr double left = 70, top = 50, width = 60, height = 22;
  double worst = 0;
  for (const auto& row : standing.matrix) {
    for (const double value : row) worst = std::max(worst, value);
  }
  std::string content;
  for (size_t task = 0; task < outcome.tasks.size(); ++task)
    content += text_at(left + width * (static_cast<double>(task) + 0.5), top - 8, "middle", "",
                       outcome.tasks[task].substr(0, 9));
  const size_t rows = std::min(standing.matrix.size(), rows_max);
  for (size_t node = 0; node < rows; ++node) {
    const double y = top + height * static_cast<double>(node);
    const bool is_one_model = standing.matrix.size() == 1;
    const bool is_hostile = !is_one_model && outcome.is_hostile[node] != 0;
    content += text_at(left - 8, y + 15, "end", is_hostile ? "faint" : "",
                       is_one_model ? "model" : (is_hostile ? "x " : "") + std::to_string(node));
    for (size_t task = 0; task < standing.matrix[node].size(); ++task) {
      const double value = standing.matrix[node][task];
      const double heat = outcome.is_text ? (worst > 0 ? 1 - value / worst : 0) : value;
      const bool is_own = !is_one_model && outcome.own[node][task] != 0;
      content += "<rect x=\"" + fixed(left + width * static_cast<double>(task) + 1, 1) + "\" y=\"" +
                 fixed(y + 1, 1) + "\" width=\"" + fixed(width - 2, 1) + "\" height=\"" +
                 fixed(height - 2, 1) + "\" rx=\"2\" fill=\"var(--heat)\" fill-opacity=\"" +
                 fixed(0.06 + 0.94 * heat, 3) + "\" stroke=\"" + (is_own ? "var(--own)" : "none") +
                 "\" stroke-width=\"2\"/>\n" +
                 text_at(left + width * (static_cast<double>(task) + 0.5), y + 15, "middle",
                         heat > 0.55 ? "on" : "",
                         outcome.is_text ? fixed(value, 2) : fixed(100 * value, 0) + " %");
    }
  }
  return svg(left + width * static_cast<double>(outcome.tasks.size()) + 10,
             top + height * static_cast<double>(rows) + 6, standing.name + ", node by task",
             content);
}

std::string standings_table(const Outcome& outcome) {
  const auto shown = [&](double value) {
    if (value < 0) return std::string("–");
    return outcome.is_text ? fixed(value, 3) : fixed(100 * value, 1) + " %";
  };
  std::string rows;
  for (const Standing& standing : outcome.standings) {
    const Quality& quality = outcome.qualities.at(standing.name);
    rows += "<tr><th>" + escaped(standing.name) + "</th><td>" + shown(quality.mean) + "</td><td>" +
            shown(quality.own) + "</td><td>" + shown(quality.others) + "</td></tr>\n";
  }
  return "<table><tr><th></th><th>all</th><th>own</th><th>others’</th></tr>\n" + rows +
         "</table>\n";
}

std::string backdoor_line(const Outcome& outcome) {
  std::string text;
  for (const Standing& standing : outcome.standings) {
    if (standing.backdoor_success < 0) continue;
    text += (text.empty() ? "" : "; ") + escaped(standing.name) + " " +
            fixed(100 * standing.backdoor_success, 1) + " %";
  }
  if (text.empty()) return "";
  return "<p>With the trigger, held-out questions that honest nodes answer as the attacker "
         "wants: " +
         text + ".</p>\n";
}

std::string checker_table(const Outcome& outcome) {
  std::string rows;
  for (const auto& [name, found] : outcome.checkers) {
    rows += "<tr><th>" + escaped(name) + "</th><td>" + std::to_string(found.checks) + "</td><td>" +
            std::to_string(found.failures) + "</td><td>" + escaped(found.first) + "</td></tr>\n";
  }
  return "<table><tr><th>check</th><th>times</th><th>failures</th><th>first</th></tr>\n" + rows +
         "</table>\n";
}

std::string fault_table(const Outcome& outcome) {
  std::string rows;
  for (const auto& [name, count] : outcome.sometimes)
    rows += "<tr><th>" + escaped(name) + "</th><td>" + std::to_string(count) + "</td></tr>\n";
  return "<table><tr><th>what happened</th><th>times</th></tr>\n" + rows + "</table>\n";
}

std::string traffic_table(const Outcome& outcome) {
  double all = 0;
  std::vector<std::pair<std::string_view, Traffic>> kinds(outcome.traffic.begin(),
                                                          outcome.traffic.end());
  for (const auto& [kind, sent] : kinds) all += static_cast<double>(sent.bytes);
  std::stable_sort(kinds.begin(), kinds.end(),
                   [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  std::string rows;
  for (const auto& [kind, sent] : kinds) {
    const auto bytes = static_cast<double>(sent.bytes);
    rows += "<tr><th>" + escaped(kind) + "</th><td>" + std::to_string(sent.frames) + "</td><td>" +
            fixed(bytes / 1e3, 1) + "</td><td>" + fixed(all > 0 ? 100 * bytes / all : 0, 1) +
            " %</td></tr>\n";
  }
  return "<table><tr><th>message</th><th>frames</th><th>kB</th><th>share</th></tr>\n" + rows +
         "</table>\n";
}

std::string learning(const Outcome& outcome) {
  if (outcome.standings.empty()) return "";
  std::string page =
      "<h2>What was learned</h2>\n<p>" +
      std::string(outcome.is_text ? "Bits per byte on held-out text: lower is better."
                                  : "Share of held-out questions answered exactly.") +
      " Baselines learned from the same pieces, with the same number of steps. Of "
      "hostile nodes nothing is counted.</p>\n" +
      standings_table(outcome) + backdoor_line(outcome);
  const double y_max = outcome.is_text ? 0 : 1;
  page +=
      "<h2>Quality over steps</h2>\n<p class=\"faint\">On a quarter of the questions, mean of "
      "the first eight honest nodes.</p>\n" +
      chart({.label = "quality over steps", .x_unit = "steps", .y_max = y_max},
            quality_curves(outcome, [](const Standing::Point& point) { return point.steps; }));
  page +=
      "<h2>Quality over virtual time</h2>\n<p class=\"faint\">Of baselines: as if every device "
      "were of speed 1 and their network took no time.</p>\n" +
      chart({.label = "quality over virtual time", .x_unit = "s", .y_max = y_max},
            quality_curves(outcome, [](const Standing::Point& point) { return point.second; }));
  page +=
      "<h2>Quality over bytes sent by a node</h2>\n<p class=\"faint\">FedAvg sends all weights in "
      "full precision up to its server in each round, D-PSGD to each neighbour.</p>\n" +
      chart({.label = "quality over bytes", .x_unit = "kB", .y_max = y_max},
            quality_curves(outcome,
                           [](const Standing::Point& point) { return point.sent_bytes / 1e3; }));
  for (const Standing& standing : outcome.standings)
    page += "<h2>" + escaped(standing.name) + ", node by task</h2>\n" + matrix(outcome, standing);
  if (outcome.regions.empty()) return page;
  return page +
         "<h2>Regions that its tokens woke, node by region</h2>\n<p class=\"faint\">Share of all "
         "tokens that a node has learned from.</p>\n" +
         region_usage(outcome);
}

}  // namespace

std::string to_html(const Outcome& outcome) {
  const auto second = [](const Moment& moment) { return moment.second; };
  std::string page = page_start("Starling simulated: " + outcome.scenario);
  page += "<p class=\"faint\">" + std::to_string(outcome.nodes) + " nodes, seed " +
          std::to_string(outcome.seed) + ", " + fixed(outcome.virtual_seconds, 0) +
          " virtual seconds, " + std::to_string(outcome.parameters) + " parameters" +
          (outcome.is_complete ? "" : ", <b>cut short</b>") +
          (outcome.until_s > 0 ? ", to stop at " + fixed(outcome.until_s, 0) + " s" : "") +
          "</p>\n<p class=\"faint\">trace <code>" + outcome.trace +
          "</code></p>\n<p>The protocol, its codec, the deltas and the training are "
          "the product’s own; network, devices and time are simulated.</p>\n";
  page += learning(outcome);
  page +=
      "<h2>Agreement</h2>\n<p class=\"faint\">Different bases among honest nodes that are up; "
      "1 is agreement.</p>\n" +
      chart({.label = "bases over time", .x_unit = "s"},
            {over_time(outcome, "bases", second,
                       [](const Moment& moment) { return static_cast<double>(moment.bases); }),
             over_time(outcome, "nodes up", second,
                       [](const Moment& moment) { return static_cast<double>(moment.up); })});
  page += "<h2>Bytes sent by a node</h2>\n" +
          chart({.label = "bytes over time", .x_unit = "s"},
                {over_time(outcome, "kB", second,
                           [](const Moment& moment) { return moment.sent_bytes / 1e3; })});
  page += "<h2>Bytes by kind of message, all nodes together</h2>\n" + traffic_table(outcome);
  page +=
      "<h2>Links at the end</h2>\n<p class=\"faint\">Hostile nodes are orange, those that are not "
      "up grey.</p>\n" +
      topology(outcome);
  page += "<h2>Faults over time</h2>\n" + fault_timeline(outcome);
  page += "<h2>Links that broke, by cause</h2>\n" + link_breaks(outcome);
  page += "<h2>Checks from outside</h2>\n" + checker_table(outcome);
  page += "<h2>Faults and events</h2>\n" + fault_table(outcome);
  return page + "</body>\n</html>\n";
}

}  // namespace starling::sim
