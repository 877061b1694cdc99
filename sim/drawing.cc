#include "sim/drawing.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace starling::sim {
namespace {

constexpr std::string_view style = R"(
:root { color-scheme: light dark; --ink: #1d2330; --paper: #ffffff; --faint: #8a93a5;
  --line: #d5dae3; --heat: #0b6e4f; --on-heat: #ffffff; --own: #c4501b; --sent: #3566b8;
  --received: #8fb0e6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaf0; --paper: #14171d;
  --faint: #8d96a8; --line: #343b48; --heat: #35b98a; --on-heat: #0c1512; --own: #f2935f;
  --sent: #7ba6ee; --received: #3d5d94; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .4rem; }
p { max-width: 46rem; } .faint { color: var(--faint); } code { font-size: .85em; }
svg { display: block; max-width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .faint { fill: var(--faint); } svg .on { fill: var(--on-heat); }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
td { font-variant-numeric: tabular-nums; border-top: 1px solid var(--line); }
)";

}  // namespace

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char letter : text) {
    switch (letter) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += letter;
    }
  }
  return out;
}

std::string text_at(double x, double y, std::string_view anchor, std::string_view kind,
                    std::string_view text) {
  return "<text x=\"" + fixed(x, 1) + "\" y=\"" + fixed(y, 1) + "\" text-anchor=\"" +
         std::string(anchor) + "\" class=\"" + std::string(kind) + "\">" + escaped(text) +
         "</text>\n";
}

std::string svg(double width, double height, std::string_view label, const std::string& content) {
  return "<svg role=\"img\" aria-label=\"" + escaped(label) + "\" width=\"" + fixed(width, 0) +
         "\" height=\"" + fixed(height, 0) + "\" viewBox=\"0 0 " + fixed(width, 0) + " " +
         fixed(height, 0) + "\">\n" + content + "</svg>\n";
}

std::string colour(size_t index, size_t count) {
  return "hsl(" + std::to_string(360 * index / std::max<size_t>(1, count)) + " 62% 52%)";
}

double tick_step(double span) {
  const double rough = span / 5;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double lead = rough / power;
  return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

std::string page_start(std::string_view title) {
  return "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
         "name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
         escaped(title) + "</title>\n<style>" + std::string(style) +
         "</style>\n</head>\n<body>\n<h1>" + escaped(title) + "</h1>\n";
}

}  // namespace starling::sim
