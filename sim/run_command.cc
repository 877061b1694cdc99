// `starling sim run` itself: what it is given, checked before anything runs, and what it tells.
#include <cstdio>
#include <fstream>

#include "sim/drawing.h"
#include "sim/simulate.h"

namespace starling::sim {
namespace {

constexpr uint64_t large_checkpoint_size = 1ull << 30;  // bytes: said before the run

int fail(const Failure& failure) {
  std::fprintf(stderr, "starling sim: %s\n", failure.message.c_str());
  return static_cast<int>(failure.code);
}

// What the machine could give now; 0: not known.
uint64_t memory_available() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  uint64_t kib = 0;
  while (file >> word) {
    if (word == "MemAvailable:" && file >> kib) return kib * 1024;
  }
  return 0;
}

// What is checked before the swarm lives.
struct Prepared {
  Scenario scenario;
  Lessons lessons;
  RunIdentity identity;
  std::optional<Journal> journal;
};

Result<Done, Failure> try_checkpoint(const std::string& path, const Scenario& scenario) {
  const uint64_t size = run_checkpoint_size(scenario);
  if (size > run_checkpoint_size_max)
    return Unexpected{
        Failure{ExitCode::cannot_create,
                "a checkpoint of this run would have about " + std::to_string(size >> 30) +
                    " GiB, more than " + std::to_string(run_checkpoint_size_max >> 30) +
                    "; take fewer --nodes or a smaller learn.model, or leave --checkpoint out"}};
  if (size >= large_checkpoint_size)
    std::printf("a checkpoint may have about %llu MiB\n",
                static_cast<unsigned long long>(size >> 20));
  return try_to_write(path);
}

Result<RunCheckpoint, Failure> resumed(const SimulateOptions& options,
                                       const RunIdentity& identity) {
  auto read = read_run_checkpoint(options.resume, identity);
  if (!read) return read;
  const double second = static_cast<double>(read->micros) / 1e6;
  if (options.until_s > 0 && options.until_s < second)
    return Unexpected{Failure{ExitCode::usage, options.resume + ": was written at virtual time " +
                                                   fixed(second, 1) + " s, after the " +
                                                   fixed(options.until_s, 1) +
                                                   " s of --until; give a later one, or none"}};
  std::printf("from %s: virtual time %.1f s, %llu events\n", options.resume.c_str(), second,
              static_cast<unsigned long long>(read->events));
  return read;
}

// Errors: the checkpoint that cannot be read, or the one that cannot be written.
Result<std::optional<Journal>, Failure> journal_for(const SimulateOptions& options,
                                                    const Prepared& prepared, const Ranks& ranks) {
  if (options.checkpoint.empty() && options.resume.empty()) return std::optional<Journal>();
  if (!options.checkpoint.empty() && ranks.is_first()) {
    if (const auto tried = try_checkpoint(options.checkpoint, prepared.scenario); !tried)
      return Unexpected{tried.error()};
  }
  std::optional<RunCheckpoint> from;
  if (!options.resume.empty()) {
    auto read = resumed(options, prepared.identity);
    if (!read) return Unexpected{read.error()};
    from = std::move(*read);
  }
  return std::optional<Journal>(std::in_place,
                                Journal::Options{.identity = prepared.identity,
                                                 .path = options.checkpoint,
                                                 .every_s = options.checkpoint_every_s,
                                                 .resumed_from = options.resume},
                                std::move(from));
}

Result<Prepared, Failure> prepare(const SimulateOptions& options, const Ranks& ranks) {
  auto scenario = load_scenario(options.scenario, options.nodes);
  if (!scenario) return Unexpected{Failure{ExitCode::config, scenario.error().message}};
  // Once as it is kept, once as it is in the file.
  const bool has_checkpoints = !options.checkpoint.empty() || !options.resume.empty();
  const uint64_t kept = has_checkpoints ? 2 * run_checkpoint_size(*scenario) : 0;
  const uint64_t memory =
      memory_estimate(*scenario, options.threads, options.until_s, ranks.count()) + kept;
  std::printf("seed %llu\n", static_cast<unsigned long long>(options.seed));
  const std::string processes =
      ranks.is_alone() ? "" : std::to_string(ranks.count()) + " processes with ";
  std::printf("%s: %u nodes, %s, %s%u threads, about %llu MiB of memory\n", scenario->name.c_str(),
              scenario->run.nodes, scenario->learn.kind.c_str(), processes.c_str(), options.threads,
              static_cast<unsigned long long>(memory >> 20));
  if (const auto lack = lack_of_memory(memory)) return Unexpected{*lack};
  auto lessons = deal_lessons(*scenario, options.seed);
  if (!lessons) return Unexpected{lessons.error()};
  if (!lessons->tasks.empty()) std::printf("%s", partition_table(*lessons).c_str());
  Prepared prepared{.scenario = std::move(*scenario),
                    .lessons = std::move(*lessons),
                    .identity = {},
                    .journal = {}};
  prepared.identity = identity_of(prepared.scenario, prepared.lessons, options.seed);
  auto journal = journal_for(options, prepared, ranks);
  if (!journal) return Unexpected{journal.error()};
  prepared.journal = std::move(*journal);
  std::fflush(stdout);
  return prepared;
}

// ---- Several processes

std::string hash_of_this_program() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  Trace trace;
  trace.absorb({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  return trace.hex();
}

// All that the run follows from, as text.
std::string footing(const Prepared& prepared, const SimulateOptions& options) {
  const RunIdentity& identity = prepared.identity;
  std::string text = identity.scenario + identity.lessons + hash_of_this_program();
  for (const double number : {static_cast<double>(identity.nodes), options.until_s,
                              options.checkpoint_every_s, options.checkpoint.empty() ? 0.0 : 1.0})
    text += " " + std::to_string(number);
  text += " " + std::to_string(identity.seed);
  if (prepared.journal) text += " " + prepared.journal->resumed_trace();
  return text;
}

// Whether all can begin, and with the same. One of those that cannot says why.
std::optional<int> cannot_begin(const Result<Prepared, Failure>& prepared,
                                const SimulateOptions& options, const Ranks& ranks) {
  const bool does_first_fail = ranks.is_any(ranks.is_first() && !prepared);
  const bool is_told = does_first_fail && !ranks.is_first();
  const bool does_any_fail = ranks.is_any(!prepared);
  if (!prepared) return is_told ? static_cast<int>(prepared.error().code) : fail(prepared.error());
  if (does_any_fail) return static_cast<int>(ExitCode::failed);
  if (ranks.is_alone() || ranks.is_same(footing(*prepared, options))) return std::nullopt;
  const Failure failure{
      ExitCode::config,
      "the processes of this run differ in scenario, data, options, checkpoint or "
      "build; start all of them by one mpirun with one program and one scenario"};
  return ranks.is_first() ? fail(failure) : static_cast<int>(failure.code);
}

// For people and files. 0, or the code of what could not be written.
int tell(const Outcome& outcome, const std::string& directory) {
  std::printf("%s", to_text(outcome).c_str());
  if (directory.empty()) return 0;
  const auto written = write_outcome(outcome, directory);
  if (!written) return fail(written.error());
  std::printf("report: %s/report.html\n", directory.c_str());
  return 0;
}

}  // namespace

std::optional<Failure> lack_of_memory(uint64_t needed) {
  const uint64_t available = memory_available();
  if (available == 0 || needed <= available) return std::nullopt;
  return Failure{ExitCode::too_little_memory,
                 "this needs about " + std::to_string(needed >> 20) + " MiB and the machine has " +
                     std::to_string(available >> 20) +
                     "; fewer --nodes or a smaller learn.model need less"};
}

std::optional<Failure> lack_of_memory(const Scenario& scenario, uint32_t threads, double until_s) {
  return lack_of_memory(memory_estimate(scenario, threads, until_s));
}

int run_simulation(const SimulateOptions& options, Signals& signals) {
  const Ranks ranks = Ranks::join();
  // One speaks for all.
  if (!ranks.is_first() && std::freopen("/dev/null", "w", stdout) == nullptr)
    return fail({ExitCode::cannot_create, "cannot open /dev/null; check that it is there"});
  auto prepared = prepare(options, ranks);
  if (const auto code = cannot_begin(prepared, options, ranks)) return *code;
  std::optional<Journal>& journal = prepared->journal;
  Watch watch(signals, !ranks.is_first());
  const Outcome outcome = simulate(prepared->scenario, prepared->lessons,
                                   {.seed = options.seed,
                                    .threads = options.threads,
                                    .until_s = options.until_s,
                                    .journal = journal ? &*journal : nullptr,
                                    .ranks = &ranks},
                                   watch);
  watch.settle();
  if (journal && journal->failure()) return fail(*journal->failure());
  const int code = tell(outcome, ranks.is_first() ? options.directory : std::string());
  std::printf("trace %s\n", outcome.trace.c_str());
  if (code != 0) return code;
  if (signals.stop_signal() != 0) return 128 + signals.stop_signal();
  const bool is_good = outcome.is_complete && failed_checks(outcome).empty();
  return static_cast<int>(is_good ? ExitCode::ok : ExitCode::failed);
}

}  // namespace starling::sim
