#pragma once
// What deal.pieces_max gives: to every node so many pieces of its own, drawn without regard to how
// many nodes there are. So one node more brings what it knows and takes from nobody, and a swarm of
// four begins with the four of a larger one. What is left over is dealt to nobody.
//   natural    node i has pieces of task i modulo tasks, texts as they were written
//   iid        of all pieces, shuffled
//   dirichlet  by a mixture of tasks that each node draws from Dirichlet(alpha); of a task that is
//              used up, nothing more. Source: Hsu et al., "Measuring the effects of non-identical
//              data distribution for federated visual classification" (2019)
//   shards     deal.shards of equal size, cut out of all pieces, task after task
//   quantity   of all pieces, shuffled, and fewer than pieces_max by a gamma variable of alpha
#include <vector>

#include "model/rng.h"
#include "sim/stocks.h"

namespace starling::sim {

struct Piece {
  size_t task = 0, index = 0;  // index: in the task's stock
};

// Task after task; pairs shuffled within a task, texts as they were written.
std::vector<Piece> sorted_pieces(const std::vector<Stock>& stocks, Rng& rng);

// Of each node of the scenario; no piece is given twice. Requires: deal.pieces_max > 0. Errors:
// bad_data where there are too few pieces for all of them.
Result<std::vector<std::vector<Piece>>, Failure> draw_portions(const std::vector<Stock>& stocks,
                                                               const Scenario& scenario,
                                                               uint64_t seed);

}  // namespace starling::sim
