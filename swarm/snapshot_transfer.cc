#include "swarm/snapshot_transfer.h"

#include <algorithm>
#include <cassert>

namespace starling::swarm {

SnapshotTransfer::SnapshotTransfer(const Config& config, Instant now)
    : config_(config),
      pace_({.per_minute = chunks_per_minute_max, .burst = chunks_in_flight_max}, now) {}

bool SnapshotTransfer::is_welcome(const SnapshotOffer& offer, Instant now) const {
  if (phase_ == Phase::fetching || phase_ == Phase::installing) return false;
  const auto bad = bad_files_.find(offer.file_hash);
  return bad == bad_files_.end() || bad->second <= now;
}

void SnapshotTransfer::begin(const SnapshotOffer& offer, const PeerId& source) {
  assert(offer.size > 0 && offer.size <= snapshot_size_max);
  const bool is_lone = lone_files_.contains(offer.file_hash) && !offerers_.contains(source);
  if (phase_ != Phase::suspended || offer != offer_ || is_lone) {
    clear();
    offer_ = offer;
    pieces_.assign((offer.size + chunk_size_max - 1) / chunk_size_max, Piece::missing);
  }
  pending_.clear();
  sources_.clear();
  sources_.emplace(source, 0);
  offerers_.insert(source);
  phase_ = Phase::fetching;
}

bool SnapshotTransfer::add_source(const SnapshotOffer& offer, const PeerId& source) {
  if (phase_ != Phase::fetching || offer != offer_) return false;
  if (lone_files_.contains(offer.file_hash) && !offerers_.contains(source)) return false;
  sources_.emplace(source, 0);
  offerers_.insert(source);
  return true;
}

void SnapshotTransfer::lose_source(const PeerId& source) {
  if (sources_.erase(source) == 0) return;
  std::erase_if(pending_, [&](const auto& item) {
    if (item.second.peer != source) return false;
    pieces_[item.first] = Piece::missing;
    return true;
  });
  if (sources_.empty() && phase_ == Phase::fetching) phase_ = Phase::suspended;
}

void SnapshotTransfer::expire(Instant now) {
  std::vector<PeerId> silent;
  std::erase_if(pending_, [&](const auto& item) {
    if (item.second.due > now) return false;
    pieces_[item.first] = Piece::missing;
    const auto source = sources_.find(item.second.peer);
    if (source != sources_.end() && ++source->second >= chunk_timeouts_max) {
      silent.push_back(source->first);
    }
    return true;
  });
  for (const PeerId& peer : silent) lose_source(peer);
}

std::vector<SnapshotTransfer::Ask> SnapshotTransfer::next_requests(Instant now,
                                                                   uint64_t in_flight_max) {
  std::vector<Ask> asks;
  if (phase_ != Phase::fetching) return asks;
  expire(now);
  in_flight_max = std::min<uint64_t>(in_flight_max, chunks_in_flight_max);
  for (uint32_t index = 0; index < pieces_.size(); ++index) {
    if (pending_.size() >= in_flight_max || sources_.empty()) break;
    if (pieces_[index] != Piece::missing) continue;
    if (!pace_.take(now)) break;
    // The sender with the fewest unanswered requests, so that all of them share the work.
    std::map<PeerId, size_t> unanswered;
    for (const auto& [chunk, pending] : pending_) ++unanswered[pending.peer];
    const PeerId* chosen = nullptr;
    size_t fewest = 0;
    for (const auto& [peer, timeouts] : sources_) {
      const size_t cost = unanswered[peer] + timeouts * chunks_in_flight_max;
      if (chosen != nullptr && cost >= fewest) continue;
      chosen = &peer;
      fewest = cost;
    }
    pieces_[index] = Piece::asked;
    pending_[index] = {*chosen, now.after(config_.pull_timeout_ms)};
    asked_.insert(index);
    asks.push_back({*chosen, {offer_.file_hash, index}});
  }
  return asks;
}

size_t SnapshotTransfer::size_of(uint32_t index) const {
  const uint64_t begin = uint64_t{index} * chunk_size_max;
  return static_cast<size_t>(std::min<uint64_t>(chunk_size_max, offer_.size - begin));
}

SnapshotTransfer::Taken SnapshotTransfer::take(const PeerId& from, const Chunk& chunk) {
  const bool is_ours = phase_ != Phase::idle && chunk.file_hash == offer_.file_hash;
  if (!is_ours || !asked_.contains(chunk.index)) return Taken::unexpected;
  if (pieces_[chunk.index] == Piece::saving || pieces_[chunk.index] == Piece::done) {
    return Taken::late;
  }
  const auto pending = pending_.find(chunk.index);
  if (pending == pending_.end() || pending->second.peer != from) return Taken::late;
  if (chunk.bytes.size() != size_of(chunk.index)) return Taken::malformed;
  pending_.erase(pending);
  senders_.insert(from);
  pieces_[chunk.index] = Piece::saving;
  const auto source = sources_.find(from);
  if (source != sources_.end()) source->second = 0;
  return Taken::save;
}

bool SnapshotTransfer::saved(const ChunkSaved& saved, Instant now) {
  const bool is_ours = (phase_ == Phase::fetching || phase_ == Phase::suspended) &&
                       saved.file_hash == offer_.file_hash && saved.index < pieces_.size();
  if (!is_ours || pieces_[saved.index] != Piece::saving) return false;
  if (!saved.ok) {
    give_up(now);
    return false;
  }
  pieces_[saved.index] = Piece::done;
  const bool is_whole =
      std::all_of(pieces_.begin(), pieces_.end(), [](Piece piece) { return piece == Piece::done; });
  if (is_whole) phase_ = Phase::installing;
  return is_whole;
}

void SnapshotTransfer::installed(bool ok, Instant now) {
  if (phase_ != Phase::installing) return;
  if (!ok) return give_up(now);
  clear();
}

void SnapshotTransfer::spoiled() {
  if (phase_ != Phase::installing) return;
  if (lone_files_.size() >= lone_files_max) lone_files_.erase(lone_files_.begin());
  lone_files_.insert(offer_.file_hash);
  clear();
}

void SnapshotTransfer::clear() {
  phase_ = Phase::idle;
  pieces_.clear();
  asked_.clear();
  pending_.clear();
  sources_.clear();
  senders_.clear();
  offerers_.clear();
}

void SnapshotTransfer::give_up(Instant now) {
  if (bad_files_.size() >= bad_files_max) {
    bad_files_.erase(
        std::min_element(bad_files_.begin(), bad_files_.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; }));
  }
  bad_files_[offer_.file_hash] = now.after(bad_file_pause_ms);
  clear();
}

bool SnapshotTransfer::is_coming(const DeltaKey& key) const {
  const bool is_active = phase_ == Phase::fetching || phase_ == Phase::installing;
  return is_active && offer_.have.contains(key);
}

bool SnapshotTransfer::is_installing(const DeltaKey& key) const {
  return phase_ == Phase::installing && offer_.have.contains(key);
}

Instant SnapshotTransfer::next(Instant now, uint64_t in_flight_max) {
  if (phase_ != Phase::fetching) return never;
  Instant earliest = never;
  for (const auto& [index, pending] : pending_) earliest = std::min(earliest, pending.due);
  const bool has_room = pending_.size() < std::min<uint64_t>(in_flight_max, chunks_in_flight_max) &&
                        !sources_.empty();
  const bool has_missing =
      std::find(pieces_.begin(), pieces_.end(), Piece::missing) != pieces_.end();
  if (has_room && has_missing) earliest = std::min(earliest, pace_.ready_at(now));
  return earliest;
}

}  // namespace starling::swarm
