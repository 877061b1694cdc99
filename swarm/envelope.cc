// frame     = header payload
// header    = version kind swarm origin epoch seq fingerprint hash size samples signature      ;
// 190 bytes version   = %x01 kind      = %x01 (control) / %x02 (delta) swarm     = 16 bytes origin
// = 32 bytes, Ed25519 public key epoch     = u64                   seq         = u64, from 1 hash
// = 32 bytes, BLAKE2b-256 of payload size      = u32, bytes of payload, at most payload_size_max
// samples   = u64                   fingerprint = 16 bytes
// signature = 64 bytes, Ed25519 by origin over  %x11 "starling-frame-v1" header-without-signature
// Numbers are little endian. Nothing follows the payload. Every byte of a frame is under the
// signature: the payload through its hash.
#include "swarm/envelope.h"

#include <sodium.h>

#include <algorithm>

#include "swarm/signature_memory.h"
#include "swarm/wire.h"

namespace starling::swarm {
namespace {

constexpr uint8_t frame_version = 1;
constexpr std::string_view frame_domain = "starling-frame-v1";
constexpr size_t signed_size =
    1 + 1 + 16 + 32 + 8 + 8 + 16 + 32 + 4 + 8;  // bytes of the header under the signature

static_assert(crypto_sign_PUBLICKEYBYTES == std::tuple_size_v<PublicKey>);
static_assert(crypto_sign_BYTES == std::tuple_size_v<Signature>);
static_assert(crypto_sign_SECRETKEYBYTES == 64);

// Chooses libsodium's implementations for this CPU, once for the process.
void prepare_sodium() {
  static const bool is_ready = sodium_init() >= 0;
  assert(is_ready);
}

// What is signed: the domain with its length before it, so that no domain is the beginning of
// another.
Bytes with_domain(std::string_view domain, ByteView message) {
  assert(domain.size() < 256);
  Bytes bytes;
  bytes.reserve(1 + domain.size() + message.size());
  bytes.push_back(static_cast<uint8_t>(domain.size()));
  bytes.insert(bytes.end(), domain.begin(), domain.end());
  bytes.insert(bytes.end(), message.begin(), message.end());
  return bytes;
}

void write_signed_part(const FrameHeader& header, Writer& writer) {
  writer.u8(frame_version);
  writer.u8(static_cast<uint8_t>(header.kind));
  writer.raw(header.swarm);
  writer.raw(header.origin);
  writer.u64(header.epoch);
  writer.u64(header.seq);
  writer.raw(header.fingerprint);
  writer.raw(header.payload_hash);
  writer.u32(header.payload_size);
  writer.u64(header.samples);
}

}  // namespace

const uint32_t header_size = signed_size + std::tuple_size_v<Signature>;

std::string_view drop_reason_name(DropReason reason) {
  switch (reason) {
    case DropReason::truncated:
      return "truncated";
    case DropReason::oversized:
      return "oversized";
    case DropReason::bad_version:
      return "bad_version";
    case DropReason::wrong_swarm:
      return "wrong_swarm";
    case DropReason::bad_signature:
      return "bad_signature";
    case DropReason::bad_payload_hash:
      return "bad_payload_hash";
    case DropReason::wrong_fingerprint:
      return "wrong_fingerprint";
    case DropReason::malformed:
      return "malformed";
    case DropReason::unknown_region:
      return "unknown_region";
    case DropReason::bad_scale:
      return "bad_scale";
    case DropReason::bad_norm:
      return "bad_norm";
    case DropReason::not_a_member:
      return "not_a_member";
    case DropReason::revoked:
      return "revoked";
    case DropReason::replayed:
      return "replayed";
    case DropReason::duplicate:
      return "duplicate";
    case DropReason::equivocation:
      return "equivocation";
    case DropReason::too_far_ahead:
      return "too_far_ahead";
    case DropReason::rate_limited:
      return "rate_limited";
    case DropReason::unexpected:
      return "unexpected";
    case DropReason::unknown_kind:
      return "unknown_kind";
    case DropReason::broken_promise:
      return "broken_promise";
    case DropReason::bad_snapshot:
      return "bad_snapshot";
  }
  assert(false);
  return {};
}

Digest blake2b(ByteView bytes) {
  prepare_sodium();
  Digest digest{};
  crypto_generichash(digest.data(), digest.size(), bytes.data(), bytes.size(), nullptr, 0);
  return digest;
}

ShortHash short_hash(const Digest& digest) {
  ShortHash hash{};
  std::copy_n(digest.begin(), hash.size(), hash.begin());
  return hash;
}

PublicKey Signer::public_key() const {
  PublicKey key{};
  std::copy_n(secret_ + 32, key.size(),
              key.begin());  // libsodium's secret is seed, then public key
  return key;
}

Signature Signer::sign(std::string_view domain, ByteView message) const {
  prepare_sodium();
  const Bytes bytes = with_domain(domain, message);
  Signature signature{};
  crypto_sign_detached(signature.data(), nullptr, bytes.data(), bytes.size(), secret_);
  return signature;
}

bool verify(std::string_view domain, ByteView message, const Signature& signature,
            const PublicKey& key) {
  prepare_sodium();
  const Bytes bytes = with_domain(domain, message);
  const auto is_good = [&] {
    return crypto_sign_verify_detached(signature.data(), bytes.data(), bytes.size(), key.data()) ==
           0;
  };
  SignatureMemory* const memory = SignatureMemory::current();
  if (memory == nullptr) return is_good();
  Bytes everything = bytes;
  everything.insert(everything.end(), signature.begin(), signature.end());
  everything.insert(everything.end(), key.begin(), key.end());
  const Digest entry = blake2b(everything);
  if (memory->contains(entry)) return true;
  if (!is_good()) return false;
  memory->add(entry);
  return true;
}

Bytes seal(FrameHeader header, ByteView payload, const Signer& signer) {
  assert(payload.size() <= payload_size_max);
  assert(header.seq > 0);
  header.origin = signer.public_key();
  header.payload_hash = blake2b(payload);
  header.payload_size = static_cast<uint32_t>(payload.size());
  Writer writer;
  write_signed_part(header, writer);
  const Signature signature = signer.sign(frame_domain, writer.bytes());
  writer.raw(signature);
  writer.raw(payload);
  return writer.take();
}

Result<FrameHeader, DropReason> parse_header(ByteView bytes) {
  if (bytes.empty()) return Unexpected{DropReason::truncated};
  if (bytes[0] != frame_version) return Unexpected{DropReason::bad_version};
  if (bytes.size() < header_size) return Unexpected{DropReason::truncated};
  Reader reader(bytes);
  reader.u8();
  const uint8_t kind = reader.u8();
  FrameHeader header;
  header.kind = static_cast<FrameKind>(kind);
  header.swarm = reader.array<16>();
  header.origin = reader.array<32>();
  header.epoch = reader.u64();
  header.seq = reader.u64();
  header.fingerprint = reader.array<16>();
  header.payload_hash = reader.array<32>();
  header.payload_size = reader.u32();
  header.samples = reader.u64();
  if (kind != static_cast<uint8_t>(FrameKind::control) &&
      kind != static_cast<uint8_t>(FrameKind::delta)) {
    return Unexpected{DropReason::malformed};
  }
  if (header.payload_size > payload_size_max) return Unexpected{DropReason::oversized};
  if (header.seq == 0) return Unexpected{DropReason::malformed};
  return header;
}

bool is_signed(const FrameHeader& header, ByteView bytes) {
  Signature signature{};
  std::copy_n(bytes.begin() + signed_size, signature.size(), signature.begin());
  return verify(frame_domain, bytes.first(signed_size), signature, header.origin);
}

Result<Opened, DropReason> open(ByteView frame, const std::array<uint8_t, 16>& swarm) {
  if (frame.size() > size_t{header_size} + payload_size_max)
    return Unexpected{DropReason::oversized};
  const auto header = parse_header(frame);
  if (!header) return Unexpected{header.error()};
  const ByteView payload = frame.subspan(header_size);
  if (payload.size() < header->payload_size) return Unexpected{DropReason::truncated};
  if (payload.size() > header->payload_size) return Unexpected{DropReason::malformed};
  if (header->swarm != swarm) return Unexpected{DropReason::wrong_swarm};
  if (!is_signed(*header, frame.first(header_size))) return Unexpected{DropReason::bad_signature};
  if (blake2b(payload) != header->payload_hash) return Unexpected{DropReason::bad_payload_hash};
  return Opened{*header, payload};
}

}  // namespace starling::swarm
