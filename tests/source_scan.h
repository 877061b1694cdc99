#pragma once
// Reads our own sources for the house rules: tells code from comments and from literals, and finds
// where functions begin and end. It knows the C++ that clang-format leaves behind, not all of C++.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace starling::tests {

// The same lines four times; what a view leaves out is blank there, so that line numbers and
// columns agree.
struct Source {
  std::string path;    // relative to the root, such as "swarm/state.cc"
  std::string folder;  // its first part
  std::vector<std::string> lines;
  std::vector<std::string> code;      // neither comments nor the inside of literals
  std::vector<std::string> live;      // code and literals
  std::vector<std::string> comments;  // only comments

  bool is_cpp() const;
  bool is_header() const;
};

Source read_source(std::string path, std::string_view text);

// Every file of the house's seven folders that is text by its name, sorted by path.
std::vector<Source> read_house(const std::string& root);

struct Include {
  std::string target;  // with its brackets or quotes
  std::string path;    // what stands between quotes; empty for brackets
  size_t line = 0;     // from 1
};
std::vector<Include> find_includes(const Source& source);

struct Function {
  std::string head;  // as far as the first parenthesis
  size_t first = 0;  // line numbers, from 1
  size_t last = 0;
};

// Bodies at namespace and class level; lambdas and blocks belong to the function around them.
std::vector<Function> find_functions(const Source& source);

std::string at(const Source& source, size_t line);  // "swarm/state.cc:12: "
std::string read_text(const std::string& path);     // empty when there is no such file

}  // namespace starling::tests
