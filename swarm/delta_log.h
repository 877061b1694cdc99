#pragma once
// What we have of the swarm's log, without the bytes: the version vector, and for every delta that
// the log on disk can still serve its hash, size and norm. The frames themselves lie with the
// driver.
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "swarm/bytes.h"
#include "swarm/shelves.h"

namespace starling::swarm {

inline constexpr size_t log_entries_max = 1u << 18;  // the oldest over it are no longer served
inline constexpr size_t streams_per_origin_max =
    256;                                     // boots of one member that had something to say
inline constexpr size_t streams_max = 1024;  // as many as one heartbeat can tell of

class DeltaLog {
 public:
  struct Entry {
    ShortHash hash{};   // of the payload
    uint32_t size = 0;  // bytes of the frame
    double norm = 0;
  };
  // What a delta is to us before we take it.
  enum class Standing : uint8_t { fresh, duplicate, equivocation, too_far, no_room };

  Standing standing(const DeltaKey& key, const ShortHash& hash) const;
  // Requires: standing(...) == fresh.
  void add(const DeltaKey& key, const Entry& entry);
  // What a restart found: counted as had, and served from now on.
  void restore(const DeltaKey& key, const Entry& entry);
  void merge(const VersionVector& have);
  void forget(std::span<const DeltaKey> keys);  // still had, no longer served

  bool is_served(const DeltaKey& key) const { return entries_.contains(key); }
  // None: not served any more, or never had.
  std::optional<ShortHash> hash_of(const DeltaKey& key) const;
  const VersionVector& have() const { return have_; }
  uint64_t changes() const { return changes_; }   // of `have`, at most so many
  uint32_t size_of(const DeltaKey& key) const;    // bytes of the frame; 0: not known
  uint64_t count_of(const PeerId& origin) const;  // deltas of that member that we have
  // How many came in this life, also from disk: the number of the newest.
  uint64_t arrivals() const { return arrivals_; }
  // Those of them with numbers after + 1 to `until` that are still served, in their order.
  std::vector<DeltaKey> arrived(uint64_t after, uint64_t until) const;

 private:
  void remember(const DeltaKey& key, const Entry& entry);

  VersionVector have_;
  Shelves<Entry> entries_;
  struct Arrival {
    uint64_t number = 0;
    DeltaKey key;
  };
  std::deque<Arrival> order_;  // may name forgotten keys
  uint64_t arrivals_ = 0;
  uint64_t changes_ = 0;
};

}  // namespace starling::swarm
