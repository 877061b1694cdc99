#pragma once
// An invite whose secret the caller chooses: for a simulation, where it must be the same again.
// Apart from admission.h, so that nothing that admits real devices can take it by mistake.
#include "swarm/admission.h"

namespace starling::swarm {

InviteToken make_foreseeable_invite(const Signer& signer, const Membership* issuer,
                                    const InviteTerms& terms,
                                    const std::array<uint8_t, 32>& invite_seed);

}  // namespace starling::swarm
