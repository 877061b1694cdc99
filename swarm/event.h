#pragma once
// The whole contract of the protocol core: what goes in, what comes out. Two drivers interpret it:
// node/driver and sim/world. Nothing here does I/O; time and randomness are arguments.
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "swarm/delta_codec.h"
#include "swarm/instant.h"
#include "swarm/message.h"

namespace starling::swarm {

// ---- Input
// -------------------------------------------------------------------------------------------------
// A link is an authenticated two-way stream with a member; there is at most one per peer (the
// driver sees to it).
struct LinkUp {
  PeerId peer;
  Membership membership;  // as proven in the handshake
  std::string address;    // remote host:port, for people
  bool dialled = false;
};
struct LinkDown {
  PeerId peer;
  std::string reason;
};
struct DialFailed {
  std::string address;
  std::string reason;
};
// A frame that open() and its decoder accepted, on the link from `from`.
struct ReceivedMessage {
  PeerId from;
  FrameHeader header;  // header.origin is the peer itself
  Message message;
  size_t size = 0;  // bytes of the frame
};
struct ReceivedDelta {
  PeerId from;
  FrameHeader header;
  DeltaSummary summary;
  SharedBytes frame;  // header and payload, as signed
};
// A frame that was refused before it got here; counted and scored.
struct ReceivedRefused {
  PeerId from;
  DropReason reason;
  size_t size = 0;  // bytes of the frame, as far as known
};

// Commands of the own node.
struct Publish {  // the own delta, already sealed and already in the own base
  FrameHeader header;
  DeltaSummary summary;
  SharedBytes frame;
};
// What was sent and received on a day, in bytes of frames.
struct DayCount {
  uint64_t sent_bytes = 0;
  uint64_t received_bytes = 0;
  friend bool operator==(const DayCount&, const DayCount&) = default;
};
struct Recovered {     // start-up: what checkpoint and log on disk already hold
  VersionVector have;  // what the learner was given, whether it counts in the base or not
  struct Entry {
    DeltaKey key;
    std::array<uint8_t, 16> hash{};  // first half of the payload hash
    double raw_norm = 0;             // as believed (accept.h); 0: not known
  };
  std::vector<Entry> stored;  // those whose frames can be served from the log
  std::vector<MemberRecord> members;
  std::vector<Bytes> admissions;  // items, as AdmissionsChanged gave them
  DayCount today;                 // before this start
};
struct Forgotten {  // the log on disk dropped these (retention); they can no longer be served one
                    // by one
  std::vector<DeltaKey> keys;
};
struct BaseReached {  // the learner's base after applying `have`
  VersionVector have;
  Digest hash{};
};
struct SnapshotAvailable {  // a file that may be offered to newcomers
  SnapshotOffer offer;
};
struct SnapshotInstalled {  // the answer to InstallSnapshot
  enum class Fault : uint8_t {
    here,    // our disk, our log
    chunks,  // they do not make up the file that was offered
    file,    // it is the one that was offered, and not what the offer says of it
  };
  SnapshotOffer offer;
  bool ok = false;
  std::string reason;
  Fault fault = Fault::here;  // if not ok
};
struct ChunkSaved {  // the answer to SaveChunk; false: disk trouble, the transfer is given up
  Digest file_hash{};
  uint32_t index = 0;
  bool ok = false;
};
struct Progress {
  uint64_t step = 0;
  float bits_per_byte = 0;
  bool is_learning = false;
};
struct AddAddress {  // a seed, or an address from an invite
  std::string address;
};
struct Readdressed {  // where this node takes links from now on
  std::vector<std::string> addresses;
};
struct Heard {  // a beacon (beacon.h): this member takes links there, if it is one. Only a hint.
  PeerId peer;
  std::string address;
};
struct Ban {  // the owner shuts a member out here, now: no link, no delta of it is taken
  PeerId peer;
};
struct Revoke {  // signed here, by whoever holds the right to; told to the whole swarm
  Revocation revocation;
};
struct Accuse {  // signed here; told to the whole swarm
  Accusation accusation;
};
// From a bundle that the owner gave (bundle.h): looked at as if it had come over a link, but nobody
// is to blame for it, and it is no sign that anybody lives.
struct ImportedMessage {
  std::variant<Members, AdmissionNews> message;
};
struct ImportedDelta {
  FrameHeader header;
  DeltaSummary summary;
  SharedBytes frame;
};
// From the clock on the wall, at the start and whenever it says something new. A driver that sends
// none has days of 24 hours from its start.
struct Calendar {
  int64_t day_left_ms = 86400000;  // then the day's bytes are counted anew
  bool is_quiet = false;           // deltas wait
};
struct Leave {};
struct Wake {};  // next_deadline() has come

using Input =
    std::variant<LinkUp, LinkDown, DialFailed, ReceivedMessage, ReceivedDelta, ReceivedRefused,
                 Publish, Recovered, Forgotten, BaseReached, SnapshotAvailable, SnapshotInstalled,
                 ChunkSaved, Progress, AddAddress, Ban, Leave, Wake, Revoke, ImportedMessage,
                 ImportedDelta, Heard, Accuse, Calendar, Readdressed>;

// ---- Output
// ------------------------------------------------------------------------------------------------
struct Send {
  PeerId to;
  Message message;  // the driver encodes and seals it
};
struct SendFrame {  // a delta just published or received, as signed
  PeerId to;
  DeltaKey key;
  SharedBytes frame;
};
struct SendStored {  // a delta from the log on disk, as signed
  PeerId to;
  DeltaKey key;
};
struct SendChunk {  // the driver reads the snapshot file
  PeerId to;
  Digest file_hash{};
  uint32_t index = 0;
};
struct Open {
  std::string address;
  std::optional<PeerId> expected;  // none: a seed known by address only
};
struct Close {
  PeerId peer;
  std::string reason;
};
struct Store {  // append to the log on disk
  DeltaKey key;
  SharedBytes frame;
};
struct Deliver {  // taken: what it counts for is judged where the base is (exchange.h)
  DeltaKey key;
  DeltaSummary summary;
  SharedBytes frame;  // never null; a driver that drops it reads it from the log
};
// Two deltas of one number: the log on disk holds the other one. Both together are the proof
// (equivocation.h), which comes back as ImportedMessage.
struct Prove {
  DeltaKey key;
  SharedBytes frame;
};
struct SaveChunk {
  Digest file_hash{};
  uint32_t index = 0;
  Bytes bytes;
};
// All chunks are there: check the file and that the base in it and its list of deltas are those of
// the offer, replace the base, replay the log's rest.
struct InstallSnapshot {
  SnapshotOffer offer;
};
struct SaveMembers {  // remember across restarts
  std::vector<SharedRecord> records;
};
// The new set: to be remembered across restarts, and asked at every handshake.
struct AdmissionsChanged {
  std::shared_ptr<const Admissions> admissions;
};
// A peer's fault, for counters, log and score.
struct Drop {
  PeerId from;
  DropReason reason;
  int penalty = 0;  // subtracted from the peer's score
};
// What people and programs watch.
struct Notice {
  enum class Kind : uint8_t {
    peer_joined,
    peer_lost,
    delta_accepted,
    delta_refused,
    peer_fault,  // it did what costs points and is no delta; a minute's worth at once
    equivocation,
    diverged,
    revoked,          // shut out of the swarm: revoked, or another has its place
    invite_disputed,  // another claims the same place
    accused           // a member says that it spoils what that one knows
  };
  Kind kind = Kind::peer_joined;
  PeerId peer;         // the member, or the origin of the delta
  std::string reason;  // peer_lost, delta_refused, peer_fault, diverged, and the last three
  std::optional<DeltaKey> key;
  double norm = 0;
  uint64_t count = 0;  // peer_fault: since it was told of last, this one among them
};

using Output =
    std::variant<Send, SendFrame, SendStored, SendChunk, Open, Close, Store, Deliver, SaveChunk,
                 InstallSnapshot, SaveMembers, Drop, Notice, AdmissionsChanged, Prove>;

}  // namespace starling::swarm
