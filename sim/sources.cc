#include "sim/sources.h"

#include <cerrno>
#include <fstream>
#include <system_error>

namespace starling::sim {
namespace {

namespace fs = std::filesystem;

// Every path that is given, with its key, in the order of the keys.
template <typename S, typename F>
void visit_paths(S& scenario, F f) {
  for (auto& text : scenario.learn.texts) f("learn.texts", text);
  f("learn.images", scenario.learn.images);
  f("learn.labels", scenario.learn.labels);
  f("learn.table", scenario.learn.table);
  f("faults.churn_trace", scenario.faults.churn_trace);
}

// "" or what is wrong and what to do.
std::string trouble_with(const std::string& path, bool may_be_folder) {
  constexpr const char* correct = "; correct the path or put it there";
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (error) return error.message() + correct;
  if (fs::is_directory(status)) {
    if (!may_be_folder) return "is a folder; name a file in it";
    const fs::directory_iterator entries(path, error);
    return error ? error.message() + "; make it readable" : "";
  }
  if (!fs::is_regular_file(status)) return "is no file that can be read twice; name one that can";
  errno = 0;
  if (std::ifstream(path, std::ios::binary)) return "";
  return std::generic_category().message(errno) + "; make it readable";
}

}  // namespace

void place_files(Scenario& scenario, const fs::path& folder) {
  visit_paths(scenario, [&](const char*, std::string& path) {
    if (!path.empty()) path = (folder / path).string();
  });
}

std::optional<WrongFile> wrong_file(const Scenario& scenario) {
  std::optional<WrongFile> wrong;
  visit_paths(scenario, [&](std::string_view key, const std::string& path) {
    if (wrong || path.empty()) return;
    const bool may_be_folder = key == "learn.texts" && scenario.learn.kind == "text";
    const std::string trouble = trouble_with(path, may_be_folder);
    if (!trouble.empty()) wrong = {std::string(key), path + ": " + trouble};
  });
  return wrong;
}

}  // namespace starling::sim
