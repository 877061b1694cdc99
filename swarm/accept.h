#pragma once
// Whether a delta may move the model: the gates on its norm, the reference they measure by, and the
// deltas that are kept back until the reference has moved.
#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "swarm/config.h"
#include "swarm/delta_codec.h"
#include "swarm/version_vector.h"

namespace starling::swarm {

inline constexpr size_t reference_norms_min =
    8;  // fewer say nothing: no delta is held for its size until then

// The median of what recent deltas were worth before their senders clipped them, own ones included.
// Each counts for at most `factor` times the reference, so that no single one can pull it far.
class ReferenceNorm {
 public:
  explicit ReferenceNorm(const Config& config);
  void add(double raw_norm);
  double value() const { return value_; }  // 0: not enough deltas yet
  double bound() const;  // norms beyond it are held; infinite when there is no reference yet

 private:
  uint32_t window_;
  double factor_;
  std::deque<double> norms_;
  double value_ = 0;
};

enum class Verdict : uint8_t { accept, hold, refuse };
Verdict judge(const DeltaSummary& summary, const ReferenceNorm& reference, const Config& config);

// Deltas that we have (they count in the version vector, they are served) but that are not in the
// base.
class HeldDeltas {
 public:
  void add(const DeltaKey& key, const DeltaSummary& summary);
  // The one that has waited longest among those whose norm is within `bound` and that `skip` does
  // not contain.
  std::optional<std::pair<DeltaKey, DeltaSummary>> take(double bound, const VersionVector& skip);
  void forget(const VersionVector& included);  // they came into the base with a snapshot
  size_t size() const { return held_.size(); }

 private:
  std::map<uint64_t, std::pair<DeltaKey, DeltaSummary>> held_;  // by arrival
  uint64_t arrivals_ = 0;
};

}  // namespace starling::swarm
