#pragma once
// When which node is up, from a file: a line for each change, `seconds node up|down`, with blanks,
// tabs or commas between them, in order of time. Empty lines and what follows a # are left out.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/result.h"

namespace starling::sim {

inline constexpr size_t churn_changes_max = 1'000'000;
inline constexpr size_t churn_file_size_max = 64u << 20;  // bytes
inline constexpr double churn_seconds_max = 30 * 86400.0;

struct ChurnChange {
  double second = 0;  // virtual
  uint32_t node = 0;
  bool is_up = false;
};

// Errors: one message, "file:line: what is wrong and what to write instead".
Result<std::vector<ChurnChange>, std::string> parse_churn(std::string_view text,
                                                          const std::string& path_shown);
// Errors: likewise; also for a file that is missing, not readable or too large.
Result<std::vector<ChurnChange>, std::string> read_churn(const std::string& path);

}  // namespace starling::sim
