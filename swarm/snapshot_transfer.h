#pragma once
// How a newcomer fetches a snapshot in chunks: a few in flight, from every peer that offers the
// same file; when the last sender vanishes it waits for one that offers that file again. The driver
// saves chunks and installs the file.
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "swarm/config.h"
#include "swarm/event.h"
#include "swarm/token_bucket.h"

namespace starling::swarm {

inline constexpr uint64_t snapshot_size_max = 512u << 20;  // bytes
inline constexpr size_t chunks_in_flight_max = 4;
inline constexpr int64_t chunks_per_minute_max =
    1200;  // asked for; well under a peer's control limit
inline constexpr int64_t bad_file_pause_ms = 600000;  // before the same file is tried again
inline constexpr size_t bad_files_max = 8;
inline constexpr size_t lone_files_max = 8;
inline constexpr uint32_t chunk_timeouts_max = 3;  // in a row, then a sender is given up

class SnapshotTransfer {
 public:
  SnapshotTransfer(const Config& config, Instant now);

  // Phase of the transfer: `suspended` has chunks but nobody to ask.
  enum class Phase : uint8_t { idle, fetching, suspended, installing };
  Phase phase() const { return phase_; }
  const SnapshotOffer& offer() const { return offer_; }

  // May this file be fetched now? Not while another is, and not when it failed a while ago.
  bool is_welcome(const SnapshotOffer& offer, Instant now) const;
  void begin(const SnapshotOffer& offer, const PeerId& source);       // Requires: is_welcome
  bool add_source(const SnapshotOffer& offer, const PeerId& source);  // false: another file
  void lose_source(const PeerId& source);

  struct Ask {
    PeerId peer;
    ChunkRequest request;
  };
  // `in_flight_max`: what the budget allows, if that is less than chunks_in_flight_max.
  std::vector<Ask> next_requests(Instant now, uint64_t in_flight_max = chunks_in_flight_max);
  // What a chunk is: to be saved, late (asked for, but already here), or never asked for.
  enum class Taken : uint8_t { save, late, unexpected, malformed };
  Taken take(const PeerId& from, const Chunk& chunk);
  // True: that was the last one, and the file is to be installed.
  bool saved(const ChunkSaved& saved, Instant now);
  void installed(bool ok, Instant now);
  // The chunks do not make up the file. It may be tried again at once, each time from one peer
  // only, so that it comes out who sends what does not belong to it.
  void spoiled();
  const std::set<PeerId>& senders() const { return senders_; }    // whose chunks were taken
  const std::set<PeerId>& offerers() const { return offerers_; }  // of this very file

  // Nothing of these is pulled or taken: they come (or came) with the file.
  bool is_coming(const DeltaKey& key) const;  // while chunks flow or the file is being installed
  bool is_installing(
      const DeltaKey& key) const;  // the driver may have it in its base at any moment
  Instant next(Instant now, uint64_t in_flight_max = chunks_in_flight_max);

 private:
  enum class Piece : uint8_t { missing, asked, saving, done };
  struct Pending {
    PeerId peer;
    Instant due;
  };
  void give_up(Instant now);
  void clear();
  void expire(Instant now);
  size_t size_of(uint32_t index) const;

  Config config_;
  Phase phase_ = Phase::idle;
  SnapshotOffer offer_;
  std::vector<Piece> pieces_;
  std::map<uint32_t, Pending> pending_;  // by chunk
  std::map<PeerId, uint32_t> sources_;   // with its timeouts in a row
  std::set<uint32_t> asked_;             // ever, of this file
  std::set<PeerId> senders_, offerers_;  // of this file, also those that are gone
  std::set<Digest> lone_files_;          // to be fetched from one peer each time
  std::map<Digest, Instant> bad_files_;  // until when
  TokenBucket pace_;
};

}  // namespace starling::swarm
