#pragma once
// Curves over one axis, drawn as SVG for the report pages.
#include <string>
#include <utility>
#include <vector>

namespace starling::sim {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x, y; both from 0
  // Of each point, to be drawn as a bar above and below it; empty: points are not marked.
  std::vector<double> spreads = {};
};

struct Chart {
  std::string label, x_unit;
  double y_max = 0;  // 0: as large as the curves
  // Each doubling as wide as the next, marked at the points. Where an x is 0 or all are one, the
  // axis is an even one.
  bool is_log = false;
  double left = 56, top = 10, width = 620, height = 220;
};

// A sentence instead where fewer than two points were measured.
std::string chart(const Chart& frame, const std::vector<Curve>& curves);

}  // namespace starling::sim
