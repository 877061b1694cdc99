#pragma once
// Deltas in a file: what one member has of the swarm's log, with the records that tell who its
// origins are, for a member that is not connected. Everything in it is signed by whom it comes
// from, so whoever takes it in checks it as if it had come over a link; the file's own chain of
// hashes only finds what was cut off or damaged on the way. Grammar on top of bundle.cc. Memory:
// one part. Thread: values.
#include <optional>
#include <string_view>
#include <vector>

#include "swarm/message.h"

namespace starling::swarm {

inline constexpr size_t bundle_message_size_max = 256u << 10;  // bytes of one message in it
inline constexpr size_t bundle_part_size_max = payload_size_max + (1u << 16);  // of one frame

struct BundleHead {
  SwarmId swarm{};
  std::array<uint8_t, 16> fingerprint{};
  VersionVector have;  // what its maker had, whether it is in the bundle or not
};

enum class BundlePartKind : uint8_t {
  message = 1,  // Members or AdmissionNews, as encode_message writes them
  delta = 2,    // a frame, as its origin signed it
};
struct BundlePart {
  BundlePartKind kind = BundlePartKind::message;
  Bytes bytes;
};

enum class BundleError : uint8_t {
  not_a_bundle,  // it does not begin like one
  bad_version,   // made by a later version
  truncated,     // it ends before its end
  damaged,       // some bytes are not those that were written
  malformed,     // it breaks its grammar
};
std::string_view bundle_error_text(BundleError error);

// Makes the bytes of a bundle, piece by piece: head() first, then parts, then end().
class BundleWriter {
 public:
  // Requires: at most streams_per_message_max streams.
  Bytes head(const BundleHead& head);
  // Requires: within its kind's bound.
  Bytes part(BundlePartKind kind, ByteView bytes);
  Bytes end();

 private:
  Digest chain_{};
};

// Reads pieces of any size; gives each part when it is whole.
class BundleReader {
 public:
  // What became whole with these bytes. After an error nothing more is read.
  Result<std::vector<BundlePart>, BundleError> take(ByteView bytes);
  // Whether the end was reached, with the hash that belongs there.
  Result<Done, BundleError> finish() const;
  const std::optional<BundleHead>& head() const { return head_; }

 private:
  std::optional<BundleError> read_head(ByteView& rest);
  std::optional<BundleError> read_parts(ByteView& rest, std::vector<BundlePart>& parts);

  Bytes waiting_;  // the beginning of what is not whole yet
  std::optional<BundleHead> head_;
  std::optional<BundleError> error_;
  bool is_ended_ = false;
  Digest chain_{};
};

}  // namespace starling::swarm
