#include "node/nearest.h"

#include <algorithm>
#include <array>

namespace starling::node {

namespace {
constexpr size_t word_size_max = 64;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  a = a.substr(0, word_size_max);
  b = b.substr(0, word_size_max);
  // Row i holds the distances of a's first i bytes to every prefix of b; a swap looks two rows
  // back.
  std::array<std::array<size_t, word_size_max + 1>, 3> rows{};
  for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i - 1) % 3];
    const auto& two_above = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitution = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, substitution});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], two_above[j - 2] + 1);
      }
    }
  }
  return rows[a.size() % 3][b.size()];
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  const auto closest =
      std::min_element(known.begin(), known.end(), [&](const std::string& a, const std::string& b) {
        return edit_distance(word, a) < edit_distance(word, b);
      });
  return closest == known.end() ? std::string() : *closest;
}

}  // namespace starling::node
