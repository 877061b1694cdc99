#pragma once
// What a neighbour told that it has, and in which streams that is more than we have: those are few
// where there may be a thousand streams, and they are asked for at every plan of pulls.
#include <vector>

#include "swarm/version_vector.h"

namespace starling::swarm {

class Told {
 public:
  const VersionVector& have() const { return have_; }
  // Requires: `mine` only grows from call to call.
  void replace(const VersionVector& have, const VersionVector& mine);
  // True: neither it told of that before, nor have we it.
  bool insert(const DeltaKey& key, const VersionVector& mine);
  // The streams, in order, of which `have` holds a delta that `mine` does not.
  const std::vector<Stream>& ahead(const VersionVector& mine);

 private:
  void drop_reached(const VersionVector& mine);

  VersionVector have_;
  std::vector<Stream> ahead_;  // these, and perhaps some that are not any more, or twice
  size_t ordered_ = 0;         // so many of them are in order and stand here once
};

}  // namespace starling::swarm
