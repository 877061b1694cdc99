// Reading and writing starling.yaml. The keys themselves are in node/config_keys.cc; here is what
// YAML adds: sections, lines, duplicates. yaml-cpp's exceptions end here.
#include "node/config.h"

#include <unistd.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "node/config_keys.h"
#include "node/nearest.h"
#include "node/text_check.h"

namespace starling::node {

namespace {

struct Reading {
  Config config;
  std::map<std::string, std::string> sources;  // dotted key -> "starling.yaml:7"; absent: default
};

std::string at_line(const std::string& path, const YAML::Node& node) {
  return path + ":" + std::to_string(node.Mark().line + 1);
}

// Looks a document over before it is built: aliases would let a small file make a tree that is
// large or bites its own tail, and nothing in a starling.yaml is nested deeply.
class Survey final : public YAML::EventHandler {
 public:
  std::string problem;  // "" for none
  int line = 0;         // from 1

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1)
      note(mark, "a second document begins, or a stray character; keep one document");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    note(mark, "aliases (*name) are not used here; write the value again");
  }
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    enter(mark);
  }
  void OnSequenceEnd() override { --depth_; }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    enter(mark);
  }
  void OnMapEnd() override { --depth_; }

 private:
  static constexpr int depth_max = 8;
  void note(const YAML::Mark& mark, const char* what) {
    if (!problem.empty()) return;
    problem = what;
    line = mark.line + 1;
  }
  void enter(const YAML::Mark& mark) {
    if (++depth_ > depth_max) note(mark, "is nested too deeply");
  }
  int depth_ = 0;
  int documents_ = 0;
};

// yaml-cpp cites the text in some of its messages.
std::string syntax_problem(const std::string& path, int line, const std::string& what) {
  return path + ":" + std::to_string(line) + ": is not YAML: " + printable(what, 200);
}

ConfigError problem_at(const std::string& place, const std::string& subject,
                       const std::string& problem) {
  return {place + ": " + subject + ": " + problem};
}

const ConfigKey* find_key(const std::string& section, const std::string& name) {
  for (const auto& key : config_keys()) {
    if (section == key.section && name == key.name) return &key;
  }
  return nullptr;
}

// What the writer of an unknown key most likely meant: the same name in another section, else the
// nearest here.
std::string likely_key(const std::string& section, const std::string& name) {
  std::vector<std::string> names;
  for (const auto& key : config_keys()) {
    if (name == key.name) return dotted(key);
    if (section == key.section) names.emplace_back(key.name);
  }
  return section + "." + nearest(name, names);
}

// A top-level word that is no section may be a key that lost its section.
std::string likely_section(const std::string& word) {
  for (const auto& key : config_keys()) {
    if (word == key.name) return dotted(key);
  }
  return nearest(word, section_names());
}

Scalar scalar_of(const YAML::Node& node) { return {node.Scalar(), node.Tag() == "!"}; }

Result<Done, std::string> read_value(const ConfigKey& key, const YAML::Node& value,
                                     Config& config) {
  const bool is_list = std::holds_alternative<FieldOf<std::vector<std::string>>>(key.field);
  const bool is_text = std::holds_alternative<FieldOf<std::string>>(key.field);
  if (value.IsNull()) {
    if (is_list) return set_value(key, {}, config);
    if (is_text) return set_value(key, {Scalar{}}, config);
    return Unexpected{"has no value; it must be " + type_name(key)};
  }
  if (is_list != value.IsSequence()) {
    if (is_list) return Unexpected{std::string("must be a list, such as [\"one\", \"two\"]")};
    return Unexpected{"must be " + type_name(key) + ", not a " +
                      (value.IsSequence() ? "list" : "section")};
  }
  if (!is_list && !value.IsScalar())
    return Unexpected{"must be " + type_name(key) + ", not a section"};
  std::vector<Scalar> scalars;
  if (is_list) {
    for (const auto& entry : value) {
      if (!entry.IsScalar()) return Unexpected{std::string("must be a list of texts")};
      scalars.push_back(scalar_of(entry));
    }
  } else {
    scalars.push_back(scalar_of(value));
  }
  return set_value(key, scalars, config);
}

Result<Done, ConfigError> read_section(const std::string& path, const std::string& section,
                                       const YAML::Node& body, Reading& reading) {
  std::set<std::string> seen;
  for (const auto& entry : body) {
    const std::string place = at_line(path, entry.first);
    if (!entry.first.IsScalar()) {
      return Unexpected{problem_at(place, section, "has a key that is not a word")};
    }
    const std::string& name = entry.first.Scalar();
    const std::string full = section + "." + printable(name);
    const ConfigKey* key = find_key(section, name);
    if (!key) {
      return Unexpected{
          problem_at(place, full, "unknown key; did you mean " + likely_key(section, name) + "?")};
    }
    if (!seen.insert(name).second)
      return Unexpected{problem_at(place, full, "given twice; keep one")};
    if (auto done = read_value(*key, entry.second, reading.config); !done) {
      return Unexpected{problem_at(place, full, done.error())};
    }
    reading.sources[full] = place;
  }
  return Done{};
}

Result<Done, ConfigError> read_document(const std::string& path, const YAML::Node& document,
                                        Reading& reading) {
  if (document.IsNull()) return Done{};
  if (!document.IsMap()) {
    return Unexpected{ConfigError{at_line(path, document) +
                                  ": must be sections such as \"node:\" with keys below"}};
  }
  std::set<std::string> seen;
  for (const auto& entry : document) {
    const std::string place = at_line(path, entry.first);
    const std::string section = entry.first.IsScalar() ? entry.first.Scalar() : "?";
    const auto sections = section_names();
    if (std::find(sections.begin(), sections.end(), section) == sections.end()) {
      return Unexpected{
          problem_at(place, printable(section),
                     "unknown section; did you mean " + likely_section(section) + "?")};
    }
    if (!seen.insert(section).second)
      return Unexpected{problem_at(place, section, "given twice; keep one")};
    if (entry.second.IsNull()) continue;
    if (!entry.second.IsMap()) {
      return Unexpected{problem_at(place, section, "must be a section with keys below it")};
    }
    if (auto done = read_section(path, section, entry.second, reading); !done) return done;
  }
  return Done{};
}

// Bounds that tie two keys together.
Result<Done, ConfigError> check_together(const std::string& path, const Reading& reading) {
  constexpr uint64_t step_bytes_max = 1u << 20;
  const uint64_t step_bytes = uint64_t{reading.config.learn.rows} * reading.config.learn.length;
  if (step_bytes <= step_bytes_max) return Done{};
  const auto length = reading.sources.find("learn.length");
  const auto rows = reading.sources.find("learn.rows");
  const std::string place = length != reading.sources.end() ? length->second
                            : rows != reading.sources.end() ? rows->second
                                                            : path;
  return Unexpected{problem_at(place, "learn.length",
                               "times learn.rows is " + std::to_string(step_bytes) +
                                   " bytes a step; at most " + std::to_string(step_bytes_max) +
                                   " are possible")};
}

Result<Reading, ConfigError> read_text(const std::string& yaml, const std::string& path) {
  if (yaml.size() > config_size_max) {
    return Unexpected{ConfigError{path + ":1: is larger than " +
                                  std::to_string(config_size_max >> 10) +
                                  " KiB; this is no starling.yaml"}};
  }
  size_t bad = utf8_prefix_size(yaml);
  for (size_t i = 0; i < bad; ++i) {
    const bool is_layout = yaml[i] == '\n' || yaml[i] == '\r' || yaml[i] == '\t';
    if (static_cast<unsigned char>(yaml[i]) < 0x20 && !is_layout) bad = i;
  }
  if (bad < yaml.size()) {
    const auto line =
        1 + std::count(yaml.begin(), yaml.begin() + static_cast<ptrdiff_t>(bad), '\n');
    return Unexpected{ConfigError{path + ":" + std::to_string(line) +
                                  ": is not UTF-8 text here; save the file as UTF-8"}};
  }
  Reading reading;
  try {
    Survey survey;
    std::istringstream stream(yaml);
    YAML::Parser parser(stream);
    // Two documents at most: yaml-cpp 0.7 goes on for ever at a stray comma between documents.
    if (parser.HandleNextDocument(survey) && survey.problem.empty()) {
      parser.HandleNextDocument(survey);
    }
    if (!survey.problem.empty()) {
      return Unexpected{
          ConfigError{path + ":" + std::to_string(survey.line) + ": " + survey.problem}};
    }
    auto done = read_document(path, YAML::Load(yaml), reading);
    if (!done) return Unexpected{done.error()};
  } catch (const YAML::Exception& error) {
    return Unexpected{ConfigError{syntax_problem(path, error.mark.line + 1, error.msg)}};
  }
  return reading;
}

Result<std::string, ConfigError> read_file(const std::string& path) {
  std::error_code error;
  const auto kind = std::filesystem::status(path, error).type();
  if (kind == std::filesystem::file_type::not_found) {
    return Unexpected{ConfigError{path + ": there is no such file; `starling init` writes one"}};
  }
  if (kind != std::filesystem::file_type::regular) {
    return Unexpected{ConfigError{path + ": is not a file that can be read"}};
  }
  std::ifstream in(path, std::ios::binary);
  std::string text(config_size_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (!in && !in.eof()) {
    return Unexpected{ConfigError{path + ": cannot be read; is it yours?"}};
  }
  return text;
}

std::vector<Scalar> split_list(const std::string& text) {
  std::vector<Scalar> entries;
  for (size_t at = 0; !text.empty() && at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    entries.push_back({text.substr(at, comma - at), false});
    at = comma + 1;
  }
  return entries;
}

Result<Done, ConfigError> read_environment(Reading& reading) {
  const auto sections = section_names();
  for (char** variable = environ; variable && *variable; ++variable) {
    const std::string text = *variable;
    const std::string name = text.substr(0, text.find('='));
    const bool is_ours =
        std::any_of(sections.begin(), sections.end(), [&](const std::string& section) {
          return name.starts_with(environment_name({section.c_str(), "", {}, "", ""}));
        });
    if (!is_ours) continue;
    std::vector<std::string> names;
    for (const auto& key : config_keys()) names.push_back(environment_name(key));
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      return Unexpected{problem_at("environment", printable(name),
                                   "unknown variable; did you mean " + nearest(name, names) + "?")};
    }
    const ConfigKey& key = config_keys()[static_cast<size_t>(found - names.begin())];
    const std::string value = text.substr(std::min(name.size() + 1, text.size()));
    if (utf8_prefix_size(value) != value.size()) {
      return Unexpected{problem_at("environment", name, "is not UTF-8 text")};
    }
    const bool is_list = std::holds_alternative<FieldOf<std::vector<std::string>>>(key.field);
    const auto scalars = is_list ? split_list(value) : std::vector<Scalar>{{value, false}};
    if (auto done = set_value(key, scalars, reading.config); !done) {
      return Unexpected{problem_at("environment", name, done.error())};
    }
    reading.sources[dotted(key)] = "environment " + name;
  }
  return Done{};
}

Result<Reading, ConfigError> read_all(const std::string& path) {
  auto text = read_file(path);
  if (!text) return Unexpected{text.error()};
  auto reading = read_text(*text, path);
  if (!reading) return reading;
  if (auto done = read_environment(*reading); !done) return Unexpected{done.error()};
  if (auto done = check_together(path, *reading); !done) return Unexpected{done.error()};
  return reading;
}

}  // namespace

Result<Config, ConfigError> load_config(const std::string& path) {
  auto reading = read_all(path);
  if (!reading) return Unexpected{reading.error()};
  return reading->config;
}

Result<Config, ConfigError> parse_config(const std::string& yaml, const std::string& path_shown) {
  auto reading = read_text(yaml, path_shown);
  if (!reading) return Unexpected{reading.error()};
  if (auto done = check_together(path_shown, *reading); !done) return Unexpected{done.error()};
  return reading->config;
}

Result<std::vector<ConfigValue>, ConfigError> explain_config(const std::string& path) {
  const auto reading = read_all(path);
  if (!reading) return Unexpected{reading.error()};
  std::vector<ConfigValue> values;
  for (const auto& key : config_keys()) {
    const auto source = reading->sources.find(dotted(key));
    values.push_back({dotted(key), value_text(key, reading->config), key.unit,
                      source == reading->sources.end() ? "default" : source->second, key.doc});
  }
  return values;
}

std::vector<std::string> differing_keys(const Config& one, const Config& other) {
  std::vector<std::string> keys;
  for (const auto& key : config_keys()) {
    if (value_text(key, one) != value_text(key, other)) keys.push_back(dotted(key));
  }
  return keys;
}

std::string default_yaml(const Config& config) {
  const Config defaults;
  std::string out =
      "# Starling's configuration. Every key is shown with its unit and default; a key left out "
      "has its default.\n"
      "# The environment overrides this file: STARLING_NODE_NAME sets node.name; lists are "
      "separated by commas.\n"
      "# Check with `starling config check`; `starling config show` says where each value comes "
      "from.\n";
  std::string section;
  for (const auto& key : config_keys()) {
    if (section != key.section) {
      section = key.section;
      out += "\n" + section + ":  # " + section_doc(section) + "\n";
    }
    const std::string unit = *key.unit ? std::string(key.unit) + "; " : "";
    out += std::string("  # ") + key.doc + " [" + unit + "default " + value_text(key, defaults) +
           "]\n";
    out += "  " + std::string(key.name) + ": " + value_text(key, config) + "\n";
  }
  return out;
}

}  // namespace starling::node
