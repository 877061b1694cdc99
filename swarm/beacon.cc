// beacon    = version salt box
// version   = %x01
// salt      = 24 bytes, other ones in each datagram
// box       = body in XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), 16 bytes longer; nonce:
// salt;
//             additional data: version; key: BLAKE2b-256 of "starling-beacon-v1", keyed by the
//             swarm's id
// body      = origin epoch number address signature
// origin    = 32 bytes, Ed25519 public key
// epoch     = u64
// number    = u64, from 1
// address   = varint size, at most 64, and that many bytes of plain text: host:port
// signature = 64 bytes, Ed25519 by origin over  %x12 "starling-beacon-v1" swarm-id
//             body-without-signature
// Numbers are little endian. Nothing follows.
#include "swarm/beacon.h"

#include <sodium.h>

#include <algorithm>
#include <charconv>

#include "swarm/wire.h"

namespace starling::swarm {
namespace {

constexpr uint8_t beacon_version = 1;
constexpr std::string_view beacon_domain = "starling-beacon-v1";
constexpr size_t seal_size = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr size_t head_size = 1 + std::tuple_size_v<BeaconSalt>;

static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == std::tuple_size_v<BeaconSalt>);
static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == std::tuple_size_v<Digest>);
static_assert(head_size + seal_size + 32 + 8 + 8 + 1 + beacon_address_size_max + 64 ==
              beacon_size_max);

Digest key_of(const SwarmId& swarm) {
  Digest key{};
  crypto_generichash(key.data(), key.size(), reinterpret_cast<const uint8_t*>(beacon_domain.data()),
                     beacon_domain.size(), swarm.data(), swarm.size());
  return key;
}

void write_signed_part(const Beacon& beacon, Writer& writer) {
  writer.raw(beacon.origin);
  writer.u64(beacon.epoch);
  writer.u64(beacon.number);
  writer.text(beacon.address, beacon_address_size_max);
}

Bytes signed_bytes(const Beacon& beacon, const SwarmId& swarm) {
  Writer writer;
  writer.raw(swarm);
  write_signed_part(beacon, writer);
  return writer.take();
}

// "192.0.2.7:7411" of "192.0.2.7".
bool is_at(std::string_view address, std::string_view host) {
  if (host.empty() || !address.starts_with(host)) return false;
  address.remove_prefix(host.size());
  if (address.size() < 2 || address[0] != ':' || address[1] == '0') return false;
  uint16_t port = 0;
  const char* const last = address.data() + address.size();
  const auto [end, error] = std::from_chars(address.data() + 1, last, port);
  return error == std::errc() && end == last;
}

}  // namespace

Bytes seal_beacon(Beacon beacon, const SwarmId& swarm, const Signer& signer,
                  const BeaconSalt& salt) {
  assert(beacon.number > 0);
  beacon.origin = signer.public_key();
  beacon.signature = signer.sign(beacon_domain, signed_bytes(beacon, swarm));
  Writer body;
  write_signed_part(beacon, body);
  body.raw(beacon.signature);
  Bytes datagram(head_size + body.bytes().size() + seal_size);
  datagram[0] = beacon_version;
  std::copy(salt.begin(), salt.end(), datagram.begin() + 1);
  const Digest key = key_of(swarm);
  crypto_aead_xchacha20poly1305_ietf_encrypt(datagram.data() + head_size, nullptr,
                                             body.bytes().data(), body.bytes().size(),
                                             datagram.data(), 1, nullptr, salt.data(), key.data());
  return datagram;
}

Result<Beacon, DropReason> unseal_beacon(ByteView datagram, const SwarmId& swarm) {
  if (datagram.empty()) return Unexpected{DropReason::truncated};
  if (datagram[0] != beacon_version) return Unexpected{DropReason::bad_version};
  if (datagram.size() > beacon_size_max) return Unexpected{DropReason::oversized};
  if (datagram.size() < head_size + seal_size) return Unexpected{DropReason::truncated};
  const Digest key = key_of(swarm);
  Bytes body(datagram.size() - head_size - seal_size);
  const int opened = crypto_aead_xchacha20poly1305_ietf_decrypt(
      body.data(), nullptr, nullptr, datagram.data() + head_size, datagram.size() - head_size,
      datagram.data(), 1, datagram.data() + 1, key.data());
  if (opened != 0) return Unexpected{DropReason::wrong_swarm};
  Reader reader(body);
  Beacon beacon;
  beacon.origin = reader.array<32>();
  beacon.epoch = reader.u64();
  beacon.number = reader.u64();
  beacon.address = reader.text(beacon_address_size_max);
  beacon.signature = reader.array<64>();
  if (beacon.number == 0) reader.fail(DropReason::malformed);
  if (const auto fault = reader.finish()) return Unexpected{*fault};
  return beacon;
}

bool is_signed(const Beacon& beacon, const SwarmId& swarm) {
  return verify(beacon_domain, signed_bytes(beacon, swarm), beacon.signature, beacon.origin);
}

// ---- Listening

BeaconEar::BeaconEar(const SwarmId& swarm, const PublicKey& self, Instant now)
    : swarm_(swarm), self_(self), datagrams_(beacon_rate, now), checks_(beacon_check_rate, now) {}

Result<Heard, DropReason> BeaconEar::hear(ByteView datagram, std::string_view host, Instant now) {
  if (!datagrams_.take(now)) return Unexpected{DropReason::rate_limited};
  const auto beacon = unseal_beacon(datagram, swarm_);
  if (!beacon) return Unexpected{beacon.error()};
  if (beacon->origin == self_) return Unexpected{DropReason::duplicate};
  if (!is_at(beacon->address, host)) return Unexpected{DropReason::unexpected};
  const PeerId peer = peer_id_of(beacon->origin);
  const auto known = origins_.find(peer);
  Origin origin = known == origins_.end() ? Origin{} : known->second;
  if (beacon->epoch < origin.epoch) return Unexpected{DropReason::replayed};
  if (beacon->epoch > origin.epoch) origin = {.epoch = beacon->epoch, .window = {}, .heard_at = {}};
  if (origin.window.take(beacon->number) != ReplayWindow::Verdict::fresh)
    return Unexpected{DropReason::replayed};
  if (!checks_.take(now)) return Unexpected{DropReason::rate_limited};
  if (!is_signed(*beacon, swarm_)) return Unexpected{DropReason::bad_signature};
  origin.heard_at = now;
  remember(peer, origin);
  return Heard{peer, beacon->address};
}

// Whoever was not heard for longest makes room.
void BeaconEar::remember(const PeerId& peer, const Origin& origin) {
  origins_.insert_or_assign(peer, origin);
  if (origins_.size() <= beacon_origins_max) return;
  origins_.erase(std::min_element(
      origins_.begin(), origins_.end(),
      [](const auto& a, const auto& b) { return a.second.heard_at < b.second.heard_at; }));
}

}  // namespace starling::swarm
