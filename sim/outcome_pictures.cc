#include "sim/outcome_pictures.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "sim/drawing.h"

namespace starling::sim {
namespace {

std::string attribute(const char* name, double value) {
  return std::string(" ") + name + "=\"" + fixed(value, 1) + "\"";
}

// Of pictures over time.
constexpr double timeline_left = 130, timeline_top = 10, timeline_width = 620, timeline_row = 20;

std::string seconds_below(double end, double bottom) {
  std::string content;
  for (double second = 0; second <= end * 1.0001; second += tick_step(end)) {
    content += text_at(timeline_left + timeline_width * second / end, bottom + 16, "middle",
                       "faint", fixed(second, 0) + " s");
  }
  return content;
}

std::string note(const std::string& sentence) {
  return "<p class=\"faint\">" + sentence + "</p>\n";
}

}  // namespace

std::string fault_timeline(const Outcome& outcome) {
  constexpr double left = timeline_left, top = timeline_top, width = timeline_width,
                   height = timeline_row;
  if (outcome.faults_seen.empty()) return note("No node and no line was made to fail.");
  std::vector<std::string_view> kinds;  // in the order in which they came first
  for (const FaultSeen& fault : outcome.faults_seen) {
    if (std::find(kinds.begin(), kinds.end(), fault.kind) == kinds.end())
      kinds.push_back(fault.kind);
  }
  const double end = std::max(outcome.virtual_seconds, 1.0);
  const double bottom = top + height * static_cast<double>(kinds.size());
  std::string content;
  for (size_t row = 0; row < kinds.size(); ++row) {
    const double y = top + height * (static_cast<double>(row) + 0.5);
    content += "<line" + attribute("x1", left) + attribute("x2", left + width) +
               attribute("y1", y) + attribute("y2", y) + " stroke=\"var(--line)\"/>\n" +
               text_at(left - 8, y + 4, "end", "", kinds[row]);
  }
  content += seconds_below(end, bottom);
  for (const FaultSeen& fault : outcome.faults_seen) {
    const auto row = std::find(kinds.begin(), kinds.end(), fault.kind) - kinds.begin();
    const std::string whose = fault.node ? "node " + std::to_string(*fault.node) : "all";
    content += "<rect class=\"fault\"" + attribute("x", left + width * fault.second / end - 1) +
               attribute("y", top + height * static_cast<double>(row) + 3) +
               " width=\"2\" height=\"14\" fill=\"var(--own)\"><title>" + escaped(fault.kind) +
               ", " + whose + ", " + fixed(fault.second, 1) + " s</title></rect>\n";
  }
  std::string page = svg(left + width + 40, bottom + 24, "faults over time", content);
  if (outcome.faults_not_kept > 0)
    page += note(std::to_string(outcome.faults_not_kept) + " later ones are not shown.");
  return page;
}

std::string link_breaks(const Outcome& outcome) {
  const BreakCounts& breaks = outcome.breaks;
  if (breaks.by_cause().empty()) return note("No link broke.");
  uint64_t most = 1;
  for (const auto& [cause, counts] : breaks.by_cause())
    most = std::max(most, *std::max_element(counts.begin(), counts.end()));
  const double end = std::max(outcome.virtual_seconds, 1.0), wide = timeline_width / end;
  double y = timeline_top;
  std::string content;
  for (const auto& [cause, counts] : breaks.by_cause()) {
    content += text_at(timeline_left - 8, y + 14, "end", "", cause);
    for (size_t span = 0; span < counts.size(); ++span) {
      if (counts[span] == 0) continue;
      const double from = breaks.span_s() * static_cast<double>(span);
      const double to = std::min(from + breaks.span_s(), end);
      const double heat = static_cast<double>(counts[span]) / static_cast<double>(most);
      content += "<rect class=\"broken\"" + attribute("x", timeline_left + wide * from) +
                 attribute("y", y + 3) + attribute("width", std::max(1.0, wide * (to - from))) +
                 " height=\"14\" fill=\"var(--own)\" fill-opacity=\"" + fixed(0.2 + 0.8 * heat, 3) +
                 "\"><title>" + escaped(cause) + ", " + fixed(from, 0) + " to " + fixed(to, 0) +
                 " s: " + std::to_string(counts[span]) + "</title></rect>\n";
    }
    y += timeline_row;
  }
  const std::vector<uint64_t>& lost = breaks.by_node();
  const auto worst = std::max_element(lost.begin(), lost.end());
  return svg(timeline_left + timeline_width + 40, y + 24, "links that broke",
             content + seconds_below(end, y)) +
         note("Node " + std::to_string(worst - lost.begin()) +
              " lost the most: " + std::to_string(*worst) + ".");
}

std::string topology(const Outcome& outcome) {
  constexpr double radius = 240, middle = radius + 30;
  constexpr uint32_t named_max = 64;
  const uint32_t nodes = std::min(outcome.nodes, nodes_drawn_max);
  const auto place = [&](uint32_t node, double distance) {
    const double angle = 2 * std::numbers::pi * node / nodes;
    return std::pair(middle + distance * std::sin(angle), middle - distance * std::cos(angle));
  };
  std::string content;
  for (const auto& [a, b] : outcome.links) {
    const auto [x1, y1] = place(a, radius);
    const auto [x2, y2] = place(b, radius);
    content += "<line class=\"link\"" + attribute("x1", x1) + attribute("y1", y1) +
               attribute("x2", x2) + attribute("y2", y2) +
               " stroke=\"var(--sent)\" stroke-opacity=\"0.35\"/>\n";
  }
  for (uint32_t node = 0; node < nodes; ++node) {
    const auto [x, y] = place(node, radius);
    const bool is_up = node < outcome.is_up.size() && outcome.is_up[node] != 0;
    const bool is_hostile = node < outcome.is_hostile.size() && outcome.is_hostile[node] != 0;
    const char* const ink = is_hostile ? "var(--own)" : is_up ? "var(--heat)" : "var(--faint)";
    content += "<circle class=\"node\"" + attribute("cx", x) + attribute("cy", y) +
               " r=\"5\" fill=\"" + ink + "\"><title>node " + std::to_string(node) +
               (is_hostile ? ", hostile" : "") + (is_up ? "" : ", not up") + "</title></circle>\n";
    if (nodes > named_max) continue;
    const auto [name_x, name_y] = place(node, radius + 16);
    content += text_at(name_x, name_y + 4, "middle", "faint", std::to_string(node));
  }
  std::string page = svg(2 * middle, 2 * middle, "links at the end", content);
  if (nodes < outcome.nodes)
    page += note("The first " + std::to_string(nodes) + " nodes of " +
                 std::to_string(outcome.nodes) + ".");
  return page;
}

std::string region_usage(const Outcome& outcome) {
  constexpr size_t rows_max = 64;
  constexpr double left = 50, top = 76, width = 22, height = 18;
  const size_t rows = std::min(outcome.region_usage.size(), rows_max);
  std::string content;
  for (size_t region = 0; region < outcome.regions.size(); ++region) {
    const double x = left + width * (static_cast<double>(region) + 0.6);
    content += "<g transform=\"translate(" + fixed(x, 1) + "," + fixed(top - 6, 1) +
               ") rotate(-60)\">" + text_at(0, 0, "start", "", outcome.regions[region]) + "</g>\n";
  }
  for (size_t node = 0; node < rows; ++node) {
    const double y = top + height * static_cast<double>(node);
    const bool is_hostile = outcome.is_hostile[node] != 0;
    content += text_at(left - 6, y + 13, "end", is_hostile ? "faint" : "",
                       (is_hostile ? "x " : "") + std::to_string(node));
    for (size_t region = 0; region < outcome.regions.size(); ++region) {
      const double share = outcome.region_usage[node][region];
      content +=
          "<rect class=\"usage\"" + attribute("x", left + width * static_cast<double>(region) + 1) +
          attribute("y", y + 1) + attribute("width", width - 2) + attribute("height", height - 2) +
          " fill=\"var(--heat)\" fill-opacity=\"" + fixed(0.04 + 0.96 * std::min(share, 1.0), 3) +
          "\"><title>node " + std::to_string(node) + ", " + outcome.regions[region] + ": " +
          fixed(100 * share, 0) + " %</title></rect>\n";
    }
  }
  std::string page = svg(left + width * static_cast<double>(outcome.regions.size()) + 50,
                         top + height * static_cast<double>(rows) + 6, "region usage", content);
  if (rows < outcome.region_usage.size())
    page += note("The first " + std::to_string(rows) + " nodes.");
  return page;
}

}  // namespace starling::sim
