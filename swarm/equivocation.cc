// proof = %x01 header:190 header:190         ; as in envelope.cc, each with its signature, in
// ascending order of their bytes; both of kind delta, with one swarm, origin, epoch and number, and
// with different payload hashes
#include "swarm/equivocation.h"

#include <algorithm>

#include "swarm/wire.h"

namespace starling::swarm {
namespace {

constexpr uint8_t proof_version = 1;

bool are_two_of_one(const FrameHeader& a, const FrameHeader& b) {
  return a.kind == FrameKind::delta && b.kind == FrameKind::delta && a.swarm == b.swarm &&
         a.origin == b.origin && a.epoch == b.epoch && a.seq == b.seq &&
         a.payload_hash != b.payload_hash;
}

Equivocation::SignedHeader header_of(ByteView frame) {
  assert(signed_header_size == header_size && frame.size() >= header_size);
  Equivocation::SignedHeader header{};
  std::copy_n(frame.begin(), header.size(), header.begin());
  return header;
}

}  // namespace

Result<Equivocation, DropReason> prove(ByteView frame, ByteView other) {
  Equivocation proof{.origin = {}, .first = header_of(frame), .second = header_of(other)};
  if (proof.second < proof.first) std::swap(proof.first, proof.second);
  const auto a = parse_header(proof.first), b = parse_header(proof.second);
  assert(a.has_value() && b.has_value());
  if (!are_two_of_one(*a, *b)) return Unexpected{DropReason::malformed};
  proof.origin = a->origin;
  return proof;
}

Bytes encode(const Equivocation& proof) {
  Writer writer;
  writer.u8(proof_version);
  writer.raw(proof.first);
  writer.raw(proof.second);
  return writer.take();
}

Result<Equivocation, AdmissionError> decode_equivocation(ByteView bytes) {
  Reader reader(bytes);
  const uint8_t version = reader.u8();
  if (!reader.fault() && version != proof_version) return Unexpected{AdmissionError::bad_version};
  Equivocation proof;
  proof.first = reader.array<signed_header_size>();
  proof.second = reader.array<signed_header_size>();
  if (const auto fault = reader.finish()) return Unexpected{admission_error_of(*fault)};
  const auto a = parse_header(proof.first), b = parse_header(proof.second);
  if (!a || !b || !(proof.first < proof.second) || !are_two_of_one(*a, *b))
    return Unexpected{AdmissionError::malformed};
  proof.origin = a->origin;
  return proof;
}

Result<Done, AdmissionError> check(const Equivocation& proof, const SwarmId& swarm) {
  for (const Equivocation::SignedHeader* header : {&proof.first, &proof.second}) {
    const auto parsed = parse_header(*header);
    if (!parsed) return Unexpected{AdmissionError::malformed};
    if (parsed->swarm != swarm) return Unexpected{AdmissionError::wrong_swarm};
    if (!is_signed(*parsed, *header)) return Unexpected{AdmissionError::bad_binding};
  }
  return Done{};
}

}  // namespace starling::swarm
