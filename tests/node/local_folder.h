#pragma once
// A folder of one test's own, gone when the test ends.
#include <stdlib.h>

#include <filesystem>
#include <string>

namespace starling::node {

struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "starling-local-XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path;
};

}  // namespace starling::node
