#include "model/batcher.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <string_view>

using starling::Rng;
using starling::model::Batch;
using starling::model::Batcher;
using starling::model::BatcherOptions;
using starling::model::Pair;

namespace {

std::span<const uint8_t> bytes_of(const std::vector<uint8_t>& bytes) { return bytes; }
std::vector<uint8_t> repeat(char letter, size_t count) {
  return std::vector<uint8_t>(count, static_cast<uint8_t>(letter));
}
std::vector<uint8_t> random_bytes(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng.below(256));
  return bytes;
}

std::string inputs(const Batch& batch, uint32_t row) {
  std::string text;
  for (uint32_t t = 0; t < batch.length; ++t) {
    text += static_cast<char>(batch.symbols[size_t{row} * batch.length + t]);
  }
  return text;
}

// The symbols a row must predict; "_" where it need not.
std::string predicted(const Batch& batch, uint32_t row) {
  std::string text;
  for (uint32_t t = 0; t < batch.length; ++t) {
    const size_t at = size_t{row} * batch.length + t;
    text += batch.weights[at] > 0 ? static_cast<char>(batch.targets[at]) : '_';
  }
  return text;
}

size_t rows_starting_with(const Batch& batch, std::string_view letters) {
  size_t count = 0;
  for (uint32_t row = 0; row < batch.rows; ++row) {
    const char first = static_cast<char>(batch.symbols[size_t{row} * batch.length]);
    count += letters.find(first) != std::string_view::npos ? 1 : 0;
  }
  return count;
}

void check_well_formed(const Batch& batch) {
  for (uint32_t row = 0; row < batch.rows; ++row) {
    double weight = 0;
    for (uint32_t t = 0; t < batch.length; ++t) {
      const size_t at = size_t{row} * batch.length + t;
      REQUIRE(batch.symbols[at] < 256);
      if (t + 1 < batch.length) REQUIRE(batch.targets[at] == batch.symbols[at + 1]);
      weight += static_cast<double>(batch.weights[at]);
    }
    REQUIRE(weight > 0);
  }
}

}  // namespace

TEST_CASE("a pair row packs lines end to end and predicts answers and closing newlines only") {
  Batcher batcher({.rows = 2, .length = 16}, 1);
  const std::vector<Pair> pairs{{"q>", "abc"}};
  REQUIRE(batcher.add_pairs("pairs", pairs));
  Batch batch;
  batcher.next(batch);
  for (uint32_t row = 0; row < 2; ++row) {
    CHECK(inputs(batch, row) == "\nq>abc\nq>abc\nq>a");
    CHECK(predicted(batch, row) == "__abc\n__abc\n__ab");
    CHECK(batch.fresh[row] == 1);
  }
}

TEST_CASE("a line that is too long for the window loses the left part of its prompt") {
  Batcher batcher({.rows = 1, .length = 12}, 1);
  const std::vector<Pair> pairs{{"0123456789question>", "answer"}};
  REQUIRE(batcher.add_pairs("pairs", pairs));
  Batch batch;
  batcher.next(batch);
  CHECK(inputs(batch, 0) == "\ntion>answer");
  CHECK(predicted(batch, 0) == "_____answer\n");
}

TEST_CASE("an answer longer than the window is cut at the window and still sees some prompt") {
  Batcher batcher({.rows = 1, .length = 8}, 1);
  const std::vector<Pair> pairs{{"abcd", "0123456789012345"}};
  REQUIRE(batcher.add_pairs("pairs", pairs));
  Batch batch;
  batcher.next(batch);
  CHECK(inputs(batch, 0) == "\ncd01234");
  CHECK(predicted(batch, 0) == "__012345");
}

TEST_CASE("a text row walks on from window to window and is fresh only where it jumps") {
  const std::vector<uint8_t> text = random_bytes(3000, 3);
  const std::string whole(text.begin(), text.end());
  Batcher batcher({.rows = 4, .length = 50}, 1);
  REQUIRE(batcher.add_text("text", bytes_of(text)));
  Batch batch;
  batcher.next(batch);
  std::array<std::string, 4> last;
  for (uint32_t row = 0; row < 4; ++row) {
    CHECK(batch.fresh[row] == 1);
    last[row] = inputs(batch, row);
  }
  const std::string twice = whole + whole;
  for (int step = 0; step < 100; ++step) {
    batcher.next(batch);
    check_well_formed(batch);
    for (uint32_t row = 0; row < 4; ++row) {
      CHECK(batch.fresh[row] == 0);
      const std::string now = inputs(batch, row);
      CHECK(twice.find(last[row] + now) != std::string::npos);
      last[row] = now;
    }
  }
}

TEST_CASE("one pass reads every byte of every text exactly once") {
  const std::vector<uint8_t> first = random_bytes(4 * 32 * 5, 5);
  const std::vector<uint8_t> second = random_bytes(4 * 32 * 2, 6);
  Batcher batcher({.rows = 4, .length = 32}, 9);
  REQUIRE(batcher.add_text("first", bytes_of(first)));
  REQUIRE(batcher.add_text("second", bytes_of(second)));
  std::map<uint16_t, int> counts;
  for (const uint8_t byte : first) ++counts[byte];
  for (const uint8_t byte : second) ++counts[byte];
  Batch batch;
  for (int step = 0; step < 7; ++step) {
    CHECK(batcher.passes() == 0);
    batcher.next(batch);
    for (const uint16_t symbol : batch.symbols) --counts[symbol];
  }
  CHECK(batcher.passes() == 1);
  for (const auto& [symbol, count] : counts) CHECK(count == 0);
}

TEST_CASE("text rows are spread over the sources in proportion to their size") {
  Batcher batcher({.rows = 8, .length = 16}, 4);
  REQUIRE(batcher.add_text("large", bytes_of(repeat('a', 60000))));
  REQUIRE(batcher.add_text("small", bytes_of(repeat('b', 20000))));
  Batch batch;
  batcher.next(batch);
  CHECK(rows_starting_with(batch, "a") == 6);
  CHECK(rows_starting_with(batch, "b") == 2);
}

TEST_CASE(
    "the border between two texts is not predicted, and the smallest texts still give a loss") {
  Batcher batcher({.rows = 1, .length = 10}, 4);
  REQUIRE(batcher.add_text("one", bytes_of(repeat('a', 3))));
  REQUIRE(batcher.add_text("two", bytes_of(repeat('b', 2))));
  Batch batch;
  batcher.next(batch);
  check_well_formed(batch);
  for (uint32_t t = 0; t < 10; ++t) {
    CHECK((batch.weights[t] == 0) == (batch.symbols[t] != batch.targets[t]));
  }
  Batcher smallest({.rows = 1, .length = 10}, 4);
  REQUIRE(smallest.add_text("one", bytes_of(repeat('a', 1))));
  smallest.next(batch);
  check_well_formed(batch);
}

TEST_CASE("a new source gets its share of the rows until it has been read once") {
  Batcher batcher({.rows = 8, .length = 64, .replay_fraction = 0.5}, 2);
  REQUIRE(batcher.add_text("old", bytes_of(repeat('o', 100000))));
  Batch batch;
  batcher.next(batch);
  CHECK(rows_starting_with(batch, "o") == 8);
  REQUIRE(batcher.add_text("new", bytes_of(repeat('n', 4 * 64 * 6))));
  for (int step = 0; step < 6; ++step) {
    batcher.next(batch);
    check_well_formed(batch);
    CHECK(rows_starting_with(batch, "n") == 4);
    CHECK(rows_starting_with(batch, "o") == 4);
    for (uint32_t row = 4; row < 8; ++row) CHECK(batch.fresh[row] == (step == 0 ? 1 : 0));
  }
  batcher.next(batch);  // 1.5 % of the bytes now
  CHECK(rows_starting_with(batch, "n") <= 1);
}

TEST_CASE(
    "every byte of a new source is seen before it joins the others, whatever the batches are") {
  for (const double replay : {0.0, 0.3, 0.5, 1.0}) {
    for (const uint32_t rows : {1u, 2u, 5u, 8u}) {
      CAPTURE(replay);
      CAPTURE(rows);
      Batcher batcher({.rows = rows, .length = 32, .replay_fraction = replay}, 2);
      REQUIRE(batcher.add_text("old", bytes_of(repeat('.', 50000))));
      Batch batch;
      batcher.next(batch);
      std::vector<uint8_t> fresh(250);
      for (size_t i = 0; i < fresh.size(); ++i) fresh[i] = static_cast<uint8_t>(i < 46 ? i : i + 1);
      REQUIRE(batcher.add_text("new", bytes_of(fresh)));
      std::set<uint16_t> seen;
      for (int step = 0; step < 300 && seen.size() < 251; ++step) {
        if (step % 3 == 2) {
          batcher.next_with(std::vector<Pair>{{"..", "."}}, batch);
        } else {
          batcher.next(batch);
        }
        check_well_formed(batch);
        seen.insert(batch.symbols.begin(), batch.symbols.end());
      }
      CHECK(seen.size() == 251);
    }
  }
}

TEST_CASE("new pairs get their share of the rows until each has been seen") {
  Batcher batcher({.rows = 4, .length = 32, .replay_fraction = 0.5}, 2);
  REQUIRE(batcher.add_pairs("old", std::vector<Pair>{{"old>", "o"}}));
  Batch batch;
  batcher.next(batch);
  std::vector<Pair> fresh;
  for (char letter = 'A'; letter <= 'Z'; ++letter)
    fresh.push_back({"new>", std::string(1, letter)});
  REQUIRE(batcher.add_pairs("new", fresh));
  std::string seen;
  for (int step = 0; step < 3; ++step) {
    batcher.next(batch);
    CHECK(inputs(batch, 0).starts_with("\nold>"));
    CHECK(inputs(batch, 1).starts_with("\nold>"));
    CHECK(inputs(batch, 2).starts_with("\nnew>"));
    CHECK(inputs(batch, 3).starts_with("\nnew>"));
    seen += predicted(batch, 2) + predicted(batch, 3);
  }
  for (char letter = 'A'; letter <= 'Z'; ++letter) CHECK(seen.find(letter) != std::string::npos);
}

TEST_CASE("texts and pairs share the rows by size and an interrupted text row starts fresh") {
  Batcher batcher({.rows = 4, .length = 32}, 2);
  REQUIRE(batcher.add_text("text", bytes_of(repeat('t', 7000))));
  std::vector<Pair> pairs;
  for (int i = 0; i < 100; ++i) pairs.push_back({"prompt>", "an"});
  REQUIRE(batcher.add_pairs("pairs", pairs));  // 1000 bytes of 8000
  Batch batch;
  size_t pair_rows = 0;
  std::vector<bool> was_text(4, false);
  for (int step = 0; step < 400; ++step) {
    batcher.next(batch);
    pair_rows += rows_starting_with(batch, "\n");
    for (uint32_t row = 0; row < 4; ++row) {
      const bool is_text = batch.symbols[size_t{row} * 32] == 't';
      CHECK(batch.fresh[row] == (is_text && was_text[row] ? 0 : 1));
      was_text[row] = is_text;
    }
  }
  CHECK(pair_rows >= 195);
  CHECK(pair_rows <= 205);
}

TEST_CASE("a table of hundreds of lines is learned beside one of thousands") {
  Batcher batcher({.rows = 8, .length = 128}, 2);
  std::vector<Pair> few(300, Pair{"few>", "f"});
  std::vector<Pair> many(20000, Pair{"many", "m"});
  REQUIRE(batcher.add_pairs("few", few));
  REQUIRE(batcher.add_pairs("many", many));
  Batch batch;
  int f = 0, m = 0;
  for (int step = 0; step < 100; ++step) {
    batcher.next(batch);
    for (uint32_t row = 0; row < 8; ++row) {
      for (const char symbol : predicted(batch, row)) f += symbol == 'f', m += symbol == 'm';
    }
  }
  CHECK(f > 0.9 * m);
  CHECK(m > 0.9 * f);
}

TEST_CASE("the lines of a table come in walks that leave none out") {
  Batcher batcher({.rows = 1, .length = 300}, 2);
  std::vector<Pair> pairs;
  for (int i = 0; i < 100; ++i) pairs.push_back({"", std::string(1, static_cast<char>(100 + i))});
  REQUIRE(batcher.add_pairs("pairs", pairs));  // two bytes a line: 150 lines a row
  Batch batch;
  batcher.next(batch);
  const std::string row = predicted(batch, 0);
  std::set<char> seen;
  for (size_t i = 0; i < 200; i += 2) seen.insert(row[i]);
  CHECK(seen.size() == 100);
}

TEST_CASE("the held bytes are bounded and thinning leaves something of every source") {
  constexpr uint64_t bytes_max = 128 * 1024;
  Batcher batcher({.rows = 8, .length = 64, .bytes_max = bytes_max}, 2);
  Batch batch;
  for (char letter = 'a'; letter <= 'j'; ++letter) {
    const std::string name(1, letter);
    REQUIRE(batcher.add_text(name, bytes_of(repeat(letter, 100 * 1024))));
    CHECK(batcher.bytes() <= bytes_max);
    CHECK(batcher.bytes() > bytes_max / 2);
    for (int step = 0; step < 10; ++step) {
      batcher.next(batch);
      check_well_formed(batch);
    }
  }
  std::vector<Pair> pairs(20000, Pair{"0123456789", "#"});
  REQUIRE(batcher.add_pairs("pairs", pairs));
  CHECK(batcher.bytes() <= bytes_max);
  CHECK(batcher.sources() == 11);
  std::set<uint16_t> seen;
  for (int step = 0; step < 1000; ++step) {
    batcher.next(batch);
    check_well_formed(batch);
    seen.insert(batch.symbols.begin(), batch.symbols.end());
  }
  for (char letter = 'a'; letter <= 'j'; ++letter)
    CHECK(seen.count(static_cast<uint8_t>(letter)) == 1);
  CHECK(seen.count('#') == 1);
}

TEST_CASE("the first part of a long stream keeps its share of what is held, text and lines") {
  constexpr uint64_t bytes_max = 512 * 1024;
  constexpr int parts = 64;
  double first_text = 0, all_text = 0, first_lines = 0, all_lines = 0;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Batcher texts({.rows = 8, .length = 256, .bytes_max = bytes_max}, seed);
    Batcher tables({.rows = 8, .length = 256, .bytes_max = bytes_max}, seed);
    for (int part = 0; part < parts; ++part) {
      const char letter = part < parts / 4 ? 'f' : 'l';
      REQUIRE(texts.add_text("stream", bytes_of(repeat(letter, 64 * 1024))));
      REQUIRE(
          tables.add_pairs("stream", std::vector<Pair>(1024, Pair{std::string(60, letter), "a"})));
    }
    Batch batch;
    for (int step = 0; step < 400; ++step) {
      texts.next(batch);
      first_text +=
          static_cast<double>(std::count(batch.symbols.begin(), batch.symbols.end(), 'f'));
      all_text += static_cast<double>(batch.symbols.size());
      tables.next(batch);
      const auto count = [&](char letter) {
        return static_cast<double>(std::count(batch.symbols.begin(), batch.symbols.end(), letter));
      };
      first_lines += count('f');
      all_lines += count('f') + count('l');
    }
  }
  // A quarter of the stream; the standard deviation of the four choices of 120 pieces is 0.02.
  CHECK(first_text / all_text == doctest::Approx(0.25).epsilon(0.3));
  CHECK(first_lines / all_lines == doctest::Approx(0.25).epsilon(0.15));
}

TEST_CASE("a single text beyond the bound is thinned, also when it comes later") {
  constexpr uint64_t bytes_max = 64 * 1024;
  for (const bool is_later : {false, true}) {
    Batcher batcher({.rows = 2, .length = 64, .bytes_max = bytes_max}, 2);
    Batch batch;
    if (is_later) {
      REQUIRE(batcher.add_text("old", bytes_of(repeat('o', 1000))));
      batcher.next(batch);
    }
    REQUIRE(batcher.add_text("huge", bytes_of(random_bytes(1 << 20, 8))));
    REQUIRE(batcher.add_text("huge", bytes_of(random_bytes(1 << 20, 9))));
    CHECK(batcher.bytes() <= bytes_max);
    for (int step = 0; step < 2000; ++step) {
      batcher.next(batch);
      check_well_formed(batch);
    }
    CHECK(batcher.passes() >= 3);
  }
}

TEST_CASE("more sources than are kept apart are joined, not lost") {
  Batcher batcher({.rows = 2, .length = 64, .bytes_max = 1 << 20}, 2);
  for (int i = 0; i < 3000; ++i) {
    REQUIRE(batcher.add_text(std::to_string(i), bytes_of(repeat('x', 10))));
    REQUIRE(batcher.add_pairs(std::to_string(i), std::vector<Pair>{{"p", "a"}}));
  }
  CHECK(batcher.sources() == 2048);
  CHECK(batcher.bytes() == 3000 * 10 + 3000 * 3);
}

TEST_CASE("teaching repeats the pairs in half of the rows and replays in the others") {
  Batcher batcher({.rows = 4, .length = 32}, 2);
  const std::vector<Pair> taught{{"capital>", "Paris"}, {"river>", "Seine"}};
  Batch batch;
  batcher.next_with(taught, batch);  // nothing to replay yet
  for (uint32_t row = 0; row < 4; ++row)
    CHECK(predicted(batch, row).find("is\n") != std::string::npos);
  REQUIRE(batcher.add_text("text", bytes_of(repeat('t', 5000))));
  batcher.next(batch);
  batcher.next_with(taught, batch);
  check_well_formed(batch);
  CHECK(rows_starting_with(batch, "t") == 2);
  CHECK(batch.fresh == std::vector<uint8_t>{0, 0, 1, 1});
  CHECK(predicted(batch, 2) == "________Paris\n______Seine\n______");
  CHECK(predicted(batch, 3) == "______Seine\n________Paris\n______");
  batcher.next(batch);
  CHECK(batch.fresh == std::vector<uint8_t>{0, 0, 1, 1});
}

TEST_CASE("the same seed gives the same batches and another seed others") {
  const auto run = [](uint64_t seed) {
    Batcher batcher({.rows = 3, .length = 40, .bytes_max = 64 * 1024}, seed);
    std::vector<uint16_t> all;
    Batch batch;
    for (int round = 0; round < 6; ++round) {
      batcher.add_text("text" + std::to_string(round % 4), bytes_of(random_bytes(20000, 77)));
      std::vector<Pair> pairs;
      for (int i = 0; i < 500; ++i) pairs.push_back({std::to_string(i), std::to_string(i * i)});
      batcher.add_pairs("pairs" + std::to_string(round % 2), pairs);
      for (int step = 0; step < 50; ++step) {
        if (step % 7 == 0) {
          batcher.next_with(std::span<const Pair>(pairs).first(2), batch);
        } else {
          batcher.next(batch);
        }
        all.insert(all.end(), batch.symbols.begin(), batch.symbols.end());
        all.insert(all.end(), batch.fresh.begin(), batch.fresh.end());
      }
    }
    return all;
  };
  CHECK(run(1) == run(1));
  CHECK(run(1) != run(2));
}

TEST_CASE("the last rows of a batch say that they read something for the first time") {
  Batcher batcher({.rows = 4, .length = 64, .replay_fraction = 0.5}, 2);
  REQUIRE(batcher.add_text("old", bytes_of(repeat('o', 5000))));
  CHECK_FALSE(batcher.has_unread());
  Batch batch;
  batcher.next(batch);
  CHECK(batcher.first_read_rows() == 0);
  REQUIRE(batcher.add_text("new", bytes_of(repeat('n', 1000))));
  int rows = 0;
  while (batcher.has_unread()) {
    batcher.next(batch);
    REQUIRE(batcher.first_read_rows() == rows_starting_with(batch, "n"));
    for (uint32_t row = 4 - batcher.first_read_rows(); row < 4; ++row)
      CHECK(batch.symbols[size_t{row} * 64] == 'n');
    rows += static_cast<int>(batcher.first_read_rows());
  }
  CHECK(rows == 16);
}

TEST_CASE("adding nothing changes nothing") {
  Batcher batcher({}, 1);
  CHECK_FALSE(batcher.add_text("empty", {}));
  CHECK_FALSE(batcher.add_pairs("none", {}));
  CHECK(batcher.is_empty());
  CHECK(batcher.sources() == 0);
  CHECK(batcher.bytes() == 0);
  CHECK(batcher.passes() == 0);
}
