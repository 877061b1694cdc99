#pragma once
// With whom we are linked: the two partial views of HyParView, as pure bookkeeping over ids. The
// active view is the links that are up, so it is symmetric as links are; the passive view is who
// could replace one of them. Dialling, messages and time are the caller's: it dials `wanted()`,
// carries the walks, and calls `tick` at even intervals.
// Source: Leitao, Pereira and Rodrigues, "HyParView: a membership protocol for reliable
// gossip-based broadcast" (DSN 2007); view sizes, walks and shuffles are its section 5.1, with a
// larger active view.
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "model/rng.h"
#include "swarm/config.h"
#include "swarm/message.h"

namespace starling::swarm {

inline constexpr uint32_t walk_hops_max = 6;      // of a join or a shuffle (ARWL)
inline constexpr uint32_t walk_hops_passive = 3;  // where a joiner enters a passive view (PRWL)
inline constexpr size_t shuffle_active = 3;       // ids of a shuffle from the active view
inline constexpr size_t shuffle_passive = 4;      // and from the passive one
inline constexpr uint32_t ticks_per_shuffle = 6;
inline constexpr uint32_t ticks_per_mix = 12;
inline constexpr size_t shuffles_under_way_max = 64;  // whose way back is remembered
inline constexpr size_t own_picks_min = 2;  // links we chose that no urgent peer takes from us
inline constexpr size_t lost_peers_max = 64;

template <typename T>
using Passed = std::optional<std::pair<PeerId, T>>;  // to whom

class Overlay {
 public:
  Overlay(const Config& config, const PeerId& self);

  // ---- Links
  struct Verdict {
    bool is_accepted = false;
    std::optional<PeerId> evicted;  // this link makes room
  };
  // A link is greeted; `wish` is the peer's.
  Verdict greeted(const PeerId& peer, bool is_own_pick, Wish wish, Rng& rng);
  // A link ended; `is_kept`: by choice, so the peer may be linked again some day.
  void lost(const PeerId& peer, bool is_kept, Rng& rng);
  void failed(const PeerId& peer, Rng& rng);  // it could not be dialled
  Wish wish_for(const PeerId& peer) const;    // what our Hello says when we have dialled it

  // ---- Whom to dial
  const std::set<PeerId>& wanted() const { return wanted_; }
  bool is_short() const { return active_.size() < active_low_; }  // then seeds are dialled too
  bool is_exhausted() const;  // short, and nobody left to try until the next tick
  void heard_of(const PeerId& peer, Rng& rng);
  void forget(const PeerId& peer);  // it left, or is shut out

  // ---- Walks
  std::vector<std::pair<PeerId, JoinWalk>> begin_join(const PeerId& joiner) const;
  Passed<JoinWalk> take(const PeerId& from, const JoinWalk& walk, Rng& rng);
  struct Shuffled {
    Passed<ShuffleWalk> onward;
    Passed<ShuffleAnswer> back;
  };
  Shuffled take(const PeerId& from, const ShuffleWalk& walk, Rng& rng);
  Passed<ShuffleAnswer> take(const ShuffleAnswer& answer, Rng& rng);

  // Tries again whom it had tried. Every sixth time it begins a shuffle and makes room for a lost
  // peer, so that a swarm that was parted finds together: both halves may be content with
  // themselves. Every twelfth time it makes room for a passive one instead: a few that are all
  // linked with each other and with nobody else would never know it.
  Passed<ShuffleWalk> tick(Rng& rng);

  bool is_active(const PeerId& peer) const { return active_.contains(peer); }
  bool is_lost(const PeerId& peer) const;
  const std::vector<PeerId>& lost_peers() const { return lost_; }
  size_t active_count() const { return active_.size(); }
  std::vector<PeerId> active() const;
  const std::vector<PeerId>& passive() const { return passive_; }

 private:
  size_t known_count() const;  // without ourselves
  void fill(Rng& rng);
  void want(const PeerId& peer);
  void seek_one_of(const std::vector<PeerId>& peers, Rng& rng);
  PeerId pick_victim(Rng& rng) const;
  std::optional<PeerId> pick_active(const std::set<PeerId>& without, Rng& rng) const;
  std::vector<PeerId> sample_passive(size_t count, Rng& rng) const;
  void remember_way(uint64_t token, const PeerId& from);
  void remember_lost(const PeerId& peer, Rng& rng);

  size_t active_max_, active_low_, passive_max_;
  PeerId self_;
  std::map<PeerId, bool> active_;  // whether we chose it
  std::vector<PeerId> passive_;
  std::set<PeerId> wanted_, tried_;
  std::set<PeerId> sought_;   // of the wanted: those for whom we make room
  std::vector<PeerId> lost_;  // were linked or named, and did not answer
  std::deque<std::pair<uint64_t, PeerId>> ways_back_;
  uint32_t ticks_;
};

}  // namespace starling::swarm
