#include "sim/scenario.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <span>
#include <variant>

#include "sim/equipment.h"
#include "sim/sources.h"
#include "swarm/config.h"
#include "swarm/delta_log.h"

namespace starling::sim {
namespace {

using Words = std::vector<std::string_view>;

template <typename T>
using FieldOf = T& (*)(Scenario&);
using Field = std::variant<FieldOf<std::string>, FieldOf<std::vector<std::string>>, FieldOf<bool>,
                           FieldOf<uint32_t>, FieldOf<double>>;

struct Key {
  std::string_view section, name;
  Field field;
  double min = 0, max = 0;  // numbers
  Words choices = {};       // texts and list entries; empty: any
};

template <typename T, auto section, auto member>
Field field() {
  return FieldOf<T>([](Scenario& scenario) -> T& { return scenario.*section.*member; });
}

const Words kinds = {"skills", "text", "images", "table", "speakers", "synthetic"};
const Words models = {"micro", "demo", "tiny"};
const Words partitions = {"natural", "iid", "dirichlet", "shards", "quantity"};
const Words baselines = {"alone", "fedavg", "fedavg_momentum", "dpsgd", "centralised"};
const Words attacks = {"none",       "sign_flip",  "scale",          "gaussian",
                       "label_flip", "free_rider", "alie",           "inner_product",
                       "replay",     "equivocate", "selective_drop", "announce",
                       "dissensus",  "eclipse",    "sybil_join",     "backdoor"};
constexpr double day_s = 86400;
// More would not be one swarm: nodes take no more members than this, and no deltas of the rest.
constexpr double members_max = std::min<double>(swarm::Config{}.members_max, swarm::streams_max);

using S = Scenario;
using Text = std::string;
using List = std::vector<std::string>;

// Adds the keys of one section to a list.
class Adder {
 public:
  Adder(std::string_view section, std::vector<Key>& keys) : section_(section), keys_(keys) {}
  void operator()(std::string_view name, Field where, double min = 0, double max = 0,
                  Words choices = {}) const {
    keys_.push_back({section_, name, where, min, max, std::move(choices)});
  }

 private:
  std::string_view section_;
  std::vector<Key>& keys_;  // outlives this
};

void add_run_keys(std::vector<Key>& keys) {
  const Adder add("run", keys);
  add("nodes", field<uint32_t, &S::run, &S::Run::nodes>(), 1, members_max);
  add("seconds_max", field<double, &S::run, &S::Run::seconds_max>(), 1, 30 * day_s);
  add("settle_s", field<double, &S::run, &S::Run::settle_s>(), 1, day_s);
  add("checkpoint_s", field<double, &S::run, &S::Run::checkpoint_s>(), 1, day_s);
  add("log_deltas_max", field<uint32_t, &S::run, &S::Run::log_deltas_max>(), 0, 1e6);
}

void add_learn_keys(std::vector<Key>& keys) {
  const Adder add("learn", keys);
  add("kind", field<Text, &S::learn, &S::Learn::kind>(), 0, 0, kinds);
  add("texts", field<List, &S::learn, &S::Learn::texts>());
  add("images", field<Text, &S::learn, &S::Learn::images>());
  add("labels", field<Text, &S::learn, &S::Learn::labels>());
  add("table", field<Text, &S::learn, &S::Learn::table>());
  add("group_column", field<Text, &S::learn, &S::Learn::group_column>());
  add("text_column", field<Text, &S::learn, &S::Learn::text_column>());
  add("groups_max", field<uint32_t, &S::learn, &S::Learn::groups_max>(), 1, 256);
  add("model", field<Text, &S::learn, &S::Learn::model>(), 0, 0, models);
  add("steps", field<uint32_t, &S::learn, &S::Learn::steps>(), 1, 1e7);
  add("seconds", field<double, &S::learn, &S::Learn::seconds>(), 0, 30 * day_s);
  add("steps_per_exchange", field<uint32_t, &S::learn, &S::Learn::steps_per_exchange>(), 1, 10000);
  add("step_ms", field<double, &S::learn, &S::Learn::step_ms>(), 1, 1e6);
  add("learning_rate", field<double, &S::learn, &S::Learn::learning_rate>(), 1e-6, 1);
  add("rows", field<uint32_t, &S::learn, &S::Learn::rows>(), 1, 256);
  add("length", field<uint32_t, &S::learn, &S::Learn::length>(), 16, 4096);
  add("budget_fraction", field<double, &S::learn, &S::Learn::budget_fraction>(), 1e-4, 1);
  add("outer", field<double, &S::learn, &S::Learn::outer>(), 0.01, 16);
  add("judging", field<bool, &S::learn, &S::Learn::judging>());
  add("questions", field<uint32_t, &S::learn, &S::Learn::questions>(), 1, 60);
  add("baselines", field<List, &S::learn, &S::Learn::baselines>(), 0, 0, baselines);
  add("server_rate", field<double, &S::learn, &S::Learn::server_rate>(), 0.01, 10);
  add("server_momentum", field<double, &S::learn, &S::Learn::server_momentum>(), 0, 0.999);
  add("dpsgd_neighbours", field<uint32_t, &S::learn, &S::Learn::dpsgd_neighbours>(), 2, 1000);
  add("probes", field<uint32_t, &S::learn, &S::Learn::probes>(), 1, 1000);
}

void add_deal_keys(std::vector<Key>& keys) {
  const Adder add("deal", keys);
  add("partition", field<Text, &S::deal, &S::Deal::partition>(), 0, 0, partitions);
  add("alpha", field<double, &S::deal, &S::Deal::alpha>(), 0.01, 100);
  add("shards", field<uint32_t, &S::deal, &S::Deal::shards>(), 1, 100);
  add("pieces_max", field<uint32_t, &S::deal, &S::Deal::pieces_max>(), 0, 1e6);
}

void add_devices_keys(std::vector<Key>& keys) {
  const Adder add("devices", keys);
  add("slow_share", field<double, &S::devices, &S::Devices::slow_share>(), 0, 1);
  add("slow_factor", field<double, &S::devices, &S::Devices::slow_factor>(), 1, 1000);
  add("slow_up_kib_s", field<double, &S::devices, &S::Devices::slow_up_kib_s>(), 0, 1e7);
  add("slow_down_kib_s", field<double, &S::devices, &S::Devices::slow_down_kib_s>(), 0, 1e7);
  add("hosting_share", field<double, &S::devices, &S::Devices::hosting_share>(), 0, 1);
  add("hosted_regions", field<uint32_t, &S::devices, &S::Devices::hosted_regions>(), 1, 63);
  add("small_share", field<double, &S::devices, &S::Devices::small_share>(), 0, 1);
  add("small_memory_mib", field<double, &S::devices, &S::Devices::small_memory_mib>(), 0, 1e6);
  add("clock_share", field<double, &S::devices, &S::Devices::clock_share>(), 0, 1);
  add("clock_offset_s", field<double, &S::devices, &S::Devices::clock_offset_s>(), 0, 2e9);
  add("clock_drift_ppm", field<double, &S::devices, &S::Devices::clock_drift_ppm>(), 0, 1e5);
}

void add_network_keys(std::vector<Key>& keys) {
  const Adder add("network", keys);
  add("latency_ms", field<double, &S::network, &S::Network::latency_ms>(), 0.1, 1e5);
  add("jitter_ms", field<double, &S::network, &S::Network::jitter_ms>(), 0, 1e5);
  add("loss", field<double, &S::network, &S::Network::loss>(), 0, 0.5);
  add("drop", field<double, &S::network, &S::Network::drop>(), 0, 0.9);
  add("duplicate", field<double, &S::network, &S::Network::duplicate>(), 0, 0.9);
  add("reorder", field<double, &S::network, &S::Network::reorder>(), 0, 0.9);
  add("up_kib_s", field<double, &S::network, &S::Network::up_kib_s>(), 0, 1e7);
  add("down_kib_s", field<double, &S::network, &S::Network::down_kib_s>(), 0, 1e7);
  add("nat_share", field<double, &S::network, &S::Network::nat_share>(), 0, 0.9);
  add("heartbeat_ms", field<double, &S::network, &S::Network::heartbeat_ms>(), 100, 1e6);
}

void add_budget_keys(std::vector<Key>& keys) {
  const Adder add("budget", keys);
  add("up_kib_s", field<double, &S::budget, &S::Budget::up_kib_s>(), 0, 1e7);
  add("down_kib_s", field<double, &S::budget, &S::Budget::down_kib_s>(), 0, 1e7);
}

void add_faults_keys(std::vector<Key>& keys) {
  const Adder add("faults", keys);
  add("from_s", field<double, &S::faults, &S::Faults::from_s>(), 0, 30 * day_s);
  add("until_s", field<double, &S::faults, &S::Faults::until_s>(), 0, 30 * day_s);
  add("crash_per_hour", field<double, &S::faults, &S::Faults::crash_per_hour>(), 0, 3600);
  add("down_s", field<double, &S::faults, &S::Faults::down_s>(), 0.1, day_s);
  add("disk_loss_share", field<double, &S::faults, &S::Faults::disk_loss_share>(), 0, 1);
  add("pause_per_hour", field<double, &S::faults, &S::Faults::pause_per_hour>(), 0, 3600);
  add("pause_s", field<double, &S::faults, &S::Faults::pause_s>(), 0.1, day_s);
  add("clog_per_hour", field<double, &S::faults, &S::Faults::clog_per_hour>(), 0, 3600);
  add("clog_s", field<double, &S::faults, &S::Faults::clog_s>(), 0.1, day_s);
  add("partition_from_s", field<double, &S::faults, &S::Faults::partition_from_s>(), 0, 30 * day_s);
  add("partition_to_s", field<double, &S::faults, &S::Faults::partition_to_s>(), 0, 30 * day_s);
  add("partition_share", field<double, &S::faults, &S::Faults::partition_share>(), 0, 1);
  add("one_way", field<bool, &S::faults, &S::Faults::one_way>());
  add("one_way_share", field<double, &S::faults, &S::Faults::one_way_share>(), 0, 0.5);
  add("one_way_s", field<double, &S::faults, &S::Faults::one_way_s>(), 1, day_s);
  add("clock_steps_per_hour", field<double, &S::faults, &S::Faults::clock_steps_per_hour>(), 0,
      3600);
  add("clock_step_s", field<double, &S::faults, &S::Faults::clock_step_s>(), 1, 2e9);
  add("away_share", field<double, &S::faults, &S::Faults::away_share>(), 0, 1);
  add("session_s", field<double, &S::faults, &S::Faults::session_s>(), 1, day_s);
  add("absence_s", field<double, &S::faults, &S::Faults::absence_s>(), 1, day_s);
  add("churn_trace", field<Text, &S::faults, &S::Faults::churn_trace>());
  add("duty_share", field<double, &S::faults, &S::Faults::duty_share>(), 0, 1);
  add("day_s", field<double, &S::faults, &S::Faults::day_s>(), 24, 30 * day_s);
  add("duty_from_h", field<double, &S::faults, &S::Faults::duty_from_h>(), 0, 24);
  add("duty_to_h", field<double, &S::faults, &S::Faults::duty_to_h>(), 0, 24);
  add("duty_spread_h", field<double, &S::faults, &S::Faults::duty_spread_h>(), 0, 12);
}

void add_hostile_keys(std::vector<Key>& keys) {
  const Adder add("hostile", keys);
  add("attack", field<Text, &S::hostile, &S::Hostile::attack>(), 0, 0, attacks);
  add("share", field<double, &S::hostile, &S::Hostile::share>(), 0, 0.9);
  add("strength", field<double, &S::hostile, &S::Hostile::strength>(), 0, 1000);
  add("join_s", field<double, &S::hostile, &S::Hostile::join_s>(), 0, 30 * day_s);
  add("quota", field<uint32_t, &S::hostile, &S::Hostile::quota>(), 1, 256);
}

std::vector<Key> make_keys() {
  std::vector<Key> keys;
  add_run_keys(keys);
  add_learn_keys(keys);
  add_deal_keys(keys);
  add_devices_keys(keys);
  add_network_keys(keys);
  add_budget_keys(keys);
  add_faults_keys(keys);
  add_hostile_keys(keys);
  return keys;
}

const std::vector<Key>& scenario_keys() {
  static const std::vector<Key> keys = make_keys();
  return keys;
}

// Insertions, deletions and substitutions.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

std::string nearest(std::string_view word, const Words& known) {
  const auto best = std::min_element(known.begin(), known.end(), [&](auto a, auto b) {
    return edit_distance(word, a) < edit_distance(word, b);
  });
  return best == known.end() ? "" : std::string(*best);
}

Words sections() {
  Words names;
  for (const Key& key : scenario_keys()) {
    if (names.empty() || names.back() != key.section) names.push_back(key.section);
  }
  return names;
}

// What the writer most likely meant: the same name in another section, else the nearest in this
// one.
std::string likely_key(std::string_view section, std::string_view name) {
  Words names;
  for (const Key& key : scenario_keys()) {
    if (key.name == name) return std::string(key.section) + "." + std::string(key.name);
    if (key.section == section) names.push_back(key.name);
  }
  if (!section.empty()) return std::string(section) + "." + nearest(name, names);
  return nearest(name, sections());
}

std::string plain(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

// "" or the end of a sentence.
std::string check_choice(const Key& key, const std::string& word) {
  if (key.choices.empty()) return word.empty() ? "must not be empty" : "";
  if (std::find(key.choices.begin(), key.choices.end(), word) != key.choices.end()) return "";
  return "knows no \"" + word.substr(0, 40) + "\"; did you mean " + nearest(word, key.choices) +
         "?";
}

std::string set_number(const Key& key, const std::string& text, double& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return "must be a number but is \"" + text.substr(0, 40) + "\"";
  if (value < key.min || value > key.max)
    return "must be from " + plain(key.min) + " to " + plain(key.max) + " but is " + plain(value);
  return "";
}

std::string set_value(const Key& key, const YAML::Node& node, Scenario& scenario) {
  if (const auto* list = std::get_if<FieldOf<std::vector<std::string>>>(&key.field)) {
    if (!node.IsSequence()) return "must be a list, such as [one, two]";
    std::vector<std::string> words;
    for (const auto& entry : node) {
      if (!entry.IsScalar()) return "must be a list of texts";
      words.push_back(entry.Scalar());
      if (std::string problem = check_choice(key, words.back()); !problem.empty()) return problem;
    }
    (*list)(scenario) = words;
    return "";
  }
  if (!node.IsScalar()) return "must be one value";
  const std::string& text = node.Scalar();
  if (const auto* word = std::get_if<FieldOf<std::string>>(&key.field)) {
    (*word)(scenario) = text;
    return check_choice(key, text);
  }
  if (const auto* flag = std::get_if<FieldOf<bool>>(&key.field)) {
    if (text != "true" && text != "false") return "must be true or false but is \"" + text + "\"";
    (*flag)(scenario) = text == "true";
    return "";
  }
  double value = 0;
  if (std::string problem = set_number(key, text, value); !problem.empty()) return problem;
  if (const auto* count = std::get_if<FieldOf<uint32_t>>(&key.field)) {
    if (value != std::floor(value)) return "must be a whole number but is " + text;
    (*count)(scenario) = static_cast<uint32_t>(value);
    return "";
  }
  std::get<FieldOf<double>>(key.field)(scenario) = value;
  return "";
}

uint32_t line_of(const YAML::Node& node) { return static_cast<uint32_t>(node.Mark().line) + 1; }

std::string place(const std::string& path, const YAML::Node& node) {
  return path + ":" + std::to_string(line_of(node)) + ": ";
}

// Of a key, or of its section where it is not given; "" where neither is.
std::string place_of_key(const Scenario& scenario, std::string_view key) {
  auto line = scenario.lines.find(key);
  if (line == scenario.lines.end())
    line = scenario.lines.find(key.substr(0, std::min(key.find('.'), key.size())));
  return line == scenario.lines.end() ? "" : ":" + std::to_string(line->second);
}

std::string read_section(const std::string& path, const std::string& section,
                         const YAML::Node& body, Scenario& scenario) {
  std::set<std::string> seen;
  for (const auto& entry : body) {
    if (!entry.first.IsScalar())
      return place(path, entry.first) + section + ": has a key that is not a word";
    const std::string& name = entry.first.Scalar();
    const std::string start = place(path, entry.first) + section + "." + name.substr(0, 64) + ": ";
    const auto key =
        std::find_if(scenario_keys().begin(), scenario_keys().end(),
                     [&](const Key& each) { return each.section == section && each.name == name; });
    if (key == scenario_keys().end())
      return start + "unknown key; did you mean " + likely_key(section, name) + "?";
    if (!seen.insert(name).second) return start + "given twice; keep one";
    scenario.lines[section + "." + name] = line_of(entry.first);
    if (std::string problem = set_value(*key, entry.second, scenario); !problem.empty())
      return start + problem;
  }
  return "";
}

std::string read_document(const std::string& path, const YAML::Node& document, Scenario& scenario) {
  if (document.IsNull()) return "";
  if (!document.IsMap()) return place(path, document) + "must be sections with keys below them";
  const Words known = sections();
  std::set<std::string> seen;
  for (const auto& entry : document) {
    const std::string name = entry.first.IsScalar() ? entry.first.Scalar() : "?";
    const std::string start = place(path, entry.first) + name.substr(0, 64) + ": ";
    if (std::find(known.begin(), known.end(), name) == known.end())
      return start + "unknown section; did you mean " + likely_key("", name) + "?";
    if (!seen.insert(name).second) return start + "given twice; keep one";
    scenario.lines[name] = line_of(entry.first);
    if (entry.second.IsNull()) continue;
    if (!entry.second.IsMap()) return start + "must be a section with keys below it";
    if (std::string problem = read_section(path, name, entry.second, scenario); !problem.empty())
      return problem;
  }
  return "";
}

std::string in_quotes(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
  return out + "\"";
}

std::string value_text(const Key& key, Scenario& scenario) {
  if (const auto* list = std::get_if<FieldOf<std::vector<std::string>>>(&key.field)) {
    std::string text;
    for (const std::string& word : (*list)(scenario))
      text += (text.empty() ? "" : ", ") + in_quotes(word);
    return "[" + text + "]";
  }
  if (const auto* word = std::get_if<FieldOf<std::string>>(&key.field))
    return in_quotes((*word)(scenario));
  if (const auto* flag = std::get_if<FieldOf<bool>>(&key.field))
    return (*flag)(scenario) ? "true" : "false";
  if (const auto* count = std::get_if<FieldOf<uint32_t>>(&key.field))
    return std::to_string((*count)(scenario));
  return plain(std::get<FieldOf<double>>(key.field)(scenario));
}

// What is learned and from which files must go together.
std::string wrong_source(const Scenario::Learn& learn) {
  const auto wrong = [&](const std::string& key, bool is_given, const Words& of) {
    const bool is_wanted = std::find(of.begin(), of.end(), learn.kind) != of.end();
    if (is_wanted == is_given) return std::string();
    if (is_wanted) return key + ": must say what to learn when learn.kind is " + learn.kind;
    std::string list;
    for (const std::string_view kind : of) list += (list.empty() ? "" : " or ") + std::string(kind);
    return key + ": is only for learn.kind " + list;
  };
  for (const std::string& problem :
       {wrong("learn.texts", !learn.texts.empty(), {"text", "speakers"}),
        wrong("learn.images", !learn.images.empty(), {"images"}),
        wrong("learn.labels", !learn.labels.empty(), {"images"}),
        wrong("learn.table", !learn.table.empty(), {"table"})}) {
    if (!problem.empty()) return problem;
  }
  if (learn.kind == "speakers" && learn.texts.size() > 1)
    return "learn.texts: must be one file when learn.kind is speakers";
  return "";
}

}  // namespace

std::string contradiction(const Scenario& scenario) {
  const auto& faults = scenario.faults;
  const bool has_partition = faults.partition_share > 0;
  const bool has_faults = has_partition || faults.crash_per_hour > 0 || faults.pause_per_hour > 0 ||
                          faults.clog_per_hour > 0 || faults.away_share > 0 ||
                          faults.one_way_share > 0 || faults.clock_steps_per_hour > 0 ||
                          faults.duty_share > 0 || !faults.churn_trace.empty();
  if (has_faults && faults.until_s == 0)
    return "faults.until_s: must be more than 0 when there are faults";
  if (faults.from_s > 0 && faults.from_s >= faults.until_s)
    return "faults.from_s: must be earlier than faults.until_s";
  if (scenario.learn.seconds > scenario.run.seconds_max)
    return "learn.seconds: must not be more than run.seconds_max";
  if (faults.until_s > scenario.run.seconds_max)
    return "faults.until_s: must not be later than run.seconds_max";
  if (has_partition && faults.partition_from_s < faults.from_s)
    return "faults.partition_from_s: must not be earlier than faults.from_s";
  if (has_partition && faults.partition_to_s <= faults.partition_from_s)
    return "faults.partition_to_s: must be later than faults.partition_from_s";
  if (has_partition && faults.partition_to_s > faults.until_s)
    return "faults.partition_to_s: must not be later than faults.until_s";
  if (faults.duty_share > 0 && faults.duty_from_h == faults.duty_to_h)
    return "faults.duty_to_h: must differ from faults.duty_from_h";
  if ((scenario.hostile.attack == "none") != (scenario.hostile.share == 0))
    return "hostile: needs both an attack and a share";
  const Scenario::Deal& deal = scenario.deal;
  if (deal.partition == "shards" && deal.pieces_max > 0 && deal.pieces_max < deal.shards)
    return "deal.pieces_max: must be at least deal.shards";
  const std::string& kind = scenario.learn.kind;
  if (scenario.hostile.attack == "backdoor" && kind != "skills" && kind != "images")
    return "hostile.attack: backdoor needs questions and answers: learn.kind skills or images";
  if (scenario.hostile.attack == "sybil_join" && scenario.hostile.join_s > scenario.run.seconds_max)
    return "hostile.join_s: must not be later than run.seconds_max";
  if (std::string problem = equipment_contradiction(scenario); !problem.empty()) return problem;
  return wrong_source(scenario.learn);
}

std::string to_yaml(const Scenario& scenario) {
  Scenario given = scenario, usual;
  std::string yaml;
  std::string_view section;
  for (const Key& key : scenario_keys()) {
    const std::string value = value_text(key, given);
    if (value == value_text(key, usual)) continue;
    if (section != key.section) yaml += std::string(key.section) + ":\n";
    section = key.section;
    yaml += "  " + std::string(key.name) + ": " + value + "\n";
  }
  return yaml;
}

std::string set_key(Scenario& scenario, std::string_view key, const std::string& text) {
  const size_t dot = std::min(key.find('.'), key.size());
  const std::string_view section = key.substr(0, dot),
                         name = key.substr(std::min(dot + 1, key.size()));
  const auto known =
      std::find_if(scenario_keys().begin(), scenario_keys().end(),
                   [&](const Key& each) { return each.section == section && each.name == name; });
  const std::string start = std::string(key.substr(0, 64)) + ": ";
  if (key == "faults.churn_trace") return start + "is a file; name it in the scenario itself";
  if (known == scenario_keys().end()) {
    const Words all = sections();
    const bool has_section = std::find(all.begin(), all.end(), section) != all.end();
    return start + "unknown key; did you mean " +
           likely_key(has_section ? section : nearest(section, all), name) + "?";
  }
  YAML::Node node(text);
  const bool is_list = std::holds_alternative<FieldOf<std::vector<std::string>>>(known->field);
  if (is_list) node = YAML::Node(std::vector<std::string>{text});
  const std::string problem = set_value(*known, node, scenario);
  return problem.empty() ? "" : start + problem;
}

Result<Scenario, ScenarioError> parse_scenario(const std::string& yaml,
                                               const std::string& path_shown) {
  Scenario scenario;
  scenario.name = std::filesystem::path(path_shown).stem().string();
  std::string problem;
  try {
    problem = read_document(path_shown, YAML::Load(yaml), scenario);
  } catch (const YAML::Exception& wrong) {
    problem = path_shown + ":" + std::to_string(wrong.mark.line + 1) +
              ": is not YAML: " + wrong.msg.substr(0, 200);
  }
  if (problem.empty()) {
    problem = contradiction(scenario);
    const std::string_view key = std::string_view(problem).substr(0, problem.find(':'));
    if (!problem.empty()) problem = path_shown + place_of_key(scenario, key) + ": " + problem;
  }
  if (!problem.empty()) return Unexpected{ScenarioError{problem}};
  return scenario;
}

Result<Scenario, ScenarioError> load_scenario(const std::string& path, uint32_t nodes) {
  constexpr uintmax_t size_max = 256u << 10;
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return Unexpected{ScenarioError{path + ": " + error.message()}};
  if (size > size_max)
    return Unexpected{ScenarioError{path + ": is larger than a scenario can be"}};
  std::ifstream file(path, std::ios::binary);
  const std::string yaml{std::istreambuf_iterator<char>(file), {}};
  auto scenario = parse_scenario(yaml, path);
  if (!scenario) return scenario;
  if (nodes > 0) {
    const std::string problem = set_key(*scenario, "run.nodes", std::to_string(nodes));
    if (!problem.empty()) return Unexpected{ScenarioError{"--nodes: " + problem}};
  }
  place_files(*scenario, std::filesystem::path(path).parent_path());
  if (const auto wrong = wrong_file(*scenario))
    return Unexpected{ScenarioError{path + place_of_key(*scenario, wrong->key) + ": " + wrong->key +
                                    ": " + wrong->problem}};
  if (!scenario->faults.churn_trace.empty()) {
    auto churn = read_churn(scenario->faults.churn_trace);
    if (!churn) return Unexpected{ScenarioError{churn.error()}};
    scenario->faults.churn = std::move(*churn);
  }
  return scenario;
}

}  // namespace starling::sim
