#include "swarm/told.h"

#include <algorithm>

namespace starling::swarm {
namespace {

bool is_ahead(const VersionVector& theirs, const VersionVector& mine, const Stream& stream) {
  const auto told = theirs.streams().find(stream);
  if (told == theirs.streams().end()) return false;
  const auto own = mine.streams().find(stream);
  const Seen seen = own == mine.streams().end() ? Seen{} : own->second;
  return !missing_numbers(seen, told->second, 1).empty();
}

}  // namespace

void Told::replace(const VersionVector& have, const VersionVector& mine) {
  have_ = have;
  ahead_.clear();
  for (const DeltaKey& key : mine.missing_from(have_, have_.streams().size(), 1))
    ahead_.push_back(key.stream);
  ordered_ = ahead_.size();
}

bool Told::insert(const DeltaKey& key, const VersionVector& mine) {
  if (have_.insert(key) != VersionVector::Insert::added || mine.contains(key)) return false;
  ahead_.push_back(key.stream);
  if (ahead_.size() > 2 * have_.streams().size()) drop_reached(mine);
  return true;
}

void Told::drop_reached(const VersionVector& mine) {
  if (ordered_ < ahead_.size()) {
    std::sort(ahead_.begin(), ahead_.end());
    ahead_.erase(std::unique(ahead_.begin(), ahead_.end()), ahead_.end());
  }
  std::erase_if(ahead_, [&](const Stream& stream) { return !is_ahead(have_, mine, stream); });
  ordered_ = ahead_.size();
}

const std::vector<Stream>& Told::ahead(const VersionVector& mine) {
  drop_reached(mine);
  return ahead_;
}

}  // namespace starling::swarm
