#pragma once
// Which deltas a node has: per stream (origin, boot epoch) a contiguous count and a bitmap of the
// 64 numbers beyond.
#include <cstdint>
#include <vector>

#include "swarm/peer_id.h"
#include "swarm/sorted_map.h"

namespace starling::swarm {

struct Stream {
  PeerId origin;
  uint64_t epoch = 0;
  friend auto operator<=>(const Stream&, const Stream&) = default;
};

struct DeltaKey {
  Stream stream;
  uint64_t seq = 0;  // from 1
  friend auto operator<=>(const DeltaKey&, const DeltaKey&) = default;
};

struct Seen {
  uint64_t contiguous = 0;  // 1..contiguous are there
  uint64_t bitmap = 0;      // bit i: contiguous + 2 + i is there (contiguous + 1 is not)
  friend bool operator==(const Seen&, const Seen&) = default;
};

// Numbers of one stream that `theirs` has and `mine` has not, ascending, at most `count_max`.
std::vector<uint64_t> missing_numbers(const Seen& mine, const Seen& theirs, size_t count_max);

class VersionVector {
 public:
  enum class Insert { added, duplicate, too_far };
  Insert insert(const DeltaKey& key);
  bool contains(const DeltaKey& key) const;
  // Keys that `other` has and we have not, oldest first, at most `count_max`.
  std::vector<DeltaKey> missing_from(const VersionVector& other, size_t count_max,
                                     size_t of_each_max = SIZE_MAX) const;  // of one stream
  uint64_t delta_count() const;
  const SortedMap<Stream, Seen>& streams() const { return streams_; }
  // As read from the wire or disk. Requires: normalised by the decoder (bitmap's lowest gap rule
  // holds).
  void set(const Stream& stream, const Seen& seen) { streams_[stream] = seen; }
  void merge(const VersionVector& other);
  friend bool operator==(const VersionVector&, const VersionVector&) = default;

 private:
  SortedMap<Stream, Seen> streams_;
};

}  // namespace starling::swarm
