// Scores of whole texts and of question/answer pairs by the sequence form, in windows with carried
// state, so that memory does not grow with their length.
#include <algorithm>
#include <cassert>
#include <numbers>
#include <numeric>

#include "model/kernels.h"
#include "model/network.h"
#include "model/session.h"

namespace starling::model {
namespace {

constexpr uint32_t text_window = 512;  // positions of the one stream at once
constexpr uint32_t pair_rows = 16;
constexpr uint32_t pair_window = 32;

bool always() { return true; }

// "\n" prompt answer "\n"
struct PairText {
  std::string text;
  size_t answer;  // index of its first byte
  bool exact = true;
};

class PairScorer {
 public:
  explicit PairScorer(const Snapshot& snapshot)
      : snapshot_(snapshot),
        activations_(snapshot.shape, {.rows = pair_rows, .length = pair_window}, Keep::last_layer),
        states_(pair_rows, StreamState<float>(snapshot.shape)) {}

  void score(std::span<PairText*> pairs) {
    for (StreamState<float>& state : states_) state.reset();
    size_t longest = 0;
    for (const PairText* pair : pairs) longest = std::max(longest, pair->text.size());
    for (size_t first = 0; first + 1 < longest; first += pair_window) score_window(pairs, first);
  }

 private:
  void score_window(std::span<PairText*> pairs, size_t first) {
    const Window window{.rows = static_cast<uint32_t>(pairs.size()), .length = pair_window};
    symbols_.assign(window.positions(), '\n');
    at_.clear(), owners_.clear(), expected_.clear();
    for (uint32_t row = 0; row < window.rows; ++row) {
      const std::string& text = pairs[row]->text;
      for (uint32_t t = 0; t < pair_window && first + t + 1 < text.size(); ++t) {
        const uint32_t place = row * pair_window + t;
        symbols_[place] = static_cast<uint8_t>(text[first + t]);
        if (first + t + 1 < pairs[row]->answer) continue;
        at_.push_back(place);
        owners_.push_back(pairs[row]);
        expected_.push_back(static_cast<uint8_t>(text[first + t + 1]));
      }
    }
    network_forward(snapshot_.shape, snapshot_.parameters.data(), symbols_, window,
                    std::span(states_).first(window.rows), Routing{.allowed = snapshot_.hosted},
                    activations_);
    for (size_t i = 0; i < at_.size(); i += head_rows)
      check(i, std::min<size_t>(head_rows, at_.size() - i));
  }

  void check(size_t first, size_t count) {
    head_forward(snapshot_.shape, snapshot_.parameters.data(),
                 std::span<const uint32_t>(at_).subspan(first, count), activations_);
    for (size_t i = 0; i < count; ++i) {
      const float* logits = activations_.logits + i * vocabulary;
      const float* best = std::max_element(logits, logits + vocabulary);
      if (best - logits != expected_[first + i]) owners_[first + i]->exact = false;
    }
  }

  const Snapshot& snapshot_;
  Activations<float> activations_;
  std::vector<StreamState<float>> states_;
  std::vector<uint16_t> symbols_;
  std::vector<uint32_t> at_;
  std::vector<PairText*> owners_;
  std::vector<uint8_t> expected_;
};

}  // namespace

TextScore score_text(const Snapshot& snapshot, std::span<const uint8_t> text) {
  return *score_text(snapshot, text, always);
}

std::optional<TextScore> score_text(const Snapshot& snapshot, std::span<const uint8_t> text,
                                    const GoesOn& goes_on) {
  assert(snapshot.parameters.size() == parameter_count(snapshot.shape));
  if (text.empty()) return TextScore{};
  Activations<float> activations(snapshot.shape, {.rows = 1, .length = text_window},
                                 Keep::last_layer);
  std::vector<StreamState<float>> states(1, StreamState<float>(snapshot.shape));
  const std::vector<float> weights(head_rows, 1.0f);
  std::vector<uint16_t> symbols, targets;
  std::vector<uint32_t> at(head_rows);
  double nats = 0;
  for (size_t first = 0; first < text.size(); first += text_window) {
    if (!goes_on()) return std::nullopt;
    const size_t count = std::min<size_t>(text_window, text.size() - first);
    symbols.clear();
    for (size_t i = first; i < first + count; ++i) symbols.push_back(i == 0 ? '\n' : text[i - 1]);
    targets.assign(text.begin() + static_cast<std::ptrdiff_t>(first),
                   text.begin() + static_cast<std::ptrdiff_t>(first + count));
    network_forward(snapshot.shape, snapshot.parameters.data(), symbols,
                    Window{.rows = 1, .length = static_cast<uint32_t>(count)}, std::span(states),
                    Routing{.allowed = snapshot.hosted}, activations);
    for (size_t i = 0; i < count; i += head_rows) {
      const size_t rows = std::min<size_t>(head_rows, count - i);
      std::iota(at.begin(), at.end(), static_cast<uint32_t>(i));
      head_forward(snapshot.shape, snapshot.parameters.data(),
                   std::span<const uint32_t>(at).first(rows), activations);
      nats += kernels::cross_entropy(activations.logits, targets.data() + i, weights.data(), rows,
                                     vocabulary);
    }
  }
  return TextScore{.bits_per_byte = nats * std::numbers::log2e / static_cast<double>(text.size()),
                   .bytes = text.size()};
}

PairScore score_pairs(const Snapshot& snapshot, std::span<const Pair> pairs) {
  return *score_pairs(snapshot, pairs, always);
}

std::optional<PairScore> score_pairs(const Snapshot& snapshot, std::span<const Pair> pairs,
                                     const GoesOn& goes_on) {
  if (pairs.empty()) return PairScore{};
  std::vector<PairText> texts;
  for (const Pair& pair : pairs)
    texts.push_back({"\n" + pair.prompt + pair.answer + "\n", 1 + pair.prompt.size()});
  std::vector<PairText*> order;
  for (PairText& text : texts) order.push_back(&text);
  // Pairs of similar length share a batch, so that little is computed past their ends.
  std::stable_sort(order.begin(), order.end(), [](const PairText* a, const PairText* b) {
    return a->text.size() < b->text.size();
  });
  PairScorer scorer(snapshot);
  for (size_t i = 0; i < order.size(); i += pair_rows) {
    if (!goes_on()) return std::nullopt;
    scorer.score(std::span(order).subspan(i, std::min<size_t>(pair_rows, order.size() - i)));
  }
  const auto exact =
      std::count_if(texts.begin(), texts.end(), [](const PairText& text) { return text.exact; });
  return PairScore{.exact_match = static_cast<double>(exact) / static_cast<double>(texts.size()),
                   .pairs = texts.size()};
}

}  // namespace starling::model
