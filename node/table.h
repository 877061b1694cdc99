#pragma once
// Text for people: aligned tables, sizes, times. Widths count characters, not bytes.
#include <cstdint>
#include <string>
#include <vector>

namespace starling::node {

// Columns two spaces apart; the last is not padded. Columns of numbers stand to the right.
// Requires: every row as wide as `head`.
std::string render_table(const std::vector<std::string>& head,
                         const std::vector<std::vector<std::string>>& rows);

std::string size_text(uint64_t bytes);  // "1.2 MiB"
std::string number_text(double value, int decimals);
std::string count_text(uint64_t count);                           // "1 234 567"
std::string count_text(uint64_t count, const std::string& noun);  // "1 member", "2 members"
std::string duration_text(double seconds);  // "3 s", "12 min", "5 h", "2 days"
std::string time_text(int64_t unix_s);      // local time, "14:02:11" today, else with the date

}  // namespace starling::node
