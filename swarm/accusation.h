#pragma once
// What a member says of another: that my probe rose when I took what it sent, and fell when I left
// it out (node/mind.h, guard). A word, not a proof: it shuts nobody out by itself. Whoever may
// revoke sees who accuses whom, and decides. Grammar on top of accusation.cc.
#include "swarm/admission.h"

namespace starling::swarm {

// Of the accuser's probe, bits per byte: before, with what the accused sent, without it. To
// hundredths, at most 655.35, which is also how what is not finite appears.
struct Harm {
  double before = 0, with = 0, without = 0;
};

struct Accusation {
  PublicKey accuser{};
  PeerId accused;
  std::array<uint16_t, 3> harm{};  // hundredths, in the order of Harm
  Signature signature{};
};

inline constexpr size_t accusation_size = 1 + 32 + 20 + 3 * 2 + 64;

Accusation accuse(const Signer& accuser, const SwarmId& swarm, const PeerId& accused,
                  const Harm& harm);
Harm harm_of(const Accusation& accusation);
Bytes encode(const Accusation& accusation);
// Errors: truncated, malformed, bad_version. Nothing of it is believed before check().
Result<Accusation, AdmissionError> decode_accusation(ByteView bytes);
Result<Done, AdmissionError> check(const Accusation& accusation, const SwarmId& swarm);

}  // namespace starling::swarm
