#pragma once
// Messages to bytes and back. decode_message accepts exactly the bytes that encode_message makes,
// and nothing else. A kind of message that this version does not know is `unknown_kind`, whatever
// it holds.
#include "swarm/message.h"

namespace starling::swarm {

Bytes encode_message(const Message& message);
Result<Message, DropReason> decode_message(ByteView bytes);

Bytes encode(const VersionVector& vector);
ShortHash hash_of(const VersionVector& vector);
Result<VersionVector, DropReason> decode_version_vector(ByteView bytes);

// Signs and checks a member's record.
MemberRecord sign_record(MemberRecord record, const Signer& signer);
bool is_authentic(const MemberRecord& record,
                  const SwarmId& swarm);  // signature, membership, sizes

}  // namespace starling::swarm
