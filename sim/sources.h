#pragma once
// The files that a scenario names: where they are, and whether they are there, before anything is
// read of them. What is in them is for who reads them (stocks.h, churn.h).
#include <filesystem>
#include <optional>
#include <string>

#include "sim/scenario.h"

namespace starling::sim {

// Relative paths start at `folder`.
void place_files(Scenario& scenario, const std::filesystem::path& folder);

struct WrongFile {
  std::string key;      // "learn.images"
  std::string problem;  // the path, what is wrong with it and what to do
};
// The first one that is missing, cannot be opened, or is a folder where a file must be.
std::optional<WrongFile> wrong_file(const Scenario& scenario);

}  // namespace starling::sim
