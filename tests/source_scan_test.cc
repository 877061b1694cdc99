// The scanner behind the house rules, on small sources that would mislead it.
#include "tests/source_scan.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace starling::tests {

TEST_CASE("the scanner tells code from comments and literals") {
  const Source source = read_source("model/a.cc",
                                    "int a = 1'000;  // throw \"x\n"
                                    "auto b = R\"(throw // )\"; /* throw */ c();\n"
                                    "char d = '\"'; e(\"\\\"throw\"); f();\n");
  REQUIRE(source.code.size() == 3);
  for (const std::string& line : source.code) CHECK(line.find("throw") == std::string::npos);
  CHECK(source.code[0].find("1'000;") != std::string::npos);
  CHECK(source.code[1].find("c();") != std::string::npos);
  CHECK(source.code[2].find("f();") != std::string::npos);
  CHECK(source.live[1].find("throw") != std::string::npos);
  CHECK(source.comments[0].find("throw") != std::string::npos);
  CHECK(source.folder == "model");
}

TEST_CASE("the scanner finds where functions begin and end") {
  const Source source = read_source("model/a.cc",
                                    "namespace a {\n"
                                    "std::array<int, 2> pair{1, 2};\n"
                                    "template <typename T>\n"
                                    "class B {\n"
                                    " public:\n"
                                    "  B() : x_{1},\n"
                                    "        y_(2) {\n"
                                    "    if (x_) {\n"
                                    "    }\n"
                                    "  }\n"
                                    "  int x_ = {};\n"
                                    "};\n"
                                    "const auto c = [](int d) { return d; };\n"
                                    "int e(\n"
                                    "    int f) {\n"
                                    "  return f;\n"
                                    "}\n"
                                    "}  // namespace a\n");
  const std::vector<Function> functions = find_functions(source);
  REQUIRE(functions.size() == 3);
  CHECK(functions[0].head == "B");
  CHECK(functions[0].first == 6);
  CHECK(functions[0].last == 10);
  CHECK(functions[1].first == 13);
  CHECK(functions[2].head == "int e");
  CHECK(functions[2].first == 14);
  CHECK(functions[2].last == 17);
}

}  // namespace starling::tests
