#pragma once
// The set of admissions as a node holds it: told to its driver without being copied, and copied
// when something comes into it. Thread: its owner's; what share() gave may be read anywhere.
#include <memory>

#include "swarm/admissions.h"

namespace starling::swarm {

class SharedAdmissions {
 public:
  // For a program that plays many nodes: most of them hold the same set.
  using InternedSets = Interned<Digest, Admissions>;

  explicit SharedAdmissions(const SwarmId& swarm) : own_(std::make_shared<Admissions>(swarm)) {}

  const Admissions& operator*() const { return own_ != nullptr ? *own_ : *shared_; }
  const Admissions* operator->() const { return &**this; }
  // What was asked for before is not to be used any more.
  Admissions& change() {
    if (own_ == nullptr) own_ = std::make_shared<Admissions>(*shared_);
    shared_.reset();
    return *own_;
  }
  template <typename Thing>
  Admissions::Taken add(const Thing& thing) {
    return (*this)->knows(thing) ? Admissions::Taken::known : change().add(thing);
  }
  // As it is now. Requires: settled.
  std::shared_ptr<const Admissions> share() {
    if (shared_ == nullptr) shared_ = published(std::move(own_));
    own_.reset();
    return shared_;
  }

 private:
  // Of proofs and accusations an id does not say all: two nodes may hold different ones.
  static std::shared_ptr<const Admissions> published(std::shared_ptr<const Admissions> set) {
    return set->is_told_by_digest() ? InternedSets::of(set->digest(), set) : set;
  }

  std::shared_ptr<Admissions> own_;           // or
  std::shared_ptr<const Admissions> shared_;  // never both
};

}  // namespace starling::swarm
