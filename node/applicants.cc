#include "node/applicants.h"

#include <algorithm>
#include <map>

namespace starling::node {

void Applicants::note(const Refused& refused, int64_t now_s) {
  // Without an identity, only who has a certificate and no membership applies; the rest is noise.
  if (!refused.id && refused.reason != "not_a_member") return;
  Applicant entry{.id = refused.id ? swarm::to_string(*refused.id) : std::string(),
                  .address = refused.address.substr(0, refused.address.rfind(':')),
                  .first_s = now_s,
                  .last_s = now_s,
                  .attempts = 1,
                  .reason = refused.reason};
  std::lock_guard lock(mutex_);
  const auto known = std::find_if(entries_.begin(), entries_.end(), [&](const Applicant& each) {
    return each.id == entry.id && (!entry.id.empty() || each.address == entry.address);
  });
  if (known != entries_.end()) {
    entry.first_s = known->first_s;
    entry.attempts += known->attempts;
    entries_.erase(known);
  }
  if (entries_.size() >= entries_max) make_room();
  entries_.push_back(std::move(entry));
}

void Applicants::make_room() {
  std::map<std::string, size_t> counts;
  for (const Applicant& each : entries_) ++counts[each.address];
  size_t most = 0;
  for (const auto& [address, count] : counts) most = std::max(most, count);
  entries_.erase(std::find_if(entries_.begin(), entries_.end(),
                              [&](const Applicant& each) { return counts[each.address] == most; }));
}

std::vector<Applicant> Applicants::list() const {
  std::lock_guard lock(mutex_);
  return {entries_.rbegin(), entries_.rend()};
}

}  // namespace starling::node
