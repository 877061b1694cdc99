#pragma once
// What tests with real nodes share: nodes of a swarm that learn fast, and texts for them.
#include "tests/node/real_node.h"

namespace starling::testing {

inline constexpr int patience_s = 60;

std::string sentences(int from, int to);
void make_small(const std::string& directory);
// `starling init`, and `starling join` with an invite of a member that runs; both made small.
void found(const std::string& directory, const std::string& name);
void join(const std::string& directory, const std::string& name, const RealNode& member);
// Deltas of others that it has taken.
uint64_t accepted(const RealNode& node);
// The same base, bit for bit, of the same deltas.
bool are_equal(const RealNode& a, const RealNode& b);

}  // namespace starling::testing
