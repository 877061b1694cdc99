#pragma once
// Answers from an immutable snapshot: nothing here touches the weights that learn. Thread: any,
// several at once.
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "model/quantised.h"
#include "node/source.h"

namespace starling::node {

// The weights as answers read them, in 8 bits (then nothing of the snapshot stays) or as they were.
class Served {
 public:
  Served(std::shared_ptr<const model::Snapshot> snapshot, bool in_8);
  model::Session begin() const;

 private:
  std::shared_ptr<const model::Snapshot> exact_;  // one of the two
  std::shared_ptr<const model::Quantised> quantised_;
};

// Feeds the newline that starts every line, then the prompt, then what it answers, byte by byte.
void answer(model::Session session, const AskOptions& options,
            const std::function<bool(const std::string&)>& on_bytes);

// None: `goes_on`, asked every few hundred bytes, said no.
std::optional<EvaluateOutcome> evaluate(const model::Snapshot& snapshot, const Source& source,
                                        const model::GoesOn& goes_on);

}  // namespace starling::node
