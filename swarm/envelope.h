#pragma once
// The signed frame that every message travels in. A fixed header is signed, not the payload: the
// header holds the payload's hash. The grammar stands on top of envelope.cc. Order of work on
// receipt (open): size, version and swarm, signature, payload hash; semantic checks come after.
// Nothing of a frame is believed before open() succeeds.
#include <string>
#include <string_view>

#include "model/delta.h"
#include "swarm/bytes.h"
#include "swarm/peer_id.h"

namespace starling::swarm {

enum class FrameKind : uint8_t {
  control = 1,  // a link message (message.h); seq counts the sender's control frames
  delta = 2,    // a delta (delta_codec.h); seq counts the origin's deltas of this epoch
};

struct FrameHeader {
  FrameKind kind = FrameKind::control;
  std::array<uint8_t, 16> swarm{};        // swarm id: BLAKE2b of the swarm root key, cut
  PublicKey origin{};                     // who signed
  uint64_t epoch = 0;                     // boot epoch of the origin
  uint64_t seq = 0;                       // from 1
  std::array<uint8_t, 16> fingerprint{};  // model: shape and genesis
  Digest payload_hash{};
  uint32_t payload_size = 0;  // bytes
  uint64_t samples = 0;       // tokens learned since the origin's last delta; 0 in control frames
};

inline constexpr uint32_t payload_size_max = 16u << 20;
extern const uint32_t header_size;  // bytes on the wire before the payload, signature included

// One flat list of reasons for refusing what a peer sent; each with a stable name
// (drop_reason_name).
enum class DropReason : uint8_t {
  truncated,          // shorter than its own fields say
  oversized,          // above a stated limit
  bad_version,        // not a frame version we speak
  wrong_swarm,        // signed for another swarm
  bad_signature,      // the header's signature does not verify
  bad_payload_hash,   // the payload is not what was signed
  wrong_fingerprint,  // another model
  malformed,          // a message or delta that its grammar refuses
  unknown_region,     // a region this model does not have, or not in order
  bad_scale,          // a scale outside the allowed range, or not finite
  bad_norm,           // stated norm is not finite or not the payload's
  not_a_member,       // the origin has no valid membership
  revoked,            // the origin's membership was revoked
  replayed,           // a control frame whose number was seen, or an old epoch
  duplicate,          // a delta we already have
  equivocation,       // two deltas with one number: proof of a fault
  too_far_ahead,      // beyond the window of numbers we track; it is pulled later
  rate_limited,       // more than the limits allow
  unexpected,         // a valid message at the wrong time
  unknown_kind,       // a message of a later version: ignored
  broken_promise,     // it tells of deltas and does not give them
  bad_snapshot,       // not what its offer says, or another base than most state for its deltas
};
std::string_view drop_reason_name(DropReason reason);

// Signs with a secret key that it does not own. Thread: safe from any.
class Signer {
 public:
  // `secret` is 64 bytes of libsodium's Ed25519 secret key; it must outlive the signer.
  explicit Signer(const uint8_t* secret) : secret_(secret) {}
  PublicKey public_key() const;
  Signature sign(std::string_view domain, ByteView message) const;

 private:
  const uint8_t* secret_;
};
bool verify(std::string_view domain, ByteView message, const Signature& signature,
            const PublicKey& key);

// Fills origin, payload_hash and payload_size of `header`. Requires: payload within
// payload_size_max.
Bytes seal(FrameHeader header, ByteView payload, const Signer& signer);

// What stands in the first header_size bytes; nothing of it is believed before is_signed().
Result<FrameHeader, DropReason> parse_header(ByteView bytes);
// Whether the origin that `header` names has signed `bytes`, from which it was parsed. The payload
// is not looked at.
bool is_signed(const FrameHeader& header, ByteView bytes);

struct Opened {
  FrameHeader header;
  ByteView payload;  // into the frame
};
Result<Opened, DropReason> open(ByteView frame, const std::array<uint8_t, 16>& swarm);

}  // namespace starling::swarm
