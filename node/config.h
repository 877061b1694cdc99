#pragma once
// starling.yaml: every key with its unit and default (deploy/config/starling.yaml shows them all).
// Strict: an unknown key, a wrong type or an impossible value is an error with file, line, key and
// the nearest known key. Precedence: environment (STARLING_<SECTION>_<KEY>), file, default.
#include <cstdint>
#include <string>
#include <vector>

#include "model/result.h"

namespace starling::node {

struct Config {
  struct Node {
    std::string name = "starling";
    std::string listen = "0.0.0.0:7411";  // host:port of the peer port; port 0: any
    std::vector<std::string>
        advertise;                   // host:port others can reach; empty: found from the interfaces
    std::vector<std::string> seeds;  // host:port of members to dial at start
    bool beacon = true;              // find members on the same network, and be found by them
    std::string api;  // empty: unix socket api.sock in the directory; or 127.0.0.1:port
    friend bool operator==(const Node&, const Node&) = default;
  } node;
  struct Model {
    std::string preset = "tiny";  // demo, tiny, small, base
    uint32_t threads = 1;
    bool working_set = false;  // learn only in the regions that own data mostly wakes
    std::vector<std::string> private_regions = {};  // region names or prefixes; never published
    std::vector<std::string> hosted_regions = {};   // empty: all
    friend bool operator==(const Model&, const Model&) = default;
  } model;
  struct Learn {
    std::vector<std::string> sources;  // files or folders; .tsv files are PROMPT<TAB>ANSWER pairs
    double replay_fraction = 0.75;
    double learning_rate = 0;  // 0: the preset's own
    double dropout = 0;        // share of the blocks' inner values
    uint32_t rows = 8;         // sequences a step
    uint32_t length = 256;     // bytes a sequence
    double personal_fraction =
        0;                 // of a finite run of steps in a swarm, at its end: for itself only
    uint64_t steps = 0;    // a finite run of that many steps with cool-down; 0: endless
    double minutes = 0;    // a finite run of that time with cool-down; 0: endless
    uint32_t passes = 20;  // endless: rest when the data has been read that often
    uint64_t seed = 1;
    uint64_t memory_mib = 32;  // samples held for replay
    friend bool operator==(const Learn&, const Learn&) = default;
  } learn;
  struct Swarm {
    bool exchange = true;  // false: learn alone, publish nothing, take nothing
    uint32_t neighbours = 8;
    double sync_interval_s = 2;        // heartbeats and anti-entropy
    uint32_t steps_per_exchange = 20;  // H
    double outer = 2;                  // s = min(1, outer / N)
    bool region_weights = false;       // s of a region by who uses it
    double budget_fraction = 0.25;     // k is at most this, at most 1/N
    // Every byte of the swarm's frames counts, not only the own deltas.
    uint64_t upload_kib_per_s = 0;    // 0: no limit of our own, as with the next two
    uint64_t download_kib_per_s = 0;  // what neighbours may send is what we ask for
    uint64_t daily_mib = 0;           // sent and received together, from midnight to midnight
    std::string quiet_hours;          // "08:00-18:00": no delta moves then; empty: never
    uint32_t wait_for_members =
        1;               // learn only once this many members (with us) are known; 1: at once
    double wait_s = 60;  // but not longer than this
    uint32_t accusers_to_revoke = 0;  // 0: accusations are shown, and the owner decides
    friend bool operator==(const Swarm&, const Swarm&) = default;
  } swarm;
  struct Serve {
    uint32_t answer_bytes_max = 4096;
    uint32_t requests_max = 4;     // at once
    double personal_share = 1;     // of what was learned here and not yet sent, in answers
    std::string weights = "int8";  // of sessions: int8, or fp32
    friend bool operator==(const Serve&, const Serve&) = default;
  } serve;
  struct Limits {
    uint64_t memory_mib = 1280;
    uint32_t cpu_percent = 100;  // of one core, for learning
    uint64_t disk_mib = 1024;    // log, checkpoints, data
    std::string hours;           // "22:00-06:00": learn only then; empty: always
    friend bool operator==(const Limits&, const Limits&) = default;
  } limits;
  struct Checkpoint {
    double interval_s = 300;
    uint32_t kept = 3;
    friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
  } checkpoint;
  struct Log {
    std::string level = "info";   // debug info warning error
    std::string format = "text";  // text (key=value), json
    friend bool operator==(const Log&, const Log&) = default;
  } log;
  friend bool operator==(const Config&, const Config&) = default;
};

inline constexpr size_t config_size_max = 256u << 10;  // bytes of a starling.yaml

struct ConfigError {
  std::string message;  // file:line: key: what is wrong; did you mean ...?
};

// `path` missing: ConfigError. Environment variables override what the file says.
Result<Config, ConfigError> load_config(const std::string& path);
// What the text says, without the environment. Errors name `path_shown`.
Result<Config, ConfigError> parse_config(const std::string& yaml, const std::string& path_shown);

// A row of `config show`: the value in force, and where it comes from.
struct ConfigValue {
  std::string key;     // "node.name"
  std::string value;   // as YAML
  std::string unit;    // "" for none
  std::string source;  // "default", "starling.yaml:7", "environment STARLING_NODE_NAME"
  std::string doc;
};
Result<std::vector<ConfigValue>, ConfigError> explain_config(const std::string& path);

// Keys ("node.name") whose values differ.
std::vector<std::string> differing_keys(const Config& one, const Config& other);

std::string default_yaml(const Config& config);  // a commented file that parses back to `config`

}  // namespace starling::node
