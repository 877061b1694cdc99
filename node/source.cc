#include "node/source.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace starling::node {

namespace {

Unexpected<Failure> bad_data(const std::string& name, const std::string& what) {
  return Unexpected{Failure{FailureKind::bad_data, name + ": " + what}};
}

// Control characters that text has no use for. Bytes above 127 are fine: any language, any
// encoding.
bool is_unprintable(uint8_t byte) {
  return (byte < 32 && byte != '\n' && byte != '\r' && byte != '\t' && byte != '\f' &&
          byte != 27) ||
         byte == 127;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    lines.push_back(line);
  }
  return lines;
}

bool is_pair(std::string_view line) {
  const size_t tab = line.find('\t');
  return tab != std::string_view::npos && tab > 0 && tab + 1 < line.size() &&
         line.find('\t', tab + 1) == std::string_view::npos;
}

}  // namespace

Result<Source, Failure> parse_source(const std::string& name, DataKind kind,
                                     std::vector<uint8_t> bytes) {
  if (bytes.empty()) return bad_data(name, "is empty; nothing was learned");
  if (bytes.size() > source_bytes_max) {
    return bad_data(name,
                    "is larger than " + std::to_string(source_bytes_max >> 20) + " MiB; split it");
  }
  const auto zero = std::find(bytes.begin(), bytes.end(), 0);
  if (zero != bytes.end()) {
    return bad_data(name, "looks binary (a NUL byte at offset " +
                              std::to_string(zero - bytes.begin()) +
                              "); only text and PROMPT<TAB>ANSWER lines can be learned");
  }
  const auto unprintable =
      static_cast<size_t>(std::count_if(bytes.begin(), bytes.end(), is_unprintable));
  if (unprintable * 20 > bytes.size()) {
    return bad_data(name, "looks binary (" + std::to_string(unprintable) +
                              " control characters); only text can be learned");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::vector<std::string_view> lines = lines_of(text);
  if (std::all_of(lines.begin(), lines.end(), [](std::string_view line) {
        return line.find_first_not_of(" \t\r\f") == std::string_view::npos;
      })) {
    return bad_data(name, "holds nothing but white space; nothing was learned");
  }
  std::string note;
  if (kind == DataKind::automatic) {
    const auto odd = std::find_if(lines.begin(), lines.end(),
                                  [](auto line) { return !line.empty() && !is_pair(line); });
    kind = odd == lines.end() ? DataKind::pairs : DataKind::text;
    if (odd != lines.end() && name.ends_with(".tsv")) {
      note = "taken as text: line " + std::to_string(odd - lines.begin() + 1) +
             " is not PROMPT<TAB>ANSWER";
    }
  }
  Source source{.name = name, .kind = kind, .text = {}, .pairs = {}, .note = note};
  if (kind == DataKind::text) {
    source.text = std::move(bytes);
    return source;
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    if (!is_pair(lines[i])) {
      return bad_data(name, "line " + std::to_string(i + 1) +
                                " is not PROMPT<TAB>ANSWER (one tab, both sides filled)");
    }
    const size_t tab = lines[i].find('\t');
    source.pairs.push_back(
        {std::string(lines[i].substr(0, tab)), std::string(lines[i].substr(tab + 1))});
  }
  return source;
}

Result<std::vector<uint8_t>, Failure> read_source_file(const std::string& path) {
  std::error_code failed;
  if (!std::filesystem::exists(path, failed))
    return Unexpected{Failure{FailureKind::not_found, path + ": no such file"}};
  if (!std::filesystem::is_regular_file(path, failed)) {
    return Unexpected{Failure{FailureKind::bad_data, path + ": not a regular file"}};
  }
  const uint64_t size = std::filesystem::file_size(path, failed);
  if (!failed && size > source_bytes_max) {
    return bad_data(path,
                    "is larger than " + std::to_string(source_bytes_max >> 20) + " MiB; split it");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return Unexpected{
        Failure{FailureKind::permission, path + ": cannot be read: " + std::strerror(errno)}};
  std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file),
                             std::istreambuf_iterator<char>()};
  if (file.bad()) return Unexpected{Failure{FailureKind::bad_data, path + ": reading failed"}};
  return bytes;
}

Result<std::vector<std::string>, Failure> source_paths(const std::string& path) {
  std::vector<std::string> paths;
  std::error_code failed;
  if (std::filesystem::is_directory(path, failed)) {
    for (auto entry = std::filesystem::recursive_directory_iterator(path, failed);
         !failed && entry != std::filesystem::recursive_directory_iterator();
         entry.increment(failed)) {
      const std::string extension = entry->path().extension();
      if (!entry->is_regular_file() ||
          (extension != ".txt" && extension != ".md" && extension != ".tsv"))
        continue;
      paths.push_back(entry->path());
      if (paths.size() > source_files_max) {
        return bad_data(path, "holds more than " + std::to_string(source_files_max) +
                                  " files; name a smaller folder");
      }
    }
    if (failed) return Unexpected{Failure{FailureKind::permission, path + ": " + failed.message()}};
    if (paths.empty()) return bad_data(path, "holds no .txt, .md or .tsv file");
    std::sort(paths.begin(), paths.end());
  } else {
    paths.push_back(path);
  }
  return paths;
}

Result<std::vector<Source>, Failure> read_sources(const std::string& path) {
  const Result<std::vector<std::string>, Failure> paths = source_paths(path);
  if (!paths) return Unexpected{paths.error()};
  std::vector<Source> sources;
  for (const std::string& each : *paths) {
    Result<std::vector<uint8_t>, Failure> bytes = read_source_file(each);
    if (!bytes) return Unexpected{bytes.error()};
    Result<Source, Failure> source = parse_source(each, DataKind::automatic, std::move(*bytes));
    if (!source) return Unexpected{source.error()};
    sources.push_back(std::move(*source));
  }
  return sources;
}

}  // namespace starling::node
