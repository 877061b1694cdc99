#pragma once
// The pieces that report pages are drawn from: SVG and HTML as text. No scripts, nothing fetched,
// light and dark.
#include <cstddef>
#include <string>
#include <string_view>

namespace starling::sim {

std::string page_start(std::string_view title);  // up to and with the heading
std::string fixed(double value, int digits);
std::string escaped(std::string_view text);

// `anchor`: start, middle, end. `kind`: a class of the style ("faint", "on"), or "".
std::string text_at(double x, double y, std::string_view anchor, std::string_view kind,
                    std::string_view text);
std::string svg(double width, double height, std::string_view label, const std::string& content);
std::string colour(size_t index, size_t count);
// A round step that divides `span` into three to eight parts.
double tick_step(double span);

}  // namespace starling::sim
