#pragma once
// What is running.
#include <string>

namespace starling::node {

std::string version();  // "0.1.0", from the root CMakeLists.txt
std::string commit();   // short hash; "unknown" where it was built without git

}  // namespace starling::node
