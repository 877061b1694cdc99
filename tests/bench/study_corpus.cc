#include "tests/bench/study_corpus.h"

#include <algorithm>
#include <cassert>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace starling::bench {
namespace {

constexpr size_t text_size_min = 100'000;

}  // namespace

std::optional<Text> read_text(const std::string& path, size_t scored_max) {
  std::ifstream file(path, std::ios::binary);
  if (!file || !std::filesystem::is_regular_file(path)) return std::nullopt;
  Text text;
  text.bytes.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  if (text.bytes.size() < text_size_min) return std::nullopt;
  const size_t slash = path.find_last_of('/');
  text.name = slash == std::string::npos ? path : path.substr(slash + 1);
  text.training_size = text.bytes.size() - text.bytes.size() / 10;
  text.scored_size = text.bytes.size() - text.training_size;
  if (scored_max > 0) text.scored_size = std::min(text.scored_size, scored_max);
  return text;
}

StreamReader::StreamReader(std::span<const Text> texts, std::span<const model::Pair> pairs,
                           const StreamOptions& options, uint64_t seed)
    : texts_(texts), pairs_(pairs), options_(options), rng_(seed), rows_(options.rows) {
  assert(!texts.empty() && options.stay > 0 && options.skill_rows < options.rows);
  assert(options.skill_rows == 0 || !pairs.empty());
  for (const Text& text : texts) assert(text.training_size > options.stay * options.length + 1);
}

void StreamReader::next(model::Batch& batch) {
  const size_t positions = size_t{options_.rows} * options_.length;
  batch.rows = options_.rows;
  batch.length = options_.length;
  batch.symbols.assign(positions, '\n');
  batch.targets.assign(positions, '\n');
  batch.weights.assign(positions, 0.0f);
  batch.fresh.assign(options_.rows, 0);
  const uint32_t text_rows = options_.rows - options_.skill_rows;
  for (uint32_t i = 0; i < text_rows; ++i) read_text_row(i, batch);
  for (uint32_t i = text_rows; i < options_.rows; ++i) read_skill_row(i, batch);
}

void StreamReader::read_text_row(uint32_t index, model::Batch& batch) {
  Row& row = rows_[index];
  if (row.windows_left == 0) {
    row.text = next_text_++ % texts_.size();
    const size_t span = size_t{options_.stay} * options_.length + 1;
    row.at = rng_.below(texts_[row.text].training_size - span + 1);
    row.windows_left = options_.stay;
    batch.fresh[index] = rng_.unit() < options_.fresh_share ? 1 : 0;
  }
  const uint8_t* const from = texts_[row.text].bytes.data() + row.at;
  const size_t start = size_t{index} * options_.length;
  for (size_t t = 0; t < options_.length; ++t) {
    batch.symbols[start + t] = from[t];
    batch.targets[start + t] = from[t + 1];
    batch.weights[start + t] = 1;
  }
  row.at += options_.length;
  --row.windows_left;
}

// Whole lines "\n" prompt answer "\n" as score_pairs reads them; what is left over stays
// unpredicted.
void StreamReader::read_skill_row(uint32_t index, model::Batch& batch) {
  const size_t start = size_t{index} * options_.length;
  batch.fresh[index] = 1;
  size_t at = 0;
  while (true) {
    const model::Pair& pair = pairs_[rng_.below(pairs_.size())];
    const std::string line = "\n" + pair.prompt + pair.answer + "\n";
    if (at + line.size() > options_.length) break;
    for (size_t i = 0; i + 1 < line.size(); ++i) {
      batch.symbols[start + at + i] = static_cast<uint8_t>(line[i]);
      batch.targets[start + at + i] = static_cast<uint8_t>(line[i + 1]);
      batch.weights[start + at + i] = i >= pair.prompt.size() ? 1.0f : 0.0f;
    }
    at += line.size() - 1;  // the newline that ends this line begins the next
  }
  // A row that predicts nothing would be wasted but does no harm: lines are far below the length.
}

}  // namespace starling::bench
