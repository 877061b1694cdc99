#pragma once
// Answers from an immutable snapshot: nothing here touches the weights that learn. Thread: any,
// several at once.
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "model/quantised.h"
#include "node/source.h"

namespace starling::node {

// A snapshot as answers read it, in 8 bits unless told otherwise. Quantised once: by `prepare`, or
// by the first who asks.
class Served {
 public:
  Served(std::shared_ptr<const model::Snapshot> snapshot, bool in_8)
      : snapshot_(std::move(snapshot)), in_8_(in_8) {}
  void prepare() const;
  model::Session begin() const;
  const model::Snapshot& snapshot() const { return *snapshot_; }

 private:
  std::shared_ptr<const model::Snapshot> snapshot_;
  bool in_8_;
  mutable std::once_flag once_;
  mutable std::shared_ptr<const model::Quantised> quantised_;
};

// Feeds the newline that starts every line, then the prompt, then what it answers, byte by byte.
void answer(model::Session session, const AskOptions& options,
            const std::function<bool(const std::string&)>& on_bytes);

EvaluateOutcome evaluate(const model::Snapshot& snapshot, const Source& source);

}  // namespace starling::node
