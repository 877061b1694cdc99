#include "sim/chart.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <set>

#include "sim/drawing.h"

namespace starling::sim {
namespace {

double right_of(const Chart& frame) { return frame.left + frame.width; }
double bottom_of(const Chart& frame) { return frame.top + frame.height; }

// What of the paper the curves take, in their own units.
class Scale {
 public:
  Scale(const Chart& frame, const std::vector<Curve>& curves) : frame_(frame), y_end_(frame.y_max) {
    for (const Curve& curve : curves) {
      assert(curve.spreads.empty() || curve.spreads.size() == curve.points.size());
      for (size_t i = 0; i < curve.points.size(); ++i) {
        const auto& [x, y] = curve.points[i];
        xs_.insert(x);
        const double spread = curve.spreads.empty() ? 0 : curve.spreads[i];
        if (frame.y_max == 0) y_end_ = std::max(y_end_, y + spread);
        ++points_;
      }
    }
    x_end_ = xs_.empty() ? 0 : *xs_.rbegin();
    is_log_ = frame.is_log && xs_.size() > 1 && *xs_.begin() > 0;
  }
  bool is_enough() const { return points_ >= 2 && x_end_ > 0 && y_end_ > 0; }
  double px(double x) const {
    const double first = is_log_ ? *xs_.begin() : 0;
    const double share = is_log_ ? std::log(x / first) / std::log(x_end_ / first) : x / x_end_;
    return frame_.left + frame_.width * share;
  }
  double py(double y) const {
    return frame_.top + frame_.height * (1 - std::clamp(y, 0.0, y_end_) / y_end_);
  }
  double y_end() const { return y_end_; }
  std::vector<double> x_ticks() const {
    if (is_log_) return {xs_.begin(), xs_.end()};
    std::vector<double> ticks;
    const double step = tick_step(x_end_);
    for (double x = 0; x <= x_end_ * 1.0001; x += step) ticks.push_back(x);
    return ticks;
  }

 private:
  const Chart& frame_;  // outlives this
  std::set<double> xs_;
  size_t points_ = 0;
  double x_end_ = 0, y_end_ = 0;
  bool is_log_ = false;
};

std::string axes(const Chart& frame, const Scale& scale) {
  std::string content;
  const double y_step = tick_step(scale.y_end());
  for (double y = 0; y <= scale.y_end() * 1.0001; y += y_step) {
    const std::string at = fixed(scale.py(y), 1);
    content +=
        "<line x1=\"" + fixed(frame.left, 1) + "\" x2=\"" + fixed(right_of(frame), 1) + "\" y1=\"" +
        at + "\" y2=\"" + at + "\" stroke=\"var(--line)\"/>\n" +
        text_at(frame.left - 8, scale.py(y) + 4, "end", "faint", fixed(y, y_step < 1 ? 2 : 0));
  }
  for (const double x : scale.x_ticks()) {
    const bool is_whole = x == std::floor(x);
    content += text_at(scale.px(x), bottom_of(frame) + 18, "middle", "faint",
                       fixed(x, is_whole ? 0 : 2) + " " + frame.x_unit);
  }
  return content;
}

std::string line_of(const Curve& curve, const Scale& scale, const std::string& ink) {
  std::string line, marks;
  for (size_t i = 0; i < curve.points.size(); ++i) {
    const auto& [x, y] = curve.points[i];
    const std::string at = fixed(scale.px(x), 1);
    line += at + "," + fixed(scale.py(y), 1) + " ";
    if (curve.spreads.empty()) continue;
    marks += "<circle cx=\"" + at + "\" cy=\"" + fixed(scale.py(y), 1) + "\" r=\"3\" fill=\"" +
             ink + "\"/>\n";
    if (curve.spreads[i] <= 0) continue;
    marks += "<line class=\"spread\" x1=\"" + at + "\" x2=\"" + at + "\" y1=\"" +
             fixed(scale.py(y - curve.spreads[i]), 1) + "\" y2=\"" +
             fixed(scale.py(y + curve.spreads[i]), 1) + "\" stroke-width=\"1.2\" stroke=\"" + ink +
             "\"/>\n";
  }
  return "<polyline fill=\"none\" stroke-width=\"1.8\" stroke=\"" + ink + "\" points=\"" + line +
         "\"/>\n" + marks;
}

}  // namespace

std::string chart(const Chart& frame, const std::vector<Curve>& curves) {
  const Scale scale(frame, curves);
  if (!scale.is_enough()) return "<p class=\"faint\">Too little was measured for a curve.</p>\n";
  std::string content = axes(frame, scale);
  size_t longest = 0;
  for (size_t i = 0; i < curves.size(); ++i) {
    const double y = frame.top + 14 + 17 * static_cast<double>(i);
    const std::string ink = colour(i, curves.size());
    content += line_of(curves[i], scale, ink) + "<rect x=\"" + fixed(right_of(frame) + 14, 1) +
               "\" y=\"" + fixed(y - 9, 1) + "\" width=\"12\" height=\"10\" fill=\"" + ink +
               "\"/>\n" + text_at(right_of(frame) + 32, y, "start", "", curves[i].name);
    longest = std::max(longest, curves[i].name.size());
  }
  const double names = std::max(140.0, 40 + 7 * static_cast<double>(longest));
  const double listed = frame.top + 17 * static_cast<double>(curves.size() + 1);
  return svg(right_of(frame) + names, std::max(bottom_of(frame) + 26, listed), frame.label,
             content);
}

}  // namespace starling::sim
