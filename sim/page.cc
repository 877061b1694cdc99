#include "sim/page.h"

#include <algorithm>
#include <string_view>

#include "sim/drawing.h"

namespace starling::sim {
namespace {

struct Range {
  double low = 0, high = 1;
};

Range range_of(const Report& report) {
  if (report.kind == Kind::skills) return {};
  Range range{.low = 1e9, .high = 0};
  for (const auto* matrix : {&report.alone, &report.swarm}) {
    for (const auto& row : *matrix) {
      for (const double value : row) {
        range.low = std::min(range.low, value);
        range.high = std::max(range.high, value);
      }
    }
  }
  if (range.high <= range.low) range.high = range.low + 1;
  return range;
}

// 0: worst on the page, 1: best.
double goodness(Kind kind, const Range& range, double value) {
  const double share = std::clamp((value - range.low) / (range.high - range.low), 0.0, 1.0);
  return kind == Kind::skills ? share : 1 - share;
}

std::string heat_map(const Report& report, const std::vector<std::vector<double>>& matrix,
                     std::string_view label) {
  constexpr double left = 90, top = 62, cell_width = 66, cell_height = 34;
  const Range range = range_of(report);
  std::string content;
  for (size_t task = 0; task < report.tasks.size(); ++task) {
    const double x = left + cell_width * (static_cast<double>(task) + 0.5);
    content += "<g transform=\"translate(" + fixed(x, 1) + "," + fixed(top - 8, 1) +
               ") rotate(-28)\">" + text_at(0, 0, "start", "", report.tasks[task]) + "</g>\n";
  }
  for (size_t node = 0; node < report.nodes.size(); ++node) {
    const double y = top + cell_height * static_cast<double>(node);
    content += text_at(left - 10, y + cell_height / 2 + 4, "end", "", report.nodes[node]);
    for (size_t task = 0; task < report.tasks.size(); ++task) {
      const double x = left + cell_width * static_cast<double>(task);
      const double value = matrix[node][task];
      const double heat = goodness(report.kind, range, value);
      const auto& own = report.own[node];
      const bool is_own = std::find(own.begin(), own.end(), task) != own.end();
      content += "<rect x=\"" + fixed(x + 2, 1) + "\" y=\"" + fixed(y + 2, 1) + "\" width=\"" +
                 fixed(cell_width - 4, 1) + "\" height=\"" + fixed(cell_height - 4, 1) +
                 "\" rx=\"3\" fill=\"var(--heat)\" fill-opacity=\"" + fixed(0.06 + 0.94 * heat, 3) +
                 "\" stroke=\"" + (is_own ? "var(--own)" : "none") + "\" stroke-width=\"2.5\"/>\n";
      const std::string shown =
          report.kind == Kind::skills ? fixed(100 * value, 0) + " %" : fixed(value, 2);
      content += text_at(x + cell_width / 2, y + cell_height / 2 + 4, "middle",
                         heat > 0.55 ? "on" : "", shown);
    }
  }
  return svg(left + cell_width * static_cast<double>(report.tasks.size()) + 60,
             top + cell_height * static_cast<double>(report.nodes.size()) + 6, label, content);
}

struct Plot {
  double left = 48, top = 10, width = 620, height = 230;
  double seconds = 1, loss = 1;  // the ends of the axes
  double x(double second) const { return left + width * second / seconds; }
  double y(double value) const { return top + height * (1 - std::min(value, loss) / loss); }
};

std::string axes(const Plot& plot) {
  std::string content;
  const double loss_step = tick_step(plot.loss), second_step = tick_step(plot.seconds);
  for (double value = 0; value <= plot.loss * 1.0001; value += loss_step) {
    content += "<line x1=\"" + fixed(plot.left, 1) + "\" x2=\"" + fixed(plot.left + plot.width, 1) +
               "\" y1=\"" + fixed(plot.y(value), 1) + "\" y2=\"" + fixed(plot.y(value), 1) +
               "\" stroke=\"var(--line)\"/>\n";
    content += text_at(plot.left - 8, plot.y(value) + 4, "end", "faint",
                       fixed(value, loss_step < 1 ? 1 : 0));
  }
  for (double value = 0; value <= plot.seconds * 1.0001; value += second_step) {
    content += text_at(plot.x(value), plot.top + plot.height + 18, "middle", "faint",
                       fixed(value, second_step < 1 ? 1 : 0) + " s");
  }
  return content;
}

std::string curves(const Report& report, std::string_view phase) {
  Plot plot;
  plot.seconds = plot.loss = 0;
  for (const Series& series : report.series) {
    for (const double second : series.seconds) plot.seconds = std::max(plot.seconds, second);
    for (const double value : series.loss) plot.loss = std::max(plot.loss, value);
  }
  if (plot.seconds <= 0 || plot.loss <= 0)
    return "<p class=\"faint\">The run was too short for a curve.</p>\n";
  std::string content = axes(plot);
  for (const Series& series : report.series) {
    if (series.phase != phase) continue;
    const auto found = std::find(report.nodes.begin(), report.nodes.end(), series.node);
    const size_t index = static_cast<size_t>(found - report.nodes.begin());
    std::string points;
    for (size_t i = 0; i < series.seconds.size(); ++i) {
      if (series.loss[i] <= 0) continue;  // nothing measured yet
      points += fixed(plot.x(series.seconds[i]), 1) + "," + fixed(plot.y(series.loss[i]), 1) + " ";
    }
    const std::string stroke = colour(index, report.nodes.size());
    content += "<polyline fill=\"none\" stroke-width=\"1.6\" stroke=\"" + stroke + "\" points=\"" +
               points + "\"/>\n";
    const double y = plot.top + 14 + 17 * static_cast<double>(index);
    content += "<rect x=\"" + fixed(plot.left + plot.width + 14, 1) + "\" y=\"" + fixed(y - 9, 1) +
               "\" width=\"12\" height=\"10\" fill=\"" + stroke + "\"/>\n";
    content += text_at(plot.left + plot.width + 32, y, "start", "", series.node);
  }
  const double legend = 24 + 17 * static_cast<double>(report.nodes.size());
  return svg(plot.left + plot.width + 120, std::max(plot.top + plot.height + 26, legend),
             "loss over time, " + std::string(phase), content);
}

std::string byte_bars(const Report& report) {
  uint64_t most = 1;
  for (size_t node = 0; node < report.nodes.size(); ++node) {
    most = std::max({most, report.sent_bytes[node], report.received_bytes[node]});
  }
  constexpr double left = 90, width = 460, row = 36;
  std::string content;
  const auto bar = [&](double y, uint64_t bytes, std::string_view fill, std::string_view verb) {
    const double share = static_cast<double>(bytes) / static_cast<double>(most);
    content += "<rect x=\"" + fixed(left, 1) + "\" y=\"" + fixed(y, 1) +
               "\" height=\"13\" width=\"" + fixed(std::max(1.0, width * share), 1) + "\" fill=\"" +
               std::string(fill) + "\"/>\n";
    content +=
        text_at(left + width * share + 8, y + 11, "start", "faint",
                std::string(verb) + " " + fixed(static_cast<double>(bytes) / 1e6, 2) + " MB");
  };
  for (size_t node = 0; node < report.nodes.size(); ++node) {
    const double y = row * static_cast<double>(node) + 4;
    content += text_at(left - 10, y + 19, "end", "", report.nodes[node]);
    bar(y, report.sent_bytes[node], "var(--sent)", "sent");
    bar(y + 14, report.received_bytes[node], "var(--received)", "received");
  }
  return svg(left + width + 140, row * static_cast<double>(report.nodes.size()) + 8,
             "bytes sent and received", content);
}

std::string shown_mean(Kind kind, double value) {
  if (value < 0) return "–";
  return kind == Kind::skills ? fixed(100 * value, 1) + " %" : fixed(value, 3);
}

std::string means_table(const Report& report) {
  std::string rows;
  for (const bool is_swarm : {false, true}) {
    const Means mean = means(report, is_swarm ? report.swarm : report.alone);
    rows += std::string("<tr><th>") + (is_swarm ? "in the swarm" : "alone") + "</th><td>" +
            shown_mean(report.kind, mean.all) + "</td><td>" + shown_mean(report.kind, mean.own) +
            "</td><td>" + shown_mean(report.kind, mean.others) + "</td></tr>\n";
  }
  return "<table><tr><th>mean</th><th>all</th><th>own</th><th>others’</th></tr>\n" + rows +
         "</table>\n";
}

std::string node_table(const Report& report) {
  std::string rows;
  for (size_t node = 0; node < report.nodes.size(); ++node) {
    rows += "<tr><th>" + escaped(report.nodes[node]) + "</th><td>" +
            std::to_string(report.steps[node]) + "</td><td><code>" +
            escaped(report.base_hashes[node]) + "</code></td></tr>\n";
  }
  return "<table><tr><th>node</th><th>steps</th><th>hash of the shared base at the "
         "end</th></tr>\n" +
         rows + "</table>\n";
}

std::string introduction(const Report& report) {
  const std::string count = std::to_string(report.nodes.size());
  const std::string what =
      report.kind == Kind::skills
          ? "Each cell is the share of held-out questions of a skill that the node answers "
            "exactly, every byte right. "
            "A fifth of each skill’s questions is held out; no node was ever taught them."
          : "Each cell is the bits per byte that the node needs on a held-out part of a text: "
            "lower is better. The last "
            "tenth of each text is held out; up to " +
                std::to_string(test_size_max / 1024) + " KiB of it are scored.";
  return "<p>" + count +
         " processes of the same program on one machine, each with its own data, over real "
         "connections. " +
         what +
         " Outlined cells are the node’s own subjects.</p>\n<p><b>Alone</b> is not an "
         "estimate: the same program learned from the same data for the same number of steps, with "
         "the exchange "
         "switched off. Both ran on one machine over loopback; links that are slow, lossy or away, "
         "and peers that "
         "mean harm, are not part of this run.</p>\n";
}

}  // namespace

std::string to_html(const Report& report) {
  const std::string title = report.kind == Kind::skills
                                ? "Starling: what a swarm of nodes has taught itself"
                                : "Starling: texts learned apart and together";
  std::string page = page_start(title);
  page += "<p class=\"faint\">" + std::to_string(report.nodes.size()) + " nodes, " +
          std::to_string(report.parameters) + " parameters, " + fixed(report.seconds, 0) +
          " s, seed " + std::to_string(report.seed) + "</p>\n" + introduction(report);
  page += "<h2>In the swarm</h2>\n" +
          heat_map(report, report.swarm, "each node on each task, in the swarm");
  page += "<h2>Alone</h2>\n" + heat_map(report, report.alone, "each node on each task, alone");
  page += "<h2>Means</h2>\n" + means_table(report);
  page +=
      "<h2>Loss while learning, in the swarm</h2>\n<p class=\"faint\">Bits per predicted position "
      "on the node’s "
      "own data.</p>\n" +
      curves(report, "swarm");
  page += "<h2>Loss while learning, alone</h2>\n" + curves(report, "alone");
  page += "<h2>Bytes</h2>\n<p>A parameter of a delta took " + fixed(report.bits_per_parameter, 3) +
          " bits on the wire, headers and signatures counted.</p>\n" + byte_bars(report);
  page += "<h2>Agreement</h2>\n<p>" +
          std::string(report.is_agreed() ? "All nodes ended with the same base, bit for bit."
                                         : "The nodes did <b>not</b> end with the same base.") +
          "</p>\n" + node_table(report) + "</body>\n</html>\n";
  return page;
}

}  // namespace starling::sim
