#pragma once
// What the nodes of a scenario learn from and what they are asked: the pieces of each task
// (stocks.h), dealt to the nodes.
//   natural    the pieces of one task stay together: neighbouring tasks to one node, or several
//              nodes with a part each of one task
//   iid        all pieces are shuffled and dealt evenly
//   dirichlet  each task's pieces are split in proportions drawn from Dirichlet(alpha)
//   shards     all pieces, task after task, are cut into equal shards; each node gets deal.shards
//              of them at random, so it knows few tasks
//   quantity   all pieces are shuffled and split in proportions drawn from Dirichlet(alpha): the
//              same mixture for everyone, much for some and little for others
// With deal.pieces_max every node brings its own instead (portions.h).
#include <string>
#include <vector>

#include "model/rng.h"
#include "model/session.h"
#include "sim/plan.h"
#include "sim/scenario.h"

namespace starling::sim {

struct Lessons {
  struct Own {
    std::vector<model::Pair> pairs;
    std::string text;
    std::vector<size_t> pieces;  // of each task
  };
  struct Test {
    std::vector<model::Pair> pairs;
    std::string text;
  };
  bool is_text = false;
  std::vector<std::string> tasks;
  std::vector<Test> tests;  // of each task
  std::vector<Own> nodes;

  bool is_own(size_t node, size_t task) const { return nodes[node].pieces[task] > 0; }
};

// Nothing to learn for synthetic scenarios. Errors: bad_data for files that cannot be used, and
// where there is too little for deal.pieces_max.
Result<Lessons, Failure> deal_lessons(const Scenario& scenario, uint64_t seed);

// The table "who has how many pieces of what", for people.
std::string partition_table(const Lessons& lessons);

// Question and answer no longer belong together; a text runs backwards.
void flip_labels(Lessons::Own& own);

}  // namespace starling::sim
