// How a node comes up from its directory, and goes down. What it answers is in node.cc.
#include <sodium.h>

#include <algorithm>
#include <filesystem>

#include "node/clock.h"
#include "node/day_count.h"
#include "node/file.h"
#include "node/footprint.h"
#include "node/interfaces.h"
#include "node/log.h"
#include "node/node.h"
#include "node/refusal_log.h"
#include "node/region_names.h"
#include "node/source.h"
#include "swarm/accept.h"
#include "swarm/codec.h"

namespace starling::node {

namespace {

constexpr uint32_t snapshots_kept = 3;
constexpr std::chrono::milliseconds goodbye_time{500};

Unexpected<HomeError> fail(ExitCode code, const std::string& message) {
  return Unexpected{HomeError{code, message}};
}

std::string host_of(const std::string& address) { return address.substr(0, address.rfind(':')); }

bool is_any_host(const std::string& host) {
  return host == "0.0.0.0" || host == "[::]" || host.empty();
}

// Separated by blanks; what is no id is passed over.
std::vector<swarm::PeerId> ids_in(const std::string& text) {
  std::vector<swarm::PeerId> ids;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    if (const auto id = swarm::parse_peer_id(text.substr(at, end - at))) ids.push_back(*id);
    at = end + 1;
  }
  return ids;
}

}  // namespace

Node::Node(Home home, HomeLock lock) : home_(std::move(home)), lock_(std::move(lock)) {}

Node::~Node() { stop(); }

Result<std::unique_ptr<Node>, HomeError> Node::start(Home home, HomeLock lock) {
  std::unique_ptr<Node> node(new Node(std::move(home), std::move(lock)));
  for (auto step : {&Node::open_mind, &Node::open_stores, &Node::add_sources, &Node::open_links}) {
    if (Result<Done, HomeError> done = (node.get()->*step)(); !done)
      return Unexpected{done.error()};
  }
  return node;
}

void Node::note_trouble(const std::string& what) {
  log_warning("trouble", {{"what", what}});
  events_.add("state_changed", {{"to", "degraded"}, {"reason", what}});
  trouble_ = what;
}

Result<Done, HomeError> Node::open_mind() {
  const Config& config = home_.config;
  const std::optional<model::Shape> shape = model::shape_of_preset(config.model.preset);
  if (!shape)
    return fail(ExitCode::config,
                home_.paths.config + ": model.preset: there is no preset " + config.model.preset);
  if (const std::string problem = region_problem(*shape, config.model); !problem.empty())
    return fail(ExitCode::config, home_.paths.config + ": " + problem);
  if (const std::string problem = device_problem(*shape, config); !problem.empty())
    return fail(ExitCode::config, home_.paths.config + ": " + problem);
  const std::vector<MemoryPart> parts = memory_parts(*shape, config);
  log_info("memory", {{"needed_mib_max", std::to_string(memory_mib(parts))},
                      {"limit_mib", std::to_string(config.limits.memory_mib)},
                      {"parts", memory_text(parts)}});
  shape_ = *shape;
  table_ = model::region_table(shape_);
  parameters_ = model::parameter_count(shape_);
  std::vector<float> genesis = model::genesis(shape_, genesis_seed);
  fingerprint_ = model_fingerprint(shape_, genesis);
  return Done{};
}

Result<Done, HomeError> Node::open_stores() {
  const HomePaths& paths = home_.paths;
  std::vector<std::string> reports;
  auto db = StateDb::open(paths.state_db, reports);
  if (!db) {
    return fail(db.error().error == StateDb::OpenError::newer_schema ? ExitCode::bad_data
                                                                     : ExitCode::cannot_create,
                db.error().message);
  }
  db_ = std::move(*db);
  const uint64_t log_bytes_max = (home_.config.limits.disk_mib << 20) / 2;
  auto log = DeltaStore::open(paths.log, log_bytes_max, home_.swarm, reports);
  if (!log) return fail(ExitCode::cannot_create, log.error());
  log_ = std::move(*log);
  checkpoints_ = std::make_unique<CheckpointStore>(paths.checkpoints, ".ckpt",
                                                   home_.config.checkpoint.kept, fingerprint_);
  snapshots_ =
      std::make_unique<CheckpointStore>(paths.snapshots, ".snap", snapshots_kept, fingerprint_);
  for (const auto& entry : std::filesystem::directory_iterator(paths.snapshots)) {
    std::error_code ignored_missing;  // the remains of a transfer that was cut off
    if (entry.path().extension() == ".part") std::filesystem::remove(entry.path(), ignored_missing);
  }
  for (const std::string& report : reports) note_trouble(report);

  const MindOptions options{home_.config, shape_, fingerprint_,
                            home_.swarm,  0,      home_.identity.id()};
  mind_ = std::make_unique<Mind>(options, model::genesis(shape_, genesis_seed));
  recover_mind();
  // The epoch must rise above every one this identity has used, even if state.db was lost, or is an
  // older copy: numbers that it gave since then must not be given again, which would be proof of a
  // fault. So it starts from the clock, in milliseconds: two starts can fall into one second.
  auto used = static_cast<uint64_t>(std::max<int64_t>(0, unix_ms()));
  const auto note = [&](const swarm::Stream& stream) {
    if (stream.origin == home_.identity.id()) used = std::max(used, stream.epoch);
  };
  for (const DeltaStore::Entry& entry : log_->entries()) note(entry.key.stream);
  for (const auto& [stream, seen] : mind_->exchange().applied().streams()) note(stream);
  const Result<uint64_t, std::string> epoch = db_->next_epoch(used);
  if (!epoch) return fail(ExitCode::cannot_create, epoch.error());
  epoch_ = *epoch;
  mind_->set_epoch(epoch_);
  return Done{};
}

// The newest checkpoint that is whole, then every delta of the log that it does not hold. Without
// any checkpoint the log alone rebuilds the base; what the log no longer has comes from the peers.
void Node::recover_mind() {
  for (const std::string& path : checkpoints_->list()) {
    const Result<LoadedCheckpoint, std::string> file = checkpoints_->load(path);
    std::string failure = file ? "" : file.error();
    if (file) {
      const Result<Done, std::string> restored = mind_->restore(file->sections);
      if (restored) {
        log_info("checkpoint loaded", {{"file", path}, {"step", std::to_string(file->step)}});
        break;
      }
      failure = path + ": " + restored.error();
    }
    note_trouble("checkpoint refused, what was before it is used: " + failure);
    events_.add("rollback", {{"file", path}, {"reason", failure}});
  }
  uint64_t replayed = 0;
  bool is_own_replayed = false;
  for (const DeltaStore::Entry& entry : log_->entries()) {
    if (mind_->exchange().applied().contains(entry.key)) continue;
    const Result<swarm::Bytes, std::string> frame = log_->read(entry.key);
    if (!frame || !mind_->accept_frame(entry.key, *frame, unix_s())) continue;
    ++replayed;
    is_own_replayed = is_own_replayed || entry.key.stream.origin == home_.identity.id();
  }
  if (is_own_replayed) mind_->forget_unsent();
  if (replayed > 0) log_info("log replayed", {{"deltas", std::to_string(replayed)}});
}

Result<Done, HomeError> Node::add_sources() {
  const auto code = [](FailureKind kind) {
    return kind == FailureKind::bad_data ? ExitCode::bad_data : ExitCode::config;
  };
  for (const std::string& place : home_.config.learn.sources) {
    Result<std::vector<Source>, Failure> sources = read_sources(place);
    if (!sources)
      return fail(code(sources.error().kind), "learn.sources: " + sources.error().message);
    for (const Source& source : *sources) mind_->add(source);
  }
  add_kept_data();
  return Done{};
}

// What was learned before, from data/. What is damaged there is said and left out: a node must come
// up again after a power cut.
void Node::add_kept_data() {
  remove_temporaries(home_.paths.data);
  if (std::filesystem::is_empty(home_.paths.data)) return;
  const auto paths = source_paths(home_.paths.data);
  if (!paths) return note_trouble("kept data not learned: " + paths.error().message);
  for (const std::string& path : *paths) {
    const auto sources = read_sources(path);
    if (!sources) {
      note_trouble("kept data not learned: " + sources.error().message);
      continue;
    }
    for (const Source& source : *sources) mind_->add(source);
  }
}

swarm::Recovered Node::recovered() const {
  constexpr size_t norms_wanted = 64;  // as many as the reference norm looks back on
  swarm::Recovered recovered{.have = mind_->exchange().applied(),
                             .stored = {},
                             .members = db_->members(),
                             .admissions = db_->admissions(),
                             .today = load_day(*db_)};
  const std::vector<DeltaStore::Entry> entries = log_->entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!recovered.have.contains(entries[i].key)) continue;
    swarm::Recovered::Entry entry{entries[i].key, entries[i].hash, 0};
    if (i + norms_wanted >= entries.size()) {
      const Result<swarm::Bytes, std::string> frame = log_->read(entries[i].key);
      const auto opened =
          frame ? swarm::open(*frame, home_.swarm) : Unexpected{swarm::DropReason::truncated};
      const auto summary =
          opened ? swarm::inspect_delta(table_, opened->payload) : Unexpected{opened.error()};
      if (summary) entry.raw_norm = swarm::believed_norm(*summary);
    }
    recovered.stored.push_back(entry);
  }
  return recovered;
}

std::vector<std::string> Node::advertised(uint16_t port) const {
  return advertised(port, local_addresses());
}

// On a machine without a network others of the same machine can reach it all the same.
std::vector<std::string> Node::advertised(uint16_t port,
                                          const std::vector<LocalAddress>& all) const {
  if (!home_.config.node.advertise.empty()) return home_.config.node.advertise;
  const std::string host = host_of(home_.config.node.listen);
  std::vector<std::string> hosts{host};
  if (is_any_host(host)) {
    hosts.clear();
    for (const LocalAddress& local : listening_addresses(all, host))
      hosts.push_back(node::host_of(local));
    if (hosts.empty()) hosts.push_back("127.0.0.1");
    hosts.resize(std::min(hosts.size(), swarm::addresses_max));
  }
  for (std::string& each : hosts) each += ":" + std::to_string(port);
  return hosts;
}

Result<Done, HomeError> Node::open_links() {
  const Config& config = home_.config;
  swarm::Recovered found = recovered();
  const bool is_in_swarm = config.swarm.exchange;
  TransportOptions transport_options;
  transport_options.listen = config.node.listen;
  transport_options.on_refused = [this, refusals = RefusalLog()](const Refused& refused) mutable {
    applicants_.note(refused, unix_s());
    const auto more = refusals.note(refused.address, refused.reason, RefusalLog::Clock::now());
    if (!more) return;
    log_warning("stranger refused", {{"address", refused.address},
                                     {"reason", refused.reason},
                                     {"like_it_before", std::to_string(*more)}});
  };
  uint64_t seed = 0;
  randombytes_buf(&seed, sizeof seed);
  driver_ = std::make_unique<Driver>(DriverWiring{
      .identity = &home_.identity,
      .log = log_.get(),
      .db = db_.get(),
      .events = &events_,
      .snapshots = home_.paths.snapshots,
      .snapshot_size_max = parameters_ * 4 + (16u << 20),
      .seed = seed,
      .quiet_hours = config.swarm.quiet_hours,
      .on_admissions = [this](const auto& admissions) { honour_accusations(admissions); }});
  const swarm::InboundRules rules{home_.swarm, fingerprint_, &table_};
  auto transport = Transport::start(
      transport_options, home_.identity, home_.membership, rules, [this](swarm::Input input) {
        if (!driver_->push(std::move(input))) {
          log_warning("inbox full", {{"effect", "a frame was dropped; it is pulled again"}});
        }
      });
  if (!transport) return fail(ExitCode::unreachable, transport.error());
  transport_ = std::move(*transport);
  listen_ = host_of(config.node.listen) + ":" + std::to_string(transport_->port());
  learner_ = std::make_unique<Learner>(LearnerWiring{
      .mind = std::move(mind_),
      .checkpoints = checkpoints_.get(),
      .snapshots = snapshots_.get(),
      .log = log_.get(),
      .events = &events_,
      .identity = &home_.identity,
      .config = config,
      .trouble = trouble_,
      .is_paused = db_->get(paused_key) == "1",
      .to_swarm = [this](swarm::Input input) { return driver_->push(std::move(input)); },
      .offer = [this](const swarm::SnapshotOffer& offer,
                      const std::string& path) { driver_->offer(offer, path); },
      .view = [this] { return driver_->view(); },
      .answers = [this] { return answering_.load(); }});
  driver_->connect(transport_.get(), learner_.get());
  std::vector<swarm::Input> first{std::move(found)};
  if (is_in_swarm) {
    for (const std::string& seed_address : config.node.seeds)
      first.push_back(swarm::AddAddress{seed_address});
  }
  for (const swarm::PeerId& id : ids_in(db_->get("banned").value_or(""))) {
    first.push_back(swarm::Ban{id});
    transport_->ban(id);
  }
  driver_->start(state_options(), std::move(first));
  learner_->start();
  if (is_in_swarm) open_lan();
  return Done{};
}

// Without any address nobody could be told, and the old one may come back.
void Node::follow_addresses(const std::vector<LocalAddress>& all) {
  if (listening_addresses(all, host_of(home_.config.node.listen)).empty()) return;
  std::vector<std::string> now = advertised(transport_->port(), all);
  if (now == told_addresses_) return;
  if (!told_addresses_.empty())
    log_info("readdressed", {{"from", told_addresses_.front()}, {"to", now.front()}});
  if (driver_->push(swarm::Readdressed{now})) told_addresses_ = std::move(now);
}

// Who takes links on the loopback only has nobody to tell, and no address that could change.
void Node::open_lan() {
  const std::string host = host_of(home_.config.node.listen);
  const auto literal = parse_host_port(host + ":0");
  const auto address = literal ? parse_literal(*literal) : std::nullopt;
  if (address && is_loopback(*address)) return;
  uint64_t seed = 0;
  randombytes_buf(&seed, sizeof seed);
  lan_ = std::make_unique<Lan>(
      LanOptions{.swarm = home_.swarm,
                 .identity = &home_.identity,
                 .epoch = epoch_,
                 .listen_host = host,
                 .port = transport_->port(),
                 .seed = seed,
                 .has_beacon = home_.config.node.beacon,
                 .on_heard =
                     [this](const swarm::Heard& heard) {
                       if (!driver_->push(heard))
                         log_warning("inbox full", {{"effect", "a beacon was lost"}});
                     },
                 .on_changed = [this](const auto& all) { follow_addresses(all); },
                 .members = [this] { return size_t{driver_->view().members}; }});
}

swarm::StateOptions Node::state_options() const {
  const Config& config = home_.config;
  swarm::MemberRecord self{.membership = home_.membership,
                           .name = config.node.name,
                           .addresses = advertised(transport_->port()),
                           .epoch = epoch_,
                           .incarnation = 0};
  swarm::Config protocol;
  protocol.heartbeat_interval_ms = static_cast<int64_t>(config.swarm.sync_interval_s * 1000);
  protocol.active_view_max = config.swarm.neighbours;
  protocol.budget = budget_limits(config.swarm);
  const auto sign = [this](swarm::MemberRecord record) {
    return swarm::sign_record(std::move(record), home_.identity.signer());
  };
  return {protocol, home_.swarm, fingerprint_, sign(std::move(self)), STARLING_VERSION, sign};
}

bool Node::stop() {
  if (is_stopped_.exchange(true)) return true;
  if (lan_) lan_->stop();
  const bool is_saved = !learner_ || learner_->stop();
  if (driver_) {
    // The goodbye travels on the links that are about to be closed: give it a moment, no more.
    (void)driver_->push(swarm::Leave{});
    const auto deadline = std::chrono::steady_clock::now() + goodbye_time;
    while (std::chrono::steady_clock::now() < deadline) {
      const auto report = driver_->report(goodbye_time);
      if (!report || report->view.neighbours == 0) break;
    }
    driver_->stop();
  }
  if (transport_) transport_->stop();
  events_.close();
  if (log_) log_->sync();
  return is_saved;
}

}  // namespace starling::node
