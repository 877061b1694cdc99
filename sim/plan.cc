#include "sim/plan.h"

#include <sys/stat.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <sstream>

#include "sim/skills.h"

namespace starling::sim {
namespace {

namespace fs = std::filesystem;

constexpr const char* marker_name = ".made-by-starling-sim";
constexpr uint32_t wait_for_members_s = 120;
constexpr size_t socket_path_max = 107;  // sockaddr_un less its closing zero

Unexpected<Failure> fail(ExitCode code, std::string message) {
  return Unexpected{Failure{code, std::move(message)}};
}

Result<std::string, Failure> read_file(const fs::path& path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  if (error)
    return fail(ExitCode::bad_data, "cannot read " + path.string() + ": " + error.message());
  if (size > text_size_max) {
    return fail(ExitCode::bad_data, path.string() + " has more than " +
                                        std::to_string(text_size_max >> 20) +
                                        " MiB; give a smaller text");
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  if (size > 0) bytes << file.rdbuf();
  if (!file) {
    return fail(ExitCode::bad_data,
                "cannot read " + path.string() + "; check that you may open it");
  }
  return std::move(bytes).str();
}

Result<std::string, Failure> read_folder(const fs::path& folder) {
  std::error_code error;
  std::set<std::string> paths;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    const bool is_hidden = it->path().filename().string().starts_with('.');
    if (is_hidden && it->is_directory(error)) it.disable_recursion_pending();
    if (!is_hidden && it->is_regular_file(error)) paths.insert(it->path().string());
  }
  if (error) {
    return fail(ExitCode::bad_data,
                "cannot read the folder " + folder.string() + ": " + error.message());
  }
  std::string text;
  for (const std::string& path : paths) {
    auto part = read_file(path);
    if (!part) return part;
    if (part->find('\0') != std::string::npos) continue;
    text += *part;
    if (!part->empty() && part->back() != '\n') text += '\n';
    if (text.size() > text_size_max) {
      return fail(ExitCode::bad_data, "the folder " + folder.string() + " has more than " +
                                          std::to_string(text_size_max >> 20) +
                                          " MiB of text; give a smaller one");
    }
  }
  return text;
}

// "novel" for novels/novel.txt; numbered where two texts share a name.
std::string task_name(const std::string& path, const std::vector<Task>& tasks) {
  fs::path place = fs::path(path).lexically_normal();
  if (place.filename().empty()) place = place.parent_path();
  std::string stem = place.stem().string();
  for (char& letter : stem) {
    const bool is_plain = (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') ||
                          (letter >= 'A' && letter <= 'Z') || letter == '-' || letter == '_';
    if (!is_plain) letter = '-';
  }
  if (stem.empty()) stem = "text";
  stem.resize(std::min<size_t>(stem.size(), 24));
  const auto is_taken = [&](const std::string& name) {
    return std::any_of(tasks.begin(), tasks.end(),
                       [&](const Task& task) { return task.name == name; });
  };
  std::string name = stem;
  for (int number = 2; is_taken(name); ++number) name = stem + "-" + std::to_string(number);
  return name;
}

void name_nodes(Plan& plan, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    plan.nodes.push_back({.name = "node-" + std::to_string(i + 1), .own = {}, .learns = {}});
  }
}

Plan plan_skills(const LocalOptions& options) {
  Plan plan;
  plan.kind = Kind::skills;
  plan.preset = options.preset.empty() ? "demo" : options.preset;
  plan.minutes = options.minutes;
  plan.steps = options.steps > 0 ? options.steps : options.minutes > 0 ? 0 : 1500;
  plan.length = 128;
  plan.learning_rate = options.preset.empty() || options.preset == "demo" ? 8e-3 : 0;
  plan.steps_per_exchange = 10;
  name_nodes(plan, options.nodes);
  const std::vector<std::string_view> names = skill_names();
  std::vector<Skill> skills;
  for (const std::string_view name : names) {
    skills.push_back(make_skill(name, options.seed));
    plan.tasks.push_back({.name = std::string(name),
                          .file = std::string(name) + ".tsv",
                          .bytes = to_tsv(skills.back().test)});
  }
  // Neighbouring skills to one node while they suffice, then from the start again.
  const size_t each = std::max<size_t>(1, names.size() / options.nodes);
  const size_t dealt = std::max<size_t>(names.size(), each * options.nodes);
  for (size_t i = 0; i < dealt; ++i) {
    const size_t skill = i % names.size();
    NodePlan& node = plan.nodes[i / each % plan.nodes.size()];
    node.own.push_back(skill);
    node.learns.push_back(
        {.file = plan.tasks[skill].file, .bytes = to_tsv(skills[skill].training)});
  }
  return plan;
}

Result<Plan, Failure> plan_texts(const LocalOptions& options) {
  Plan plan;
  plan.kind = Kind::text;
  plan.preset = options.preset.empty() ? "tiny" : options.preset;
  plan.steps = options.steps;
  plan.minutes = options.steps > 0 ? 0 : options.minutes > 0 ? options.minutes : 10;
  plan.personal_fraction = 0.15;
  name_nodes(plan, options.nodes);
  const size_t texts = options.texts.size();
  for (size_t j = 0; j < texts; ++j) {
    auto text = read_text(options.texts[j]);
    if (!text) return Unexpected{text.error()};
    const size_t split = utf8_boundary(*text, text->size() - text->size() / 10);
    const size_t test_end =
        utf8_boundary(*text, std::min<size_t>(text->size(), split + test_size_max));
    const std::string name = task_name(options.texts[j], plan.tasks);
    plan.tasks.push_back(
        {.name = name, .file = name + ".txt", .bytes = text->substr(split, test_end - split)});
    // More texts than nodes: several texts a node. Fewer: the nodes of one text share its parts.
    std::vector<size_t> readers;
    for (size_t i = 0; i < plan.nodes.size(); ++i) {
      if (i % texts == j || j % plan.nodes.size() == i) readers.push_back(i);
    }
    for (size_t part = 0; part < readers.size(); ++part) {
      const size_t begin = utf8_boundary(*text, part * split / readers.size());
      const size_t end = utf8_boundary(*text, (part + 1) * split / readers.size());
      NodePlan& node = plan.nodes[readers[part]];
      node.own.push_back(j);
      node.learns.push_back({.file = name + ".txt", .bytes = text->substr(begin, end - begin)});
    }
  }
  return plan;
}

Result<Done, Failure> make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) return Done{};
  return fail(ExitCode::cannot_create, "cannot create " + path.string() + ": " + error.message() +
                                           "; choose another folder with --out");
}

Result<Done, Failure> write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (file) return Done{};
  return fail(ExitCode::cannot_create,
              "cannot write " + path.string() + ": " + std::strerror(errno));
}

// An empty folder with our mark in it, whatever an earlier run of ours had left there.
Result<Done, Failure> renew_folder(const fs::path& path) {
  std::error_code error;
  if (fs::exists(path, error)) {
    if (!fs::exists(path / marker_name, error) && !fs::is_empty(path, error)) {
      return fail(ExitCode::cannot_create,
                  path.string() +
                      " exists and was not made by starling sim; move it away or "
                      "choose another folder with --out");
    }
    fs::remove_all(path, error);
    if (error)
      return fail(ExitCode::cannot_create,
                  "cannot clear " + path.string() + ": " + error.message());
  }
  auto made = make_folder(path);
  if (!made) return made;
  return write_file(path / marker_name, "A run of starling sim may remove this folder.\n");
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

size_t utf8_boundary(const std::string& text, size_t at) {
  const auto continues = [&](size_t i) { return (static_cast<uint8_t>(text[i]) & 0xc0) == 0x80; };
  size_t cut = std::min(at, text.size());
  // At most three bytes back; further there is no UTF-8 to respect.
  for (int back = 0; back < 3 && cut > 0 && cut < text.size() && continues(cut); ++back) --cut;
  return cut;
}

Result<std::string, Failure> read_text(const std::string& path) {
  std::error_code error;
  const bool is_folder = fs::is_directory(path, error);
  if (!fs::exists(path, error)) {
    return fail(ExitCode::bad_data, "no such file or folder: " + path + "; check the path");
  }
  auto text = is_folder ? read_folder(path) : read_file(path);
  if (!text) return text;
  if (text->empty()) {
    return fail(ExitCode::bad_data,
                path + (is_folder ? " holds no text" : " is empty") + "; give a text");
  }
  if (text->find('\0') != std::string::npos) {
    return fail(ExitCode::bad_data, path + " is not a text: it has zero bytes");
  }
  if (text->size() < text_size_min) {
    return fail(ExitCode::bad_data, path + " has only " + std::to_string(text->size()) +
                                        " bytes; at least " + std::to_string(text_size_min) +
                                        " are needed to learn and to test");
  }
  return text;
}

Result<bool, Failure> holds_text(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    const auto text = read_folder(path);
    if (!text) return Unexpected{text.error()};
    return !text->empty();
  }
  if (!fs::is_regular_file(path, error)) return false;
  const auto text = read_file(path);
  if (!text) return Unexpected{text.error()};
  return text->find('\0') == std::string::npos;
}

Result<Plan, Failure> make_plan(const LocalOptions& options) {
  assert(options.nodes >= 1 && options.nodes <= nodes_max);
  if (options.texts.empty()) return plan_skills(options);
  return plan_texts(options);
}

Places::Places(std::string directory_given)
    : directory(absolute_path(directory_given)),
      nodes((fs::path(directory) / "nodes").string()),
      tests((fs::path(directory) / "tests").string()) {}

std::string Places::node(const NodePlan& node) const {
  return (fs::path(nodes) / node.name).string();
}
std::string Places::log(const NodePlan& node) const { return Places::node(node) + "/node.log"; }
std::string Places::home(const NodePlan& node, const std::string& phase) const {
  return Places::node(node) + "/" + phase;
}
std::string Places::test(const Task& task) const { return (fs::path(tests) / task.file).string(); }

Result<Done, Failure> write_plan(const Plan& plan, const Places& places) {
  const std::string longest = places.home(plan.nodes.back(), "swarm") + "/api.sock";
  if (longest.size() > socket_path_max) {
    return fail(ExitCode::cannot_create,
                "the path " + longest + " is too long for a unix socket (" +
                    std::to_string(socket_path_max) + " bytes); choose a shorter one with --out");
  }
  auto done = make_folder(places.directory);
  for (const std::string& folder : {places.nodes, places.tests}) {
    if (done) done = renew_folder(folder);
  }
  for (const Task& task : plan.tasks) {
    if (done) done = write_file(places.test(task), task.bytes);
  }
  for (const NodePlan& node : plan.nodes) {
    const fs::path data = fs::path(places.node(node)) / "data";
    if (done) done = make_folder(data);
    for (const Lesson& learned : node.learns) {
      if (done) done = write_file(data / learned.file, learned.bytes);
    }
  }
  return done;
}

void remove_nodes(const Plan& plan, const Places& places) {
  std::error_code error;
  for (const NodePlan& node : plan.nodes) {
    for (const char* folder : {"data", "alone", "swarm"}) {
      fs::remove_all(fs::path(places.node(node)) / folder, error);
    }
  }
  fs::remove_all(places.tests, error);
}

std::string node_yaml(const Plan& plan, size_t node, const NodeSettings& settings,
                      const Places& places) {
  const NodePlan& own = plan.nodes[node];
  const bool is_swarm = settings.phase == "swarm";
  std::ostringstream yaml;
  yaml << "# Written by starling sim for one run.\n";
  yaml << "node:\n  name: " << quoted(own.name) << "\n  listen: \"127.0.0.1:" << settings.port
       << "\"\n";
  yaml << "  advertise: [\"127.0.0.1:" << settings.port << "\"]\n  seeds: [";
  for (size_t i = 0; i < settings.seed_ports.size(); ++i) {
    yaml << (i > 0 ? ", " : "") << "\"127.0.0.1:" << settings.seed_ports[i] << '"';
  }
  yaml << "]\nmodel:\n  preset: " << quoted(plan.preset) << "\n  threads: 1\nlearn:\n  sources:\n";
  for (const Lesson& learned : own.learns) {
    yaml << "    - " << quoted(places.node(own) + "/data/" + learned.file) << '\n';
  }
  if (plan.learning_rate > 0) yaml << "  learning_rate: " << plan.learning_rate << '\n';
  yaml << "  rows: " << plan.rows << "\n  length: " << plan.length << '\n';
  if (settings.steps > 0) yaml << "  steps: " << settings.steps << '\n';
  if (is_swarm && plan.personal_fraction > 0) {
    yaml << "  personal_fraction: " << plan.personal_fraction << '\n';
  }
  if (settings.minutes > 0) yaml << "  minutes: " << settings.minutes << '\n';
  yaml << "  seed: " << settings.seed << '\n';
  yaml << "swarm:\n  exchange: " << (is_swarm ? "true" : "false") << '\n';
  yaml << "  steps_per_exchange: " << plan.steps_per_exchange << "\n  outer: " << plan.outer
       << "\n  budget_fraction: " << plan.budget_fraction << '\n';
  yaml << "  wait_for_members: " << (is_swarm ? plan.nodes.size() : 1) << '\n';
  if (is_swarm) yaml << "  wait_s: " << wait_for_members_s << '\n';
  yaml << "checkpoint:\n  interval_s: " << settings.checkpoint_interval_s << '\n';
  return yaml.str();
}

}  // namespace starling::sim
