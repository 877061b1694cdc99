#pragma once
// What a run of local nodes consists of: which nodes there are, what each learns from, what all are
// asked. Made from the options alone (same options, texts and seed: same plan), then written into
// the report's folder:
//   DIR/nodes/NAME/data/   what the node learns from
//   DIR/nodes/NAME/alone/, DIR/nodes/NAME/swarm/   the node's own directory in each phase
//   DIR/nodes/NAME/node.log   what it wrote, both phases
//   DIR/tests/   what all nodes are asked; no node learns from it
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/result.h"

namespace starling::sim {

// Exit codes (sysexits, as those of `starling`).
enum class ExitCode : int {
  ok = 0,
  failed = 1,
  usage = 2,
  bad_data = 65,
  internal = 70,
  too_little_memory = 71,
  cannot_create = 73,
  config = 78
};

struct Failure {
  ExitCode code = ExitCode::failed;
  std::string message;  // what, where, what to do
};

inline constexpr uint32_t nodes_max = 16;                // the swarm's full view
inline constexpr uint64_t text_size_max = 256ull << 20;  // bytes of one text
inline constexpr uint64_t text_size_min = 1000;          // bytes; a tenth of less tests nothing
inline constexpr uint64_t test_size_max = 32 * 1024;     // bytes of a held-out part that are scored

struct LocalOptions {
  uint32_t nodes = 4;
  std::vector<std::string> texts = {};  // files or folders; empty: the built-in skills
  double minutes = 0;                   // of the whole run; 0: see steps
  uint64_t steps = 0;  // of each node in each phase; 0: by minutes, or the default of the kind
  std::string directory = "starling-report";
  uint64_t seed = 1;
  bool has_chaos = false;
  std::string preset = {};        // empty: the kind's own
  double kill_interval_s = 20;    // chaos: between two kills
  double agreement_bound_s = 60;  // from the last node's end to equal bases
  bool keeps_nodes = false;       // leave the nodes' directories in place
  std::string program = {};       // `starling`
};

enum class Kind { skills, text };

struct Task {
  std::string name;
  std::string file;   // under DIR/tests
  std::string bytes;  // of that file
};

struct Lesson {
  std::string file;  // name inside the node's data folder
  std::string bytes;
};

struct NodePlan {
  std::string name;
  std::vector<size_t> own;  // indices of tasks whose training part it is given
  std::vector<Lesson> learns;
};

struct Plan {
  Kind kind = Kind::skills;
  std::string preset;
  std::vector<NodePlan> nodes;
  std::vector<Task> tasks;
  uint64_t steps = 0;  // 0: by minutes
  double minutes = 0;  // of the whole run; 0: by steps
  uint32_t rows = 8;
  uint32_t length = 256;
  double learning_rate = 0;  // 0: the preset's own
  uint32_t steps_per_exchange = 20;
  double personal_fraction = 0;  // of the steps in the swarm, at their end
  double outer = 2;
  double budget_fraction = 0.25;
};

// Errors: bad_data for a text that is missing, unreadable, empty, too short or too long.
Result<Plan, Failure> make_plan(const LocalOptions& options);

// The whole text of a file, or of all files of a folder in order of their paths, joined by
// newlines. Hidden files and files with zero bytes (no text) in a folder are left out.
Result<std::string, Failure> read_text(const std::string& path);

// Whether a file or folder has anything that read_text would take for text: a file without zero
// bytes, or a folder with such a file that is not empty. Errors: bad_data where it cannot be read.
Result<bool, Failure> holds_text(const std::string& path);

// The largest position <= `at` where no UTF-8 sequence of `text` is cut.
size_t utf8_boundary(const std::string& text, size_t at);

// Where everything lies; see the top.
struct Places {
  explicit Places(std::string directory);
  std::string directory, nodes, tests;
  std::string node(const NodePlan& node) const;
  std::string log(const NodePlan& node) const;
  std::string home(const NodePlan& node, const std::string& phase) const;
  std::string test(const Task& task) const;
};

// Makes the folders and writes data and tests. What an earlier run has left is removed first; a
// `nodes` or `tests` folder that no run of ours made is refused. Errors: cannot_create.
Result<Done, Failure> write_plan(const Plan& plan, const Places& places);
// Removes data, tests and the nodes' directories; the logs stay.
void remove_nodes(const Plan& plan, const Places& places);

// A node's starling.yaml.
struct NodeSettings {
  std::string phase;  // "alone" or "swarm"
  uint16_t port = 0;
  std::vector<uint16_t> seed_ports;  // of members to dial
  uint64_t steps = 0;
  double minutes = 0;
  double checkpoint_interval_s = 300;
  uint64_t seed = 1;  // of the order in which data is read
};
std::string node_yaml(const Plan& plan, size_t node, const NodeSettings& settings,
                      const Places& places);

}  // namespace starling::sim
