#pragma once
// Certificates and hellos as an attacker would make them.
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <string>
#include <vector>

#include "node/certificate.h"

namespace starling::node {

inline std::string text_of(BIO* bio) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio, &bytes);
  std::string text(bytes, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

inline std::string pem_of(const EVP_PKEY* key) {
  BIO* const bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(bio);
}
inline std::string pem_of(const X509* certificate) {
  BIO* const bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  return text_of(bio);
}

// Self-signed, with nothing of a swarm in it. `padding` bytes make it larger.
inline TlsPair plain_certificate(size_t padding = 0) {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  if (padding > 0) {
    ASN1_OBJECT* const oid = OBJ_txt2obj("2.25.1", 1);
    ASN1_OCTET_STRING* const value = ASN1_OCTET_STRING_new();
    const std::vector<unsigned char> zeros(padding);
    ASN1_OCTET_STRING_set(value, zeros.data(), static_cast<int>(zeros.size()));
    X509_EXTENSION* const extension = X509_EXTENSION_create_by_OBJ(nullptr, oid, 0, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
  }
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_sha256());
  TlsPair pair{.key = pem_of(key), .certificate = pem_of(certificate)};
  X509_free(certificate);
  EVP_PKEY_free(key);
  return pair;
}

// The certificate with a private key that is not its own, dressed up with its public half so that
// OpenSSL loads it.
inline TlsPair with_another_key(const TlsPair& victim) {
  BIO* const bio = BIO_new_mem_buf(victim.key.data(), static_cast<int>(victim.key.size()));
  EVP_PKEY* const own = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  EVP_PKEY* const other = EVP_EC_gen("P-256");
  std::array<unsigned char, 128> point{};
  size_t point_size = 0;
  EVP_PKEY_get_octet_string_param(own, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size(),
                                  &point_size);
  BIGNUM* secret = nullptr;
  EVP_PKEY_get_bn_param(other, OSSL_PKEY_PARAM_PRIV_KEY, &secret);

  OSSL_PARAM_BLD* const builder = OSSL_PARAM_BLD_new();
  OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
  OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point_size);
  OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, secret);
  OSSL_PARAM* const parameters = OSSL_PARAM_BLD_to_param(builder);
  EVP_PKEY_CTX* const maker = EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr);
  EVP_PKEY* spoofed = nullptr;
  EVP_PKEY_fromdata_init(maker);
  EVP_PKEY_fromdata(maker, &spoofed, EVP_PKEY_KEYPAIR, parameters);
  TlsPair pair{.key = pem_of(spoofed), .certificate = victim.certificate};

  EVP_PKEY_free(spoofed);
  EVP_PKEY_CTX_free(maker);
  OSSL_PARAM_free(parameters);
  OSSL_PARAM_BLD_free(builder);
  BN_clear_free(secret);
  EVP_PKEY_free(other);
  EVP_PKEY_free(own);
  return pair;
}

// The first record of a TLS client, such as OpenSSL writes it.
inline std::string client_hello(int version_max = TLS1_3_VERSION) {
  SSL_CTX* const settings = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(settings, version_max);
  SSL* const session = SSL_new(settings);
  BIO* const written = BIO_new(BIO_s_mem());
  SSL_set_bio(session, BIO_new(BIO_s_mem()), written);
  SSL_connect(session);  // writes its hello and then misses the answer
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(written, &bytes);
  std::string hello(bytes, static_cast<size_t>(size));
  SSL_free(session);
  SSL_CTX_free(settings);
  return hello;
}

}  // namespace starling::node
