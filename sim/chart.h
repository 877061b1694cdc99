#pragma once
// Curves over one axis, drawn as SVG for the report pages.
#include <string>
#include <utility>
#include <vector>

namespace starling::sim {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x, y; both from 0
};

struct Chart {
  std::string label, x_unit;
  double y_max = 0;  // 0: as large as the curves
  double left = 56, top = 10, width = 620, height = 220;
};

// A sentence instead where fewer than two points were measured.
std::string chart(const Chart& frame, const std::vector<Curve>& curves);

}  // namespace starling::sim
