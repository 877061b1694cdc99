#include "node/serving.h"

namespace starling::node {

Served::Served(std::shared_ptr<const model::Snapshot> snapshot, bool in_8) {
  if (in_8) {
    quantised_ = std::make_shared<const model::Quantised>(*snapshot);
  } else {
    exact_ = std::move(snapshot);
  }
}

model::Session Served::begin() const {
  return quantised_ ? model::Session(quantised_) : model::Session(exact_);
}

void answer(model::Session session, const AskOptions& options,
            const std::function<bool(const std::string&)>& on_bytes) {
  Rng rng(options.seed);
  std::span<const float> logits = session.feed('\n');
  for (const char byte : options.prompt) logits = session.feed(static_cast<uint8_t>(byte));
  for (uint32_t i = 0; i < options.bytes_max; ++i) {
    const uint16_t symbol = model::sample(logits, options.sampler, rng);
    if (symbol >= model::byte_symbols) return;
    if (symbol == '\n' && options.stop_at_newline) return;
    if (!on_bytes(std::string(1, static_cast<char>(symbol)))) return;
    logits = session.feed(symbol);
  }
}

std::optional<EvaluateOutcome> evaluate(const model::Snapshot& snapshot, const Source& source,
                                        const model::GoesOn& goes_on) {
  EvaluateOutcome outcome{.kind = source.kind};
  if (source.kind == DataKind::pairs) {
    const auto score = model::score_pairs(snapshot, source.pairs, goes_on);
    if (!score) return std::nullopt;
    outcome.accuracy = score->exact_match;
    outcome.examples = score->pairs;
  } else {
    const auto score = model::score_text(snapshot, source.text, goes_on);
    if (!score) return std::nullopt;
    outcome.bits_per_byte = score->bits_per_byte;
    outcome.bytes = score->bytes;
  }
  return outcome;
}

}  // namespace starling::node
