#pragma once
// A run in virtual time as it stood between two events, to go on from later. Everything but
// learning is run again, as that is cheap and the same every time: so a checkpoint holds what came
// of learning up to then, in the order it was asked for, and the learners as they were. Grammar
// (little endian; n: a varint; f64, f32: bits; bytes: n, then so many):
//   magic "STARLRUN", version u32, size u64 of the whole file
//   identity    nodes u32, seed u64, scenario 32 letters, lessons 32 letters
//   place       events u64, virtual microseconds u64, trace 32 letters
//   qualities   n, f64 each
//   for each node
//     slices        n; each f64 loss, u8 is finite
//     publications  n; each u8 is finite, u8 has frame, then bytes
//     learner       u8 there is one; error, sections, bytes interval, f64 loss, u8 is broken
//     disk          u8 there is one; error, sections
//     where error is n, f32 each; sections are n, then bytes name and bytes each
//   BLAKE2b-256 of all that
#include <optional>
#include <string>
#include <vector>

#include "sim/learner.h"

namespace starling::sim {

inline constexpr uint32_t run_checkpoint_version = 1;
inline constexpr uint64_t run_checkpoint_size_max = 16ull << 30;  // bytes

// What a run follows from, but for the build.
struct RunIdentity {
  uint32_t nodes = 0;
  uint64_t seed = 0;
  std::string scenario;  // hex of a hash: all keys but paths
  std::string lessons;   // likewise: every piece that is learned or asked
};

struct RunCheckpoint {
  // What a device's own checkpoint has beyond what follows from the deltas.
  struct Saved {
    std::vector<float> error;
    Learner::Sections sections;
  };
  struct Node {
    std::vector<Gain> slices;
    std::vector<Publication> publications;
    std::optional<Learner::Presence> learner;  // none: it is down, or synthetic
    std::optional<Saved> disk;
  };
  RunIdentity identity;
  uint64_t events = 0;
  uint64_t micros = 0;  // virtual
  std::string trace;    // hex, so far
  std::vector<double> qualities;
  std::vector<Node> nodes;
};

swarm::Bytes encode(const RunCheckpoint& checkpoint);
// `learner` and `disk` of one node, from the process that has them to the one that writes.
swarm::Bytes encode_presence(const RunCheckpoint::Node& node);
void decode_presence(swarm::ByteView bytes, RunCheckpoint::Node& node);
// Errors: what is wrong with the bytes, to stand behind the file's name.
Result<RunCheckpoint, std::string> decode_run_checkpoint(swarm::ByteView file);

}  // namespace starling::sim
