#include "node/table.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cmath>
#include <ctime>

namespace starling::node {

namespace {

size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;  // not a continuation byte
  }));
}

bool is_number(const std::string& text) {
  return !text.empty() &&
         (text == "-" || (text[0] >= '0' && text[0] <= '9') ||
          (text.size() > 1 && text[0] == '-' && text[1] >= '0' && text[1] <= '9')) &&
         text.find_first_not_of("0123456789.- eE+") == std::string::npos;
}

}  // namespace

std::string render_table(const std::vector<std::string>& head,
                         const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(head.size());
  std::vector<bool> is_right(head.size(), !rows.empty());
  for (size_t i = 0; i < head.size(); ++i) {
    widths[i] = width_of(head[i]);
    for (const auto& row : rows) {
      assert(row.size() == head.size());
      widths[i] = std::max(widths[i], width_of(row[i]));
      if (!is_number(row[i])) is_right[i] = false;
    }
  }
  std::string out;
  const auto add = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string gap(widths[i] - width_of(row[i]), ' ');
      line += (i > 0 ? "  " : "") + (is_right[i] ? gap + row[i] : row[i] + gap);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  add(head);
  for (const auto& row : rows) add(row);
  return out;
}

std::string number_text(double value, int decimals) {
  if (!std::isfinite(value)) return "-";
  std::array<char, 400> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value,
                                 std::chars_format::fixed, decimals)
                       .ptr;
  return {text.data(), end};
}

std::string count_text(uint64_t count) {
  std::string digits = std::to_string(count);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, " ");
  return digits;
}

std::string count_text(uint64_t count, const std::string& noun) {
  return count_text(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string size_text(uint64_t bytes) {
  constexpr std::array units = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return number_text(value, unit == 0 || value >= 100 ? 0 : 1) + " " + units[unit];
}

std::string duration_text(double seconds) {
  if (seconds < 0) return "-";
  if (seconds < 10) return number_text(seconds, 1) + " s";
  if (seconds < 120) return number_text(seconds, 0) + " s";
  if (seconds < 120 * 60) return number_text(seconds / 60, 0) + " min";
  if (seconds < 48 * 3600) return number_text(seconds / 3600, 0) + " h";
  return number_text(seconds / 86400, 0) + " days";
}

std::string time_text(int64_t unix_s) {
  const std::time_t then = unix_s;
  const std::time_t now = std::time(nullptr);
  std::tm local_then{};
  std::tm local_now{};
  localtime_r(&then, &local_then);
  localtime_r(&now, &local_now);
  const bool is_today =
      local_then.tm_year == local_now.tm_year && local_then.tm_yday == local_now.tm_yday;
  std::array<char, 64> text{};
  const size_t size = std::strftime(text.data(), text.size(),
                                    is_today ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &local_then);
  return {text.data(), size};
}

}  // namespace starling::node
