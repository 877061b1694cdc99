// membership  = %x01 root invite serial expires signature identity binding              ; 249 bytes
//             / %x02 depth root 1*4link
// depth  = u8, links after the first      link = invite expires slot quota delegate until signature
// identity binding                                                                      ; 217 bytes
//   the last link is the member, those before it are its issuers. The second form is for members
//   with issuers, and for issuers (quota above 0); all others have the first.
// root, invite, identity = 32 bytes, Ed25519 public keys     serial  = 16 bytes, of the second form
// the first of BLAKE2b-256 of the invite     expires, until = i64, Unix seconds, 0: never
// slot, quota = u32      delegate = %x00 / %x01      signature, binding = 64 bytes, Ed25519
//   signature: root or issuer's identity over
//              %x12 "starling-invite-v1" root invite serial expires                  ; first form
//              %x12 "starling-invite-v2" root invite expires slot quota delegate until
//   binding: invite over  %x13 "starling-binding-v1" swarm-id invite identity
//
// token   = "starling1:" base58(version size seed certificate preset addresses checksum)
// certificate = root invite serial expires signature                       ; version 1
//             / depth root *link invite expires slot quota delegate until signature     ; version 2
// version = %x01 / %x02, as above      size = u16, bytes of the whole, version and checksum
// included      seed = 32 bytes preset  = text      addresses = count *text     text = u8 size,
// bytes     checksum = first 4 bytes of BLAKE2b-256
//
// base58 works block by block (eight bytes are eleven characters), so that a token cut short keeps
// its beginning and can be told from a damaged one. Numbers are little endian.
#include "swarm/admission.h"

#include <sodium.h>

#include <algorithm>

#include "swarm/foreseeable_invite.h"
#include "swarm/message.h"
#include "swarm/wire.h"

namespace starling::swarm {
namespace {

constexpr size_t plain_size = 249;
constexpr uint8_t plain_version = 1;
constexpr uint8_t issued_version = 2;
constexpr size_t checksum_size = 4;
constexpr std::string_view token_prefix = "starling1:";
constexpr std::string_view plain_domain = "starling-invite-v1";
constexpr std::string_view issued_domain = "starling-invite-v2";
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

// A key serves one invite, so its hash is a fit number for it.
std::array<uint8_t, 16> serial_of(const PublicKey& invite) {
  const Digest digest = blake2b(invite);
  std::array<uint8_t, 16> serial{};
  std::copy_n(digest.begin(), serial.size(), serial.begin());
  return serial;
}

bool is_plain(const InviteCertificate& certificate) {
  return certificate.slot == 0 && certificate.quota == 0;
}

bool is_plain(const Membership& membership) {
  return membership.issuers.empty() && is_plain(membership.invite);
}

void write_plain_fields(const InviteCertificate& certificate, Writer& writer) {
  writer.raw(certificate.root);
  writer.raw(certificate.invite);
  writer.raw(certificate.serial);
  writer.u64(static_cast<uint64_t>(certificate.expires_s));
}

InviteCertificate read_plain(Reader& reader) {
  InviteCertificate certificate;
  certificate.root = reader.array<32>();
  certificate.invite = reader.array<32>();
  certificate.serial = reader.array<16>();
  certificate.expires_s = static_cast<int64_t>(reader.u64());
  certificate.signature = reader.array<64>();
  return certificate;
}

void write_issued_fields(const InviteCertificate& certificate, Writer& writer) {
  writer.raw(certificate.invite);
  writer.u64(static_cast<uint64_t>(certificate.expires_s));
  writer.u32(certificate.slot);
  writer.u32(certificate.quota);
  writer.flag(certificate.may_delegate);
  writer.u64(static_cast<uint64_t>(certificate.issues_until_s));
}

InviteCertificate read_issued(Reader& reader, const PublicKey& root) {
  InviteCertificate certificate;
  certificate.root = root;
  certificate.invite = reader.array<32>();
  certificate.serial = serial_of(certificate.invite);
  certificate.expires_s = static_cast<int64_t>(reader.u64());
  certificate.slot = reader.u32();
  certificate.quota = reader.u32();
  certificate.may_delegate = reader.flag();
  certificate.issues_until_s = static_cast<int64_t>(reader.u64());
  certificate.signature = reader.array<64>();
  return certificate;
}

void write_link(const InviteCertificate& certificate, const PublicKey& identity,
                const Signature& binding, Writer& writer) {
  write_issued_fields(certificate, writer);
  writer.raw(certificate.signature);
  writer.raw(identity);
  writer.raw(binding);
}

void write_issuers(const std::vector<Issuer>& issuers, const PublicKey& root, Writer& writer) {
  assert(issuers.size() <= issuers_max);
  writer.u8(static_cast<uint8_t>(issuers.size()));
  writer.raw(root);
  for (const Issuer& issuer : issuers)
    write_link(issuer.certificate, issuer.identity, issuer.binding, writer);
}

// Fills `issuers` and returns the root.
PublicKey read_issuers(Reader& reader, std::vector<Issuer>& issuers) {
  const uint8_t count = reader.u8();
  const PublicKey root = reader.array<32>();
  if (count > issuers_max) reader.fail(DropReason::oversized);
  for (uint8_t i = 0; i < count && !reader.fault(); ++i) {
    Issuer issuer{.certificate = read_issued(reader, root)};
    issuer.identity = reader.array<32>();
    issuer.binding = reader.array<64>();
    issuers.push_back(issuer);
  }
  return root;
}

Bytes certificate_message(const InviteCertificate& certificate) {
  Writer writer;
  if (is_plain(certificate)) {
    write_plain_fields(certificate, writer);
  } else {
    writer.raw(certificate.root);
    write_issued_fields(certificate, writer);
  }
  return writer.take();
}

bool is_signed_by(const InviteCertificate& certificate, const PublicKey& signer) {
  return verify(is_plain(certificate) ? plain_domain : issued_domain,
                certificate_message(certificate), certificate.signature, signer);
}

Bytes binding_message(const InviteCertificate& certificate, const PublicKey& identity) {
  Writer writer;
  writer.raw(swarm_id_of(certificate.root));
  writer.raw(certificate.invite);
  writer.raw(identity);
  return writer.take();
}

bool is_bound(const InviteCertificate& certificate, const PublicKey& identity,
              const Signature& binding) {
  return verify(binding_domain, binding_message(certificate, identity), binding,
                certificate.invite);
}

// `above`: the certificate of the issuer that signed; null: the root did.
bool is_granted(const InviteCertificate& certificate, const InviteCertificate* above) {
  if (certificate.quota > quota_max) return false;
  if (certificate.quota == 0 && (certificate.may_delegate || certificate.issues_until_s != 0))
    return false;
  if (above == nullptr) return certificate.slot == 0;
  if (certificate.slot == 0 || certificate.slot > above->quota) return false;
  return certificate.quota == 0 || (above->may_delegate && certificate.quota <= above->quota);
}

// Everything of a chain that comes before the binding of its end.
Result<Done, AdmissionError> check_chain(const std::vector<Issuer>& issuers,
                                         const InviteCertificate& end) {
  const InviteCertificate* above = nullptr;
  const PublicKey* signer = &end.root;
  for (const Issuer& issuer : issuers) {
    if (issuer.certificate.root != end.root) return Unexpected{AdmissionError::bad_issuer};
    if (!is_signed_by(issuer.certificate, *signer))
      return Unexpected{AdmissionError::bad_root_signature};
    if (issuer.certificate.quota == 0 || !is_granted(issuer.certificate, above))
      return Unexpected{AdmissionError::bad_issuer};
    if (!is_bound(issuer.certificate, issuer.identity, issuer.binding))
      return Unexpected{AdmissionError::bad_binding};
    above = &issuer.certificate;
    signer = &issuer.identity;
  }
  if (!is_signed_by(end, *signer)) return Unexpected{AdmissionError::bad_root_signature};
  if (!is_granted(end, above)) return Unexpected{AdmissionError::bad_issuer};
  return Done{};
}

InviteCertificate certify(const Signer& signer, const PublicKey& root, const PublicKey& invite,
                          const InviteTerms& terms) {
  InviteCertificate certificate;
  certificate.root = root;
  certificate.invite = invite;
  certificate.serial = serial_of(invite);
  certificate.expires_s = terms.expires_s;
  certificate.slot = terms.slot;
  certificate.quota = terms.quota;
  certificate.may_delegate = terms.may_delegate;
  certificate.issues_until_s = terms.issues_until_s;
  certificate.signature = signer.sign(is_plain(certificate) ? plain_domain : issued_domain,
                                      certificate_message(certificate));
  return certificate;
}

Membership bind(std::vector<Issuer> issuers, const InviteCertificate& certificate,
                const KeyPair& keys, const PublicKey& identity) {
  const Signer signer(keys.secret.data());
  return {std::move(issuers), certificate, identity,
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

Result<InviteToken, AdmissionError> read_token(uint8_t version, ByteView content) {
  Reader reader(content);
  InviteToken token;
  token.invite_seed = reader.array<32>();
  if (version == plain_version) {
    token.certificate = read_plain(reader);
  } else {
    const PublicKey root = read_issuers(reader, token.issuers);
    token.certificate = read_issued(reader, root);
    if (token.issuers.empty() && is_plain(token.certificate)) reader.fail(DropReason::malformed);
  }
  token.preset = read_short_text(reader, preset_size_max);
  const uint8_t count = reader.u8();
  if (count > invite_addresses_max) reader.fail(DropReason::oversized);
  for (uint8_t i = 0; i < count && !reader.fault(); ++i) {
    token.addresses.push_back(read_short_text(reader, address_size_max));
  }
  if (reader.finish()) return Unexpected{AdmissionError::not_an_invite};
  KeyPair keys;
  derive_keys(token.invite_seed, keys);
  const auto chain = check_chain(token.issuers, token.certificate);
  if (!chain) return Unexpected{chain.error()};
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
      return "it was not signed by the root key it names, nor by an issuer of that root's";
    case AdmissionError::bad_binding:
      return "its invite key did not sign this identity";
    case AdmissionError::expired:
      return "it has expired; ask for a new one";
    case AdmissionError::not_an_invite:
      return "it is not an invite; an invite starts with starling1:";
    case AdmissionError::bad_issuer:
      return "the member that made it may not admit this many, or may not make issuers";
    case AdmissionError::malformed:
      return "it is not in the form that its version prescribes";
  }
  assert(false);
  return {};
}

Membership issuer_membership(const Membership& membership, size_t index) {
  const Issuer& issuer = membership.issuers.at(index);
  const auto begin = membership.issuers.begin();
  return {std::vector<Issuer>(begin, begin + static_cast<std::ptrdiff_t>(index)),
          issuer.certificate, issuer.identity, issuer.binding};
}

Bytes encode(const Membership& membership) {
  Writer writer;
  if (is_plain(membership)) {
    writer.u8(plain_version);
    write_plain_fields(membership.invite, writer);
    writer.raw(membership.invite.signature);
    writer.raw(membership.identity);
    writer.raw(membership.binding);
    return writer.take();
  }
  writer.u8(issued_version);
  write_issuers(membership.issuers, membership.invite.root, writer);
  write_link(membership.invite, membership.identity, membership.binding, writer);
  return writer.take();
}

size_t membership_size_of(ByteView bytes) {
  if (bytes.empty()) return 0;
  if (bytes[0] == plain_version) return plain_size;
  if (bytes[0] != issued_version || bytes.size() < 2 || bytes[1] > issuers_max) return 0;
  return 2 + 32 + (size_t{bytes[1]} + 1) * link_size;
}

Result<Membership, AdmissionError> decode_membership(ByteView bytes) {
  if (bytes.empty()) return Unexpected{AdmissionError::truncated};
  if (bytes[0] != plain_version && bytes[0] != issued_version)
    return Unexpected{AdmissionError::bad_version};
  if (bytes.size() >= 2 && bytes[0] == issued_version && bytes[1] > issuers_max)
    return Unexpected{AdmissionError::malformed};
  if (bytes.size() != membership_size_of(bytes)) return Unexpected{AdmissionError::truncated};
  Reader reader(bytes.subspan(1));
  Membership membership;
  if (bytes[0] == plain_version) {
    membership.invite = read_plain(reader);
  } else {
    const PublicKey root = read_issuers(reader, membership.issuers);
    membership.invite = read_issued(reader, root);
  }
  membership.identity = reader.array<32>();
  membership.binding = reader.array<64>();
  const bool is_in_form = (bytes[0] == plain_version) == is_plain(membership);
  if (reader.finish() || !is_in_form) return Unexpected{AdmissionError::malformed};
  return membership;
}

Result<Done, AdmissionError> check(const Membership& membership, const SwarmId& swarm) {
  if (swarm_id_of(membership.invite.root) != swarm) return Unexpected{AdmissionError::wrong_swarm};
  const auto chain = check_chain(membership.issuers, membership.invite);
  if (!chain) return chain;
  if (!is_bound(membership.invite, membership.identity, membership.binding))
    return Unexpected{AdmissionError::bad_binding};
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
  return bind({},
              certify(root, root.public_key(), keys.public_key,
                      {.expires_s = expires_s, .issues_until_s = 0}),
              keys, identity);
}

InviteToken make_invite(const Signer& root, const std::string& preset,
                        std::vector<std::string> addresses, int64_t expires_s) {
  return make_invite(root, nullptr, {.expires_s = expires_s, .issues_until_s = 0}, preset,
                     std::move(addresses));
}

InviteToken make_foreseeable_invite(const Signer& signer, const Membership* issuer,
                                    const InviteTerms& terms,
                                    const std::array<uint8_t, 32>& invite_seed) {
  InviteToken token;
  token.invite_seed = invite_seed;
  KeyPair keys;
  derive_keys(token.invite_seed, keys);
  if (issuer != nullptr) {
    token.issuers = issuer->issuers;
    token.issuers.push_back({issuer->invite, issuer->identity, issuer->binding});
  }
  token.certificate = certify(signer, issuer != nullptr ? issuer->invite.root : signer.public_key(),
                              keys.public_key, terms);
  return token;
}

InviteToken make_invite(const Signer& signer, const Membership* issuer, const InviteTerms& terms,
                        const std::string& preset, std::vector<std::string> addresses) {
  // A secret must be unforeseeable: the one place in swarm/ that asks the system, not the caller,
  // for randomness.
  std::array<uint8_t, 32> invite_seed{};
  randombytes_buf(invite_seed.data(), invite_seed.size());
  InviteToken token = make_foreseeable_invite(signer, issuer, terms, invite_seed);
  sodium_memzero(invite_seed.data(), invite_seed.size());
  token.preset = preset;
  token.addresses = std::move(addresses);
  return token;
}

std::string encode_token(const InviteToken& token) {
  assert(token.addresses.size() <= invite_addresses_max);
  Writer content;
  content.raw(token.invite_seed);
  const bool is_of_first_form = token.issuers.empty() && is_plain(token.certificate);
  if (is_of_first_form) {
    write_plain_fields(token.certificate, content);
  } else {
    write_issuers(token.issuers, token.certificate.root, content);
    write_issued_fields(token.certificate, content);
  }
  content.raw(token.certificate.signature);
  write_short_text(token.preset, preset_size_max, content);
  content.u8(static_cast<uint8_t>(token.addresses.size()));
  for (const std::string& address : token.addresses)
    write_short_text(address, address_size_max, content);

  Writer whole;
  whole.u8(is_of_first_form ? plain_version : issued_version);
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
        bytes.size() <= block_bytes || (bytes[0] <= issued_version && bytes.size() < stated_size);
    return Unexpected{is_short && !decoded.is_damaged ? AdmissionError::truncated
                                                      : AdmissionError::bad_checksum};
  }
  if (bytes[0] != plain_version && bytes[0] != issued_version)
    return Unexpected{AdmissionError::bad_version};
  if (stated_size != bytes.size()) return Unexpected{AdmissionError::bad_checksum};
  return read_token(bytes[0], content.subspan(3));
}

Result<Membership, AdmissionError> accept_invite(const InviteToken& token,
                                                 const PublicKey& identity, int64_t now_s) {
  const int64_t expires_s = token.certificate.expires_s;
  if (now_s != 0 && expires_s != 0 && now_s >= expires_s)
    return Unexpected{AdmissionError::expired};
  for (const Issuer& issuer : token.issuers) {
    const int64_t until_s = issuer.certificate.issues_until_s;
    if (now_s != 0 && until_s != 0 && now_s - issuing_skew_s >= until_s)
      return Unexpected{AdmissionError::expired};
  }
  const auto chain = check_chain(token.issuers, token.certificate);
  if (!chain) return Unexpected{chain.error()};
  KeyPair keys;
  derive_keys(token.invite_seed, keys);
  if (keys.public_key != token.certificate.invite) return Unexpected{AdmissionError::bad_binding};
  return bind(token.issuers, token.certificate, keys, identity);
}

}  // namespace starling::swarm
