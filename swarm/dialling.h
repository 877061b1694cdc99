#pragma once
// Which addresses to dial and when: seeds for ever, members while they are not linked, hints once;
// one attempt at a time per address, pauses that double with each failure, and a jitter so that a
// swarm that lost its power does not come back in step.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/rng.h"
#include "swarm/config.h"
#include "swarm/event.h"
#include "swarm/instant.h"

namespace starling::swarm {

inline constexpr size_t seeds_max = 64;
inline constexpr size_t hints_max = 16;  // that wait or are being dialled
inline constexpr int64_t dial_timeout_ms =
    30000;  // an attempt that was never answered counts as failed

class Dialling {
 public:
  Dialling(const Config& config, const PeerId& self, const std::vector<std::string>& own_addresses);

  void set_own_addresses(const std::vector<std::string>& addresses, Instant now);
  void add_seed(const std::string& address, Instant now);
  // Somebody said that the member may be reached there: dialled once, now, and forgotten, whatever
  // comes of it.
  void add_hint(const PeerId& peer, const std::string& address, Instant now);
  // The member's addresses from now on; none: it is not dialled any more.
  void set_member(const PeerId& peer, const std::vector<std::string>& addresses, Instant now,
                  Rng& rng);
  void linked(const PeerId& peer, const std::string& address, bool dialled);
  void greeted(const PeerId& peer);  // the link is a good one: pauses start small again
  void unlinked(const PeerId& peer, Instant not_before, Instant now, Rng& rng);
  // Whom that attempt was meant for, so that people see why there is no link.
  std::vector<PeerId> failed(const std::string& address, Instant now, Rng& rng);

  // Seeds that were reached before are left alone unless `with_seeds`: they have other guests.
  std::vector<Open> due(Instant now, Rng& rng, bool with_seeds);
  Instant next() const;

 private:
  struct Target {
    std::optional<PeerId> expected;  // none: a seed
    std::string address;
    friend auto operator<=>(const Target&, const Target&) = default;
  };
  struct Attempt {
    std::optional<PeerId> reached;  // a seed turned out to be this member
    bool is_under_way = false;
    bool is_hint = false;
    uint32_t failures = 0;  // in a row
    Instant due = never;    // under way: when it counts as failed; else: when to dial
  };
  bool belongs(const Target& target, const Attempt& attempt, const PeerId& peer) const;
  void pause(Attempt& attempt, Instant now, Rng& rng) const;

  Config config_;
  PeerId self_;
  std::set<std::string> own_addresses_;
  std::map<Target, Attempt> attempts_;
  std::set<PeerId> linked_;
};

}  // namespace starling::swarm
