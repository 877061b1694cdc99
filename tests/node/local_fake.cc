#include "tests/node/local_fake.h"

#include <filesystem>

namespace starling::node {

namespace {

swarm::PeerId peer(uint8_t fill) {
  swarm::PeerId id;
  id.bytes.fill(fill);
  return id;
}

}  // namespace

Status FakeDaemon::status() {
  wait_while_hung();
  Status status;
  status.name = "amsel";
  status.id = swarm::to_string(peer(1));
  status.swarm = "00112233445566778899aabbccddeeff";
  status.state = state;
  status.since_s = 1700000000;
  status.reason = "there is data to read";
  status.next = "publishes in 4 steps";
  status.model.preset = "tiny";
  status.model.parameters = 1150000;
  status.model.step = 1200;
  status.model.loss = 2.5;
  status.model.tokens = tokens += 100;
  status.model.fingerprint = "f00d";
  status.swarm_state.members = 2;
  status.swarm_state.neighbours = neighbours;
  status.swarm_state.sent_bytes = 2048;
  status.swarm_state.received_bytes = 1ull << 40;
  status.swarm_state.accepted = 7;
  status.swarm_state.duplicates = 7;
  status.swarm_state.refused = 3;
  status.swarm_state.quiet_hours = "08:00-18:00";
  status.swarm_state.budget = {.limits = {.up_bytes_per_s = 4096, .day_bytes = 8u << 20},
                               .today = {.sent_bytes = 3u << 20, .received_bytes = 1u << 20},
                               .restraint = swarm::Restraint::quiet_hours,
                               .sent_last_minute = 60 * 1024};
  status.swarm_state.base_hash = std::string(64, 'a');
  status.swarm_state.deltas = 9;
  status.swarm_state.published = 5;
  status.swarm_state.refused_by_reason = {{"bad_signature", 2}, {"too_large", 1}};
  status.swarm_state.bits_per_parameter = 0.43;
  status.resources.memory_bytes = 50u << 20;
  status.resources.uptime_s = 61;
  status.listen = "127.0.0.1:7411";
  status.steps_planned = 2000;
  return status;
}

std::vector<swarm::MemberView> FakeDaemon::members() {
  swarm::MemberView self;
  self.id = peer(1);
  self.name = "amsel";
  self.is_self = true;
  self.software = "0.1.0";
  swarm::MemberView other;
  other.id = peer(2);
  other.name = "drossel";
  other.address = "192.0.2.7:7411";
  other.state = swarm::MemberState::suspect;
  other.rtt_ms = 1.5;
  other.is_linked = is_linked;
  other.score = -2;
  other.refused = {{swarm::DropReason::replayed, 3}, {swarm::DropReason::rate_limited, 70}};
  other.software = "0.1.0";
  other.step = 40;
  other.last_delta_age_ms = 3000;
  other.lost_reason = "no heartbeat for 8 s";
  return {self, other};
}

std::vector<RegionRow> FakeDaemon::regions() {
  RegionRow row;
  row.region = "l0.mlp.3";
  row.kind = "mlp";
  row.parameters = 9216;
  row.active = 0.125;
  row.changed = 1.5;
  row.sent = 4;
  row.received = 6;
  row.hosts = 2;
  row.is_private = true;
  return {row};
}

std::vector<ProvenanceRow> FakeDaemon::provenance(const std::string& region) {
  if (region.starts_with("l9")) return {};
  ProvenanceRow row;
  row.region = region.empty() ? "l0.mlp.3" : region;
  row.origin = swarm::to_string(peer(2));
  row.name = "drossel";
  row.deltas = 6;
  row.norm = 0.25;
  row.last_s = 1700000000;
  return {row};
}

std::vector<InfluenceRow> FakeDaemon::influence() {
  InfluenceRow row;
  row.origin = swarm::to_string(peer(2));
  row.deltas = 6;
  row.norm = 0.25;
  row.share = 0.125;
  row.last_s = 1700000000;
  row.held_deltas = 2;
  row.copies = 3;
  row.agreement = -0.5;
  row.is_held = is_held;
  return {row};
}

std::vector<Event> FakeDaemon::events(uint64_t after_seq, int64_t timeout_ms) {
  std::vector<Event> kept;
  Event first;
  first.seq = 1;
  first.time_ms = 1700000000250;
  first.kind = "learned";
  first.fields = {{"bytes", "120"}, {"source", "notes.txt"}};
  Event second;
  second.seq = 2;
  second.time_ms = 1700000001000;
  second.kind = "delta_held";
  second.fields = {{"reason", "far from the reference"},
                   {"seq", "hidden: the event's own comes first"}};
  for (const auto& event : {first, second}) {
    if (event.seq > after_seq) kept.push_back(event);
  }
  if (kept.empty()) {  // nothing more will happen: the whole wait passes
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [] { return false; });
  }
  return kept;
}

Result<Done, Failure> FakeDaemon::ask(const AskOptions& options,
                                      const std::function<bool(const std::string&)>& on_bytes) {
  if (auto done = note("ask " + options.prompt + " bytes=" + std::to_string(options.bytes_max) +
                       " stop=" + (options.stop_at_newline ? "yes" : "no") +
                       " seed=" + std::to_string(options.seed));
      !done) {
    return done;
  }
  wait_while_hung();
  for (const auto& piece : pieces) {
    ++pieces_given;
    if (!on_bytes(piece)) return Done{};
  }
  return Done{};
}

Result<LearnOutcome, Failure> FakeDaemon::learn(const std::string& name, DataKind kind,
                                                std::vector<uint8_t> bytes) {
  if (auto done = note("learn " + name + " " + std::to_string(static_cast<int>(kind)) + " " +
                       std::to_string(bytes.size()));
      !done) {
    return Unexpected{done.error()};
  }
  LearnOutcome outcome;
  outcome.bytes = bytes.size();
  outcome.kind = name.ends_with(".tsv") ? DataKind::pairs : DataKind::text;
  outcome.pairs = outcome.kind == DataKind::pairs ? 2 : 0;
  return outcome;
}

Result<TeachOutcome, Failure> FakeDaemon::teach(const std::string& prompt,
                                                const std::string& answer) {
  if (auto done = note("teach " + prompt + "|" + answer); !done) return Unexpected{done.error()};
  wait_while_hung();
  return TeachOutcome{.learned = is_learned, .steps = 12, .answer = is_learned ? answer : "?"};
}

Result<EvaluateOutcome, Failure> FakeDaemon::evaluate(DataKind kind, std::vector<uint8_t> bytes,
                                                      const std::function<bool()>& goes_on) {
  if (auto done = note("evaluate " + std::to_string(static_cast<int>(kind))); !done) {
    return Unexpected{done.error()};
  }
  CHECK(goes_on());
  EvaluateOutcome outcome;
  outcome.kind = kind == DataKind::pairs ? DataKind::pairs : DataKind::text;
  outcome.bytes = bytes.size();
  outcome.bits_per_byte = 2.25;
  outcome.accuracy = 0.75;
  outcome.examples = 4;
  return outcome;
}

Result<std::string, Failure> FakeDaemon::create_invite(const InviteOptions& options) {
  std::string what = "invite " + std::to_string(options.valid_for_s);
  if (options.quota > 0) what += " quota " + std::to_string(options.quota);
  if (options.may_delegate) what += " delegate";
  if (auto done = note(what); !done) return Unexpected{done.error()};
  return std::string("starling1:token");
}

// Has the right to shut out all but this one.
Result<RevokeOutcome, Failure> FakeDaemon::revoke(const RevokeOptions& options) {
  const std::string what = "revoke " + options.id + (options.is_with_invited ? " and below" : "");
  if (auto done = note(what); !done) return Unexpected{done.error()};
  return RevokeOutcome{options.id, options.id != foreign_id};
}

Result<ExportOutcome, Failure> FakeDaemon::export_deltas(
    const ExportOptions& options, const std::function<bool(const std::string&)>& on_bytes) {
  const std::string what = "export since " + std::to_string(options.since.size());
  if (auto done = note(what); !done) return Unexpected{done.error()};
  if (!on_bytes(bundle))
    return Unexpected{Failure{FailureKind::unavailable, "the receiver hung up"}};
  return ExportOutcome{.deltas = 3, .members = 2, .folded = 1};
}

Result<ImportOutcome, Failure> FakeDaemon::import_deltas(
    const std::function<std::optional<std::string>()>& next_bytes) {
  imported.clear();
  while (const auto piece = next_bytes()) imported += *piece;
  if (auto done = note("import " + std::to_string(imported.size())); !done)
    return Unexpected{done.error()};
  return ImportOutcome{.added = 2, .known = 1, .refused_by_reason = {{"revoked", 4}}};
}

std::vector<std::string> FakeDaemon::told() const {
  std::lock_guard lock(mutex_);
  return told_;
}

void FakeDaemon::release() {
  std::lock_guard lock(mutex_);
  is_hung = false;
  changed_.notify_all();
}

Result<Done, Failure> FakeDaemon::note(const std::string& what) {
  std::lock_guard lock(mutex_);
  if (failure) return Unexpected{*failure};
  told_.push_back(what);
  return Done{};
}

Result<std::string, Failure> FakeDaemon::path(const std::string& what) {
  if (auto done = note(what); !done) return Unexpected{done.error()};
  return "checkpoints/" + what;
}

void FakeDaemon::wait_while_hung() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !is_hung; });
}

FakeNode::FakeNode(const std::string& below, const std::string& api, uint32_t requests_max)
    : directory(below.empty() ? folder.path : folder.path + "/" + below) {
  std::filesystem::create_directories(directory);
  auto started = LocalServer::start(
      {.directory = directory, .api = api, .requests_max = requests_max}, daemon);
  REQUIRE_MESSAGE(started.has_value(), started.error().message);
  server = std::move(*started);
}

Ran starling(const std::vector<std::string>& arguments, const std::string& in, bool is_terminal) {
  std::istringstream input(in);
  std::ostringstream out, err;
  Console console{.in = input,
                  .out = out,
                  .err = err,
                  .is_in_terminal = is_terminal,
                  .is_out_terminal = is_terminal,
                  .is_coloured = is_terminal,
                  .run =
                      [&](const RunOptions& options) {
                        out << "run " << options.directory << " " << options.log_level << " "
                            << options.log_format;
                        return ExitCode::temporary;
                      },
                  .sim =
                      [&](const std::vector<std::string>& rest) {
                        out << "sim";
                        for (const auto& argument : rest) out << " [" << argument << "]";
                        return ExitCode::ok;
                      }};
  Ran ran;
  ran.code = static_cast<int>(run_cli(arguments, console));
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

}  // namespace starling::node
