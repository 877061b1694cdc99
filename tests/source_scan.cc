#include "tests/source_scan.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

namespace starling::tests {
namespace {

enum class Part : char { code, comment, literal };

constexpr std::array<std::string_view, 7> folders = {"model", "swarm",  "proto", "node",
                                                     "sim",   "deploy", "tests"};

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// True where the quote at `at` separates digits, as in 1'000: the token before it begins with a
// digit.
bool is_digit_separator(std::string_view text, size_t at) {
  size_t start = at;
  while (start > 0 && (is_word(text[start - 1]) || text[start - 1] == '\'')) --start;
  return start < at && is_digit(text[start]);
}

// One past the last character of the literal that starts at `at` (a quote).
size_t literal_end(std::string_view text, size_t at) {
  const char quote = text[at];
  if (quote == '"' && at > 0 && text[at - 1] == 'R') {
    const size_t open = text.find('(', at);
    if (open == std::string_view::npos) return text.size();
    const std::string close = ")" + std::string(text.substr(at + 1, open - at - 1)) + "\"";
    const size_t end = text.find(close, open);
    return end == std::string_view::npos ? text.size() : end + close.size();
  }
  for (size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == quote || text[i] == '\n') {
      return i + 1;
    }
  }
  return text.size();
}

std::vector<Part> parts_of(std::string_view text) {
  std::vector<Part> parts(text.size(), Part::code);
  size_t i = 0;
  while (i < text.size()) {
    size_t end = i + 1;
    Part part = Part::code;
    const std::string_view two = text.substr(i, 2);
    if (two == "//") {
      end = std::min(text.find('\n', i), text.size());
      part = Part::comment;
    } else if (two == "/*") {
      const size_t close = text.find("*/", i + 2);
      end = close == std::string_view::npos ? text.size() : close + 2;
      part = Part::comment;
    } else if (text[i] == '"' || (text[i] == '\'' && !is_digit_separator(text, i))) {
      end = literal_end(text, i);
      part = Part::literal;
    }
    std::fill(parts.begin() + static_cast<std::ptrdiff_t>(i),
              parts.begin() + static_cast<std::ptrdiff_t>(end), part);
    i = end;
  }
  return parts;
}

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  size_t start = 0;
  while (start < text.size()) {
    const size_t end = std::min(text.find('\n', start), text.size());
    lines.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return lines;
}

std::string trim(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::string without_template(const std::string& head) {
  if (!head.starts_with("template")) return head;
  int depth = 0;
  for (size_t i = head.find('<'); i < head.size(); ++i) {
    if (head[i] == '<') ++depth;
    if (head[i] == '>' && --depth == 0) return trim(head.substr(i + 1));
  }
  return head;
}

enum class Scope : char { names, type, function, inner, initializer };

// What the brace after `head` opens. `touching`: no blank stands between them, as clang-format
// writes initialisers.
Scope classify(const std::string& head, bool touching) {
  const std::string rest = without_template(trim(head));
  const std::string first = rest.substr(0, rest.find_first_of(" ("));
  if (first == "namespace" || rest.starts_with("inline namespace")) return Scope::names;
  if (first == "extern" && rest.find('(') == std::string::npos) return Scope::names;
  if (first == "class" || first == "struct" || first == "union" || first == "enum") {
    return Scope::type;
  }
  const bool is_open =
      !rest.empty() && std::string_view("=,(").find(rest.back()) != std::string_view::npos;
  if (touching || is_open || rest.find('(') == std::string::npos) return Scope::initializer;
  return Scope::function;
}

bool is_access(const std::string& head) {
  const std::string word = trim(head);
  return word == "public" || word == "private" || word == "protected";
}

// Walks over the characters of a file and keeps the stack of open braces.
class FunctionScan {
 public:
  void line(const std::string& text, size_t number) {
    number_ = number;
    for (const char c : text) take(c);
    take(' ');
  }
  std::vector<Function> found;

 private:
  bool is_inside() const {
    return !scopes_.empty() &&
           (scopes_.back() == Scope::function || scopes_.back() == Scope::inner);
  }

  void take(char c) {
    if (c == '{') {
      open();
    } else if (c == '}') {
      close();
    } else if (!is_inside() && (scopes_.empty() || scopes_.back() != Scope::initializer)) {
      extend(c);
    }
    previous_ = c;
  }

  void extend(char c) {
    if (c == ';' || (c == ':' && is_access(head_))) {
      head_.clear();
      return;
    }
    if (head_.empty() && c == ' ') return;
    if (head_.empty()) head_line_ = number_;
    head_ += c;
  }

  void open() {
    if (is_inside()) {
      scopes_.push_back(Scope::inner);
    } else if (!scopes_.empty() && scopes_.back() == Scope::initializer) {
      scopes_.push_back(Scope::initializer);
    } else {
      const bool touching = is_word(previous_) || previous_ == '>' || previous_ == ']';
      scopes_.push_back(classify(head_, touching));
      if (scopes_.back() == Scope::names || scopes_.back() == Scope::type) head_.clear();
    }
  }

  void close() {
    if (scopes_.empty()) return;
    const Scope closed = scopes_.back();
    scopes_.pop_back();
    if (closed == Scope::function) {
      found.push_back({trim(head_.substr(0, head_.find('('))), head_line_, number_});
    }
    if (closed != Scope::inner && closed != Scope::initializer) head_.clear();
  }

  std::vector<Scope> scopes_;
  std::string head_;
  size_t head_line_ = 0;
  size_t number_ = 0;
  char previous_ = ' ';
};

bool is_text(const std::filesystem::path& path) {
  static constexpr std::array<std::string_view, 10> endings = {
      ".h", ".cc", ".md", ".txt", ".cmake", ".proto", ".yaml", ".in", ".service", ".py"};
  const std::string ending = path.extension().string();
  if (std::find(endings.begin(), endings.end(), ending) != endings.end()) return true;
  return ending.empty() && path.parent_path().filename() == "deploy";  // its scripts have no ending
}

}  // namespace

bool Source::is_header() const { return path.ends_with(".h"); }
bool Source::is_cpp() const { return is_header() || path.ends_with(".cc"); }

Source read_source(std::string path, std::string_view text) {
  const std::vector<Part> parts = parts_of(text);
  std::string code(text);
  std::string live(text);
  std::string comments(text);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') continue;
    if (parts[i] != Part::code) code[i] = ' ';
    if (parts[i] == Part::comment) live[i] = ' ';
    if (parts[i] != Part::comment) comments[i] = ' ';
  }
  Source source;
  source.folder = path.substr(0, path.find('/'));
  source.path = std::move(path);
  source.lines = split_lines(std::string(text));
  source.code = split_lines(code);
  source.live = split_lines(live);
  source.comments = split_lines(comments);
  return source;
}

std::vector<Source> read_house(const std::string& root) {
  std::vector<Source> sources;
  for (const std::string_view folder : folders) {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(std::filesystem::path(root) / folder)) {
      if (!entry.is_regular_file() || !is_text(entry.path())) continue;
      const std::string path = std::filesystem::relative(entry.path(), root).generic_string();
      sources.push_back(read_source(path, read_text(entry.path().string())));
    }
  }
  std::sort(sources.begin(), sources.end(),
            [](const Source& a, const Source& b) { return a.path < b.path; });
  return sources;
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string at(const Source& source, size_t line) {
  return source.path + ":" + std::to_string(line) + ": ";
}

std::vector<Include> find_includes(const Source& source) {
  static const std::regex include(R"(^\s*#\s*include\s+([<"]([^>"]+)[>"]))");
  std::vector<Include> includes;
  for (size_t i = 0; i < source.live.size(); ++i) {
    std::smatch match;
    if (!source.is_cpp() || !std::regex_search(source.live[i], match, include)) continue;
    const std::string target = match[1];
    includes.push_back({target, target.front() == '"' ? std::string(match[2]) : "", i + 1});
  }
  return includes;
}

std::vector<Function> find_functions(const Source& source) {
  FunctionScan scan;
  bool is_directive = false;
  for (size_t i = 0; i < source.code.size(); ++i) {
    const std::string& line = source.code[i];
    is_directive = is_directive || trim(line).starts_with("#");
    if (!is_directive) scan.line(line, i + 1);
    is_directive = is_directive && line.ends_with("\\");
  }
  return scan.found;
}

}  // namespace starling::tests
