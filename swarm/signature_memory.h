#pragma once
// Signatures that were found good, for a program that plays many nodes at once: each of them checks
// the same bytes, and the answer is the same. While a Scope lives on a thread, verify() there looks
// here first; a node of its own needs none of this.
#include <cstddef>
#include <set>

#include "swarm/bytes.h"

namespace starling::swarm {

class SignatureMemory {
 public:
  // When there are more than `entries_max` (32 bytes each) all are forgotten.
  explicit SignatureMemory(size_t entries_max) : entries_max_(entries_max) {}

  bool contains(const Digest& entry) const { return good_.contains(entry); }
  void add(const Digest& entry);
  size_t size() const { return good_.size(); }

  // Of the thread's innermost scope; nothing: there is none.
  static SignatureMemory* current();

  class Scope {
   public:
    // Requires: `memory` outlives this; scopes of a thread end in the reverse of their order.
    explicit Scope(SignatureMemory& memory);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    SignatureMemory* outer_;
  };

 private:
  size_t entries_max_;
  std::set<Digest> good_;
};

}  // namespace starling::swarm
