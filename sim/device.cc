#include "sim/device.h"

#include <sodium.h>

#include <algorithm>

#include "sim/chance.h"
#include "sim/message_kind.h"
#include "sim/overloaded.h"
#include "sim/world.h"
#include "swarm/accept.h"
#include "swarm/codec.h"
#include "swarm/foreseeable_invite.h"

namespace starling::sim {
namespace {

constexpr Micros announce_delay = micros_of_ms(500);  // as the node's learner
constexpr int64_t invite_valid_s = 86400;
constexpr int64_t million = 1'000'000;

// Of a frame that was opened when it came, or is the own.
swarm::ByteView payload_of(const swarm::Bytes& frame) {
  return swarm::ByteView(frame).subspan(swarm::header_size);
}

std::array<uint8_t, 32> secret_bytes(uint64_t seed) {
  Rng rng(seed);
  std::array<uint8_t, 32> bytes{};
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng.next() >> 56);
  return bytes;
}

}  // namespace

Keys::Keys(uint64_t seed) {
  const std::array<uint8_t, 32> bytes = secret_bytes(seed);
  crypto_sign_seed_keypair(public_key.data(), secret.data(), bytes.data());
}

Device::Device(World& in, uint32_t at)
    : world(&in),
      index(at),
      address("10." + std::to_string(at >> 16) + "." + std::to_string((at >> 8) & 255) + "." +
              std::to_string(at & 255) + ":7411") {
  become_somebody();
}

void Device::become_somebody() {
  keys_.emplace(rng_for(world->seed, Purpose::keys, (identities_++ << 32) | index).next());
  id_ = swarm::peer_id_of(keys_->public_key);
  world->identify(id_, index);
  disk_ = Disk();
  join();
}

// Whoever has a clock that is past the invite's end is told so, sets the clock, and tries again.
void Device::join() {
  const uint64_t seed = rng_for(world->seed, Purpose::invites, (identities_ << 32) | index).next();
  const int64_t true_s = first_second + world->now / million;
  swarm::InviteTerms terms{.expires_s = true_s + invite_valid_s};
  if (is_ringleader) terms.quota = world->scenario->hostile.quota;
  const auto& leader = world->ringleader;
  const bool is_sybil = sybil_place > 0 && leader;
  // Whoever has no place left gives one twice.
  if (is_sybil) terms.slot = 1 + (sybil_place - 1) % world->scenario->hostile.quota;
  const std::array<uint8_t, 32> secret = secret_bytes(seed);
  const swarm::InviteToken token =
      is_sybil ? swarm::make_foreseeable_invite(leader->keys.signer(), &leader->membership, terms,
                                                secret)
               : swarm::make_foreseeable_invite(world->root.signer(), nullptr, terms, secret);
  auto membership = swarm::accept_invite(token, keys_->public_key, clock_s());
  if (!membership) {
    ++world->sometimes["invites_expired"];
    clock_error_s = 0;
    membership = swarm::accept_invite(token, keys_->public_key, clock_s());
  }
  assert(membership.has_value());
  membership_ = std::move(*membership);
}

swarm::MemberRecord Device::record() const {
  swarm::MemberRecord record;
  record.membership = membership_;
  record.name = "node" + std::to_string(index);
  if (!world->network.only_dials_out(index)) record.addresses = {address};
  record.epoch = disk_.epoch;
  return swarm::sign_record(record, keys_->signer());
}

// ---- Clocks

swarm::Instant Device::instant() const {
  const int64_t true_ms = world->now / 1000;
  return {true_ms + true_ms * drift_ppm / million};
}

int64_t Device::clock_s() const {
  return std::max<int64_t>(
      0, first_second + instant().ms / 1000 + static_cast<int64_t>(clock_error_s));
}

// The first true instant at which the own clock says so.
void Device::wake_at(swarm::Instant deadline) {
  Micros when = deadline.ms * million / (million + drift_ppm) * 1000;
  while (when / 1000 + when / 1000 * drift_ppm / million < deadline.ms) when += 1000;
  wakes_at_ = deadline;
  world->at(when, WakeUp{index, ++wake_token_});
}

// What is put off is put anew when it has come too early; only what comes too late is put anew now.
void Device::sleep_until_due() {
  const swarm::Instant deadline = state_->next_deadline();
  assert(deadline > instant());
  if (deadline == swarm::never || (wakes_at_ && *wakes_at_ <= deadline)) return;
  wake_at(deadline);
}

void Device::wake(uint64_t token) {
  if (token != wake_token_ || !is_up()) return;
  wakes_at_.reset();
  if (state_->next_deadline() > instant()) return sleep_until_due();
  input(swarm::Wake{});
}

// As node_start: above every one that the log tells of, and not below the clock.
uint64_t Device::next_epoch() const {
  uint64_t used = std::max(disk_.epoch, static_cast<uint64_t>(clock_s()));
  for (const auto& [stream, seen] : learner_->exchange().applied().streams()) {
    if (stream.origin == id_) used = std::max(used, stream.epoch);
  }
  return used + 1;
}

// ---- Up and down

void Device::boot() {
  assert(!is_up());
  ++boots;
  published_ = control_seq_ = 0;
  is_announcing_ = is_news_due_ = is_expulsion_due_ = false;
  saved_at_ = world->now;
  const Lessons::Own own = own_lessons();
  if (tamper && tamper->attack() == Attack::backdoor)
    world->sometimes["lessons_with_trigger"] +=
        own.pairs.size() - world->lessons->nodes[index].pairs.size();
  learner_ = std::make_unique<Learner>(*world->course, own, equipment, lesson_seed(),
                                       world->learns_here(index));
  if (disk_.checkpoint) learner_->restore(*disk_.checkpoint);
  replay_log();
  const uint64_t before = disk_.epoch;
  disk_.epoch = next_epoch();
  if (before == 0 && sybil_place > 0) ++world->sometimes["sybils_joined"];
  if (before > 0 && disk_.epoch == before + 1) ++world->sometimes["boots_by_count"];
  if (disk_.admissions != nullptr) expel();
  swarm::Recovered recovered{.have = learner_->exchange().applied(),
                             .stored = {},
                             .members = {},
                             .admissions = {},
                             .today = {}};
  for (const auto& record : disk_.members) recovered.members.push_back(*record);
  if (disk_.admissions != nullptr) {
    for (const auto& [item_id, item] : disk_.admissions->items())
      recovered.admissions.push_back(item->bytes);
  }
  for (const Disk::Entry& entry : disk_.log) {
    if (!recovered.have.contains(entry.key)) continue;
    const auto summary = swarm::inspect_delta(world->course->table, payload_of(*entry.frame));
    recovered.stored.push_back({entry.key, {}, swarm::believed_norm(*summary)});
    recovered.stored.back().hash =
        swarm::short_hash(swarm::parse_header(*entry.frame)->payload_hash);
  }
  const auto sign = [this](swarm::MemberRecord unsigned_record) {
    return swarm::sign_record(std::move(unsigned_record), keys_->signer());
  };
  const swarm::StateOptions options{.config = world->config,
                                    .swarm = world->swarm,
                                    .fingerprint = world->course->fingerprint,
                                    .self = record(),
                                    .software = "sim",
                                    .sign = sign};
  state_ = std::make_unique<swarm::State>(
      options, rng_for(world->seed, Purpose::state, (boots << 32) | index), instant());
  published_at_ = world->now;
  input(std::move(recovered));
  for (const auto& [offer, file] : disk_.snapshots) input(swarm::SnapshotAvailable{offer});
  input(swarm::BaseReached{learner_->exchange().applied(), learner_->base_hash()});
  if (index != 0) input(swarm::AddAddress{world->devices[0]->address});
  if (world->victim && is_hostile()) intrigue();
  go_on();
}

// What the log has beyond the checkpoint.
void Device::replay_log() {
  bool is_own_replayed = false;
  for (const Disk::Entry& entry : disk_.log) {
    if (learner_->exchange().applied().contains(entry.key)) continue;
    world->checker.applied(*world, index, entry.key, entry.frame);
    if (learner_->accept_frame(entry.key, *entry.frame, world->swarm))
      is_own_replayed = is_own_replayed || entry.key.stream.origin == id_;
  }
  if (is_own_replayed) learner_->forget_unsent();
  judge();
}

void Device::crash(bool loses_disk, std::string_view cause) {
  assert(is_up());
  ++boots;
  ++wake_token_;
  wakes_at_.reset();
  state_.reset();
  learner_.reset();
  slice.reset();
  inbox_.clear();
  world->cut_all(index, "connection reset", cause);
  if (loses_disk) become_somebody();
}

void Device::input(swarm::Input event) {
  if (!is_up()) return;
  std::vector<swarm::Output> outbox = std::exchange(spare_outbox_, {});
  state_->handle(std::move(event), instant(), outbox);
  sleep_until_due();
  for (swarm::Output& output : outbox) perform(std::move(output));
  outbox.clear();
  spare_outbox_ = std::move(outbox);
}

void Device::charge(size_t bytes) {
  sent_bytes += bytes;
  if (is_up()) state_->charge_sent(bytes, instant());
}

bool Device::is_finished() const {
  const Scenario::Learn& learn = world->scenario->learn;
  const bool is_time_over = learn.seconds > 0 && world->now >= micros_of_s(learn.seconds);
  return is_up() && (is_time_over || learner_->steps() >= learn.steps);
}

// ---- Learning

void Device::go_on() {
  if (!is_up() || slice || is_finished() || !world->may_learn()) return;
  const Scenario::Learn& learn = world->scenario->learn;
  // Deltas of others go in between two slices: a quarter of an exchange late at most.
  const bool is_whole = !world->course->shape || learn.steps_per_exchange < 8;
  const uint32_t wanted = is_whole ? learn.steps_per_exchange : learn.steps_per_exchange / 4;
  const auto left = static_cast<uint32_t>(learn.steps - learner_->steps());
  const auto to_exchange =
      static_cast<uint32_t>(learn.steps_per_exchange - learner_->steps_since_exchange());
  slice = Slice{.steps = std::min({wanted, left, to_exchange}),
                .stage = {.swarm_step = state_->view(instant()).median_step,
                          .second = static_cast<double>(world->now) / 1e6}};
  const double ms = slice->steps * learn.step_ms * slowness;
  world->at(world->now + micros_of_ms(ms), SliceEnds{index, boots});
}

void Device::learned() {
  assert(slice && slice->is_computed);
  slice.reset();
  for (auto& waiting : std::exchange(inbox_, {})) {
    std::visit(Overloaded{[&](const swarm::Deliver& delivery) { apply(delivery); },
                          [&](const swarm::SnapshotOffer& offer) { install(offer); }},
               waiting);
  }
  if (is_expulsion_due_) expel();
  if (is_news_due_) announce();
  const bool is_due = learner_->steps_since_exchange() >= world->scenario->learn.steps_per_exchange;
  if (is_due || (is_finished() && learner_->steps_since_exchange() > 0)) publish();
  input(swarm::Progress{learner_->steps(), static_cast<float>(learner_->loss()), !is_finished()});
  fold_log();
  const bool is_checkpoint_due =
      world->now - saved_at_ >= micros_of_s(world->scenario->run.checkpoint_s);
  if (is_checkpoint_due && world->scenario->faults.until_s > 0) {
    disk_.checkpoint = learner_->save();
    saved_at_ = world->now;
  }
  go_on();
}

uint64_t Device::payload_bytes_max(const swarm::SwarmView& view) const {
  constexpr uint64_t least = 1024;  // a delta below this is not worth its header
  if (view.own_bytes_per_s == 0) return 0;
  const auto past_ms = static_cast<uint64_t>((world->now - published_at_) / 1000);
  return std::max(least, view.own_bytes_per_s * past_ms / 1000);
}

void Device::publish() {
  const swarm::FrameHeader header{
      .swarm = world->swarm, .epoch = disk_.epoch, .seq = published_ + 1};
  judge();
  const uint64_t pushes = tamper ? tamper->pushes() : 0;
  const swarm::SwarmView view = state_->view(instant());
  auto published = publication(view, header);
  published_at_ = world->now;
  if (!published) return;
  if (tamper) count_deeds(pushes);
  ++published_;
  const swarm::DeltaKey key{{id_, disk_.epoch}, published_};
  world->checker.signed_by_origin(key, published->frame);
  world->checker.published(*world, index, published->summary, view.reference_norm);
  if (tamper) show_second_face(key, *published);
  last_own_frame_ = published->frame;
  base_changed();
  input(std::move(*published));
  if (tamper && tamper->attack() == Attack::replay) replay_frames();
}

void Device::deliver(swarm::Deliver delivery) {
  world->checker.applied(*world, index, delivery.key, delivery.frame);
  if (slice) {
    inbox_.emplace_back(std::move(delivery));
  } else {
    apply(delivery);
  }
}

void Device::apply(const swarm::Deliver& delivery) {
  const swarm::ByteView payload = payload_of(*delivery.frame);
  if (learner_->accept(delivery.key, delivery.summary, payload)) base_changed();
  if (tamper) tamper->see(world->course->table, payload, world->course->genesis.size());
}

// Between two steps, as in the node.
void Device::expel() {
  is_expulsion_due_ = slice.has_value();
  if (is_expulsion_due_) return;
  bool is_changed = false;
  const swarm::PayloadSource log = [this](const auto& key) { return payload(key); };
  for (const swarm::PeerId& peer : disk_.admissions->outcasts()) {
    if (peer == id_ || learner_->exchange().judgement().is_expelled(peer)) continue;
    learner_->expel(peer, log);
    is_changed = true;
    if (!is_hostile()) ++world->sometimes["expulsions"];
  }
  const std::set<swarm::PeerId> expelled = learner_->exchange().judgement().expelled();
  for (const swarm::PeerId& peer : expelled) {
    if (!disk_.admissions->is_in_good_standing(peer)) continue;
    learner_->reinstate(peer, log);
    is_changed = true;
    if (!is_hostile()) ++world->sometimes["reinstatements"];
  }
  if (is_changed) base_changed();
}

void Device::prove(const swarm::Prove& request) {
  const swarm::SharedBytes* const other = disk_.frames.find(request.key);
  if (other == nullptr) return;
  const auto proof = swarm::prove(**other, *request.frame);
  if (!proof) return;
  ++world->sometimes["proofs"];
  input(swarm::ImportedMessage{
      swarm::AdmissionNews{.digest = {}, .items = {swarm::admission_item(*proof)}}});
}

void Device::base_changed() {
  if (is_announcing_) return;
  is_announcing_ = true;
  world->at(world->now + announce_delay, AnnounceDue{index, boots});
}

std::optional<swarm::Bytes> Device::payload(const swarm::DeltaKey& key) const {
  const swarm::SharedBytes* const found = disk_.frames.find(key);
  if (found == nullptr) return std::nullopt;
  const swarm::ByteView payload = payload_of(**found);
  return swarm::Bytes(payload.begin(), payload.end());
}

void Device::judge() {
  const auto judged = learner_->judge([this](const auto& key) { return payload(key); });
  if (is_hostile()) return;
  world->sometimes["deltas_held"] += judged.oversized.size();
  for (const swarm::Ruling& ruling : judged.rulings) {
    const bool is_of_honest = world->is_honest(world->node_of(ruling.origin));
    if (ruling.standing.is_held) world->were_held.insert(ruling.origin);
    if (ruling.standing.is_held) ++world->sometimes[is_of_honest ? "honest_held" : "hostile_held"];
  }
}

// As in the node, a hash is told only of a base that has been judged, and that between two steps.
void Device::announce() {
  is_announcing_ = false;
  is_news_due_ = slice.has_value();
  if (is_news_due_) return;
  judge();
  input(swarm::BaseReached{learner_->exchange().applied(), learner_->base_hash()});
  fold_log();
}

// ---- Disk

void Device::store(const swarm::Store& store) {
  disk_.log.push_back({store.key, store.frame});
  disk_.frames.put(store.key, store.frame);
}

// ---- Outputs

void Device::perform(swarm::Output output) {
  std::visit(Overloaded{
                 [&](swarm::Send& request) { send(request.to, std::move(request.message)); },
                 [&](const swarm::SendFrame& request) {
                   send_delta(request.to, request.key, request.frame, false);
                 },
                 [&](const swarm::SendStored& request) {
                   const swarm::SharedBytes* const found = disk_.frames.find(request.key);
                   if (found != nullptr) send_delta(request.to, request.key, *found, true);
                 },
                 [&](const swarm::SendChunk& request) { send_chunk(request); },
                 [&](const swarm::Open& open) { world->dial(index, open.address, open.expected); },
                 [&](const swarm::Close& close) {
                   if (!clings_to(close.peer)) world->close(index, close.peer, close.reason);
                 },
                 [&](const swarm::Store& request) { store(request); },
                 [&](swarm::Deliver& delivery) { deliver(std::move(delivery)); },
                 [&](const swarm::SaveChunk& chunk) { save_chunk(chunk); },
                 [&](const swarm::InstallSnapshot& ready) {
                   world->at(world->now + disk_delay, SnapshotReady{index, boots, ready.offer});
                 },
                 [&](swarm::SaveMembers& save) { disk_.members = std::move(save.records); },
                 [&](const swarm::AdmissionsChanged& changed) {
                   disk_.admissions = changed.admissions;
                   expel();
                 },
                 [&](const swarm::Prove& request) { prove(request); },
                 [&](const swarm::Drop& drop) {
                   if (drop.penalty > 0) ++world->sometimes["penalties"];
                 },
                 [&](const swarm::Notice&) {},
             },
             output);
}

void Device::send(const swarm::PeerId& to, swarm::Message message) {
  if (tamper && !twist(to, message)) return;
  auto bytes = std::make_shared<const swarm::Bytes>(swarm::encode_message(message));
  const swarm::FrameHeader header{.kind = swarm::FrameKind::control,
                                  .swarm = world->swarm,
                                  .origin = keys_->public_key,
                                  .epoch = disk_.epoch,
                                  .seq = ++control_seq_,
                                  .fingerprint = world->course->fingerprint};
  sent_control_bytes += bytes->size() + swarm::header_size;
  world->transmit(index, to,
                  {.kind = kind_of(message), .header = header, .bytes = std::move(bytes)});
}

}  // namespace starling::sim
