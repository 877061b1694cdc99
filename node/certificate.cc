// The extension's value, wrapped in a DER OCTET STRING:
//   u8 version (1) | u16 size of the membership, little-endian | membership (swarm/admission.h) |
//   64 bytes signature
// The signature is the identity's, domain "starling-tls-v1", over the DER of the certificate's
// SubjectPublicKeyInfo.
#include "node/certificate.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include <algorithm>
#include <memory>
#include <optional>

namespace starling::node {
namespace {

constexpr char extension_oid[] =
    "2.25.168204219461498257091740625803219460713";  // a UUID drawn for this product
constexpr std::string_view key_domain = "starling-tls-v1";
constexpr uint8_t extension_version = 1;
constexpr size_t pem_size_max =
    certificate_size_max * 4 / 3 + 1024;  // base64, line ends, the two marker lines

template <auto release>
struct Release {
  template <typename T>
  void operator()(T* pointer) const {
    release(pointer);
  }
};
void free_openssl(unsigned char* bytes) { OPENSSL_free(bytes); }
using Key = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Release<X509_free>>;
using Bio = std::unique_ptr<BIO, Release<BIO_free_all>>;
using Object = std::unique_ptr<ASN1_OBJECT, Release<ASN1_OBJECT_free>>;
using Octets = std::unique_ptr<ASN1_OCTET_STRING, Release<ASN1_OCTET_STRING_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Release<X509_EXTENSION_free>>;
using Der = std::unique_ptr<unsigned char, Release<free_openssl>>;

std::optional<swarm::Bytes> public_key_der(X509* certificate) {
  unsigned char* raw = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &raw);
  const Der der(raw);
  if (size <= 0) return std::nullopt;
  return swarm::Bytes(raw, raw + size);
}

swarm::Bytes encode_extension(const swarm::Bytes& membership, const swarm::Signature& signature) {
  assert(membership.size() <= UINT16_MAX);
  swarm::Bytes bytes{extension_version, static_cast<uint8_t>(membership.size() & 0xff),
                     static_cast<uint8_t>(membership.size() >> 8)};
  bytes.insert(bytes.end(), membership.begin(), membership.end());
  bytes.insert(bytes.end(), signature.begin(), signature.end());
  return bytes;
}

bool add_extension(X509* certificate, const swarm::Bytes& value) {
  const Object oid(OBJ_txt2obj(extension_oid, 1));
  const Octets inner(ASN1_OCTET_STRING_new());
  const Octets outer(ASN1_OCTET_STRING_new());
  if (!oid || !inner || !outer) return false;
  if (ASN1_OCTET_STRING_set(inner.get(), value.data(), static_cast<int>(value.size())) != 1)
    return false;
  unsigned char* raw = nullptr;
  const int size = i2d_ASN1_OCTET_STRING(inner.get(), &raw);
  const Der der(raw);
  if (size <= 0 || ASN1_OCTET_STRING_set(outer.get(), raw, size) != 1) return false;
  const Extension extension(X509_EXTENSION_create_by_OBJ(nullptr, oid.get(), 0, outer.get()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool fill_names_and_dates(X509* certificate) {
  std::array<uint8_t, 8> serial{};
  if (RAND_bytes(serial.data(), static_cast<int>(serial.size())) != 1) return false;
  serial[0] &= 0x7f;  // a positive number
  serial[7] |= 1;     // and not zero
  uint64_t number = 0;
  for (const uint8_t byte : serial) number = number << 8 | byte;
  X509_NAME* name = X509_get_subject_name(certificate);
  static constexpr unsigned char common_name[] = "starling";
  return X509_set_version(certificate, 2) == 1 &&
         ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), number) == 1 &&
         X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, common_name, -1, -1, 0) == 1 &&
         X509_set_issuer_name(certificate, name) == 1 &&
         ASN1_TIME_set_string_X509(X509_getm_notBefore(certificate), "700101000000Z") == 1 &&
         ASN1_TIME_set_string_X509(X509_getm_notAfter(certificate), "99991231235959Z") == 1;
}

std::string read_all(BIO* bio) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio, &bytes);
  return size > 0 ? std::string(bytes, static_cast<size_t>(size)) : std::string();
}

// One X.509 certificate from the PEM, within the size limit.
Result<Certificate, CertificateError> parse(std::string_view pem) {
  if (pem.empty()) return Unexpected{CertificateError::no_certificate};
  if (pem.size() > pem_size_max) return Unexpected{CertificateError::too_large};
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!bio) return Unexpected{CertificateError::bad_certificate};
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* bytes = nullptr;
  long size = 0;
  if (PEM_read_bio(bio.get(), &name, &header, &bytes, &size) != 1) {
    return Unexpected{CertificateError::bad_certificate};
  }
  const bool is_certificate = std::string_view(name) == "CERTIFICATE";
  OPENSSL_free(name);
  OPENSSL_free(header);
  const Der der(bytes);
  if (!is_certificate) return Unexpected{CertificateError::bad_certificate};
  if (size > static_cast<long>(certificate_size_max))
    return Unexpected{CertificateError::too_large};
  const unsigned char* at = bytes;
  Certificate certificate(d2i_X509(nullptr, &at, size));
  if (!certificate || at != bytes + size) return Unexpected{CertificateError::bad_certificate};
  return certificate;
}

struct Claim {
  swarm::Bytes membership;
  swarm::Signature signature{};
};

Result<Claim, CertificateError> read_extension(X509* certificate) {
  const Object oid(OBJ_txt2obj(extension_oid, 1));
  const int index = X509_get_ext_by_OBJ(certificate, oid.get(), -1);
  if (index < 0) return Unexpected{CertificateError::not_a_member};
  if (X509_get_ext_by_OBJ(certificate, oid.get(), index) >= 0)
    return Unexpected{CertificateError::bad_membership};
  const ASN1_OCTET_STRING* outer = X509_EXTENSION_get_data(X509_get_ext(certificate, index));
  const unsigned char* at = ASN1_STRING_get0_data(outer);
  const unsigned char* const end = at + ASN1_STRING_length(outer);
  const Octets inner(d2i_ASN1_OCTET_STRING(nullptr, &at, end - at));
  if (!inner || at != end) return Unexpected{CertificateError::bad_membership};
  const unsigned char* value = ASN1_STRING_get0_data(inner.get());
  const size_t size = static_cast<size_t>(ASN1_STRING_length(inner.get()));
  Claim claim;
  if (size < 3 + claim.signature.size() || value[0] != extension_version) {
    return Unexpected{CertificateError::bad_membership};
  }
  const size_t membership_size = static_cast<size_t>(value[1] | value[2] << 8);
  if (size != 3 + membership_size + claim.signature.size())
    return Unexpected{CertificateError::bad_membership};
  claim.membership.assign(value + 3, value + 3 + membership_size);
  std::copy_n(value + 3 + membership_size, claim.signature.size(), claim.signature.begin());
  return claim;
}

}  // namespace

Result<TlsPair, std::string> make_certificate(const swarm::Signer& identity,
                                              const swarm::Membership& membership) {
  const std::string failure =
      "cannot make this boot's TLS certificate: OpenSSL refused; is its configuration sane?";
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  if (!key || !certificate) return Unexpected{failure};
  if (!fill_names_and_dates(certificate.get()) ||
      X509_set_pubkey(certificate.get(), key.get()) != 1) {
    return Unexpected{failure};
  }
  const std::optional<swarm::Bytes> der = public_key_der(certificate.get());
  if (!der) return Unexpected{failure};
  const swarm::Bytes value =
      encode_extension(swarm::encode(membership), identity.sign(key_domain, *der));
  if (!add_extension(certificate.get(), value)) return Unexpected{failure};
  if (X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0) return Unexpected{failure};

  const Bio key_text(BIO_new(BIO_s_mem()));
  const Bio certificate_text(BIO_new(BIO_s_mem()));
  if (!key_text || !certificate_text ||
      PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1 ||
      PEM_write_bio_X509(certificate_text.get(), certificate.get()) != 1) {
    return Unexpected{failure};
  }
  return TlsPair{.key = read_all(key_text.get()), .certificate = read_all(certificate_text.get())};
}

Result<PeerProof, CertificateError> check_certificate(std::string_view pem,
                                                      const swarm::SwarmId& swarm) {
  const Result<Certificate, CertificateError> certificate = parse(pem);
  if (!certificate) return Unexpected{certificate.error()};
  const Result<Claim, CertificateError> claim = read_extension(certificate.value().get());
  if (!claim) return Unexpected{claim.error()};
  const auto membership = swarm::decode_membership(claim.value().membership);
  if (!membership) return Unexpected{CertificateError::bad_membership};
  const auto checked = swarm::check(*membership, swarm);
  if (!checked) {
    return Unexpected{checked.error() == swarm::AdmissionError::wrong_swarm
                          ? CertificateError::another_swarm
                          : CertificateError::not_a_member};
  }
  const std::optional<swarm::Bytes> der = public_key_der(certificate.value().get());
  if (!der) return Unexpected{CertificateError::bad_certificate};
  if (!swarm::verify(key_domain, *der, claim.value().signature, membership.value().identity)) {
    return Unexpected{CertificateError::bad_signature};
  }
  return PeerProof{.id = swarm::peer_id_of(membership.value().identity),
                   .membership = *membership,
                   .boot = swarm::blake2b(*der)};
}

std::optional<swarm::PeerId> certificate_identity(std::string_view pem) {
  const Result<Certificate, CertificateError> certificate = parse(pem);
  if (!certificate) return std::nullopt;
  const Result<Claim, CertificateError> claim = read_extension(certificate.value().get());
  if (!claim) return std::nullopt;
  const auto membership = swarm::decode_membership(claim.value().membership);
  const std::optional<swarm::Bytes> der = public_key_der(certificate.value().get());
  const bool is_proven =
      membership && der &&
      swarm::verify(key_domain, *der, claim.value().signature, membership->identity);
  return is_proven ? std::optional(swarm::peer_id_of(membership->identity)) : std::nullopt;
}

std::string_view certificate_error_name(CertificateError error) {
  switch (error) {
    case CertificateError::no_certificate:
      return "no_certificate";
    case CertificateError::too_large:
      return "certificate_too_large";
    case CertificateError::bad_certificate:
      return "bad_certificate";
    case CertificateError::not_a_member:
      return "not_a_member";
    case CertificateError::another_swarm:
      return "another_swarm";
    case CertificateError::bad_membership:
      return "bad_membership";
    case CertificateError::bad_signature:
      return "bad_signature";
  }
  return "unknown";
}

std::string_view certificate_error_text(CertificateError error) {
  switch (error) {
    case CertificateError::no_certificate:
      return "it showed no certificate";
    case CertificateError::too_large:
      return "its certificate is larger than 8 KiB";
    case CertificateError::bad_certificate:
      return "its certificate cannot be read";
    case CertificateError::not_a_member:
      return "it is not a member of this swarm";
    case CertificateError::another_swarm:
      return "it is a member of another swarm";
    case CertificateError::bad_membership:
      return "the membership in its certificate cannot be read";
    case CertificateError::bad_signature:
      return "its identity did not sign its certificate's key";
  }
  return "unknown";
}

}  // namespace starling::node
