#pragma once
// Checkpoints of a run (run_checkpoint.h): what is written on the way, and how a run gets back to
// where one was. Until then its learners are absent: what they would learn is read here.
#include <optional>
#include <string>

#include "sim/lessons.h"
#include "sim/network.h"
#include "sim/plan.h"
#include "sim/run_checkpoint.h"

namespace starling::sim {

class World;

RunIdentity identity_of(const Scenario& scenario, const Lessons& lessons, uint64_t seed);
// What a checkpoint of this scenario may have at its end, roughly; bytes.
uint64_t run_checkpoint_size(const Scenario& scenario);

// Written beside it and moved into place, so that a file of this name is always whole. Errors:
// cannot_create.
Result<Done, Failure> write_run_checkpoint(const RunCheckpoint& checkpoint,
                                           const std::string& path);
// Whether that could be done, before there is something to write. Errors: likewise.
Result<Done, Failure> try_to_write(const std::string& path);
// Errors: bad_data, with the file and what is wrong; also for one of another run than `wanted`.
Result<RunCheckpoint, Failure> read_run_checkpoint(const std::string& path,
                                                   const RunIdentity& wanted);

class Journal {
 public:
  struct Options {
    RunIdentity identity;
    std::string path;          // of what is written; empty: nothing
    double every_s = 600;      // virtual
    std::string resumed_from;  // the path of what is resumed, for messages
  };
  Journal(Options options, std::optional<RunCheckpoint> resumed);

  bool is_replaying() const { return is_replaying_; }
  const std::string& resumed_trace() const { return record_.trace; }  // empty: from the start
  // Between two events. False: it cannot go on, and `failure` says why.
  bool step(World& world);
  // After the last event. `is_stopped`: somebody ended it early.
  void finish(World& world, bool is_stopped);
  const std::optional<Failure>& failure() const { return failure_; }

  // What came of learning, while replaying in place of it, afterwards along with it.
  Gain next_slice(uint32_t node);
  Publication next_publication(uint32_t node);
  double next_quality();
  void add_slice(uint32_t node, const Gain& gain);
  void add_publication(uint32_t node, Publication publication);
  void add_quality(double quality);

 private:
  struct Place {
    size_t slices = 0, publications = 0;
    bool is_beyond = false;  // asked for more than there is
  };
  bool arrive(World& world);
  std::string difference(const World& world) const;
  void gather(World& world);
  void save(World& world);
  void differ(const std::string& how);

  Options options_;
  RunCheckpoint record_;
  std::vector<Place> places_;  // of each node, while replaying
  size_t qualities_ = 0;
  bool is_replaying_ = false;
  Micros next_save_ = 0;
  std::optional<Failure> failure_;
};

}  // namespace starling::sim
