#pragma once
// A beacon: one datagram by which members of a swarm find each other on a network without being
// told an address. It says "this member takes links at this address", signed by the member, and
// sealed so that only who knows the swarm's id can read it, or tell that it belongs to a swarm at
// all. What was heard is a hint where to dial, never more: the handshake of the link decides who
// is there. The grammar stands on top of beacon.cc.
#include <map>
#include <string>

#include "swarm/admission.h"
#include "swarm/event.h"
#include "swarm/replay_window.h"
#include "swarm/token_bucket.h"

namespace starling::swarm {

inline constexpr size_t beacon_address_size_max = 64;
inline constexpr size_t beacon_size_max =
    1 + 24 + 16 + 32 + 8 + 8 + 1 + beacon_address_size_max + 64;
inline constexpr size_t beacon_origins_max = 256;  // whose numbers are remembered
// Looked at; what is above waits or is lost. A network of a thousand members sends three a second.
inline constexpr TokenRate beacon_rate{.per_minute = 6000, .burst = 200};
// Of those that are sealed as they should be: so many signatures are checked.
inline constexpr TokenRate beacon_check_rate{.per_minute = 300, .burst = 60};

using BeaconSalt = std::array<uint8_t, 24>;

struct Beacon {
  PublicKey origin{};
  uint64_t epoch = 0;   // boot epoch of the origin
  uint64_t number = 0;  // of its beacons in this epoch, from 1
  std::string address;  // host:port where it takes links; the host in figures
  Signature signature{};
};

// Signs and seals; fills origin and signature. Requires: the address is plain text (wire.h) within
// its bound, a number above 0, and a salt that was never used before.
Bytes seal_beacon(Beacon beacon, const SwarmId& swarm, const Signer& signer,
                  const BeaconSalt& salt);
// Errors: truncated, oversized, bad_version, malformed; wrong_swarm also for what was damaged.
// Nothing in it is believed before is_signed().
Result<Beacon, DropReason> unseal_beacon(ByteView datagram, const SwarmId& swarm);
bool is_signed(const Beacon& beacon, const SwarmId& swarm);

// Listens for the others' beacons. Owned by one thread.
class BeaconEar {
 public:
  BeaconEar(const SwarmId& swarm, const PublicKey& self, Instant now);

  // When the next datagram may be looked at; `now`: at once.
  Instant ready_at(Instant now) { return datagrams_.ready_at(now); }
  // `host`: where the datagram came from, in figures, IPv6 in brackets. Errors, in this order:
  // rate_limited; those of unseal_beacon; duplicate (the own one); unexpected (it came from another
  // host than the one it names); replayed; rate_limited; bad_signature.
  Result<Heard, DropReason> hear(ByteView datagram, std::string_view host, Instant now);

 private:
  struct Origin {
    uint64_t epoch = 0;
    ReplayWindow window;
    Instant heard_at;
  };
  void remember(const PeerId& peer, const Origin& origin);

  SwarmId swarm_;
  PublicKey self_;
  TokenBucket datagrams_, checks_;
  std::map<PeerId, Origin> origins_;
};

}  // namespace starling::swarm
