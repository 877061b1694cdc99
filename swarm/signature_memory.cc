#include "swarm/signature_memory.h"

#include <utility>

namespace starling::swarm {
namespace {

thread_local SignatureMemory* innermost = nullptr;

}  // namespace

void SignatureMemory::add(const Digest& entry) {
  if (good_.size() >= entries_max_) good_.clear();
  good_.insert(entry);
}

SignatureMemory* SignatureMemory::current() { return innermost; }

SignatureMemory::Scope::Scope(SignatureMemory& memory)
    : outer_(std::exchange(innermost, &memory)) {}

SignatureMemory::Scope::~Scope() { innermost = outer_; }

}  // namespace starling::swarm
