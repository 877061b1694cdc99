#pragma once
// What a delta's size says: whether its norms are numbers at all, and what size is usual. Whether
// one that is far from usual counts is decided with everything else from the log (judgement.h), so
// that the order of arrival decides nothing.
#include <cstdint>
#include <deque>
#include <vector>

#include "swarm/config.h"
#include "swarm/delta_codec.h"
#include "swarm/peer_id.h"

namespace starling::swarm {

inline constexpr size_t reference_norms_min = 8;  // fewer say nothing about what is usual
inline constexpr double clipping_believed_max = 4;

// Finite, not negative, and not beyond `norm_max`.
bool has_sound_norms(const DeltaSummary& summary, const Config& config);

// What a delta was worth before its sender clipped it. That is only stated, so it is believed up to
// four times what the payload weighs: whoever wants to be thought large must be large.
double believed_norm(const DeltaSummary& summary);

struct NormVote {
  PeerId origin;
  double norm = 0;
};
// The median of the norms, every origin having one vote that its norms share: who publishes more
// says no more. 0: fewer than reference_norms_min.
double usual_norm(std::vector<NormVote> votes);

// The usual norm of the deltas that came last, own ones included, to which a sender clips its own.
// Each counts for at most `factor` times the reference, so that no single one can pull it far.
class ReferenceNorm {
 public:
  explicit ReferenceNorm(const Config& config);
  void add(const PeerId& origin, double norm);
  double value() const { return value_; }  // 0: not enough deltas yet

 private:
  // One of the origins in the window; a place that nobody has stays for the next one.
  struct Speaker {
    PeerId origin;
    uint32_t votes = 0;
  };
  struct Vote {
    double norm = 0;
    uint32_t speaker = 0;
  };
  bool is_before(const Vote& a, const Vote& b) const;
  uint32_t seat(const PeerId& origin);
  void drop_oldest();
  double usual() const;

  uint32_t window_;
  double factor_;
  std::vector<Speaker> speakers_;
  std::deque<Vote> votes_;    // in the order they came
  std::vector<Vote> sorted_;  // the same, as usual_norm() sorts them
  double value_ = 0;
};

}  // namespace starling::swarm
