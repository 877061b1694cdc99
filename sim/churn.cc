#include "sim/churn.h"

#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

namespace starling::sim {
namespace {

constexpr std::string_view separators = " \t\r,";
constexpr size_t words_of_a_line = 3;
constexpr size_t shown_max = 40;  // characters of what is wrong

std::vector<std::string_view> words_of(std::string_view line) {
  line = line.substr(0, line.find('#'));
  std::vector<std::string_view> words;
  while (words.size() <= words_of_a_line) {
    const size_t begin = line.find_first_not_of(separators);
    if (begin == std::string_view::npos) break;
    line.remove_prefix(begin);
    const size_t size = std::min(line.find_first_of(separators), line.size());
    words.push_back(line.substr(0, size));
    line.remove_prefix(size);
  }
  return words;
}

template <typename Number>
std::optional<Number> number_of(std::string_view word) {
  Number number{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return number;
}

std::string quoted(std::string_view word) {
  return "\"" + std::string(word.substr(0, shown_max)) + "\"";
}

// "" or what is wrong with the line.
std::string read_change(const std::vector<std::string_view>& words, double not_before,
                        ChurnChange& change) {
  if (words.size() != words_of_a_line)
    return "must be three words: seconds, node, and up or down, such as 120 3 down";
  const auto second = number_of<double>(words[0]);
  if (!second || !std::isfinite(*second) || *second < 0 || *second > churn_seconds_max)
    return "the seconds must be a number from 0 to 2592000 but are " + quoted(words[0]);
  if (*second < not_before) return "is earlier than the line before; sort the lines by time";
  const auto node = number_of<uint32_t>(words[1]);
  if (!node) return "the node must be a whole number from 0 on but is " + quoted(words[1]);
  if (*node == 0) return "node 0 must stay up: its address is the one that all others know";
  const bool is_up = words[2] == "up";
  if (!is_up && words[2] != "down")
    return "the last word must be up or down but is " + quoted(words[2]);
  change = {*second, *node, is_up};
  return "";
}

}  // namespace

Result<std::vector<ChurnChange>, std::string> parse_churn(std::string_view text,
                                                          const std::string& path_shown) {
  std::vector<ChurnChange> changes;
  for (size_t line = 1; !text.empty(); ++line) {
    const size_t size = std::min(text.find('\n'), text.size());
    const auto words = words_of(text.substr(0, size));
    text.remove_prefix(std::min(size + 1, text.size()));
    if (words.empty()) continue;
    ChurnChange change;
    std::string problem = read_change(words, changes.empty() ? 0 : changes.back().second, change);
    if (changes.size() == churn_changes_max)
      problem = "is more than " + std::to_string(churn_changes_max) + " lines; leave some out";
    if (!problem.empty())
      return Unexpected{path_shown + ":" + std::to_string(line) + ": " + problem};
    changes.push_back(change);
  }
  if (changes.empty())
    return Unexpected{path_shown + ": says of no node when it is up; write a line for each change"};
  return changes;
}

Result<std::vector<ChurnChange>, std::string> read_churn(const std::string& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return Unexpected{path + ": " + error.message()};
  if (size > churn_file_size_max)
    return Unexpected{path + ": is larger than " + std::to_string(churn_file_size_max >> 20) +
                      " MiB; give a part of it"};
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file || text.size() != size) return Unexpected{path + ": cannot be read"};
  return parse_churn(text, path);
}

}  // namespace starling::sim
