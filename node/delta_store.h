#pragma once
// The log on disk: signed delta frames appended to segment files (log/00000001.seg ...), 8 MiB
// each. At open every record's checksum is checked; a torn tail is cut, a damaged record is skipped
// and reported (the swarm has it: it is pulled again). A frame's signature is checked when it is
// appended and each time it is read. Bounded: `trim` drops the oldest segments beyond bytes_max
// whose deltas a snapshot covers, and nothing is appended beyond twice bytes_max. Grammar on top of
// delta_segment.cc. Thread: locked inside (protocol thread appends and reads, learner replays).
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
  // `reports` gets a line for each thing found damaged. Frames of another swarm count as damaged.
  // Errors: a line for the user (the directory cannot be made or read).
  static Result<std::unique_ptr<DeltaStore>, std::string> open(const std::string& directory,
                                                               uint64_t bytes_max,
                                                               const std::array<uint8_t, 16>& swarm,
                                                               std::vector<std::string>& reports);
  ~DeltaStore();
  // A key that is already there is not written again. A frame that does not open() or is not what
  // `key` says is refused. No fsync: see sync. Errors: disk full, the log is at its bound and the
  // like; the log stays valid.
  Result<Done, std::string> append(const swarm::DeltaKey& key, swarm::ByteView frame);
  // The frame as signed, verified again. One that turns out damaged is forgotten, so that it can be
  // appended anew.
  Result<swarm::Bytes, std::string> read(const swarm::DeltaKey& key) const;
  std::vector<Entry> entries() const;  // in the order of appending
  // Drops whole segments, oldest first, while above bytes_max and all their deltas are in
  // `covered`. Returns the keys that went. The segment being written stays.
  std::vector<swarm::DeltaKey> trim(const swarm::VersionVector& covered);
  uint64_t bytes() const;
  // fsync of what was appended since the last call; appending goes on meanwhile. A failure is the
  // next append's error.
  void sync();

 private:
  struct Parts;
  explicit DeltaStore(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace starling::node
