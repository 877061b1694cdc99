#pragma once
// Checkpoints and snapshots as plain files: header {magic, format version, fingerprint, step,
// section table}, the sections' raw bytes, BLAKE2b-256 over everything. Written as temp + fsync +
// rename + fsync of the directory; the newest valid one wins; `kept` generations stay. Whatever is
// damaged, foreign or of another fingerprint is refused with its reason, and the generation before
// it is used. Grammar on top of checkpoint_codec.cc. Thread: one at a time (the learner's).
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "model/trainer.h"
#include "swarm/bytes.h"

namespace starling::node {

struct LoadedCheckpoint {
  std::string path;
  uint64_t step = 0;
  swarm::Bytes file;  // owns what the sections borrow
  std::vector<model::Section> sections;
};

class CheckpointStore {
 public:
  // `suffix` tells kinds of file apart in listings, such as ".ckpt" or ".snap". Creates the
  // directory (0700).
  CheckpointStore(std::string directory, std::string suffix, uint32_t kept,
                  const std::array<uint8_t, 16>& fingerprint);

  // The path written. Errors: a line for the user (disk full, read-only, ...); nothing is left
  // behind then.
  Result<std::string, std::string> write(uint64_t step,
                                         const std::vector<model::Section>& sections);
  // Newest valid first. `refused` gets a line for each file that was looked at and not used.
  Result<LoadedCheckpoint, std::string> load_newest(std::vector<std::string>& refused) const;
  Result<LoadedCheckpoint, std::string> load(const std::string& path) const;
  std::vector<std::string> list() const;  // paths, newest first, by name only
  uint64_t bytes() const;                 // on disk

 private:
  std::string directory_, suffix_;
  uint32_t kept_;
  std::array<uint8_t, 16> fingerprint_;
};

}  // namespace starling::node
