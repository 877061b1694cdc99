#pragma once
// The links between simulated nodes: what a stream over the internet does to frames. On a stream
// frames arrive whole and in order, or the link breaks: a lost packet is sent again after a timeout
// that doubles, and what follows waits behind it; too many losses in a row, or a partition, break
// the link. Beyond that, faults on whole frames (drop, duplicate, reorder) stand for what full
// queues and careless drivers do. Time is virtual; all chance comes from the run's seed.
#include <map>
#include <string_view>
#include <vector>

#include "model/rng.h"
#include "sim/scenario.h"

namespace starling::sim {

using Micros = int64_t;
constexpr Micros micros_of_ms(double ms) { return static_cast<Micros>(ms * 1000); }
constexpr Micros micros_of_s(double s) { return static_cast<Micros>(s * 1e6); }

// How often each fault really happened, by name.
using Sometimes = std::map<std::string_view, uint64_t>;

// One direction of a link.
struct Way {
  Micros last_arrival = 0;  // keeps the stream in order
};

class Network {
 public:
  Network(const Scenario& scenario, uint64_t seed, Sometimes& sometimes);

  struct Transit {
    Micros arrives_at = 0;
    Micros copy_at = 0;           // of a duplicate; 0: there is none
    bool is_lost = false;         // the frame alone
    bool is_broken = false;       // the link, at `arrives_at`
    std::string_view cause = {};  // why it broke
  };
  Transit send(uint32_t from, uint32_t to, Way& way, size_t size, Micros now);

  // From one to the other and back: handshakes take 1.5 of these.
  Micros round_trip(uint32_t a, uint32_t b) const { return 2 * latency(a, b); }
  bool is_cut(uint32_t from, uint32_t to, Micros now) const;
  bool only_dials_out(uint32_t node) const { return is_nat_[node] != 0; }

  void partition(std::vector<uint8_t> far_side, bool one_way);
  void heal_partition() { far_side_.clear(); }
  // Why nothing gets from one to the other now; "": it does.
  std::string_view cut_cause(uint32_t from, uint32_t to, Micros now) const;
  void heal_one_way_links() { one_way_share_ = 0; }
  // KiB/s of a node that is not as the others; 0: as they.
  void set_pipes(uint32_t node, double up_kib_s, double down_kib_s);
  // Nothing leaves `node` before `until`; then everything does.
  void clog(uint32_t node, Micros now, Micros until);

 private:
  Micros latency(uint32_t a, uint32_t b) const;
  bool is_parted(uint32_t from, uint32_t to) const;
  bool is_deaf(uint32_t from, uint32_t to, Micros now) const;
  Micros through_pipes(uint32_t from, uint32_t to, size_t size, Micros now);

  Scenario::Network knobs_;
  uint64_t seed_;
  Rng rng_;
  Sometimes* sometimes_;
  std::vector<uint8_t> is_nat_;
  std::vector<double> up_kib_s_, down_kib_s_;  // 0: no limit
  std::vector<Micros> up_free_at_, down_free_at_, clogged_until_;
  std::vector<uint8_t> far_side_;  // empty: no partition
  bool is_one_way_ = false;
  double one_way_share_, one_way_s_;  // of links that carry frames one way only, for so long
  Micros one_way_from_;
};

}  // namespace starling::sim
