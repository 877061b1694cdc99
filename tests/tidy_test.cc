// The rules of the house, as tests over its own sources. Each ban carries a line that it must find,
// so that a rule which has gone blind fails as well.
#include <algorithm>
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

constexpr size_t file_lines_max = 600;
constexpr size_t function_lines_max = 70;
constexpr size_t line_columns_max = 100;

const std::string root = STARLING_SOURCE_DIR;

const std::vector<Source>& house() {
  static const std::vector<Source> sources = read_house(root);
  return sources;
}

bool has(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Fails with one line for each finding.
void expect_none(const Findings& findings) {
  std::string list;
  for (const std::string& finding : findings) list += "\n  " + finding;
  CHECK_MESSAGE(findings.empty(), list);
}

// ---- What may be included ----
struct IncludeRule {
  std::string_view folder;
  std::string allowed;  // a whole include with its brackets or quotes
  std::string refused;  // part of one; empty: nothing more
  std::string_view bait;
};

const std::string std_header = "<[a-z0-9_]+>";
const std::string impure_header =
    "^<(fstream|iostream|filesystem|random|chrono|thread|future|format|ranges|unordered_map|"
    "unordered_set)>$";

const std::vector<IncludeRule>& include_rules() {
  static const std::vector<IncludeRule> rules = {
      {"model", std_header + R"(|"model/[a-z0-9_]+\.h"|[<"]hwy/.+[>"])", impure_header,
       "\"swarm/state.h\""},
      {"swarm", std_header + R"(|<sodium\.h>|"swarm/[a-z0-9_]+\.h"|"model/(delta|result|rng)\.h")",
       impure_header, "\"model/trainer.h\""},
      {"sim", ".+", R"(^"(node|proto|tests)/|starling/v1|grpc|google/protobuf|tbb)",
       "\"node/config.h\""},
      {"node", ".+", R"(^"(sim|tests)/|tbb/)", "\"sim/launcher.h\""},
  };
  return rules;
}

// Where the table gives way: the one file that starts threads for parallel loops.
bool is_parallel_include(const std::string& path, const std::string& include) {
  static const std::regex parallel(R"([<"](oneapi/)?tbb/.+[>"]|<thread>)");
  return path == "model/parallel.cc" && std::regex_match(include, parallel);
}

// And the one that advises the system on pages of memory.
bool is_pages_include(const std::string& path, const std::string& include) {
  return path == "model/large_pages.cc" && include == "<sys/mman.h>";
}

bool may_include(const IncludeRule& rule, const std::string& path, const std::string& include) {
  if (is_parallel_include(path, include) || is_pages_include(path, include)) return true;
  if (!std::regex_match(include, std::regex(rule.allowed))) return false;
  return rule.refused.empty() || !std::regex_search(include, std::regex(rule.refused));
}

// ---- What may not be written ----
struct Ban {
  std::string what;
  std::string pattern;
  Names folders;
  Names except;  // files
  std::string bait;
};

const Names everywhere = {"model", "swarm", "proto", "node", "sim", "deploy", "tests"};
const Names product = {"model", "swarm", "node", "sim"};
const Names pure = {"model", "swarm"};
const Names repeatable = {"model", "swarm", "sim"};
// The launcher runs real processes in real time; the rest of sim/ lives in virtual time.
const Names real_time = {"sim/launcher.cc", "sim/launcher.h"};

const std::vector<Ban>& bans() {
  static const std::vector<Ban> list = {
      {"a clock (time is an argument)",
       R"(\b(system|steady|high_resolution)_clock\b|\b(clock_gettime|gettimeofday)\b)"
       R"(|\btime\s*\(\s*(0|NULL|nullptr|&))",
       repeatable, real_time, "auto t = std::chrono::steady_clock::now();"},
      {"chance of its own (randomness is an argument: model/rng.h)",
       R"(\b(random_device|mt19937(_64)?|random_shuffle)\b|\bs?rand\s*\(|\bstd::shuffle\b)"
       R"(|\b\w+_distribution\b)",
       repeatable,
       {},
       "std::uniform_int_distribution<int> d(0, 1);"},
      {"an unordered container",
       R"(\bunordered_(multi)?(map|set)\b)",
       repeatable,
       {},
       "std::unordered_map<int, int> m;"},
      {"output (return values; only node and sim print)",
       R"(\b(std::)?(cout|cerr|clog)\b|\b(f?printf|f?puts|putchar)\s*\()",
       pure,
       {},
       "std::cerr << x;"},
      {"a sleep (wait on a condition, a file descriptor or a deadline)",
       R"(\b(sleep_for|sleep_until|usleep|nanosleep|clock_nanosleep)\b|\bsleep\s*\()",
       everywhere,
       {},
       "std::this_thread::sleep_for(1ms);"},
      {"a detached thread", R"((\.|->)\s*detach\s*\(\s*\))", everywhere, {}, "thread.detach();"},
      {"a throw of ours (return a Result)", R"(\bthrow\b)", everywhere, {}, "throw Error{};"},
      {"a catch that swallows everything",
       R"(\bcatch\s*\(\s*\.\.\.\s*\))",
       everywhere,
       {},
       "} catch (...) {"},
      {"NDEBUG (assertions are part of the product)",
       R"(\bNDEBUG\b)",
       everywhere,
       {},
       "#ifndef NDEBUG"},
      {"using namespace std",
       R"(\busing\s+namespace\s+std\b)",
       everywhere,
       {},
       "using namespace std;"},
      {"std::format or range views",
       R"(\bstd::(format|views|ranges::views)\b)",
       product,
       {},
       "auto s = std::format(1);"},
      {"goto", R"(\bgoto\b)", everywhere, {}, "goto done;"},
      {"a macro (only Highway's own)",
       R"(^\s*#\s*define\s+(?!HWY_))",
       product,
       {},
       "#define SQUARE(x) ((x) * (x))"},
      {"OpenMP (use model/parallel)",
       R"(#\s*pragma\s+omp\b)",
       everywhere,
       {},
       "#pragma omp parallel for"},
      {"a constant named kThing (snake_case)",
       R"(\b(constexpr|const)\s+[\w:<>]+\s+k[A-Z]\w*\s*[={])",
       everywhere,
       {},
       "constexpr int kSize = 3;"},
  };
  return list;
}

Findings find_banned(const Ban& ban, const Source& source) {
  Findings findings;
  if (!source.is_cpp() || !has(ban.folders, source.folder) || has(ban.except, source.path)) {
    return findings;
  }
  const std::regex pattern(ban.pattern);
  for (size_t i = 0; i < source.code.size(); ++i) {
    if (std::regex_search(source.code[i], pattern)) {
      findings.push_back(at(source, i + 1) + ban.what + ": " + source.lines[i]);
    }
  }
  return findings;
}

size_t columns(const std::string& line) {
  return static_cast<size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

TEST_CASE("the house is found and is not empty") {
  std::set<std::string> found;
  for (const Source& source : house()) found.insert(source.folder);
  CHECK(found.size() == everywhere.size());
  CHECK(std::any_of(house().begin(), house().end(),
                    [](const Source& source) { return source.path == "swarm/state.h"; }));
}

TEST_CASE("every folder includes only what it may know") {
  Findings findings;
  for (const IncludeRule& rule : include_rules()) {
    CHECK_FALSE(may_include(rule, "any.cc", std::string(rule.bait)));
    CHECK(may_include(rule, "any.cc", "<vector>"));
    for (const Source& source : house()) {
      if (!source.is_cpp() || source.folder != rule.folder) continue;
      for (const Include& include : find_includes(source)) {
        if (may_include(rule, source.path, include.target)) continue;
        findings.push_back(at(source, include.line) + source.folder + " may not know " +
                           include.target);
      }
    }
  }
  expect_none(findings);
}

TEST_CASE("an include in quotes is a path from the root") {
  Findings findings;
  for (const Source& source : house()) {
    for (const Include& include : find_includes(source)) {
      const std::string& path = include.path;
      if (!source.is_cpp() || path.empty() || path.ends_with(".pb.h")) continue;
      if (path.starts_with("hwy/") || fs::exists(fs::path(root) / path)) continue;
      findings.push_back(at(source, include.line) + "no such file: " + include.target);
    }
  }
  expect_none(findings);
}

TEST_CASE("no source writes what the house refuses") {
  Findings findings;
  for (const Ban& ban : bans()) {
    const Source bait = read_source(std::string(ban.folders.front()) + "/bait.cc", ban.bait + "\n");
    CHECK_MESSAGE(find_banned(ban, bait).size() == 1, ban.what, " does not find its bait");
    for (const Source& source : house()) {
      const Findings more = find_banned(ban, source);
      findings.insert(findings.end(), more.begin(), more.end());
    }
  }
  expect_none(findings);
}

TEST_CASE("no file is too long") {
  Findings findings;
  for (const Source& source : house()) {
    if (!source.is_cpp() || source.lines.size() <= file_lines_max) continue;
    findings.push_back(source.path + ": " + std::to_string(source.lines.size()) +
                       " lines, at most " + std::to_string(file_lines_max));
  }
  expect_none(findings);
}

TEST_CASE("no function is too long") {
  Findings findings;
  size_t count = 0;
  for (const Source& source : house()) {
    if (!source.is_cpp()) continue;
    for (const Function& function : find_functions(source)) {
      ++count;
      const size_t size = function.last - function.first + 1;
      if (size <= function_lines_max) continue;
      findings.push_back(at(source, function.first) + function.head + " has " +
                         std::to_string(size) + " lines, at most " +
                         std::to_string(function_lines_max));
    }
  }
  CHECK(count > 20);
  expect_none(findings);
}

TEST_CASE("no line is too long, holds a tab or ends in a blank") {
  Findings findings;
  for (const Source& source : house()) {
    if (!source.is_cpp()) continue;
    for (size_t i = 0; i < source.lines.size(); ++i) {
      const std::string& line = source.lines[i];
      if (columns(line) > line_columns_max) {
        findings.push_back(at(source, i + 1) + std::to_string(columns(line)) + " columns");
      }
      if (line.find('\t') != std::string::npos) findings.push_back(at(source, i + 1) + "a tab");
      if (line.ends_with(' ')) findings.push_back(at(source, i + 1) + "ends in a blank");
    }
  }
  expect_none(findings);
}

TEST_CASE("every source includes its own header first") {
  Findings findings;
  for (const Source& source : house()) {
    if (!source.path.ends_with(".cc")) continue;
    const std::string header = source.path.substr(0, source.path.size() - 2) + "h";
    if (!fs::exists(fs::path(root) / header)) continue;
    const std::vector<Include> includes = find_includes(source);
    if (includes.empty() || includes.front().path != header) {
      findings.push_back(source.path + ": the first include is not " + header);
    }
  }
  expect_none(findings);
}

TEST_CASE("every header begins with pragma once") {
  Findings findings;
  for (const Source& source : house()) {
    if (!source.is_header()) continue;
    if (source.lines.empty() || source.lines.front() != "#pragma once")
      findings.push_back(source.path);
  }
  expect_none(findings);
}

TEST_CASE("no file promises later work") {
  const std::regex promise(
      "\\b(TO"
      "DO|FIX"
      "ME|HA"
      "CK)\\b|\\bfor "
      "now\\b|\\bplace"
      "holder\\b|\\bnot "
      "(yet )?implemented\\b");
  CHECK(std::regex_search(std::string("// TO"
                                      "DO: later"),
                          promise));
  Findings findings;
  for (const Source& source : house()) {
    const std::vector<std::string>& lines = source.is_cpp() ? source.comments : source.lines;
    for (size_t i = 0; i < lines.size(); ++i) {
      if (std::regex_search(lines[i], promise))
        findings.push_back(at(source, i + 1) + source.lines[i]);
    }
  }
  expect_none(findings);
}

TEST_CASE("no file names a path of one machine") {
  const std::regex path(
      "(^|[\\s\"'=(:`])/(work|tmp|home|root|Users|mnt|media)(/|\\b)|\\.\\./sha"
      "red\\b");
  CHECK(std::regex_search(std::string("open(\"/tm"
                                      "p/x\")"),
                          path));
  CHECK_FALSE(std::regex_search(std::string("/etc/starling"), path));
  Findings findings;
  for (const Source& source : house()) {
    for (size_t i = 0; i < source.lines.size(); ++i) {
      if (std::regex_search(source.lines[i], path) && source.path != "tests/tidy_test.cc") {
        findings.push_back(at(source, i + 1) + source.lines[i]);
      }
    }
  }
  expect_none(findings);
}

}  // namespace starling::tests
