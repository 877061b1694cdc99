#pragma once
// The log on disk: signed delta frames appended to segment files (log/00000001.seg ...), 8 MiB each. A record is
// {magic, size, frame, checksum}. At open every record is checked; a torn tail is cut, a damaged record is skipped
// and reported (the swarm has it: it is pulled again). Bounded: `trim` drops the oldest segments beyond bytes_max
// whose deltas a snapshot covers. Grammar on top of delta_store.cc. Thread: locked inside (protocol thread appends and
// reads, learner replays).
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "swarm/envelope.h"
#include "swarm/version_vector.h"

namespace starling::node {

class DeltaStore {
 public:
  struct Entry {
    swarm::DeltaKey key;
    std::array<uint8_t, 16> hash{};  // first half of the payload hash
    uint32_t size = 0;               // bytes of the frame
  };
  // `reports` gets a line for each thing found damaged. Frames of another swarm or with a bad signature count as
  // damaged. Errors: a line for the user.
  static Result<std::unique_ptr<DeltaStore>, std::string> open(const std::string& directory, uint64_t bytes_max,
                                                               const std::array<uint8_t, 16>& swarm,
                                                               std::vector<std::string>& reports);
  ~DeltaStore();
  // A key that is already there is not written again. Errors: disk full and the like; the log stays valid.
  Result<Done, std::string> append(const swarm::DeltaKey& key, swarm::ByteView frame);
  Result<swarm::Bytes, std::string> read(const swarm::DeltaKey& key) const;
  std::vector<Entry> entries() const;  // in the order of appending
  // Drops whole segments, oldest first, while above bytes_max and all their deltas are in `covered`.
  std::vector<swarm::DeltaKey> trim(const swarm::VersionVector& covered);
  uint64_t bytes() const;
  void sync();  // fsync of the open segment

 private:
  struct Parts;
  explicit DeltaStore(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace starling::node
