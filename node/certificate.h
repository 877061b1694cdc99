#pragma once
// The TLS certificate of one boot: a fresh ECDSA P-256 key in a self-signed X.509 whose private
// extension holds the membership and the identity's signature over this very key. Whoever completes
// a handshake with it holds the key (TLS proves that), and whoever checks it knows the member
// behind the key. Dates in it are never looked at: a device may have no clock at boot. Source: the
// libp2p TLS handshake, which binds keys the same way.
#include <optional>
#include <string>
#include <string_view>

#include "model/result.h"
#include "swarm/admission.h"

namespace starling::node {

inline constexpr size_t certificate_size_max = 8u << 10;  // bytes of DER

// Both PEM. The key lives as long as the process: a new boot has a new one.
struct TlsPair {
  std::string key;
  std::string certificate;
};
// Errors: a line for the user (OpenSSL refused; no randomness).
Result<TlsPair, std::string> make_certificate(const swarm::Signer& identity,
                                              const swarm::Membership& membership);

// Why a certificate is refused. certificate_error_name gives the name that `status` counts under.
enum class CertificateError : uint8_t {
  no_certificate,   // none was sent
  too_large,        // above certificate_size_max
  bad_certificate,  // not one X.509 certificate in PEM
  not_a_member,     // no membership in it, or one that no root signed
  another_swarm,    // a membership of another swarm
  bad_membership,   // the extension does not follow its grammar
  bad_signature,    // the identity did not sign this certificate's key
};
// The identity that signed a refused certificate's key, whether or not it may enter; none: it
// proves no identity. Thread: pure, any; one signature check.
std::optional<swarm::PeerId> certificate_identity(std::string_view pem);
std::string_view certificate_error_name(CertificateError error);
std::string_view certificate_error_text(CertificateError error);  // for people

// What a checked certificate proves.
struct PeerProof {
  swarm::PeerId id;
  swarm::Membership membership;
  swarm::Digest
      boot{};  // hash of the certificate's key: another value means that the peer has restarted
};
// Thread: pure, any; three signature checks, about 0.4 ms.
Result<PeerProof, CertificateError> check_certificate(std::string_view pem,
                                                      const swarm::SwarmId& swarm);

}  // namespace starling::node
