#pragma once
// What the nodes of the learning bench learn, cut from files as they are published: speeches of
// tinyshakespeare by speaker or texts by file (bits per byte of what is held out), and handwritten
// digits
// (8 x 8 grey levels read as 64 bytes, the label is the answer; share of right answers).
#include <optional>
#include <string>
#include <vector>

#include "model/session.h"

namespace starling::bench {

// One node's data: text or pairs.
struct Lesson {
  std::vector<uint8_t> text;
  std::vector<model::Pair> pairs;
};

struct Task {
  bool is_text = false;
  std::vector<Lesson> lessons;                          // one a node
  Lesson exam;                                          // held out
  uint32_t length = 256;                                // of a row
  double score(const model::Snapshot& snapshot) const;  // bits per byte, or percent
};

// `folder` holds input.txt and speeches.tsv. Speakers go to nodes as whole, the largest first to
// the node that has least.
std::optional<Task> text_task(const std::string& folder, size_t nodes);
// `folder` holds texts; each node has an equal part of one of them, in the order of their names.
// The exam is the end of each.
std::optional<Task> folder_task(const std::string& folder, size_t nodes);
// `folder` holds MNIST's train files, gzipped. Labels go to nodes by Dirichlet(alpha).
std::optional<Task> digits_task(const std::string& folder, size_t nodes, double alpha,
                                uint64_t seed);

}  // namespace starling::bench
