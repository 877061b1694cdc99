// What a running node answers. How it comes up and goes down is in node_start.cc.
#include "node/node.h"

#include <algorithm>
#include <cmath>

#include "node/clock.h"
#include "node/file.h"
#include "node/influence.h"
#include "node/log.h"
#include "node/resources.h"
#include "node/serving.h"
#include "node/source.h"

namespace starling::node {

namespace {

class Counted {
 public:
  explicit Counted(std::atomic<uint32_t>& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::atomic<uint32_t>& count_;
};

using std::chrono::milliseconds;

constexpr milliseconds answer_timeout{10000};
constexpr milliseconds protocol_timeout{3000};
constexpr milliseconds teach_timeout{120000};
constexpr milliseconds checkpoint_timeout{60000};
constexpr uint32_t teach_steps_max = 400;
constexpr size_t prompt_size_max = 4096;

Unexpected<Failure> fail(FailureKind kind, const std::string& message) {
  return Unexpected{Failure{kind, message}};
}

Unexpected<Failure> busy(const std::string& what) {
  return fail(FailureKind::timeout, what + ": the learner was busy for too long; try again");
}

}  // namespace

Status Node::status() {
  Status status;
  const LearnerReport learner = learner_->report();
  status.name = home_.config.node.name;
  status.id = swarm::to_string(home_.identity.id());
  status.swarm = to_hex(home_.swarm);
  status.state = is_leaving_ ? "stopping" : learner.state;
  status.since_s = learner.since_s;
  status.reason = learner.reason;
  status.next = learner.next;
  status.model = {.preset = home_.config.model.preset,
                  .parameters = parameters_,
                  .step = learner.step,
                  .loss = learner.loss,
                  .bits_per_byte = learner.bits_per_byte,
                  .fingerprint = to_hex(fingerprint_),
                  .tokens = learner.tokens};
  const TransportCounters traffic = transport_->counters();
  auto& shown = status.swarm_state;
  shown.quiet_hours = home_.config.swarm.quiet_hours;
  shown.sent_bytes = traffic.sent_bytes;
  shown.received_bytes = traffic.received_bytes;
  shown.base_hash = to_hex(learner.base_hash);
  shown.deltas = learner.deltas;
  shown.held = learner.held;
  shown.published = learner.published;
  shown.bits_per_parameter = learner.bits_per_parameter;
  shown.lateness = learner.lateness;
  for (const auto& [reason, count] : traffic.refused) {
    shown.refused_by_reason["handshake_" + reason] = count;
    shown.refused += count;
  }
  if (const auto report = driver_->report(protocol_timeout)) {
    const swarm::Counters& counters = report->counters;
    shown.members = report->view.members;
    shown.neighbours = report->view.neighbours;
    shown.accepted = counters.accepted;
    shown.refused += counters.refused;
    shown.duplicates = counters.duplicates;
    shown.budget = report->budget;
    for (size_t i = 0; i < counters.refused_by_reason.size(); ++i) {
      if (counters.refused_by_reason[i] == 0) continue;
      shown.refused_by_reason[std::string(swarm::drop_reason_name(
          static_cast<swarm::DropReason>(i)))] = counters.refused_by_reason[i];
    }
  } else {
    status.state = "degraded";
    status.reason = "the protocol thread does not answer";
  }
  const double uptime =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  status.resources = {.memory_bytes = resident_bytes(),
                      .cpu_percent = 100 * cpu_seconds() / std::max(uptime, 1e-3),
                      .disk_bytes = directory_bytes(home_.paths.directory),
                      .uptime_s = static_cast<uint64_t>(uptime)};
  status.listen = listen_;
  status.steps_planned = home_.config.learn.steps;
  status.is_finished = learner.is_finished;
  status.is_paused = learner.is_paused;
  return status;
}

std::vector<swarm::MemberView> Node::members() {
  const auto report = driver_->report(protocol_timeout);
  return report ? report->members : std::vector<swarm::MemberView>{};
}

std::vector<RegionRow> Node::regions() {
  auto rows = learner_->call([](Mind& mind) { return mind.region_rows(); }, answer_timeout);
  if (!rows) return {};
  const auto report = driver_->report(protocol_timeout);
  const auto alive = !report ? 1
                             : std::count_if(report->members.begin(), report->members.end(),
                                             [](const auto& member) {
                                               return member.state == swarm::MemberState::alive;
                                             });
  for (RegionRow& row : *rows)
    row.hosts = static_cast<uint32_t>(alive);  // every member keeps the whole sum
  return *rows;
}

std::vector<ProvenanceRow> Node::provenance(const std::string& region) {
  auto rows = learner_->call(
      [region](Mind& mind) {
        std::vector<ProvenanceRow> found;
        for (const auto& [key, influence] : mind.exchange().influence()) {
          const std::string name = model::region_name(mind.regions()[key.first]);
          if (!region.empty() && name != region && !name.starts_with(region + ".")) continue;
          found.push_back({name, swarm::to_string(key.second), "", influence.deltas,
                           std::sqrt(influence.squares), influence.last_s});
        }
        return found;
      },
      answer_timeout);
  if (!rows) return {};
  const auto report = driver_->report(protocol_timeout);
  for (ProvenanceRow& row : *rows) {
    if (!report) break;
    for (const swarm::MemberView& member : report->members) {
      if (swarm::to_string(member.id) == row.origin) row.name = member.name;
    }
  }
  return *rows;
}

std::vector<InfluenceRow> Node::influence() {
  auto rows =
      learner_->call([](Mind& mind) { return influence_rows(mind.exchange()); }, answer_timeout);
  return rows ? *rows : std::vector<InfluenceRow>{};
}

std::vector<Event> Node::events(uint64_t after_seq, int64_t timeout_ms) {
  return events_.wait(after_seq, timeout_ms);
}

Result<Done, Failure> Node::ask(const AskOptions& options,
                                const std::function<bool(const std::string&)>& on_bytes) {
  if (options.prompt.size() > prompt_size_max) {
    return fail(FailureKind::bad_data, "the prompt has " + std::to_string(options.prompt.size()) +
                                           " bytes, at most " + std::to_string(prompt_size_max) +
                                           " are taken");
  }
  const auto current = learner_->snapshot(false, answer_timeout);
  if (!current) return busy("ask");
  AskOptions bounded = options;
  bounded.bytes_max = std::min(options.bytes_max, home_.config.serve.answer_bytes_max);
  const Counted counted(answering_);
  answer(current->begin(), bounded, on_bytes);
  return Done{};
}

// Keeps a copy in data/, so that the next start learns from it too. Returns a note when it could
// not.
std::string Node::keep_data(const Source& source, const std::vector<uint8_t>& bytes) {
  const uint64_t bytes_max = (home_.config.limits.disk_mib << 20) / 4;
  std::lock_guard lock(data_mutex_);
  if (directory_bytes(home_.paths.data) + bytes.size() > bytes_max) {
    return "not kept across restarts: data/ has reached " + std::to_string(bytes_max >> 20) +
           " MiB";
  }
  const swarm::Digest digest = swarm::blake2b(bytes);
  const std::string path = home_.paths.data + "/" + to_hex(std::span(digest).first(8)) +
                           (source.kind == DataKind::pairs ? ".tsv" : ".txt");
  // On disk before the answer: a name without its content would be all that a power cut leaves.
  if (const auto kept = replace_file(path, bytes, 0600); !kept)
    return "not kept across restarts: " + kept.error();
  return "";
}

Result<LearnOutcome, Failure> Node::learn(const std::string& name, DataKind kind,
                                          std::vector<uint8_t> bytes) {
  Result<Source, Failure> source = parse_source(name, kind, bytes);
  if (!source) return Unexpected{source.error()};
  std::string note = source->note;
  const std::string not_kept = keep_data(*source, bytes);
  if (!not_kept.empty()) note += (note.empty() ? "" : "; ") + not_kept;
  LearnOutcome outcome{.bytes = bytes.size(),
                       .pairs = source->pairs.size(),
                       .kind = source->kind,
                       .note = std::move(note)};
  auto taken = std::make_shared<Source>(std::move(*source));
  if (!learner_->call([taken](Mind& mind) { return mind.add(*taken); }, answer_timeout))
    return busy("learn " + name);
  return outcome;
}

Result<TeachOutcome, Failure> Node::teach(const std::string& prompt, const std::string& answer) {
  const auto is_line = [](const std::string& text) {
    return !text.empty() && text.size() <= prompt_size_max &&
           text.find_first_of(std::string("\n\t\0", 3)) == std::string::npos;
  };
  if (!is_line(prompt) || !is_line(answer)) {
    return fail(FailureKind::bad_data, "prompt and answer must each be one line of 1 to " +
                                           std::to_string(prompt_size_max) + " bytes without tabs");
  }
  if (prompt.size() + answer.size() + 2 > home_.config.learn.length) {
    return fail(FailureKind::bad_data,
                "prompt and answer together must be shorter than learn.length (" +
                    std::to_string(home_.config.learn.length) + " bytes)");
  }
  const model::Pair pair{prompt, answer};
  auto taught = learner_->teach(pair, teach_steps_max, teach_timeout);
  if (!taught) return busy("teach");
  if (!*taught) return Unexpected{taught->error()};
  TeachOutcome outcome = **taught;
  const std::string line = prompt + "\t" + answer + "\n";
  (void)keep_data(
      {.name = "taught", .kind = DataKind::pairs, .text = {}, .pairs = {pair}, .note = {}},
      std::vector<uint8_t>(line.begin(), line.end()));
  const auto current = learner_->snapshot(true, answer_timeout);
  if (!current) return busy("teach");
  AskOptions question;
  question.prompt = prompt;
  node::answer(current->begin(), question, [&outcome](const std::string& bytes) {
    outcome.answer += bytes;
    return true;
  });
  return outcome;
}

Result<EvaluateOutcome, Failure> Node::evaluate(DataKind kind, std::vector<uint8_t> bytes,
                                                const std::function<bool()>& goes_on) {
  const Result<Source, Failure> source = parse_source("the data", kind, std::move(bytes));
  if (!source) return Unexpected{source.error()};
  const auto current = learner_->weights(answer_timeout);
  if (!current) return busy("eval");
  const Counted counted(answering_);
  const std::optional<EvaluateOutcome> outcome = node::evaluate(*current, *source, goes_on);
  if (!outcome) return fail(FailureKind::unavailable, "nobody waits for this score any more");
  return *outcome;
}

bool Node::follow(const Config& fresh) { return learner_->follow(fresh, answer_timeout); }

Result<Done, Failure> Node::pause() {
  if (!learner_->set_paused(true, answer_timeout)) return busy("pause");
  return keep_paused(true);
}

Result<Done, Failure> Node::resume() {
  if (!learner_->set_paused(false, answer_timeout)) return busy("resume");
  return keep_paused(false);
}

// A device that its owner paused does not start to learn because it was switched off and on.
Result<Done, Failure> Node::keep_paused(bool is_paused) {
  std::lock_guard lock(data_mutex_);
  db_->set(paused_key, is_paused ? "1" : "0");
  if (const auto fault = db_->take_fault()) {
    return fail(FailureKind::exhausted,
                "done until the next start, which will not know of it: " + *fault);
  }
  return Done{};
}

Result<std::string, Failure> Node::snapshot() {
  auto written = learner_->write_checkpoint(checkpoint_timeout);
  if (!written) return busy("snapshot");
  return *written;
}

Result<std::string, Failure> Node::rollback() {
  auto restored = learner_->roll_back(checkpoint_timeout);
  if (!restored) return busy("rollback");
  return *restored;
}

Result<Done, Failure> Node::leave() {
  is_leaving_ = true;  // run_node sees it and takes the node down in order
  return Done{};
}

Result<Done, Failure> Node::set_log_level(const std::string& level) {
  if (!node::set_log_level(level)) {
    return fail(FailureKind::bad_data,
                level + ": not a level; choose debug, info, warning or error");
  }
  return Done{};
}

}  // namespace starling::node
