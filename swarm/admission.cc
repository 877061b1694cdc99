// membership  = %x01 certificate identity binding                                    ; 249 bytes
// certificate = root invite serial expires by-root                                   ; 152 bytes
// root, invite, identity = 32 bytes, Ed25519 public keys     serial  = 16 bytes
// expires     = i64, Unix seconds, 0: never                  by-root, binding = 64 bytes, Ed25519
//   by-root: root over  %x12 "starling-invite-v1" root invite serial expires
//   binding: invite over  %x13 "starling-binding-v1" swarm-id invite identity
//
// token   = "starling1:" base58(version size seed certificate preset addresses checksum)
// version = %x01      size = u16, bytes of the whole, version and checksum included      seed = 32
// bytes preset  = text      addresses = count *text     text = u8 size, bytes     checksum = first
// 4 bytes of BLAKE2b-256
//
// base58 works block by block (eight bytes are eleven characters), so that a token cut short keeps
// its beginning and can be told from a damaged one. Numbers are little endian.
#include "swarm/admission.h"

#include <sodium.h>

#include <algorithm>

#include "swarm/message.h"
#include "swarm/wire.h"

namespace starling::swarm {
namespace {

constexpr uint8_t membership_version = 1;
constexpr uint8_t token_version = 1;
constexpr size_t checksum_size = 4;
constexpr std::string_view token_prefix = "starling1:";
constexpr std::string_view invite_domain = "starling-invite-v1";
constexpr std::string_view binding_domain = "starling-binding-v1";
constexpr std::string_view admit_domain = "starling-admit-v1";
constexpr size_t token_bytes_max = 2048;  // above the largest token, below what could hurt

constexpr std::string_view base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
constexpr size_t block_bytes = 8;
constexpr size_t block_chars = 11;
// Characters for a block of 0..8 bytes.
constexpr std::array<size_t, block_bytes + 1> chars_of_bytes = {0, 2, 3, 5, 6, 7, 9, 10, 11};

std::string encode_base58(ByteView bytes) {
  std::string text;
  while (!bytes.empty()) {
    const size_t size = std::min(bytes.size(), block_bytes);
    uint64_t number = 0;
    for (size_t i = 0; i < size; ++i) number = number << 8 | bytes[i];
    std::string block(chars_of_bytes[size], base58[0]);
    for (size_t i = block.size(); i-- > 0; number /= 58) block[i] = base58[number % 58];
    text += block;
    bytes = bytes.subspan(size);
  }
  return text;
}

// Bytes of as many whole blocks as `text` has.
struct Decoded {
  Bytes bytes;
  bool is_cut = false;      // the last block is short and stands for no bytes
  bool is_foreign = false;  // a character outside the alphabet
  bool is_damaged = false;  // a full block that stands for no bytes
};

Decoded decode_base58(std::string_view text) {
  Decoded decoded;
  while (!text.empty()) {
    const size_t chars = std::min(text.size(), block_chars);
    const auto found = std::find(chars_of_bytes.begin(), chars_of_bytes.end(), chars);
    decoded.is_cut = found == chars_of_bytes.end();
    const auto size = decoded.is_cut ? 0u : static_cast<unsigned>(found - chars_of_bytes.begin());
    unsigned __int128 number = 0;
    for (const char c : text.substr(0, chars)) {
      const size_t digit = base58.find(c);
      if (digit == std::string_view::npos) decoded.is_foreign = true;
      number = number * 58 + digit % 58;
    }
    if (number >> (8 * size) != 0) {
      (chars == block_chars ? decoded.is_damaged : decoded.is_cut) = true;
    }
    for (unsigned i = size; i-- > 0;)
      decoded.bytes.push_back(static_cast<uint8_t>(number >> (8 * i)));
    text.remove_prefix(chars);
  }
  return decoded;
}

struct KeyPair {
  PublicKey public_key{};
  std::array<uint8_t, crypto_sign_SECRETKEYBYTES> secret{};
  KeyPair() = default;
  KeyPair(const KeyPair&) = delete;
  KeyPair& operator=(const KeyPair&) = delete;
  ~KeyPair() { sodium_memzero(secret.data(), secret.size()); }
};

void derive_keys(const std::array<uint8_t, 32>& seed, KeyPair& keys) {
  crypto_sign_seed_keypair(keys.public_key.data(), keys.secret.data(), seed.data());
}

void write_certificate_fields(const InviteCertificate& certificate, Writer& writer) {
  writer.raw(certificate.root);
  writer.raw(certificate.invite);
  writer.raw(certificate.serial);
  writer.u64(static_cast<uint64_t>(certificate.expires_s));
}

InviteCertificate read_certificate(Reader& reader) {
  InviteCertificate certificate;
  certificate.root = reader.array<32>();
  certificate.invite = reader.array<32>();
  certificate.serial = reader.array<16>();
  certificate.expires_s = static_cast<int64_t>(reader.u64());
  certificate.by_root = reader.array<64>();
  return certificate;
}

bool is_signed_by_root(const InviteCertificate& certificate) {
  Writer writer;
  write_certificate_fields(certificate, writer);
  return verify(invite_domain, writer.bytes(), certificate.by_root, certificate.root);
}

Bytes binding_message(const InviteCertificate& certificate, const PublicKey& identity) {
  Writer writer;
  writer.raw(swarm_id_of(certificate.root));
  writer.raw(certificate.invite);
  writer.raw(identity);
  return writer.take();
}

InviteCertificate certify(const Signer& root, const PublicKey& invite, int64_t expires_s) {
  InviteCertificate certificate;
  certificate.root = root.public_key();
  certificate.invite = invite;
  const Digest serial =
      blake2b(invite);  // a key serves one invite, so its hash is a fit number for it
  std::copy_n(serial.begin(), certificate.serial.size(), certificate.serial.begin());
  certificate.expires_s = expires_s;
  Writer writer;
  write_certificate_fields(certificate, writer);
  certificate.by_root = root.sign(invite_domain, writer.bytes());
  return certificate;
}

Membership bind(const InviteCertificate& certificate, const KeyPair& keys,
                const PublicKey& identity) {
  const Signer signer(keys.secret.data());
  return {certificate, identity,
          signer.sign(binding_domain, binding_message(certificate, identity))};
}

void write_short_text(std::string_view text, size_t size_max, Writer& writer) {
  assert(size_max <= 255 && is_plain_text(text, size_max));
  writer.u8(static_cast<uint8_t>(text.size()));
  for (const char c : text) writer.u8(static_cast<uint8_t>(c));
}

std::string read_short_text(Reader& reader, size_t size_max) {
  const ByteView bytes = reader.raw(reader.u8());
  std::string text(bytes.begin(), bytes.end());
  if (!is_plain_text(text, size_max)) reader.fail(DropReason::malformed);
  return text;
}

Result<InviteToken, AdmissionError> read_token(ByteView content) {
  Reader reader(content);
  InviteToken token;
  token.invite_seed = reader.array<32>();
  token.certificate = read_certificate(reader);
  token.preset = read_short_text(reader, preset_size_max);
  const uint8_t count = reader.u8();
  if (count > invite_addresses_max) reader.fail(DropReason::oversized);
  for (uint8_t i = 0; i < count && !reader.fault(); ++i) {
    token.addresses.push_back(read_short_text(reader, address_size_max));
  }
  if (reader.finish()) return Unexpected{AdmissionError::not_an_invite};
  KeyPair keys;
  derive_keys(token.invite_seed, keys);
  if (!is_signed_by_root(token.certificate)) return Unexpected{AdmissionError::bad_root_signature};
  if (keys.public_key != token.certificate.invite) return Unexpected{AdmissionError::bad_binding};
  return token;
}

}  // namespace

SwarmId swarm_id_of(const PublicKey& root) {
  static constexpr std::string_view domain = "starling-swarm-v1";
  Bytes message(domain.begin(), domain.end());
  message.insert(message.end(), root.begin(), root.end());
  const Digest digest = blake2b(message);
  SwarmId id{};
  std::copy_n(digest.begin(), id.size(), id.begin());
  return id;
}

std::string_view admission_error_text(AdmissionError error) {
  switch (error) {
    case AdmissionError::truncated:
      return "it is cut short; copy the whole line";
    case AdmissionError::bad_checksum:
      return "it was damaged on the way; copy it again";
    case AdmissionError::bad_version:
      return "it is of a newer version; update this program";
    case AdmissionError::wrong_swarm:
      return "it belongs to another swarm";
    case AdmissionError::bad_root_signature:
      return "it was not signed by the root key it names";
    case AdmissionError::bad_binding:
      return "its invite key did not sign this identity";
    case AdmissionError::expired:
      return "it has expired; ask for a new one";
    case AdmissionError::not_an_invite:
      return "it is not an invite; an invite starts with starling1:";
  }
  assert(false);
  return {};
}

Bytes encode(const Membership& membership) {
  Writer writer;
  writer.u8(membership_version);
  write_certificate_fields(membership.invite, writer);
  writer.raw(membership.invite.by_root);
  writer.raw(membership.identity);
  writer.raw(membership.binding);
  assert(writer.bytes().size() == membership_size);
  return writer.take();
}

Result<Membership, AdmissionError> decode_membership(ByteView bytes) {
  if (bytes.empty()) return Unexpected{AdmissionError::truncated};
  if (bytes[0] != membership_version) return Unexpected{AdmissionError::bad_version};
  if (bytes.size() != membership_size) return Unexpected{AdmissionError::truncated};
  Reader reader(bytes.subspan(1));
  Membership membership;
  membership.invite = read_certificate(reader);
  membership.identity = reader.array<32>();
  membership.binding = reader.array<64>();
  assert(!reader.finish());
  return membership;
}

Result<Done, AdmissionError> check(const Membership& membership, const SwarmId& swarm) {
  if (swarm_id_of(membership.invite.root) != swarm) return Unexpected{AdmissionError::wrong_swarm};
  if (!is_signed_by_root(membership.invite)) return Unexpected{AdmissionError::bad_root_signature};
  if (!verify(binding_domain, binding_message(membership.invite, membership.identity),
              membership.binding, membership.invite.invite)) {
    return Unexpected{AdmissionError::bad_binding};
  }
  return Done{};
}

// The invite key is made from a signature that only the root can make and that is never shown: no
// randomness is needed, and each identity has an invite of its own.
Membership admit(const Signer& root, const PublicKey& identity, int64_t expires_s) {
  Writer request;
  request.raw(identity);
  request.u64(static_cast<uint64_t>(expires_s));
  const Signature secret = root.sign(admit_domain, request.bytes());
  KeyPair keys;
  derive_keys(blake2b(secret), keys);
  return bind(certify(root, keys.public_key, expires_s), keys, identity);
}

InviteToken make_invite(const Signer& root, const std::string& preset,
                        std::vector<std::string> addresses, int64_t expires_s) {
  InviteToken token;
  // A secret must be unforeseeable: the one place in swarm/ that asks the system, not the caller,
  // for randomness.
  randombytes_buf(token.invite_seed.data(), token.invite_seed.size());
  KeyPair keys;
  derive_keys(token.invite_seed, keys);
  token.certificate = certify(root, keys.public_key, expires_s);
  token.preset = preset;
  token.addresses = std::move(addresses);
  return token;
}

std::string encode_token(const InviteToken& token) {
  assert(token.addresses.size() <= invite_addresses_max);
  Writer content;
  content.raw(token.invite_seed);
  write_certificate_fields(token.certificate, content);
  content.raw(token.certificate.by_root);
  write_short_text(token.preset, preset_size_max, content);
  content.u8(static_cast<uint8_t>(token.addresses.size()));
  for (const std::string& address : token.addresses)
    write_short_text(address, address_size_max, content);

  Writer whole;
  whole.u8(token_version);
  whole.u16(static_cast<uint16_t>(1 + 2 + content.bytes().size() + checksum_size));
  whole.raw(content.bytes());
  const Digest digest = blake2b(whole.bytes());
  whole.raw(ByteView(digest).first(checksum_size));
  assert(whole.bytes().size() <= token_bytes_max);
  return std::string(token_prefix) + encode_base58(whole.bytes());
}

Result<InviteToken, AdmissionError> decode_token(std::string_view text) {
  if (!text.starts_with(token_prefix)) {
    const bool is_beginning = !text.empty() && token_prefix.starts_with(text);
    return Unexpected{is_beginning ? AdmissionError::truncated : AdmissionError::not_an_invite};
  }
  text.remove_prefix(token_prefix.size());
  if (text.size() > token_bytes_max / block_bytes * block_chars)
    return Unexpected{AdmissionError::not_an_invite};
  const Decoded decoded = decode_base58(text);
  if (decoded.is_foreign) return Unexpected{AdmissionError::not_an_invite};
  const Bytes& bytes = decoded.bytes;
  if (bytes.size() < 1 + 2 + checksum_size) return Unexpected{AdmissionError::truncated};
  const ByteView content = ByteView(bytes).first(bytes.size() - checksum_size);
  const ByteView checksum = ByteView(bytes).last(checksum_size);
  const size_t stated_size = size_t{bytes[1]} | size_t{bytes[2]} << 8;
  const Digest digest = blake2b(content);
  if (decoded.is_damaged || decoded.is_cut ||
      !std::equal(checksum.begin(), checksum.end(), digest.begin())) {
    const bool is_short =
        bytes.size() <= block_bytes || (bytes[0] == token_version && bytes.size() < stated_size);
    return Unexpected{is_short && !decoded.is_damaged ? AdmissionError::truncated
                                                      : AdmissionError::bad_checksum};
  }
  if (bytes[0] != token_version) return Unexpected{AdmissionError::bad_version};
  if (stated_size != bytes.size()) return Unexpected{AdmissionError::bad_checksum};
  return read_token(content.subspan(3));
}

Result<Membership, AdmissionError> accept_invite(const InviteToken& token,
                                                 const PublicKey& identity, int64_t now_s) {
  const int64_t expires_s = token.certificate.expires_s;
  if (now_s != 0 && expires_s != 0 && now_s >= expires_s)
    return Unexpected{AdmissionError::expired};
  if (!is_signed_by_root(token.certificate)) return Unexpected{AdmissionError::bad_root_signature};
  KeyPair keys;
  derive_keys(token.invite_seed, keys);
  if (keys.public_key != token.certificate.invite) return Unexpected{AdmissionError::bad_binding};
  return bind(token.certificate, keys, identity);
}

}  // namespace starling::swarm
