#pragma once
// "Did you mean ...?": the known word that is the fewest keystrokes away. For config keys and CLI
// verbs.
#include <string>
#include <string_view>
#include <vector>

namespace starling::node {

// Insertions, deletions, substitutions and swaps of neighbours, each counted 1. Words are cut at 64
// bytes.
size_t edit_distance(std::string_view a, std::string_view b);

// The nearest of `known` (the first of equals); "" only when `known` is empty.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace starling::node
