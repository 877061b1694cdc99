// Learns with a swarm in one process and prints what it came to, one JSON line a run. See
// swarm/README.md for the runs behind its tables.
#include <sodium.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>

#include "tests/bench/learning_world.h"

namespace {

using namespace starling;
using namespace starling::bench;

struct Arguments {
  std::string data;
  std::string task = "digits";
  std::string method = "swarm";
  double alpha = 1;
  Setup setup;
};

constexpr const char* usage =
    "usage: swarm_learning --data FOLDER [--task text|folder|digits] [--alpha A]\n"
    "  [--method swarm|fedavg|central|alone] [--nodes N] [--exchanges T] [--steps H] [--seed S]\n"
    "  [--rate R] [--beta1 B] [--fraction K] [--outer O] [--width D] [--rows B]\n"
    "  [--late L] [--loss P] [--away P] [--slow P] [--believe-all] [--fixed-outer]\n"
    "  [--regions R] [--region-weights] [--working-set] [--consistency]\n"
    "  [--attack NAME --hostile P] [--strength A] [--norm F] [--expel-at T]\n"
    "  [--hold-below A]\n"
    "FOLDER holds input.txt and speeches.tsv (text), texts (folder), or MNIST's train files, "
    "gzipped\n"
    "(digits).\n";

bool set_number(Arguments& arguments, const std::string& name, double value) {
  Setup& setup = arguments.setup;
  const auto whole = static_cast<uint32_t>(value);
  const std::map<std::string, double*> doubles = {
      {"--alpha", &arguments.alpha}, {"--rate", &setup.learning_rate},
      {"--beta1", &setup.beta1},     {"--fraction", &setup.fraction},
      {"--outer", &setup.outer},     {"--loss", &setup.loss},
      {"--away", &setup.away},       {"--slow", &setup.slow},
      {"--hostile", &setup.hostile}, {"--strength", &setup.strength},
      {"--norm", &setup.norm},       {"--hold-below", &setup.rules.hold_below}};
  const std::map<std::string, uint32_t*> wholes = {
      {"--exchanges", &setup.exchanges},  {"--steps", &setup.steps},
      {"--width", &setup.width},          {"--rows", &setup.rows},
      {"--regions", &setup.regions},      {"--late", &setup.late_max},
      {"--expel-at", &setup.attack_until}};
  if (const auto found = doubles.find(name); found != doubles.end())
    return *found->second = value, true;
  if (const auto found = wholes.find(name); found != wholes.end())
    return *found->second = whole, true;
  if (name == "--nodes") return setup.nodes = whole, whole > 0 && whole < 256;
  if (name == "--seed") return setup.seed = whole, true;
  return false;
}

bool parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--believe-all") {
      arguments.setup.is_judged = false;
      continue;
    }
    if (name == "--fixed-outer") {
      arguments.setup.adapts = false;
      continue;
    }
    if (name == "--consistency") {
      arguments.setup.measures_consistency = true;
      continue;
    }
    if (name == "--region-weights") {
      arguments.setup.weighs_regions = true;
      continue;
    }
    if (name == "--working-set") {
      arguments.setup.working_set = true;
      continue;
    }
    if (++i == argc) return false;
    const std::string value = argv[i];
    if (name == "--data") {
      arguments.data = value;
    } else if (name == "--task") {
      arguments.task = value;
    } else if (name == "--method") {
      arguments.method = value;
    } else if (name == "--attack") {
      const auto attack = attack_of(value);
      if (!attack) return false;
      arguments.setup.attack = *attack;
    } else if (!set_number(arguments, name, std::atof(argv[i]))) {
      return false;
    }
  }
  return !arguments.data.empty();
}

void print_range(const char* name, const std::vector<double>& values) {
  if (values.empty()) return;
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  std::printf(", \"%s\": [%.3f, %.3f]", name, *least, *most);
}

void print_swarm(const Task& task, const Setup& setup) {
  const Outcome outcome = run_swarm(task, setup);
  std::printf(
      "\"score\": %.4g, \"agreed\": %s, \"hostile\": %zu, \"hostile_held\": %zu, "
      "\"honest_held\": %zu, \"honest_ever_held\": %zu, \"honest_agreement\": %.3f, "
      "\"honest_agreement_min\": %.3f, "
      "\"hostile_agreement_max\": %.3f, \"honest_share_max\": %u, \"kib_a_node\": %.1f, "
      "\"lateness\": %.2f",
      outcome.score, outcome.is_agreed ? "true" : "false", outcome.hostile, outcome.hostile_held,
      outcome.honest_held, outcome.honest_ever_held, outcome.honest_agreement,
      outcome.honest_agreement_min, outcome.hostile_agreement_max, outcome.honest_share_max,
      outcome.mean_bytes / 1024, outcome.lateness);
  print_range("honest_own", outcome.honest_consistency.own);
  print_range("honest_either", outcome.honest_consistency.either);
  print_range("hostile_own", outcome.hostile_consistency.own);
  print_range("hostile_either", outcome.hostile_consistency.either);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments) || sodium_init() < 0) return std::fputs(usage, stderr), 64;
  const Setup& setup = arguments.setup;
  const std::optional<Task> task =
      arguments.task == "text" ? text_task(arguments.data, setup.nodes)
      : arguments.task == "folder"
          ? folder_task(arguments.data, setup.nodes)
          : digits_task(arguments.data, setup.nodes, arguments.alpha, setup.seed);
  if (!task) return std::fprintf(stderr, "swarm_learning: no such data in %s\n", argv[2]), 66;
  std::printf(
      "{\"task\": \"%s\", \"method\": \"%s\", \"nodes\": %zu, \"alpha\": %g, "
      "\"attack\": \"%s\", \"share\": %g, \"seed\": %llu, ",
      arguments.task.c_str(), arguments.method.c_str(), setup.nodes, arguments.alpha,
      attack_name(setup.attack).c_str(), setup.hostile,
      static_cast<unsigned long long>(setup.seed));
  if (arguments.method == "swarm") print_swarm(*task, setup);
  if (arguments.method == "fedavg") std::printf("\"score\": %.4g", run_fedavg(*task, setup));
  if (arguments.method == "central") std::printf("\"score\": %.4g", run_central(*task, setup));
  if (arguments.method == "alone") std::printf("\"score\": %.4g", run_alone(*task, setup));
  std::printf(", \"cpu_s\": %.1f}\n",
              static_cast<double>(std::clock()) / static_cast<double>(CLOCKS_PER_SEC));
  return 0;
}
