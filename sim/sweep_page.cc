// sweep.html: what a sweep came to, as a table and as pictures over each key that has numbers.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "sim/chart.h"
#include "sim/drawing.h"
#include "sim/sweep.h"

namespace starling::sim {
namespace {

constexpr size_t curves_max = 12;  // of one picture; what is more is told of

std::optional<double> value_of(const std::string& text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end || !std::isfinite(value) || value < 0)
    return std::nullopt;
  return value;
}

// Two numbers at least: a picture over the key is worth drawing.
bool has_numbers(const Variation& variation) {
  std::set<double> values;
  for (const std::string& text : variation.values) {
    const auto value = value_of(text);
    if (!value) return false;
    values.insert(*value);
  }
  return values.size() > 1;
}

// What the other keys are in a row; "" when there are none.
std::string others_of(const Sweep& sweep, const SweepRow& row, size_t key) {
  std::string text;
  for (size_t i = 0; i < sweep.variations.size(); ++i) {
    if (i == key) continue;
    text += (text.empty() ? "" : ", ") + sweep.variations[i].key + " " + row.setting[i];
  }
  return text;
}

// A figure over a key, where the others are as given; runs that never came so far have no point.
Curve curve_of(const Sweep& sweep, size_t key, const std::string& figure,
               const std::string& others) {
  struct Mark {
    double x, y, spread;
  };
  std::vector<Mark> marks;
  for (const SweepRow& row : sweep.rows) {
    const auto found = row.figures.find(figure);
    if (found == row.figures.end() || others_of(sweep, row, key) != others) continue;
    const Spread spread = spread_of(found->second);
    if (spread.count == spread.never) continue;
    marks.push_back({*value_of(row.setting[key]), spread.mean, spread.deviation});
  }
  std::stable_sort(marks.begin(), marks.end(),
                   [](const Mark& a, const Mark& b) { return a.x < b.x; });
  Curve curve{others.empty() ? figure : others, {}};
  for (const Mark& mark : marks) {
    curve.points.emplace_back(mark.x, mark.y);
    curve.spreads.push_back(mark.spread);
  }
  return curve;
}

std::string picture(const Sweep& sweep, size_t key, const std::string& label, double y_max,
                    std::vector<Curve> curves) {
  std::string page;
  if (curves.size() > curves_max) {
    page += "<p class=\"faint\">" + std::to_string(curves.size() - curves_max) +
            " more curves are not drawn.</p>\n";
    curves.resize(curves_max);
  }
  double least = HUGE_VAL, most = 0;
  for (const std::string& text : sweep.variations[key].values) {
    least = std::min(least, *value_of(text));
    most = std::max(most, *value_of(text));
  }
  // Over some doublings an even axis would crowd the small ones.
  const bool is_log = least > 0 && most >= 8 * least;
  return page + chart({.label = label + " over " + sweep.variations[key].key,
                       .x_unit = "",
                       .y_max = y_max,
                       .is_log = is_log},
                      curves);
}

// One picture of all figures where nothing else varies; otherwise one of each figure, with a curve
// for each combination of the other keys.
std::string qualities(const Sweep& sweep, size_t key, const std::set<std::string>& others) {
  const double y_max = sweep.is_text ? 0 : 1;
  std::vector<std::string> figures = columns_of(sweep);
  std::erase_if(figures, [](const std::string& figure) { return !is_quality(figure); });
  if (others.size() == 1) {
    std::vector<Curve> curves;
    for (const std::string& figure : figures) {
      curves.push_back(curve_of(sweep, key, figure, *others.begin()));
      curves.back().name = figure;
    }
    return picture(sweep, key, "quality", y_max, std::move(curves));
  }
  std::string page;
  for (const std::string& figure : figures) {
    std::vector<Curve> curves;
    for (const std::string& each : others) curves.push_back(curve_of(sweep, key, figure, each));
    page += "<h3>" + escaped(figure) + "</h3>\n" +
            picture(sweep, key, figure, y_max, std::move(curves));
  }
  return page;
}

std::string pictures(const Sweep& sweep, size_t key) {
  std::set<std::string> others;
  for (const SweepRow& row : sweep.rows) others.insert(others_of(sweep, row, key));
  if (others.empty()) return "";
  std::string page =
      "<h2>Over " + escaped(sweep.variations[key].key) + "</h2>\n" + qualities(sweep, key, others);
  for (const std::string& figure : columns_of(sweep)) {
    if (is_quality(figure)) continue;
    std::vector<Curve> curves;
    for (const std::string& each : others) curves.push_back(curve_of(sweep, key, figure, each));
    page += "<h3>" + escaped(figure) + "</h3>\n" + picture(sweep, key, figure, 0, curves);
  }
  return page;
}

std::string table(const Sweep& sweep) {
  std::string text = "<table>\n";
  bool is_heading = true;
  for (const std::vector<std::string>& line : table_of(sweep)) {
    text += "<tr>";
    for (const std::string& cell : line)
      text += (is_heading ? "<th>" : "<td>") + escaped(cell) + (is_heading ? "</th>" : "</td>");
    text += "</tr>\n";
    is_heading = false;
  }
  return text + "</table>\n";
}

}  // namespace

std::string to_html(const Sweep& sweep) {
  std::string page = page_start("Starling sweep: " + sweep.scenario);
  page += "<p>" +
          std::string(sweep.is_text ? "Bits per byte on held-out text: lower is better."
                                    : "Share of held-out questions answered exactly.") +
          " Means over " + std::to_string(sweep.seeds.size()) +
          (sweep.seeds.size() == 1 ? " seed" : " seeds; bars are the deviation of a sample") +
          ".</p>\n";
  for (size_t key = 0; key < sweep.variations.size(); ++key) {
    if (has_numbers(sweep.variations[key])) page += pictures(sweep, key);
  }
  return page + "<h2>All figures</h2>\n" + table(sweep) + "</body>\n</html>\n";
}

}  // namespace starling::sim
