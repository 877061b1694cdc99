#pragma once
// Who may enter: a swarm's root key signs invites; an invite's key signs the identity that used it;
// the pair is the membership certificate, which any member verifies offline (inside the TLS
// handshake). An invite may make its bearer an issuer: its identity then signs invites as the root
// does, each for one of its numbered places. A membership carries the issuers between it and the
// root. What the swarm knows beyond one certificate (revocations, invites used twice) is in
// admissions.h.
#include <string>
#include <vector>

#include "swarm/envelope.h"

namespace starling::swarm {

inline constexpr size_t issuers_max = 3;    // between a member and the root
inline constexpr uint32_t quota_max = 256;  // places of one issuer
inline constexpr size_t link_size = 217;    // bytes of one step from the root to a member
inline constexpr size_t membership_size_max = 34 + (issuers_max + 1) * link_size;
inline constexpr int64_t issuing_skew_s = 48 * 3600;  // by which the joiner's clock may be wrong
inline constexpr size_t preset_size_max = 32;         // bytes of a preset's name in a token
inline constexpr size_t invite_addresses_max = 8;     // members named in a token

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
  bad_issuer,  // its issuer has no such place to give, or may not make issuers
  malformed,   // whole and undamaged, but not in the one form it may have
};
std::string_view admission_error_text(AdmissionError error);
// Of what a Reader found wrong with the bytes of something that is signed.
inline AdmissionError admission_error_of(DropReason fault) {
  return fault == DropReason::truncated ? AdmissionError::truncated : AdmissionError::malformed;
}

// Signed by the root or an issuer: this invite key may admit one identity until `expires_s` (Unix
// seconds; 0: never).
struct InviteCertificate {
  PublicKey root{};
  PublicKey invite{};
  std::array<uint8_t, 16> serial{};
  int64_t expires_s = 0;
  uint32_t slot = 0;           // the place at its issuer that it takes, from 1; 0: the root's
  uint32_t quota = 0;          // places that its bearer may give in turn; 0: it is no issuer
  bool may_delegate = false;   // its bearer may make issuers
  int64_t issues_until_s = 0;  // and may invite until then; 0: for ever
  Signature signature{};       // by the root, or by the identity of the issuer
};

// A member that may invite, as the certificates of those below it carry it.
struct Issuer {
  InviteCertificate certificate;
  PublicKey identity{};
  Signature binding{};
};

struct Membership {
  std::vector<Issuer> issuers;  // from the one whom the root admitted down to the one who invited
  InviteCertificate invite;
  PublicKey identity{};
  Signature binding{};  // by the invite's key over the identity
};
// The membership of its issuer number `index`.
Membership issuer_membership(const Membership& membership, size_t index);

Bytes encode(const Membership& membership);
Result<Membership, AdmissionError> decode_membership(ByteView bytes);
// How long a membership that begins like this is; 0: it does not begin like one.
size_t membership_size_of(ByteView bytes);
// Checks all signatures, the issuers' rights, and the swarm. Expiry counts only at the moment of
// joining, not here: a device without a clock must still be able to meet its peers.
Result<Done, AdmissionError> check(const Membership& membership, const SwarmId& swarm);

// The founder's own membership, or anyone's for whom the root is at hand.
Membership admit(const Signer& root, const PublicKey& identity, int64_t expires_s);

// The one line that `starling invite` prints: "starling1:" + base58 of {invite seed, certificate,
// bootstrap peers, model preset, checksum}.
struct InviteToken {
  std::array<uint8_t, 32> invite_seed{};
  std::vector<Issuer> issuers;
  InviteCertificate certificate;
  std::string preset;
  std::vector<std::string> addresses;  // host:port of members
};
// The invite's key comes from the system's randomness (libsodium): a secret may not be foreseeable.
InviteToken make_invite(const Signer& root, const std::string& preset,
                        std::vector<std::string> addresses, int64_t expires_s);
struct InviteTerms {
  int64_t expires_s = 0;
  uint32_t slot = 0;
  uint32_t quota = 0;
  bool may_delegate = false;
  int64_t issues_until_s = 0;
};
// The same for an invite with more to it. `issuer`: the membership behind `signer`; null: the root.
// Whether the issuer may give what the terms say is checked by whoever meets the result.
InviteToken make_invite(const Signer& signer, const Membership* issuer, const InviteTerms& terms,
                        const std::string& preset, std::vector<std::string> addresses);
// Requires: the preset and the addresses are plain text (wire.h) within their bounds.
std::string encode_token(const InviteToken& token);
// Checks the checksum, the bounds, the signatures, the issuers' rights, and that seed and
// certificate belong together.
Result<InviteToken, AdmissionError> decode_token(std::string_view text);
// now_s = 0: the clock is not believed and expiry is not looked at.
Result<Membership, AdmissionError> accept_invite(const InviteToken& token,
                                                 const PublicKey& identity, int64_t now_s);

}  // namespace starling::swarm
