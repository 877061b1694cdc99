#pragma once
// The processes of one run. Where MPI has started several, each runs the whole protocol, which is
// cheap and the same everywhere, and has the trainers of some nodes only (node modulo processes);
// what came of learning there is told to all the others. Built without MPI, or started without
// mpirun, there is one process, and nothing here does anything. Thread: the main one.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "swarm/bytes.h"

namespace starling::sim {

class Ranks {
 public:
  Ranks();  // alone
  ~Ranks();
  Ranks(Ranks&&) noexcept;
  Ranks& operator=(Ranks&&) noexcept;
  // Together with all that mpirun has started. One per process, before anything else is done.
  static Ranks join();

  uint32_t rank() const { return rank_; }
  uint32_t count() const { return count_; }
  bool is_alone() const { return count_ == 1; }
  bool is_first() const { return rank_ == 0; }
  bool owns(uint32_t node) const { return node % count_ == rank_; }

  // The following are called by all, in the same order, or the whole run is aborted: `place` says
  // where in the run it is and must be the same everywhere.

  // Every word is given by one and 0 with the others; afterwards all have all.
  void merge(uint64_t place, std::span<uint64_t> words) const;
  // Afterwards all have what the owner of `node` gave.
  void share(uint64_t place, uint32_t node, swarm::Bytes& bytes) const;
  // Whether all give the same.
  bool is_same(const std::string& what) const;
  bool is_any(bool flag) const;

 private:
  struct Session;
  void meet(uint64_t place) const;
  std::unique_ptr<Session> session_;
  uint32_t rank_ = 0, count_ = 1;
};

}  // namespace starling::sim
