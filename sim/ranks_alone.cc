// Without MPI there is one process.
#include "sim/ranks.h"

namespace starling::sim {

struct Ranks::Session {};

Ranks::Ranks() = default;
Ranks::~Ranks() = default;
Ranks::Ranks(Ranks&&) noexcept = default;
Ranks& Ranks::operator=(Ranks&&) noexcept = default;
Ranks Ranks::join() { return {}; }

void Ranks::meet(uint64_t) const {}
void Ranks::merge(uint64_t, std::span<uint64_t>) const {}
void Ranks::share(uint64_t, uint32_t, swarm::Bytes&) const {}
bool Ranks::is_same(const std::string&) const { return true; }
bool Ranks::is_any(bool flag) const { return flag; }

}  // namespace starling::sim
