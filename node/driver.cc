#include "node/driver.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "node/clock.h"
#include "node/day_count.h"
#include "node/file_hash.h"
#include "node/log.h"
#include "swarm/codec.h"

namespace starling::node {

namespace {

constexpr size_t offered_snapshots_max = 3;
constexpr int64_t wake_delay_max_ms = 1000;
// The wall's clock may be set at any time; what was spent today is on disk that often.
constexpr int64_t calendar_interval_ms = 5000;
constexpr int64_t day_save_interval_ms = 60000;

template <typename... F>
struct Overload : F... {
  using F::operator()...;
};

const char* notice_event(swarm::Notice::Kind kind) {
  switch (kind) {
    case swarm::Notice::Kind::peer_joined:
      return "peer_joined";
    case swarm::Notice::Kind::peer_lost:
      return "peer_lost";
    case swarm::Notice::Kind::delta_accepted:
      return "delta_accepted";
    case swarm::Notice::Kind::delta_refused:
      return "delta_refused";
    case swarm::Notice::Kind::peer_fault:
      return "peer_fault";
    case swarm::Notice::Kind::equivocation:
      return "delta_refused";
    case swarm::Notice::Kind::diverged:
      return "diverged";
    case swarm::Notice::Kind::revoked:
      return "revoked";
    case swarm::Notice::Kind::accused:
      return "accused";
    case swarm::Notice::Kind::invite_disputed:
      return "invite_disputed";
  }
  return "notice";
}

}  // namespace

std::string to_hex(std::span<const uint8_t> bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

Driver::Driver(DriverWiring wiring) : wiring_(std::move(wiring)) {}

Driver::~Driver() { stop(); }

void Driver::connect(Transport* transport, Learner* learner) {
  transport_ = transport;
  learner_ = learner;
}

void Driver::start(const swarm::StateOptions& options, std::vector<swarm::Input> first) {
  assert(transport_ != nullptr && learner_ != nullptr && state_ == nullptr);
  options_ = options;
  state_ = std::make_unique<swarm::State>(options_, Rng(wiring_.seed), boot_now());
  thread_ = std::jthread([this, first = std::move(first)](const std::stop_token& stop) mutable {
    for (swarm::Input& input : first) handle(std::move(input));
    run(stop);
  });
}

void Driver::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  queue_.close();
  thread_.join();
}

bool Driver::push(swarm::Input input) {
  // Frames are pulled again when they are lost; a link that came or went unnoticed would stay
  // wrong.
  const bool is_frame = std::holds_alternative<swarm::ReceivedMessage>(input) ||
                        std::holds_alternative<swarm::ReceivedDelta>(input) ||
                        std::holds_alternative<swarm::ReceivedRefused>(input);
  return queue_.push(Item(std::move(input)), is_frame ? 0 : queue_reserve);
}

swarm::SwarmView Driver::view() const {
  std::lock_guard lock(mutex_);
  return view_;
}

std::shared_ptr<const swarm::Admissions> Driver::admissions() const {
  std::lock_guard lock(mutex_);
  return admissions_;
}

// The disk first: who is shut out now stays so, whatever comes.
void Driver::follow(const swarm::AdmissionsChanged& changed) {
  std::vector<swarm::Bytes> items;
  for (const auto& [id, item] : changed.admissions->items()) items.push_back(item->bytes);
  wiring_.db->save_admissions(items);
  transport_->set_admissions(changed.admissions);
  learner_->follow_admissions(changed.admissions);
  {
    std::lock_guard lock(mutex_);
    admissions_ = changed.admissions;
  }
  wiring_.on_admissions(*changed.admissions);
}

void Driver::offer(const swarm::SnapshotOffer& offer, const std::string& path) {
  const bool taken = queue_.push(Item([this, offer, path] {
                                   snapshot_files_[offer.file_hash] = path;
                                   snapshot_order_.push_back(offer.file_hash);
                                   if (snapshot_order_.size() > offered_snapshots_max) {
                                     snapshot_files_.erase(snapshot_order_.front());
                                     snapshot_order_.erase(snapshot_order_.begin());
                                   }
                                   handle(swarm::SnapshotAvailable{offer});
                                 }),
                                 queue_reserve);
  if (!taken)
    log_warning("snapshot not offered", {{"reason", "the protocol thread does not keep up"}});
}

std::optional<Driver::Report> Driver::report(std::chrono::milliseconds timeout) {
  return ask(
      [this] {
        const swarm::Instant now = boot_now();
        return Report{state_->members(now), state_->counters(), state_->view(now),
                      state_->budget(now)};
      },
      timeout);
}

std::optional<Driver::Holdings> Driver::holdings(std::chrono::milliseconds timeout) {
  return ask([this] { return Holdings{state_->records(), state_->have()}; }, timeout);
}

std::optional<swarm::Counters> Driver::take(std::vector<swarm::Input> inputs,
                                            std::chrono::milliseconds timeout) {
  return ask(
      [this, inputs = std::move(inputs)]() mutable {
        const swarm::Counters before = state_->counters();
        for (swarm::Input& input : inputs) handle(std::move(input));
        return swarm::difference(state_->counters(), before);
      },
      timeout);
}

void Driver::run(const std::stop_token& stop) {
  while (true) {
    follow_calendar();
    const swarm::Instant now = boot_now();
    const int64_t delay_ms =
        std::clamp<int64_t>(state_->next_deadline().ms - now.ms, 0, wake_delay_max_ms);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(delay_ms);
    std::optional<Item> item = queue_.pop_until(deadline);
    if (!item) {
      if (stop.stop_requested()) {  // closed and drained
        save_day(*wiring_.db, state_->budget(boot_now()).today);
        return;
      }
      if (state_->next_deadline() <= boot_now()) handle(swarm::Wake{});
      continue;
    }
    if (auto* query = std::get_if<Query>(&*item)) {
      (*query)();
    } else {
      handle(std::move(std::get<swarm::Input>(*item)));
    }
  }
}

void Driver::follow_calendar() {
  const swarm::Instant now = boot_now();
  if (now.ms - calendar_at_.ms < calendar_interval_ms) return;
  calendar_at_ = now;
  handle(calendar_now(wiring_.quiet_hours));
  if (now.ms - day_saved_at_.ms < day_save_interval_ms) return;
  day_saved_at_ = now;
  save_day(*wiring_.db, state_->budget(now).today);
}

void Driver::handle(swarm::Input input) {
  const swarm::Instant now = boot_now();
  state_->handle(std::move(input), now, outbox_);
  // Deeds never call back into handle() directly: what they cause arrives through the queue.
  for (swarm::Output& output : outbox_) act(output);
  outbox_.clear();
  const swarm::SwarmView view = state_->view(now);
  std::lock_guard lock(mutex_);
  view_ = view;
}

void Driver::act(swarm::Output& output) {
  std::visit(Overload{
                 [&](swarm::Send& send_output) { send(send_output.to, send_output.message); },
                 [&](swarm::SendFrame& frame) { send(frame.to, frame.frame); },
                 [&](swarm::SendStored& request) { send_stored(request); },
                 [&](swarm::SendChunk& request) { send_chunk(request); },
                 [&](swarm::Open& open) { transport_->open(open.address, open.expected); },
                 [&](swarm::Close& close) { transport_->close(close.peer, close.reason); },
                 [&](swarm::Store& store) {
                   const auto stored = wiring_.log->append(store.key, *store.frame);
                   if (stored) return;
                   not_stored_ = store.key;
                   log_error("delta not stored", {{"error", stored.error()}});
                 },
                 [&](swarm::Deliver& delivery) {
                   const bool is_in_log = !(not_stored_ && *not_stored_ == delivery.key);
                   if (!learner_->deliver(std::move(delivery), is_in_log)) {
                     log_error("learner stuck",
                               {{"effect", "a delta waits in the log until the next start"}});
                   }
                 },
                 [&](swarm::SaveChunk& chunk) { save_chunk(chunk); },
                 [&](swarm::InstallSnapshot& request) { install(request); },
                 [&](swarm::SaveMembers& save) {
                   std::vector<swarm::MemberRecord> records;
                   for (const auto& record : save.records) records.push_back(*record);
                   wiring_.db->save_members(records);
                 },
                 [&](swarm::AdmissionsChanged& changed) { follow(changed); },
                 [&](swarm::Drop& drop) {
                   log_debug("dropped",
                             {{"from", swarm::short_string(drop.from)},
                              {"reason", std::string(swarm::drop_reason_name(drop.reason))}});
                 },
                 [&](swarm::Notice& said) { notice(said); },
                 [&](swarm::Prove& request) { prove(request); },
             },
             output);
}

void Driver::send(const swarm::PeerId& to, swarm::SharedBytes frame) {
  state_->charge_sent(frame->size(), boot_now());
  transport_->send(to, std::move(frame));
}

void Driver::send(const swarm::PeerId& to, const swarm::Message& message) {
  const swarm::FrameHeader header{.kind = swarm::FrameKind::control,
                                  .swarm = options_.swarm,
                                  .epoch = options_.self.epoch,
                                  .seq = ++control_seq_,
                                  .fingerprint = options_.fingerprint};
  const swarm::Bytes payload = swarm::encode_message(message);
  send(to, std::make_shared<const swarm::Bytes>(
               swarm::seal(header, payload, wiring_.identity->signer())));
}

void Driver::send_stored(const swarm::SendStored& request) {
  Result<swarm::Bytes, std::string> frame = wiring_.log->read(request.key);
  if (!frame) {
    log_warning("delta not readable", {{"error", frame.error()}});
    (void)push(swarm::Forgotten{{request.key}});
    return;
  }
  send(request.to, std::make_shared<const swarm::Bytes>(std::move(*frame)));
}

void Driver::prove(const swarm::Prove& request) {
  const Result<swarm::Bytes, std::string> other = wiring_.log->read(request.key);
  if (!other) {
    log_warning("delta not readable", {{"error", other.error()}, {"effect", "nothing is proven"}});
    return;
  }
  const auto proof = swarm::prove(*other, *request.frame);
  if (!proof) return;  // what is on disk is the same delta
  (void)push(swarm::ImportedMessage{
      swarm::AdmissionNews{.digest = {}, .items = {swarm::admission_item(*proof)}}});
}

void Driver::send_chunk(const swarm::SendChunk& request) {
  const auto found = snapshot_files_.find(request.file_hash);
  if (found == snapshot_files_.end())
    return;  // gone since it was offered: the peer asks someone else
  std::ifstream file(found->second, std::ios::binary);
  swarm::Chunk chunk{.file_hash = request.file_hash,
                     .index = request.index,
                     .bytes = swarm::Bytes(swarm::chunk_size_max)};
  file.seekg(static_cast<std::streamoff>(uint64_t{request.index} * swarm::chunk_size_max));
  file.read(reinterpret_cast<char*>(chunk.bytes.data()),
            static_cast<std::streamsize>(chunk.bytes.size()));
  chunk.bytes.resize(static_cast<size_t>(std::max<std::streamsize>(0, file.gcount())));
  if (chunk.bytes.empty()) return;
  send(request.to, chunk);
}

std::string Driver::incoming_path(const swarm::Digest& file_hash) const {
  return wiring_.snapshots + "/incoming-" + to_hex(std::span(file_hash).first(8)) + ".part";
}

void Driver::save_chunk(const swarm::SaveChunk& chunk) {
  if (chunk.file_hash != incoming_) {  // one transfer at a time: what another left goes
    std::error_code ignored_missing;
    std::filesystem::remove(incoming_path(incoming_), ignored_missing);
    incoming_ = chunk.file_hash;
  }
  const uint64_t offset = uint64_t{chunk.index} * swarm::chunk_size_max;
  bool ok = offset + chunk.bytes.size() <= wiring_.snapshot_size_max;
  const int fd =
      ok ? ::open(incoming_path(chunk.file_hash).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)
         : -1;
  ok = fd >= 0 && pwrite(fd, chunk.bytes.data(), chunk.bytes.size(), static_cast<off_t>(offset)) ==
                      static_cast<ssize_t>(chunk.bytes.size());
  if (fd >= 0) ok = ::close(fd) == 0 && ok;
  if (!ok) log_error("snapshot chunk not saved", {{"error", std::strerror(errno)}});
  (void)push(swarm::ChunkSaved{chunk.file_hash, chunk.index, ok});
}

void Driver::install(const swarm::InstallSnapshot& request) {
  const std::string path = incoming_path(request.offer.file_hash);
  const std::optional<FileFacts> facts = hash_file(path);
  if (!facts || facts->hash != request.offer.file_hash || facts->size != request.offer.size) {
    std::error_code ignored_missing;
    std::filesystem::remove(path, ignored_missing);
    (void)push(swarm::SnapshotInstalled{request.offer, false, "the file is not what was offered",
                                        swarm::SnapshotInstalled::Fault::chunks});
    return;
  }
  if (!learner_->install(request.offer, path)) {
    (void)push(swarm::SnapshotInstalled{request.offer, false, "the learner does not keep up"});
  }
}

void Driver::notice(const swarm::Notice& said) {
  std::map<std::string, std::string> fields{{"peer", swarm::short_string(said.peer)}};
  std::string reason = said.reason;
  if (said.kind == swarm::Notice::Kind::equivocation && reason.empty()) reason = "equivocation";
  if (!reason.empty()) fields["reason"] = reason;
  if (said.key) {
    fields["epoch"] = std::to_string(said.key->stream.epoch);
    fields["seq"] = std::to_string(said.key->seq);
    fields["norm"] = std::to_string(said.norm);
  }
  if (said.kind == swarm::Notice::Kind::peer_fault) fields["count"] = std::to_string(said.count);
  const char* event = notice_event(said.kind);
  wiring_.events->add(event, fields);
  if (said.kind == swarm::Notice::Kind::delta_accepted) return;  // too many for the log
  log_info(event, {{"peer", swarm::short_string(said.peer)}, {"reason", reason}});
}

}  // namespace starling::node
