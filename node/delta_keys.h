#pragma once
// A short list of delta keys as text, for the small state: "ID/epoch/seq ID/epoch/seq".
#include <set>
#include <string>

#include "swarm/version_vector.h"

namespace starling::node {

std::string encode_keys(const std::set<swarm::DeltaKey>& keys);
// What is not a key is left out: such a delta is then taken for one that nobody held.
std::set<swarm::DeltaKey> decode_keys(const std::string& text);

}  // namespace starling::node
