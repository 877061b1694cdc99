#include "node/config_keys.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <thread>

#include "node/nearest.h"
#include "node/text_check.h"

namespace starling::node {

namespace {

constexpr size_t name_size_max = 64;      // as in the member record that carries it
constexpr size_t address_size_max = 128;  // likewise
constexpr double addresses_max = 4;       // likewise
constexpr double seeds_max = 64;
constexpr double region_names_max = 256;
constexpr double sources_max = 1024;
constexpr double mib_max = 1u << 20;  // 1 TiB

std::string cited(const std::string& text) { return '"' + printable(text) + '"'; }

std::string one_of(const std::string& text, const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) return "";
  std::string list;
  for (const auto& choice : choices) list += (list.empty() ? "" : ", ") + choice;
  return "must be one of " + list + " but is " + cited(text) + "; did you mean " +
         nearest(text, choices) + "?";
}

std::string check_name(const std::string& text) {
  if (text.empty() || text.size() > name_size_max) return "must have 1 to 64 bytes";
  if (text.front() == ' ' || text.back() == ' ') return "must not begin or end with a space";
  return "";
}

// Splits "host:port" and "[v6]:port"; false when it is neither.
bool split_address(const std::string& text, std::string& host, uint32_t& port) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return false;
  host = text.substr(0, colon);
  if (host.front() == '[') {
    if (host.back() != ']' || host.size() < 4) return false;
    host = host.substr(1, host.size() - 2);
    if (host.find_first_not_of("0123456789abcdefABCDEF:.%") != std::string::npos) return false;
  } else if (host.find_first_of(":/[] \t") != std::string::npos) {
    return false;
  }
  const char* first = text.data() + colon + 1;
  const char* last = text.data() + text.size();
  const auto parsed = std::from_chars(first, last, port);
  return parsed.ec == std::errc() && parsed.ptr == last && port <= 65535;
}

std::string check_address(const std::string& text, bool is_zero_port_allowed) {
  std::string host;
  uint32_t port = 0;
  if (text.size() > address_size_max || !split_address(text, host, port)) {
    return "must be host:port or [IPv6]:port, such as 192.0.2.7:7411, but is " + cited(text);
  }
  if (port == 0 && !is_zero_port_allowed) return "needs a port from 1 to 65535 in " + cited(text);
  return "";
}
std::string check_listen(const std::string& text) { return check_address(text, true); }
std::string check_peer(const std::string& text) { return check_address(text, false); }

bool is_loopback(const std::string& host) {
  if (host == "localhost" || host == "::1") return true;
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos &&
         std::count(host.begin(), host.end(), '.') == 3;
}

std::string check_api(const std::string& text) {
  if (text.empty()) return "";
  if (auto problem = check_address(text, true); !problem.empty()) return problem;
  std::string host;
  uint32_t port = 0;
  split_address(text, host, port);
  if (is_loopback(host)) return "";
  return "must be on the loopback, such as 127.0.0.1:7412, but is \"" + text +
         "\"; leave it empty for the unix socket";
}

std::string check_preset(const std::string& text) {
  return one_of(text, {"demo", "tiny", "small", "base"});
}
std::string check_level(const std::string& text) {
  return one_of(text, {"debug", "info", "warning", "error"});
}
std::string check_format(const std::string& text) { return one_of(text, {"text", "json"}); }
std::string check_weights(const std::string& text) { return one_of(text, {"int8", "fp32"}); }

std::string check_entry(const std::string& text) {
  return text.empty() ? "must not have an empty entry" : "";
}

std::string check_hours(const std::string& text) {
  if (text.empty()) return "";
  const auto is_digit = [&](size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  const auto is_time = [&](size_t i) {
    return is_digit(i) && is_digit(i + 1) && text[i + 2] == ':' && is_digit(i + 3) &&
           is_digit(i + 4) && text.substr(i, 2) < "24" && text[i + 3] < '6';
  };
  if (text.size() != 11 || text[5] != '-' || !is_time(0) || !is_time(6)) {
    return "must be HH:MM-HH:MM, such as 22:00-06:00, but is " + cited(text);
  }
  return text.substr(0, 5) == text.substr(6) ? "must begin and end at different times" : "";
}

std::string core_note() {
  return "; this machine has " + std::to_string(std::max(1u, std::thread::hardware_concurrency())) +
         " cores";
}

constexpr double u32_max = std::numeric_limits<uint32_t>::max();
constexpr double u64_max = 18446744073709551615.0;

template <auto Section, auto Member>
auto& field(Config& config) {
  return (config.*Section).*Member;
}

const std::array keys = {
    ConfigKey{"node", "name", &field<&Config::node, &Config::Node::name>, "",
              "what people call this node", 0, 0, check_name},
    ConfigKey{"node", "listen", &field<&Config::node, &Config::Node::listen>, "host:port",
              "where peers connect; port 0 takes any free one", 0, 0, check_listen},
    ConfigKey{"node", "advertise", &field<&Config::node, &Config::Node::advertise>,
              "list of host:port", "where others can reach it; empty: found from the interfaces", 0,
              addresses_max, check_peer},
    ConfigKey{"node", "seeds", &field<&Config::node, &Config::Node::seeds>, "list of host:port",
              "members to dial at start", 0, seeds_max, check_peer},
    ConfigKey{"node", "beacon", &field<&Config::node, &Config::Node::beacon>, "",
              "find members on the same network by multicast, and be found; seeds work without"},
    ConfigKey{
        "node", "api", &field<&Config::node, &Config::Node::api>, "host:port",
        "the local API; empty: the unix socket api.sock; TCP only on the loopback, with api.token",
        0, 0, check_api},
    ConfigKey{"model", "preset", &field<&Config::model, &Config::Model::preset>, "",
              "demo (160 k parameters), tiny (1 M), small (5 M) or base (20 M)", 0, 0,
              check_preset},
    ConfigKey{"model", "threads", &field<&Config::model, &Config::Model::threads>, "threads",
              "for learning", 1, 256, nullptr, core_note},
    ConfigKey{"model", "working_set", &field<&Config::model, &Config::Model::working_set>, "",
              "learn only in the regions that own data wakes most: smaller deltas, worse answers"},
    ConfigKey{"model", "private_regions", &field<&Config::model, &Config::Model::private_regions>,
              "list of names", "region names or prefixes that are never published", 0,
              region_names_max, check_entry},
    ConfigKey{"model", "hosted_regions", &field<&Config::model, &Config::Model::hosted_regions>,
              "list of names", "MLP regions computed here, by name or prefix; empty: all", 0,
              region_names_max, check_entry},
    ConfigKey{"learn", "sources", &field<&Config::learn, &Config::Learn::sources>, "list of paths",
              "files or folders to learn from; .tsv lines are PROMPT<TAB>ANSWER", 0, sources_max,
              check_entry},
    ConfigKey{"learn", "replay_fraction", &field<&Config::learn, &Config::Learn::replay_fraction>,
              "share", "of each batch that is drawn from what was seen before", 0, 1},
    ConfigKey{"learn", "learning_rate", &field<&Config::learn, &Config::Learn::learning_rate>,
              "per step", "step size of the optimiser; 0: the preset's own", 0, 1},
    ConfigKey{"learn", "dropout", &field<&Config::learn, &Config::Learn::dropout>, "share",
              "of the blocks' inner values left out of each step; helps where little is read often",
              0, 0.9},
    ConfigKey{"learn", "rows", &field<&Config::learn, &Config::Learn::rows>, "sequences",
              "learnt from in one step", 1, 1024},
    ConfigKey{"learn", "length", &field<&Config::learn, &Config::Learn::length>, "bytes",
              "read in one sequence", 16, 65536},
    ConfigKey{"learn", "steps", &field<&Config::learn, &Config::Learn::steps>, "steps",
              "of a finite run, which cools down at its end; 0: endless", 0, 1e15},
    ConfigKey{
        "learn", "personal_fraction", &field<&Config::learn, &Config::Learn::personal_fraction>,
        "share",
        "of a finite run's steps, at its end, that adapt this node to its own data, unpublished", 0,
        0.5},
    ConfigKey{"learn", "minutes", &field<&Config::learn, &Config::Learn::minutes>, "minutes",
              "of a finite run, which cools down at its end; 0: endless", 0, 1e7},
    ConfigKey{"learn", "passes", &field<&Config::learn, &Config::Learn::passes>, "passes",
              "over the data after which an endless node rests", 1, u32_max},
    ConfigKey{"learn", "seed", &field<&Config::learn, &Config::Learn::seed>, "",
              "decides the order in which the data is read", 0, u64_max},
    ConfigKey{"learn", "memory_mib", &field<&Config::learn, &Config::Learn::memory_mib>, "MiB",
              "of samples held for replay", 1, mib_max},
    ConfigKey{"swarm", "exchange", &field<&Config::swarm, &Config::Swarm::exchange>, "",
              "false: learn alone, publish nothing, take nothing"},
    ConfigKey{"swarm", "neighbours", &field<&Config::swarm, &Config::Swarm::neighbours>, "links",
              "kept up at most", 1, 1000},
    ConfigKey{"swarm", "sync_interval_s", &field<&Config::swarm, &Config::Swarm::sync_interval_s>,
              "seconds", "between heartbeats, which carry what each neighbour has", 0.05, 3600},
    ConfigKey{"swarm", "steps_per_exchange",
              &field<&Config::swarm, &Config::Swarm::steps_per_exchange>, "steps",
              "of learning between two published deltas", 1, 1e6},
    ConfigKey{"swarm", "outer", &field<&Config::swarm, &Config::Swarm::outer>, "factor",
              "a delta is scaled by outer / members, at most 1, and by less by itself where deltas "
              "come late",
              0.01, 16},
    ConfigKey{"swarm", "region_weights", &field<&Config::swarm, &Config::Swarm::region_weights>, "",
              "scale what a delta says of a region by how much its members use it"},
    ConfigKey{"swarm", "budget_fraction", &field<&Config::swarm, &Config::Swarm::budget_fraction>,
              "share", "of the parameters in a delta at most; beyond four members 1 / members",
              1e-4, 1},
    ConfigKey{"swarm", "upload_kib_per_s", &field<&Config::swarm, &Config::Swarm::upload_kib_per_s>,
              "KiB/s", "sent at most, of everything; 0: no limit of our own", 0, 1e9},
    ConfigKey{"swarm", "download_kib_per_s",
              &field<&Config::swarm, &Config::Swarm::download_kib_per_s>, "KiB/s",
              "received at most, of everything; 0: no limit of our own", 0, 1e9},
    ConfigKey{"swarm", "daily_mib", &field<&Config::swarm, &Config::Swarm::daily_mib>, "MiB",
              "sent and received a day, then deltas wait until midnight; 0: no limit of our own", 0,
              mib_max},
    ConfigKey{"swarm", "quiet_hours", &field<&Config::swarm, &Config::Swarm::quiet_hours>,
              "HH:MM-HH:MM", "local time in which no delta is sent or fetched; empty: never", 0, 0,
              check_hours},
    ConfigKey{"swarm", "wait_for_members", &field<&Config::swarm, &Config::Swarm::wait_for_members>,
              "members", "with this one, before learning begins; 1: begin at once", 1, 1000},
    ConfigKey{"swarm", "wait_s", &field<&Config::swarm, &Config::Swarm::wait_s>, "seconds",
              "to wait for them at most", 0, 86400},
    ConfigKey{"swarm", "accusers_to_revoke",
              &field<&Config::swarm, &Config::Swarm::accusers_to_revoke>, "members",
              "whose accusations suffice for this node to revoke whom it may; 0: the owner decides",
              0, 1000},
    ConfigKey{"serve", "answer_bytes_max", &field<&Config::serve, &Config::Serve::answer_bytes_max>,
              "bytes", "of one answer at most", 1, 1u << 20},
    ConfigKey{"serve", "requests_max", &field<&Config::serve, &Config::Serve::requests_max>,
              "requests", "of ask, learn, teach and eval at once; more are turned away", 1, 256},
    ConfigKey{
        "serve", "personal_share", &field<&Config::serve, &Config::Serve::personal_share>, "share",
        "of what this node has learned and not yet sent, added to the weights that answer", 0, 2},
    ConfigKey{"serve", "weights", &field<&Config::serve, &Config::Serve::weights>, "int8, fp32",
              "that answer; int8 is several times as fast and nearly as good", 0, 0, check_weights},
    ConfigKey{"limits", "memory_mib", &field<&Config::limits, &Config::Limits::memory_mib>, "MiB",
              "of memory in all", 16, mib_max},
    ConfigKey{"limits", "cpu_percent", &field<&Config::limits, &Config::Limits::cpu_percent>,
              "percent", "of one core, for learning", 1, 25600},
    ConfigKey{"limits", "disk_mib", &field<&Config::limits, &Config::Limits::disk_mib>, "MiB",
              "for log, checkpoints and data", 16, mib_max},
    ConfigKey{"limits", "hours", &field<&Config::limits, &Config::Limits::hours>, "HH:MM-HH:MM",
              "local time in which to learn; empty: always", 0, 0, check_hours},
    ConfigKey{"checkpoint", "interval_s",
              &field<&Config::checkpoint, &Config::Checkpoint::interval_s>, "seconds",
              "between checkpoints", 1, 86400},
    ConfigKey{"checkpoint", "kept", &field<&Config::checkpoint, &Config::Checkpoint::kept>, "files",
              "generations to keep", 1, 100},
    ConfigKey{"log", "level", &field<&Config::log, &Config::Log::level>, "",
              "debug, info, warning or error", 0, 0, check_level},
    ConfigKey{"log", "format", &field<&Config::log, &Config::Log::format>, "",
              "text (key=value) or json (one object a line)", 0, 0, check_format},
};
std::string number_text(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

// YAML's double-quoted form: right for every text that is valid UTF-8. Control characters are
// escaped, so that what reads them back can say that they are not wanted.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned>(byte));
      out += escaped;
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string range_problem(const ConfigKey& key, const std::string& text) {
  const auto bound = [](double value) {
    if (value >= u64_max) return std::to_string(std::numeric_limits<uint64_t>::max());
    const auto whole = static_cast<uint64_t>(value);
    return static_cast<double>(whole) == value ? std::to_string(whole) : number_text(value);
  };
  return "must be from " + bound(key.min) + " to " + bound(key.max) + " but is " + printable(text) +
         (key.range_note != nullptr ? key.range_note() : "");
}

template <typename T>
Result<Done, std::string> set_number(const ConfigKey& key, const Scalar& scalar, T& value) {
  const char* first = scalar.text.data();
  const char* last = first + scalar.text.size();
  T parsed{};
  const auto [end, error] = std::from_chars(first, last, parsed);
  const bool is_number = !scalar.is_quoted && end == last && first != last;
  if (is_number && error == std::errc::result_out_of_range) {
    return Unexpected{range_problem(key, scalar.text)};
  }
  if (!is_number || error != std::errc()) {
    // A number of the wrong kind deserves the plainer message: 0 to 10 for "-3".
    if (!scalar.is_quoted && scalar.text.size() > 1 && scalar.text[0] == '-' &&
        scalar.text.find_first_not_of("0123456789.", 1) == std::string::npos) {
      return Unexpected{range_problem(key, scalar.text)};
    }
    return Unexpected{"must be " + type_name(key) + " but is " + cited(scalar.text) +
                      (scalar.is_quoted ? " in quotes" : "")};
  }
  const double wide = static_cast<double>(parsed);
  if (!std::isfinite(wide) || wide < key.min || wide > key.max) {
    return Unexpected{range_problem(key, scalar.text)};
  }
  value = parsed;
  return Done{};
}

std::string text_problem(const ConfigKey& key, const std::string& text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return "must not have control characters";
  }
  return key.check ? key.check(text) : "";
}

// One overload per type of value; `scalars` has exactly one entry except for the list.
Result<Done, std::string> set_field(const ConfigKey& key, const std::vector<Scalar>& scalars,
                                    std::vector<std::string>& value) {
  if (static_cast<double>(scalars.size()) > key.max) {
    return Unexpected{"has " + std::to_string(scalars.size()) + " entries; at most " +
                      number_text(key.max) + " are possible"};
  }
  std::vector<std::string> entries;
  for (const auto& scalar : scalars) {
    if (auto problem = text_problem(key, scalar.text); !problem.empty()) return Unexpected{problem};
    entries.push_back(scalar.text);
  }
  value = std::move(entries);
  return Done{};
}
Result<Done, std::string> set_field(const ConfigKey& key, const std::vector<Scalar>& scalars,
                                    std::string& value) {
  if (auto problem = text_problem(key, scalars[0].text); !problem.empty()) {
    return Unexpected{problem};
  }
  value = scalars[0].text;
  return Done{};
}
Result<Done, std::string> set_field(const ConfigKey& key, const std::vector<Scalar>& scalars,
                                    bool& value) {
  const Scalar& scalar = scalars[0];
  if (scalar.is_quoted || (scalar.text != "true" && scalar.text != "false")) {
    return Unexpected{"must be " + type_name(key) + " but is " + cited(scalar.text)};
  }
  value = scalar.text == "true";
  return Done{};
}
template <typename T>
Result<Done, std::string> set_field(const ConfigKey& key, const std::vector<Scalar>& scalars,
                                    T& value) {
  return set_number(key, scalars[0], value);
}

std::string field_text(const std::string& value) { return quoted(value); }
std::string field_text(const std::vector<std::string>& value) {
  std::string out = "[";
  for (const auto& entry : value) out += (out.size() > 1 ? ", " : "") + quoted(entry);
  return out + "]";
}
std::string field_text(bool value) { return value ? "true" : "false"; }
std::string field_text(uint32_t value) { return std::to_string(value); }
std::string field_text(uint64_t value) { return std::to_string(value); }
std::string field_text(double value) { return number_text(value); }

}  // namespace

std::span<const ConfigKey> config_keys() { return keys; }

const char* section_doc(const std::string& section) {
  if (section == "node") return "who this node is and where it is found";
  if (section == "model") return "the network; every member of a swarm has the same preset";
  if (section == "learn") return "what it learns from, and how";
  if (section == "swarm") return "how it exchanges what it has learnt";
  if (section == "serve") return "answering ask, chat, teach and eval";
  if (section == "limits") return "what it may take from the device";
  if (section == "checkpoint") return "what survives a power cut";
  return "what it says while it runs";
}

std::vector<std::string> section_names() {
  std::vector<std::string> names;
  for (const auto& key : keys) {
    if (names.empty() || names.back() != key.section) names.emplace_back(key.section);
  }
  return names;
}

std::string dotted(const ConfigKey& key) { return std::string(key.section) + "." + key.name; }

std::string environment_name(const ConfigKey& key) {
  std::string name = std::string("STARLING_") + key.section + "_" + key.name;
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return name;
}

std::string type_name(const ConfigKey& key) {
  // In the order of Field.
  constexpr std::array names = {"a text",         "a list",         "true or false",
                                "a whole number", "a whole number", "a number"};
  static_assert(names.size() == std::variant_size_v<Field>);
  return names[key.field.index()];
}

std::string value_text(const ConfigKey& key, const Config& config) {
  Config copy = config;  // fields are found in a mutable Config only
  return std::visit([&](auto field) { return field_text(field(copy)); }, key.field);
}

Result<Done, std::string> set_value(const ConfigKey& key, const std::vector<Scalar>& scalars,
                                    Config& config) {
  const bool is_list = std::holds_alternative<FieldOf<std::vector<std::string>>>(key.field);
  if (!is_list && scalars.size() != 1) return Unexpected{"must be " + type_name(key)};
  return std::visit([&](auto field) { return set_field(key, scalars, field(config)); }, key.field);
}

}  // namespace starling::node
