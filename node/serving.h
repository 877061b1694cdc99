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

// Begins sessions, in 8 bits unless told otherwise. A snapshot is quantised by the first who asks
// it and by nobody again while it is the newest.
class Sessions {
 public:
  explicit Sessions(bool in_8) : in_8_(in_8) {}
  model::Session begin(std::shared_ptr<const model::Snapshot> snapshot);

 private:
  const bool in_8_;
  std::mutex mutex_;                             // guards what follows
  std::weak_ptr<const model::Snapshot> source_;  // of quantised_; not kept alive by it
  std::shared_ptr<const model::Quantised> quantised_;
};

// Feeds the newline that starts every line, then the prompt, then what it answers, byte by byte.
void answer(model::Session session, const AskOptions& options,
            const std::function<bool(const std::string&)>& on_bytes);

EvaluateOutcome evaluate(const model::Snapshot& snapshot, const Source& source);

}  // namespace starling::node
