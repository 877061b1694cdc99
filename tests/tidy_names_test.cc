// The rules of the house on names, and on what has to stand where.
#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/source_scan.h"

namespace starling::tests {
namespace {

namespace fs = std::filesystem;
using Findings = std::vector<std::string>;
using Names = std::vector<std::string_view>;

const std::string root = STARLING_SOURCE_DIR;
const Names folders = {"model", "swarm", "proto", "node", "sim", "deploy", "tests"};

bool has(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// "swarm/state.h" of "swarm/state.cc".
std::string header_of(const std::string& path) { return path.substr(0, path.rfind('.')) + ".h"; }

bool is_product(const Source& source) { return source.is_cpp() && source.folder != "tests"; }

// Fails with one line for each finding.
void expect_none(const Findings& findings) {
  std::string list;
  for (const std::string& finding : findings) list += "\n  " + finding;
  CHECK_MESSAGE(findings.empty(), list);
}

const Names refused_words = {"manager", "handler", "helper", "helpers", "util", "utils",
                             "common",  "context", "data",   "info",    "impl"};
// DataKind says whether what is learned are texts or pairs: it does not name a thing "data".
const Names allowed_names = {"DataKind"};

// "PeerId" and "peer_id" are both {"peer", "id"}.
std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words(1);
  for (const char c : name) {
    const bool is_upper = std::isupper(static_cast<unsigned char>(c)) != 0;
    if ((is_upper || c == '_' || c == '-' || c == '.') && !words.back().empty())
      words.emplace_back();
    if (c != '_' && c != '-' && c != '.') {
      words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return words;
}

// The base is the swarm's own word: BaseReached speaks of it, PeerBase would be a class to derive
// from.
bool has_refused_word(std::string_view name) {
  const std::vector<std::string> words = words_of(name);
  if (words.size() > 1 && words.back() == "base") return true;
  return std::any_of(words.begin(), words.end(),
                     [](const std::string& word) { return has(refused_words, word); });
}

struct TypeName {
  std::string name;
  size_t line = 0;
};

std::vector<TypeName> types_of(const Source& source) {
  static const std::regex declared(
      R"((^|[\s<>])(class|struct|union|enum|enum class|enum struct|concept)\s+)"
      R"(([A-Za-z_]\w*)\s*(final\s*)?([:{=]|$))");
  static const std::regex alias(R"(\busing\s+([A-Za-z_]\w*)\s*=)");
  std::vector<TypeName> types;
  for (size_t i = 0; i < source.code.size(); ++i) {
    std::smatch match;
    if (std::regex_search(source.code[i], match, declared)) types.push_back({match[3], i + 1});
    if (std::regex_search(source.code[i], match, alias)) types.push_back({match[1], i + 1});
  }
  return types;
}

// The text of the CMakeLists.txt in the file's folder and in those above it, up to the folder of
// the house.
std::string build_lists(const std::string& path) {
  std::string text;
  for (fs::path folder = fs::path(path).parent_path(); !folder.empty();
       folder = folder.parent_path()) {
    text += read_text(fs::path(root) / folder / "CMakeLists.txt");
  }
  return text;
}

bool names_word(const std::string& text, const std::string& word) {
  for (size_t i = text.find(word); i != std::string::npos; i = text.find(word, i + 1)) {
    const size_t end = i + word.size();
    const auto is_part = [&](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
    };
    if ((i == 0 || !is_part(text[i - 1])) && (end == text.size() || !is_part(text[end])))
      return true;
  }
  return false;
}

}  // namespace

TEST_CASE("namespaces are folders") {
  static const std::regex opened(R"(^\s*(inline\s+)?namespace\s+(starling[\w:]*))");
  Findings findings;
  for (const Source& source : read_house(root)) {
    if (!is_product(source)) continue;
    const std::string own = "starling::" + source.folder;
    for (size_t i = 0; i < source.code.size(); ++i) {
      std::smatch match;
      if (!std::regex_search(source.code[i], match, opened)) continue;
      const std::string name = match[2];
      if (name == "starling" || name == own || name.starts_with(own + "::")) continue;
      findings.push_back(at(source, i + 1) + "namespace " + name + " in " + source.folder + "/");
    }
  }
  expect_none(findings);
}

TEST_CASE("no type and no file has a refused word in its name") {
  CHECK(has_refused_word("PeerManager"));
  CHECK(has_refused_word("string_utils"));
  CHECK(has_refused_word("PeerBase"));
  CHECK_FALSE(has_refused_word("BaseReached"));
  CHECK_FALSE(has_refused_word("PeerId"));
  Findings findings;
  for (const Source& source : read_house(root)) {
    if (!source.is_cpp()) continue;
    const std::string file = fs::path(source.path).stem().string();
    if (has_refused_word(file) && !has(allowed_names, source.path)) findings.push_back(source.path);
    for (const TypeName& type : types_of(source)) {
      if (has(allowed_names, type.name)) continue;
      if (has_refused_word(type.name)) findings.push_back(at(source, type.line) + type.name);
    }
  }
  expect_none(findings);
}

TEST_CASE("types are PascalCase and files are snake_case") {
  static const std::regex pascal("[A-Z][A-Za-z0-9]*");
  static const std::regex snake("[a-z0-9_]+\\.(h|cc)");
  Findings findings;
  for (const Source& source : read_house(root)) {
    if (!source.is_cpp()) continue;
    if (!std::regex_match(fs::path(source.path).filename().string(), snake))
      findings.push_back(source.path);
    for (const TypeName& type : types_of(source)) {
      if (!std::regex_match(type.name, pascal))
        findings.push_back(at(source, type.line) + type.name);
    }
  }
  expect_none(findings);
}

TEST_CASE("the version stands in one place") {
  static const std::regex declared(R"(project\(starling VERSION (\d+\.\d+\.\d+))");
  const std::string list = read_text(fs::path(root) / "CMakeLists.txt");
  std::smatch match;
  REQUIRE(std::regex_search(list, match, declared));
  const std::string version = match[1];
  Findings findings;
  for (const Source& source : read_house(root)) {
    if (!is_product(source)) continue;
    for (size_t i = 0; i < source.live.size(); ++i) {
      if (names_word(source.live[i], version))
        findings.push_back(at(source, i + 1) + source.lines[i]);
    }
  }
  expect_none(findings);
}

TEST_CASE("every source is built") {
  Findings findings;
  for (const Source& source : read_house(root)) {
    if (!source.path.ends_with(".cc")) continue;
    const std::string file = fs::path(source.path).filename().string();
    if (!names_word(build_lists(source.path), file)) {
      findings.push_back(source.path + " is in no CMakeLists.txt");
    }
  }
  expect_none(findings);
}

TEST_CASE("every header is used") {
  std::set<std::string> included;
  for (const Source& source : read_house(root)) {
    for (const Include& include : find_includes(source)) {
      if (include.path != header_of(source.path)) included.insert(include.path);
    }
  }
  Findings findings;
  for (const Source& source : read_house(root)) {
    if (source.is_header() && !included.contains(source.path)) findings.push_back(source.path);
  }
  expect_none(findings);
}

TEST_CASE("every folder says in its README.md what it is") {
  Findings findings;
  for (const std::string_view folder : folders) {
    const fs::path path = fs::path(root) / folder / "README.md";
    if (read_text(path).size() < 200) findings.push_back(std::string(folder) + "/README.md");
  }
  expect_none(findings);
}

}  // namespace starling::tests
