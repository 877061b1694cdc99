#include "sim/chart.h"

#include <algorithm>

#include "sim/drawing.h"

namespace starling::sim {

std::string chart(const Chart& frame, const std::vector<Curve>& curves) {
  double x_end = 0, y_end = frame.y_max;
  size_t points = 0;
  for (const Curve& curve : curves) {
    points += curve.points.size();
    for (const auto& [x, y] : curve.points) {
      x_end = std::max(x_end, x);
      if (frame.y_max == 0) y_end = std::max(y_end, y);
    }
  }
  if (points < 2 || x_end <= 0 || y_end <= 0)
    return "<p class=\"faint\">Too little was measured for a curve.</p>\n";
  const auto px = [&](double x) { return frame.left + frame.width * x / x_end; };
  const auto py = [&](double y) { return frame.top + frame.height * (1 - y / y_end); };
  std::string content;
  const double x_step = tick_step(x_end), y_step = tick_step(y_end);
  for (double y = 0; y <= y_end * 1.0001; y += y_step) {
    content += "<line x1=\"" + fixed(frame.left, 1) + "\" x2=\"" +
               fixed(frame.left + frame.width, 1) + "\" y1=\"" + fixed(py(y), 1) + "\" y2=\"" +
               fixed(py(y), 1) + "\" stroke=\"var(--line)\"/>\n" +
               text_at(frame.left - 8, py(y) + 4, "end", "faint", fixed(y, y_step < 1 ? 2 : 0));
  }
  for (double x = 0; x <= x_end * 1.0001; x += x_step) {
    content += text_at(px(x), frame.top + frame.height + 18, "middle", "faint",
                       fixed(x, x_step < 1 ? 2 : 0) + " " + frame.x_unit);
  }
  for (size_t i = 0; i < curves.size(); ++i) {
    std::string line;
    for (const auto& [x, y] : curves[i].points)
      line += fixed(px(x), 1) + "," + fixed(py(std::min(y, y_end)), 1) + " ";
    const double y = frame.top + 14 + 17 * static_cast<double>(i);
    content += "<polyline fill=\"none\" stroke-width=\"1.8\" stroke=\"" + colour(i, curves.size()) +
               "\" points=\"" + line + "\"/>\n<rect x=\"" +
               fixed(frame.left + frame.width + 14, 1) + "\" y=\"" + fixed(y - 9, 1) +
               "\" width=\"12\" height=\"10\" fill=\"" + colour(i, curves.size()) + "\"/>\n" +
               text_at(frame.left + frame.width + 32, y, "start", "", curves[i].name);
  }
  return svg(frame.left + frame.width + 140, frame.top + frame.height + 26, frame.label, content);
}

}  // namespace starling::sim
