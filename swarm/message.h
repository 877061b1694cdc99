#pragma once
// Control messages between two linked peers: the payloads of FrameKind::control. Grammar on top of
// codec.cc.
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "swarm/admissions.h"
#include "swarm/version_vector.h"

namespace starling::swarm {

inline constexpr uint32_t protocol_version_min = 1;
inline constexpr uint32_t protocol_version_max = 1;

// Bits of Hello.features that this version knows. Views: the first byte of the extension is a Wish.
// Pulls only: its sender wants no delta that it has not asked for. Waits: it keeps to a byte
// budget, so that what it is asked for may come late.
inline constexpr uint64_t feature_views = 1;
inline constexpr uint64_t feature_pulls_only = 2;
inline constexpr uint64_t feature_waits = 4;
inline constexpr uint64_t features_own = feature_views | feature_pulls_only | feature_waits;

inline constexpr size_t name_size_max = 64;
inline constexpr size_t address_size_max = 128;
inline constexpr size_t addresses_max = 4;
inline constexpr size_t members_per_message_max = 64;
inline constexpr size_t streams_per_message_max = 1024;
inline constexpr size_t pull_keys_max = 256;
inline constexpr size_t reason_size_max = 128;
inline constexpr size_t software_size_max = 32;
inline constexpr size_t extension_size_max = 1024;
inline constexpr size_t chunk_size_max = 256u << 10;
inline constexpr size_t admission_items_max = 64;  // in one message
inline constexpr size_t sightings_max = 128;       // likewise
inline constexpr size_t suspects_max = 64;         // likewise
inline constexpr size_t shuffle_sample_max = 16;   // ids of a shuffle
inline constexpr uint32_t walk_hops_bound = 16;    // of any walk; more is malformed

// What a member says of itself; proven by its certificate. Higher (epoch, incarnation) replaces
// lower.
struct MemberRecord {
  Membership membership;
  std::string name;
  std::vector<std::string> addresses;  // host:port where it listens; empty: it only dials out
  uint64_t epoch = 0;
  uint64_t incarnation = 0;
  bool left = false;      // it said goodbye
  Signature signature{};  // by the member over all of the above
};

using SharedRecord = std::shared_ptr<const MemberRecord>;  // never null

// Why a peer dialled: what stands in its Hello.
enum class Wish : uint8_t {
  none,       // it was dialled itself, or does not know of views
  neighbour,  // it has room; refused where there is none
  urgent,     // it is nearly alone, or finds a lost peer again: somebody makes room
  join,       // it is alone: urgent, and its name is carried further
};

// First on every link, both ways. The one message that every version must be able to read: what
// later versions add to it goes into `extension`, which this one carries and does not look at.
struct Hello {
  uint32_t version_min = protocol_version_min;  // the link speaks the highest that both know
  uint32_t version_max = protocol_version_max;
  uint64_t features = 0;  // bits; the link uses those that both set
  std::array<uint8_t, 16> fingerprint{};
  std::string software;  // "0.1.0"
  MemberRecord self;
  Bytes extension;
};

struct Members {
  std::vector<MemberRecord> records;
  ShortHash digest{};  // of all that the sender knows, its own with them; zero: not told
};

// Every heartbeat interval: the digest for anti-entropy, the heartbeat, and the little that
// `members` and `regions` show of a peer. What changed of the vector since the last one went ahead
// as Witness; so its hash says whether the receiver knows it all, and only if not is it sent whole.
struct Heartbeat {
  uint64_t sent_ms = 0;  // sender's clock; echoed back for the round-trip time
  uint64_t echo_ms = 0;  // the last sent_ms received on this link; 0: none
  uint64_t echo_delay_ms = 0;
  uint64_t step = 0;
  float bits_per_byte = 0;            // the sender's recent training loss; 0: unknown
  std::optional<VersionVector> have;  // deltas it can tell of; none: as told before
  ShortHash have_hash{};              // of them, when they are not told
  bool wants_have = false;            // what the receiver told before does not add up
  Digest base_hash{};                 // of the base at `base_count` deltas applied
  uint64_t base_count = 0;
  bool is_learning = false;
};

struct Pull {
  std::vector<DeltaKey> keys;
};

// Answer to a pull of deltas that are folded into a snapshot and no longer in the log.
struct SnapshotOffer {
  Digest hash{};       // of the base
  Digest file_hash{};  // of the file that the chunks make up
  uint64_t size = 0;   // bytes
  VersionVector have;  // what it contains
  friend bool operator==(const SnapshotOffer&, const SnapshotOffer&) = default;
};
struct ChunkRequest {
  Digest file_hash{};
  uint32_t index = 0;
};
struct Chunk {
  Digest file_hash{};
  uint32_t index = 0;
  Bytes bytes;
};

struct Goodbye {
  std::string reason;
};

// Items of the set of memberships and revocations (admissions.h), and the digest of all that the
// sender has: who finds another than its own sends what it has.
struct AdmissionNews {
  Digest digest{};
  std::vector<Bytes> items;
};

// What came to the sender lately, soon after it came: so the receiver knows what to ask for. And by
// hash: an origin that signs two deltas with one number gives its neighbours different ones, and
// they meet here (equivocation.h).
struct Sighting {
  DeltaKey key;
  std::array<uint8_t, 8> hash{};  // the beginning of the payload's
};
struct Witness {
  std::vector<Sighting> seen;
};

// The messages of HyParView (overlay.h). A joiner's name on its way through the swarm.
struct JoinWalk {
  PeerId joiner;
  uint32_t hops = 0;  // still to go
};
// Some of those whom the sender knows, for as many of those whom the end of the walk knows.
struct ShuffleWalk {
  uint64_t token = 0;  // finds the way back
  uint32_t hops = 0;   // still to go
  std::vector<PeerId> sample;
};
struct ShuffleAnswer {
  uint64_t token = 0;
  std::vector<PeerId> sample;
};
// The last on a link that one side ends by choice, as it has no room: it may come again.
struct Disconnect {};

// Members whose links ended without a word and who could not be reached since. Each is told with
// the record that is doubted: who lives answers with a higher incarnation.
struct Suspect {
  PeerId peer;
  uint64_t epoch = 0;
  uint64_t incarnation = 0;
};
struct Suspicion {
  std::vector<Suspect> suspects;
};

using Message = std::variant<Hello, Members, Heartbeat, Pull, SnapshotOffer, ChunkRequest, Chunk,
                             Goodbye, AdmissionNews, Witness, JoinWalk, ShuffleWalk, ShuffleAnswer,
                             Disconnect, Suspicion>;

}  // namespace starling::swarm
