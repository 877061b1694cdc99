#pragma once
// Whom to believe: decided from what the log says, so that equal logs give equal decisions.
//
// Every delta states the exchange interval t it belongs to: one more than its origin's last, caught
// up with the swarm's clock, never far ahead of it. The clock is the last interval that two fifths
// of the active origins have reached, counted up from one interval to the next. At a cut k, every
// `cut_stride` intervals, the window is the last `window_intervals` of them, and S_j the sum of
// what origin j said in it. Then
//   agreement  a_j = (a_j + cos(S_j, sum of the others' S)) / 2; below `hold_below` j is held,
//              above `release_above` it is believed again. Both are lower where all disagree, the
//              first also among few, and a third or more is never held
//   copies     origins whose S point the same way share one vote: each counts as one of so many
//   norm       a delta larger than `norm_factor` times what is usual (accept.h) in the window, and
//              in those of the two cuts before, is held by itself, and no part of its origin's S:
//              what was usual when it was said does not become large by what others say later
//   size       an origin whose S is larger than `size_max` typical ones, by large deltas or by
//              many, counts as one of so many copies too
// A delta is weighed by the last cut whose window covers it, so that a hold withdraws what the
// window holds of the origin, and a release gives it back.
//
// Dot products come from count-sketches whose key is a hash of everything in the window: nobody
// can choose a delta to look well in a sketch that its own bytes help to choose. Each cut keeps the
// products of all pairs, a late delta only has its own cuts measured again, and decisions follow
// from the products in fixed order. Cuts older than `horizon_intervals` are final.
//
// Memory: 8 N^2 bytes a cut for N origins, about 150 bytes a delta within the horizon and 100 a
// delta that does not count in full; while measuring 32 KiB an origin. Thread: its owner's.
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "swarm/bytes.h"
#include "swarm/delta_codec.h"
#include "swarm/tally.h"
#include "swarm/version_vector.h"
#include "swarm/wire.h"

namespace starling::swarm {

inline constexpr uint64_t window_intervals = 6;  // as prototyped
inline constexpr uint64_t cut_stride = 2;        // each delta is decoded 3 times. Guess.
inline constexpr size_t reference_cuts = window_intervals / cut_stride;  // that cover an interval
inline constexpr uint64_t horizon_intervals = 48;
inline constexpr uint64_t ahead_max = 4;       // how far an origin may run ahead of the clock
inline constexpr uint64_t active_lag_max = 4;  // origins further behind do not hold the clock back
inline constexpr uint64_t patience_deltas = 32;
inline constexpr size_t origins_judged_min = 4;  // of three, one against two proves nothing
inline constexpr size_t sketch_counters = 4096;  // cosines to within about .016
inline constexpr size_t origins_judged_max = 1024;
inline constexpr size_t judgement_records_max = 1u << 18;

struct JudgementRules {
  bool is_on = true;               // off: origins are not judged; single deltas still are, by norm
  double hold_below = -0.25;       // of many origins: honest ones stayed above -0.18 (README.md)
  double hold_below_origins = 20;  // of how many; fewer may disagree more
  double release_above = 0;
  double copy_cosine = 0.8;  // and half of the way from the typical pair's cosine to 1
  double size_max = 2;       // times the median
  double norm_factor = 4;    // DESIGN: what is within 4x of the reference is accepted
};

struct Standing {
  double agreement = 0;
  bool is_held = false;
  uint32_t share = 1;  // its deltas count as one of so many copies
  friend bool operator==(const Standing&, const Standing&) = default;
};
using Standings = std::map<PeerId, Standing>;

// The dot products of the window's sums, row by row. Origins in order of id.
struct Products {
  std::vector<PeerId> origins;
  std::vector<double> dots;
  double at(size_t i, size_t j) const { return dots[i * origins.size() + j]; }
};
Standings judge(const Products& products, Standings before, const JudgementRules& rules);

// A delta's payload from the log; none: it is not there any more.
using PayloadSource = std::function<std::optional<Bytes>(const DeltaKey&)>;

class Judgement {
 public:
  static constexpr uint32_t apart = 0;             // not in the base
  static constexpr uint32_t absent = 0xffffffffu;  // known from a snapshot, not here

  explicit Judgement(const model::RegionTable& table, const JudgementRules& rules = {})
      : table_(&table), rules_(rules) {}

  // The interval of the next own delta.
  uint64_t next_interval(const PeerId& self) const;
  // Takes note of a delta and says as how many copies it counts as yet (`apart`: not at all).
  uint32_t add(const DeltaKey& key, const DeltaSummary& summary, ByteView payload);
  // An origin that has no right to be heard (revoked): as if it had said nothing within the
  // horizon. Its deltas that do not count once in full as yet, by what they count as; empty the
  // second time.
  std::map<DeltaKey, uint32_t> expel(const PeerId& origin);
  // It has a right to be heard again; its deltas are to be added once more.
  void reinstate(const PeerId& origin) { expelled_.erase(origin); }

  struct Change {
    DeltaKey key;
    uint32_t before = 1, after = 1;
    bool is_oversized = false;  // held for its norm
  };
  // Brings all decisions up to date. What the caller does not carry out it must say by `undo`.
  std::vector<Change> update(const PayloadSource& payloads);
  void undo(const Change& change);

  uint64_t clock() const;
  uint64_t front() const;  // the newest interval that a tenth of the origins have stated
  // Whether its intervals are taken note of: not of who is expelled, nor of more than can be
  // judged.
  bool is_timed(const PeerId& origin) const { return newest_.contains(origin); }
  const Standings& standings() const;  // as of the last update
  const std::set<PeerId>& expelled() const { return expelled_; }
  bool is_expelled(const PeerId& origin) const { return expelled_.contains(origin); }
  // Whether a delta of this norm is held for it, as far as the cuts say yet.
  bool is_oversized(uint64_t interval, double norm) const;
  uint64_t apart_count() const;
  // An origin's deltas that do not count once in full, by what they count as.
  std::map<DeltaKey, uint32_t> counted(const PeerId& origin) const;
  std::map<PeerId, uint64_t> apart_counts() const;  // by origin, those that have any
  // As how many copies a delta counts; none: it is not known any more, or not yet here.
  std::optional<uint32_t> divisor_of(const DeltaKey& key) const;
  // Likewise of all that are known, by key.
  SortedMap<DeltaKey, uint32_t> divisors() const;
  bool has_final() const { return floor_ > 0; }
  // Every delta from the first one of its stream on that a cut to come may still weigh, with what
  // it counts as.
  std::vector<std::pair<DeltaKey, uint32_t>> open_deltas() const;
  // What a copy of this knows, but without those deltas.
  void mark_absent(const DeltaKey& key);

  Bytes encode() const;
  // Nothing is changed on error.
  Result<Done, DropReason> decode(ByteView bytes);

 private:
  struct Record {
    uint64_t digest = 0;  // of the payload
    double norm = 0;
    double vote = 0;  // on what is usual (accept.h)
    uint32_t divisor = 1;
  };
  struct Cut {
    bool is_stale = true;
    bool is_settled = false;  // worked out here, from the cut before as it still is
    double usual = 0;         // norm, in the window; 0: not known
    double reference = 0;     // the largest of that and of the two cuts before
    Products products;
    Standings standings;
  };
  using Place = std::pair<uint64_t, DeltaKey>;  // interval and key
  using Usuals = std::array<double, reference_cuts>;  // at a cut and before it, the latest first

  static uint64_t last_cut_over(uint64_t interval);
  uint32_t weigh(const PeerId& origin, uint64_t interval, double norm) const;
  const Cut* cut_over(uint64_t interval) const;
  bool is_reached(uint64_t interval) const;
  double usual_at(uint64_t cut, double before) const;
  double usual_of(uint64_t cut) const;
  Products measure(uint64_t cut, double reference, const PayloadSource& payloads) const;
  uint64_t update_cuts(const PayloadSource& payloads);
  void fold();
  void count_anew();
  void make_stale(uint64_t interval);
  void settle(const DeltaKey& key, uint32_t divisor);
  void read(Reader& reader);

  const model::RegionTable* table_;
  JudgementRules rules_;
  uint64_t floor_ = 0;  // the last cut that is final
  uint64_t last_ = 0;   // the last cut of the last update
  Standings settled_;   // at the floor
  Usuals usuals_{};     // there
  std::map<uint64_t, Cut> cuts_;
  std::map<Place, Record> records_;
  std::map<DeltaKey, uint32_t> final_;  // of deltas older than the floor, unless it is 1
  std::map<PeerId, uint64_t> newest_;
  std::set<PeerId> expelled_;
  Tally newest_tally_, records_tally_;  // intervals of the two above
  uint64_t weighed_to_ = 0;  // records of earlier intervals count as the cuts say, until those move
};

}  // namespace starling::swarm
