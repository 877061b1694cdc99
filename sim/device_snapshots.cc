// What a device keeps of its log when it grows long, and what it gives newcomers. A snapshot file
// here is the bytes of the version vector and of the judgement, each behind their 32-bit size, then
// the base's values, little endian as in memory. The node's file says the same in its checkpoint
// format.
#include <algorithm>
#include <cstring>
#include <tuple>

#include "sim/device.h"
#include "sim/world.h"
#include "swarm/codec.h"

namespace starling::sim {
namespace {

constexpr size_t snapshots_kept = 3;

swarm::Bytes snapshot_file(const swarm::Exchange::Settled& settled) {
  swarm::Bytes file;
  const auto put = [&](const void* bytes, size_t size) {
    const auto* raw = static_cast<const uint8_t*>(bytes);
    file.insert(file.end(), raw, raw + size);
  };
  for (const swarm::Bytes& part : {swarm::encode(settled.applied), settled.judgement}) {
    const auto size = static_cast<uint32_t>(part.size());
    put(&size, sizeof size);
    put(part.data(), part.size());
  }
  put(settled.values.data(), settled.values.size() * sizeof(int32_t));
  return file;
}

struct SnapshotContent {
  swarm::VersionVector applied;
  swarm::Judgement judgement;
  std::vector<int32_t> values;
};

std::optional<SnapshotContent> read_snapshot(swarm::ByteView file, const Course& course) {
  const auto take = [&]() -> std::optional<swarm::ByteView> {
    uint32_t size = 0;
    if (file.size() < sizeof size) return std::nullopt;
    std::memcpy(&size, file.data(), sizeof size);
    if (file.size() < sizeof size + size) return std::nullopt;
    const swarm::ByteView part = file.subspan(sizeof size, size);
    file = file.subspan(sizeof size + size);
    return part;
  };
  const auto vector = take(), judgement = take();
  if (!vector || !judgement) return std::nullopt;
  auto applied = swarm::decode_version_vector(*vector);
  if (!applied) return std::nullopt;
  SnapshotContent content{std::move(*applied), swarm::Judgement(course.table, course.rules),
                          std::vector<int32_t>(course.genesis.size())};
  if (!content.judgement.decode(*judgement)) return std::nullopt;
  if (file.size() != content.values.size() * sizeof(int32_t)) return std::nullopt;
  std::memcpy(content.values.data(), file.data(), file.size());
  return content;
}

}  // namespace

// Retention: a snapshot of what is settled, then the oldest deltas in it go.
void Device::fold_log() {
  const size_t kept = world->scenario->run.log_deltas_max;
  if (kept == 0 || disk_.log.size() < kept + kept / 4) return;
  const auto settled =
      learner_->exchange().settled([this](const auto& key) { return payload(key); });
  if (!settled) return;
  // What may still be judged stays, however much that is.
  const auto spare = static_cast<size_t>(
      std::find_if(disk_.log.begin(), disk_.log.end(),
                   [&](const auto& entry) { return !settled->applied.contains(entry.key); }) -
      disk_.log.begin());
  if (spare < kept / 4) return;
  disk_.checkpoint = learner_->save();
  offer_snapshot(*settled);
  std::vector<swarm::DeltaKey> gone;
  while (disk_.log.size() > kept && settled->applied.contains(disk_.log.front().key)) {
    gone.push_back(disk_.log.front().key);
    disk_.frames.erase(gone.back());
    disk_.log.pop_front();
  }
  input(swarm::Forgotten{std::move(gone)});
}

void Device::offer_snapshot(const swarm::Exchange::Settled& settled) {
  swarm::Bytes file = snapshot_file(settled);
  const swarm::SnapshotOffer offer{.hash = settled.hash,
                                   .file_hash = swarm::blake2b(file),
                                   .size = file.size(),
                                   .have = settled.applied};
  disk_.snapshots.emplace_back(offer, std::move(file));
  if (disk_.snapshots.size() > snapshots_kept) disk_.snapshots.pop_front();
  ++world->sometimes["snapshots_made"];
  input(swarm::SnapshotAvailable{offer});
}

void Device::save_chunk(const swarm::SaveChunk& chunk) {
  if (disk_.incoming.first != chunk.file_hash) disk_.incoming = {chunk.file_hash, {}};
  swarm::Bytes& file = disk_.incoming.second;
  const size_t begin = size_t{chunk.index} * swarm::chunk_size_max;
  file.resize(std::max(file.size(), begin + chunk.bytes.size()));
  std::copy(chunk.bytes.begin(), chunk.bytes.end(),
            file.begin() + static_cast<std::ptrdiff_t>(begin));
  world->at(world->now + disk_delay, ChunkWritten{index, boots, chunk.file_hash, chunk.index});
}

void Device::chunk_written(const swarm::Digest& file, uint32_t chunk) {
  input(swarm::ChunkSaved{file, chunk, true});
}

void Device::install(const swarm::SnapshotOffer& offer) {
  if (slice) {
    inbox_.emplace_back(offer);
    return;
  }
  swarm::SnapshotInstalled answer;
  answer.offer = offer;
  std::tie(answer.reason, answer.fault) = take_over(offer);
  answer.ok = answer.reason.empty();
  if (answer.ok) {
    ++world->sometimes["snapshots_installed"];
    base_changed();
  }
  input(answer);
  if (!answer.ok) return;
  // What came with it is not in the own log: who asks for it gets it from here, too.
  if (const auto settled =
          learner_->exchange().settled([this](const auto& key) { return payload(key); }))
    offer_snapshot(*settled);
}

// As the node's learner: what the old base held beyond the snapshot is added again from the log.
std::pair<std::string, swarm::SnapshotInstalled::Fault> Device::take_over(
    const swarm::SnapshotOffer& offer) {
  using Fault = swarm::SnapshotInstalled::Fault;
  if (disk_.incoming.first != offer.file_hash ||
      swarm::blake2b(disk_.incoming.second) != offer.file_hash)
    return {"the file is not what was offered", Fault::chunks};
  auto content = read_snapshot(disk_.incoming.second, *world->course);
  if (!content) return {"the file is damaged", Fault::file};
  if (content->applied != offer.have)
    return {"it does not hold the deltas that its offer names", Fault::file};
  if (swarm::Base(world->course->table, content->values).hash() != offer.hash)
    return {"its base is not the one that its offer names", Fault::file};
  const swarm::VersionVector before = learner_->exchange().applied();
  swarm::VersionVector after = content->applied;
  std::vector<const Disk::Entry*> again;
  for (const Disk::Entry& entry : disk_.log) {
    if (!before.contains(entry.key) || content->applied.contains(entry.key)) continue;
    after.insert(entry.key);
    again.push_back(&entry);
  }
  if (!after.missing_from(before, 1).empty())
    return {"it lacks deltas that our log no longer holds", Fault::here};
  learner_->replace_base(std::move(content->values), content->applied,
                         std::move(content->judgement));
  for (const Disk::Entry* entry : again)
    learner_->accept_frame(entry->key, *entry->frame, world->swarm);
  disk_.checkpoint = learner_->save();
  return {"", Fault::here};
}

void Device::send_chunk(const swarm::SendChunk& request) {
  for (const auto& [offer, file] : disk_.snapshots) {
    const size_t begin = size_t{request.index} * swarm::chunk_size_max;
    if (offer.file_hash != request.file_hash || begin >= file.size()) continue;
    const auto chunk =
        swarm::ByteView(file).subspan(begin, std::min(file.size() - begin, swarm::chunk_size_max));
    return send(request.to, swarm::Chunk{request.file_hash, request.index,
                                         swarm::Bytes(chunk.begin(), chunk.end())});
  }
}

}  // namespace starling::sim
