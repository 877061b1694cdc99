#pragma once
// Answers from an immutable snapshot: nothing here touches the weights that learn. Thread: any,
// several at once.
#include <functional>
#include <memory>
#include <string>

#include "node/source.h"

namespace starling::node {

// Feeds the newline that starts every line, then the prompt, then what it answers, byte by byte.
void answer(std::shared_ptr<const model::Snapshot> snapshot, const AskOptions& options,
            const std::function<bool(const std::string&)>& on_bytes);

EvaluateOutcome evaluate(const model::Snapshot& snapshot, const Source& source);

}  // namespace starling::node
