#include "tests/bench/study_corpus.h"

#include <doctest/doctest.h>

namespace starling::bench {
namespace {

// Byte i of the text is `first` + i modulo 100, so that a byte tells its place and its text.
Text counting_text(uint8_t first, size_t size) {
  Text text;
  for (size_t i = 0; i < size; ++i) text.bytes.push_back(static_cast<uint8_t>(first + i % 100));
  text.training_size = size - size / 10;
  text.scored_size = size / 10;
  // What is held out is marked.
  for (size_t i = text.training_size; i < size; ++i) text.bytes[i] = 255;
  return text;
}

}  // namespace

TEST_CASE("what is not a file is no text") {
  CHECK_FALSE(read_text("/", 0).has_value());
  CHECK_FALSE(read_text("/no/such/file", 0).has_value());
}

TEST_CASE("a row of the study reads on in its text, then moves to the next; all get equal shares") {
  const std::vector<Text> texts = {counting_text(0, 2000), counting_text(100, 1500)};
  const StreamOptions options{.rows = 3, .length = 16, .stay = 4};
  StreamReader reader(texts, {}, options, 7);
  model::Batch batch;
  std::vector<size_t> read(2);
  std::vector<uint16_t> expected(options.rows);
  for (uint32_t window = 0; window < 40; ++window) {
    reader.next(batch);
    for (uint32_t row = 0; row < options.rows; ++row) {
      const uint16_t* const symbols = batch.symbols.data() + row * options.length;
      const uint16_t* const targets = batch.targets.data() + row * options.length;
      if (window % options.stay != 0) {
        CHECK(symbols[0] == expected[row]);
        CHECK(batch.fresh[row] == 0);
      }
      for (uint32_t t = 0; t < options.length; ++t) {
        CHECK(symbols[t] < 200);  // never from what is held out
        CHECK(targets[t] < 200);
        if (t > 0) CHECK(symbols[t] == targets[t - 1]);
      }
      expected[row] = targets[options.length - 1];
      read[symbols[0] / 100] += 1;
    }
  }
  CHECK(read[0] == read[1]);
}

TEST_CASE("a row of skills predicts answers and the newline after them, from the zero state") {
  const std::vector<Text> texts = {counting_text(0, 2000)};
  const std::vector<model::Pair> pairs = {{"ab>", "xyz"}};
  StreamReader reader(texts, pairs, {.rows = 2, .length = 20, .stay = 4, .skill_rows = 1}, 7);
  model::Batch batch;
  reader.next(batch);
  CHECK(batch.fresh[1] == 1);
  std::string predicted;
  for (size_t i = 20; i < 40; ++i)
    if (batch.weights[i] > 0) predicted += static_cast<char>(batch.targets[i]);
  CHECK(predicted == "xyz\nxyz\n");
}

}  // namespace starling::bench
