#pragma once
// The proof that an origin has signed two deltas with one number: the two signed headers, which
// anybody can check, and nobody but the origin can make. It needs no quorum. Grammar on top of
// equivocation.cc.
#include "swarm/admission.h"
#include "swarm/envelope.h"

namespace starling::swarm {

inline constexpr size_t signed_header_size = 190;  // of a frame, with its signature

struct Equivocation {
  using SignedHeader = std::array<uint8_t, signed_header_size>;
  PublicKey origin{};
  SignedHeader first{}, second{};  // in the order of their bytes
};

// Requires: both are frames that open() accepts. Error: malformed, they prove nothing: another
// origin, another number, or the same payload.
Result<Equivocation, DropReason> prove(ByteView frame, ByteView other);
Bytes encode(const Equivocation& proof);
// Errors: truncated, malformed, bad_version. Nothing of it is believed before check().
Result<Equivocation, AdmissionError> decode_equivocation(ByteView bytes);
// Both headers are the origin's, for this swarm, with one number and two payloads.
Result<Done, AdmissionError> check(const Equivocation& proof, const SwarmId& swarm);

}  // namespace starling::swarm
