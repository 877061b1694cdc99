#pragma once
// A scenario: how many nodes of which kind, what they learn, over which network, and what goes
// wrong. Read from YAML, strictly: an unknown key, a wrong type or an impossible value is an error
// with file, line, key and the nearest known key. Every key, its unit, range and default is one row
// of the table in scenario.cc.
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/result.h"
#include "sim/churn.h"

namespace starling::sim {

struct Scenario {
  std::string name;                                    // of the file, without folder and ending
  std::map<std::string, uint32_t, std::less<>> lines;  // in it, of sections and keys; no key
  struct Run {
    uint32_t nodes = 8;
    double seconds_max = 3600;    // virtual; the run ends earlier when all have made their steps
    double settle_s = 120;        // after learning and faults: by then all must agree
    double checkpoint_s = 60;     // between two checkpoints of a node
    uint32_t log_deltas_max = 0;  // a log on disk beyond this folds into snapshots; 0: never
  } run;
  struct Learn {
    std::string kind = "skills";  // skills, text, images, table, speakers, synthetic
    // Paths are relative to the scenario's folder.
    std::vector<std::string> texts;  // text: files, or folders with a task for each entry;
                                     // speakers: one file
    std::string images, labels;      // images: idx files, plain or gzipped
    std::string table;               // table: a file of fields between tabs with a header
    std::string group_column = "speaker", text_column = "text";  // of the table
    uint32_t groups_max = 32;     // table, speakers: the largest groups are learned, up to so many
    std::string model = "micro";  // micro, demo, tiny
    uint32_t steps = 600;         // of each node
    double seconds =
        0;  // virtual: then learning ends for all, however far they are; 0: it does not
    uint32_t steps_per_exchange = 10;
    double step_ms = 100;  // virtual, on a device of speed 1
    double learning_rate = 0.008;
    uint32_t rows = 8;
    uint32_t length = 128;
    double budget_fraction = 0.25;
    double outer = 2;
    bool judging = false;     // origins are judged too (swarm/judgement.h), not single deltas alone
    uint32_t questions = 20;  // of each skill, at the end; a quarter of it on the way
    std::vector<std::string> baselines = {"alone", "fedavg", "centralised"};  // baselines.h
    double server_rate = 0.7, server_momentum = 0.9;                          // of fedavg_momentum
    uint32_t dpsgd_neighbours = 2;  // 2: a ring; more: a random graph
    uint32_t probes = 12;  // how often it is asked on the way, and so of every baseline; at most
                           // once a tick
  } learn;
  struct Deal {
    std::string partition = "natural";  // natural, iid, dirichlet, shards, quantity
    double alpha = 0.3;                 // of dirichlet and quantity: smaller is more one-sided
    uint32_t shards = 2;                // of each node
    // Of each node, however many there are: a new one brings its own. 0: all pieces are dealt out.
    uint32_t pieces_max = 0;
  } deal;
  struct Devices {
    double slow_share = 0;
    double slow_factor = 4;
    double slow_up_kib_s = 0;     // of the slow ones; 0: as the network's
    double slow_down_kib_s = 0;   // likewise
    double hosting_share = 0;     // of devices that compute a part of the model's regions only
    uint32_t hosted_regions = 1;  // by them: of each layer's that are not always awake
    double small_share = 0;       // of devices with less memory
    double small_memory_mib = 0;  // that their trainer may take: it has fewer and shorter rows
    double clock_share = 0;       // of devices whose clocks are wrong
    double clock_offset_s = 0;    // the clock of the day, at most, either way
    double clock_drift_ppm = 0;   // and how much both clocks run fast or slow, at most
  } devices;
  struct Network {
    double latency_ms = 20;  // one way, mean over pairs
    double jitter_ms = 5;
    double loss = 0;        // share of packets: a stream sends them again, later
    double drop = 0;        // share of whole frames that a node loses (a full queue)
    double duplicate = 0;   // share of whole frames that come twice
    double reorder = 0;     // share of frames that overtake
    double up_kib_s = 0;    // 0: no limit
    double down_kib_s = 0;  // 0: no limit
    double nat_share = 0;   // of nodes that only dial out
    double heartbeat_ms = 2000;
  } network;
  struct Budget {           // what nodes keep to of themselves, whatever their line carries
    double up_kib_s = 0;    // 0: no limit
    double down_kib_s = 0;  // 0: no limit
  } budget;
  struct Faults {
    double from_s = 0;          // no fault before this
    double until_s = 0;         // no new fault after this, and all are mended; 0: none at all
    double crash_per_hour = 0;  // of each node
    double down_s = 10;
    double disk_loss_share = 0;  // of crashes: it comes back as somebody new
    double pause_per_hour = 0;
    double pause_s = 15;
    double clog_per_hour = 0;  // of each node: nothing gets out of it for a while, then everything
    double clog_s = 5;         // mean
    double partition_from_s = 0;
    double partition_to_s = 0;
    double partition_share = 0;       // of nodes on the far side
    bool one_way = false;             // only what leaves the far side is lost
    double one_way_share = 0;         // of pairs of nodes: what one sends never gets to the other
    double one_way_s = 60;            // then it is other pairs
    double clock_steps_per_hour = 0;  // of each node: its clock of the day is set back
    double clock_step_s = 600;        // mean
    double away_share = 0;            // of nodes that come and go
    double session_s = 300;           // mean
    double absence_s = 300;           // mean
    std::string churn_trace;          // a file that says when which node is up (churn.h)
    std::vector<ChurnChange> churn;   // what it says; no key
    double duty_share = 0;            // of nodes that are up in some hours of the day only
    double day_s = 86400;             // how long a day is
    double duty_from_h = 18, duty_to_h = 8;  // by the device's clock, in 24ths of a day
    double duty_spread_h = 2;  // by how much a device's hours differ from this, at most
  } faults;
  struct Hostile {
    std::string attack = "none";
    double share = 0;
    double strength = 1;
    double join_s = 60;    // sybil_join: when the other identities of the attacker come
    uint32_t quota = 256;  // likewise: places that its invite lets it give
  } hostile;
};

struct ScenarioError {
  std::string message;  // file:line: key: what is wrong; did you mean ...?
};

// Errors: one message, as above; also for a file that is missing or not readable, be it the
// scenario or one that it names. `nodes`, as after --nodes: instead of what it says; 0: as it says.
Result<Scenario, ScenarioError> load_scenario(const std::string& path, uint32_t nodes = 0);
Result<Scenario, ScenarioError> parse_scenario(const std::string& yaml,
                                               const std::string& path_shown);
// The keys that differ from the defaults, as a file that parse_scenario reads back to the same.
std::string to_yaml(const Scenario& scenario);
// Sets "section.name" to the value that `text` would be in a file. "" or what is wrong with it.
std::string set_key(Scenario& scenario, std::string_view key, const std::string& text);
// What keys say together that cannot be; "" when nothing is wrong.
std::string contradiction(const Scenario& scenario);

}  // namespace starling::sim
