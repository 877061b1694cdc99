// accusation = %x01 accuser:32 accused:20 before:2 with:2 without:2 signature:64
// harm in hundredths of bits per byte, little endian; the accused is not the accuser;
// signature: Ed25519, by the accuser over
//   %x12 "starling-accuse-v1" swarm-id accused before with without accuser:32
#include "swarm/accusation.h"

#include <cmath>

#include "swarm/wire.h"

namespace starling::swarm {
namespace {

constexpr uint8_t accusation_version = 1;
constexpr std::string_view accuse_domain = "starling-accuse-v1";

uint16_t to_hundredths(double bits) {
  const double hundredths = std::nearbyint(bits * 100);
  return hundredths >= 0 && hundredths < UINT16_MAX ? static_cast<uint16_t>(hundredths)
                                                    : UINT16_MAX;
}

Bytes message_of(const Accusation& accusation, const SwarmId& swarm) {
  Writer writer;
  writer.raw(swarm);
  writer.raw(accusation.accused.bytes);
  for (const uint16_t bits : accusation.harm) writer.u16(bits);
  writer.raw(accusation.accuser);
  return writer.take();
}

}  // namespace

Accusation accuse(const Signer& accuser, const SwarmId& swarm, const PeerId& accused,
                  const Harm& harm) {
  Accusation accusation{
      .accuser = accuser.public_key(),
      .accused = accused,
      .harm = {to_hundredths(harm.before), to_hundredths(harm.with), to_hundredths(harm.without)},
      .signature = {}};
  assert(peer_id_of(accusation.accuser) != accused);
  accusation.signature = accuser.sign(accuse_domain, message_of(accusation, swarm));
  return accusation;
}

Harm harm_of(const Accusation& accusation) {
  const auto& [before, with, without] = accusation.harm;
  return {before / 100.0, with / 100.0, without / 100.0};
}

Bytes encode(const Accusation& accusation) {
  Writer writer;
  writer.u8(accusation_version);
  writer.raw(accusation.accuser);
  writer.raw(accusation.accused.bytes);
  for (const uint16_t bits : accusation.harm) writer.u16(bits);
  writer.raw(accusation.signature);
  assert(writer.bytes().size() == accusation_size);
  return writer.take();
}

Result<Accusation, AdmissionError> decode_accusation(ByteView bytes) {
  Reader reader(bytes);
  const uint8_t version = reader.u8();
  if (!reader.fault() && version != accusation_version)
    return Unexpected{AdmissionError::bad_version};
  Accusation accusation;
  accusation.accuser = reader.array<32>();
  accusation.accused = PeerId{reader.array<20>()};
  for (uint16_t& bits : accusation.harm) bits = reader.u16();
  accusation.signature = reader.array<64>();
  if (const auto fault = reader.finish()) return Unexpected{admission_error_of(*fault)};
  if (peer_id_of(accusation.accuser) == accusation.accused)
    return Unexpected{AdmissionError::malformed};
  return accusation;
}

Result<Done, AdmissionError> check(const Accusation& accusation, const SwarmId& swarm) {
  if (!verify(accuse_domain, message_of(accusation, swarm), accusation.signature,
              accusation.accuser))
    return Unexpected{AdmissionError::bad_binding};
  return Done{};
}

}  // namespace starling::swarm
