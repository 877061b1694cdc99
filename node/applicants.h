#pragma once
// Who knocked at the peer port with a certificate of its own and may not enter, for the owner to
// see: an identity (or, where the certificate proves none, an address) is one entry, however often
// it comes. Kept in memory since the start. Thread: safe from any.
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "node/refused.h"

namespace starling::node {

struct Applicant {
  std::string id;                   // empty: its certificate proved none
  std::string address;              // the host it came from last; its port says nothing
  int64_t first_s = 0, last_s = 0;  // Unix seconds
  uint64_t attempts = 0;
  std::string reason;  // of the last refusal
};

class Applicants {
 public:
  // When full, the address with the most entries loses its oldest: one that floods the list pushes
  // out its own.
  static constexpr size_t entries_max = 64;

  void note(const Refused& refused, int64_t now_s);
  std::vector<Applicant> list() const;  // the last that came first

 private:
  void make_room();
  mutable std::mutex mutex_;
  std::vector<Applicant> entries_;  // in order of their last attempt
};

}  // namespace starling::node
