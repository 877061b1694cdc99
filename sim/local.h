#pragma once
// `starling sim local`: N real nodes on this machine learn the same data twice, each for itself and
// then as a swarm; the report says what each knows after either.
#include "sim/launcher.h"
#include "sim/plan.h"

namespace starling::sim {

// Runs it all and prints the outcome on standard output. Returns the exit code: 0 only for a
// complete run whose nodes ended with equal bases; 128 + N when signal N stopped it. Nothing of it
// runs on when this returns.
int run_local(const LocalOptions& options, Signals& signals);

}  // namespace starling::sim
