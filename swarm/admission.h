#pragma once
// Who may enter: a swarm root key signs invites; an invite's key signs the identity that used it;
// the pair is the membership certificate, which any member verifies offline (inside the TLS
// handshake).
#include <string>
#include <vector>

#include "swarm/envelope.h"

namespace starling::swarm {

inline constexpr size_t membership_size = 249;     // bytes, encoded
inline constexpr size_t preset_size_max = 32;      // bytes of a preset's name in a token
inline constexpr size_t invite_addresses_max = 8;  // members named in a token

using SwarmId = std::array<uint8_t, 16>;
SwarmId swarm_id_of(const PublicKey& root);

// Why a certificate or a token is refused; each with a line for the user (admission_error_text).
enum class AdmissionError : uint8_t {
  truncated,
  bad_checksum,
  bad_version,
  wrong_swarm,
  bad_root_signature,
  bad_binding,
  expired,
  not_an_invite,
};
std::string_view admission_error_text(AdmissionError error);

// Signed by the root: this invite key may admit one identity until `expires_s` (Unix seconds; 0:
// never).
struct InviteCertificate {
  PublicKey root{};
  PublicKey invite{};
  std::array<uint8_t, 16> serial{};
  int64_t expires_s = 0;
  Signature by_root{};
};

struct Membership {
  InviteCertificate invite;
  PublicKey identity{};
  Signature binding{};  // by the invite's key over the identity
};

Bytes encode(const Membership& membership);
Result<Membership, AdmissionError> decode_membership(ByteView bytes);
// Checks both signatures and the swarm. Expiry counts only at the moment of joining, not here: a
// device without a clock must still be able to meet its peers.
Result<Done, AdmissionError> check(const Membership& membership, const SwarmId& swarm);

// The founder's own membership, or anyone's for whom the root is at hand.
Membership admit(const Signer& root, const PublicKey& identity, int64_t expires_s);

// The one line that `starling invite` prints: "starling1:" + base58 of {invite seed, certificate,
// bootstrap peers, model preset, checksum}.
struct InviteToken {
  std::array<uint8_t, 32> invite_seed{};
  InviteCertificate certificate;
  std::string preset;
  std::vector<std::string> addresses;  // host:port of members
};
// The invite's key comes from the system's randomness (libsodium): a secret may not be foreseeable.
InviteToken make_invite(const Signer& root, const std::string& preset,
                        std::vector<std::string> addresses, int64_t expires_s);
// Requires: the preset and the addresses are plain text (wire.h) within their bounds.
std::string encode_token(const InviteToken& token);
// Checks the checksum, the bounds, the root's signature, and that seed and certificate belong
// together.
Result<InviteToken, AdmissionError> decode_token(std::string_view text);
// now_s = 0: the clock is not believed and expiry is not looked at.
Result<Membership, AdmissionError> accept_invite(const InviteToken& token,
                                                 const PublicKey& identity, int64_t now_s);

}  // namespace starling::swarm
