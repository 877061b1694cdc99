// Document encoding.
// A symbol is a byte. A row of T positions is cut out of T + 1 symbols: inputs are the first T,
// targets the last T.
//   text row   the bytes of a source from the row's place on; at a source's end the next source
//   follows in the
//              same row, and the one prediction across that border has weight 0. The row's next
//              window starts where this one ended (fresh = 0); fresh = 1 only where the row jumps.
//   pair row   "\n" prompt answer "\n" prompt answer "\n" ...: the newline that closes one line
//   opens the next.
//              Weight 1 on the bytes of answers and their closing newlines, 0 on prompts; cut at T;
//              always fresh. A line that does not fit into a row loses the left part of its prompt,
//              down to a quarter row.
// Order of reading. Text rows are spread evenly over a ring of all text sources, so that each
// source has rows in proportion to its size and the ring is read once each time all rows together
// have walked its length. Lines are drawn from shuffled walks through the pair sources. A source
// that comes while others are held is read first, by its own share of the rows, and joins the rest
// when it has been read once.
#include "model/batcher.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <deque>
#include <string_view>

#include "model/reservoir.h"

namespace starling::model {
namespace {

constexpr uint64_t piece_size = 4096;  // bytes; what thinning keeps or drops of a text
constexpr uint64_t source_weight_max =
    256;                              // lines; beyond it a longer table is not drawn more often
constexpr size_t sources_max = 1024;  // of each kind; past it new ones are joined to the smallest
constexpr uint64_t bytes_max_least = 64 * 1024;

struct TextSource {
  std::string name;
  std::vector<uint8_t> bytes;
  bool is_new = false;  // outside the ring until it has been read once
  // Of the leading pieces, drawn once for each: thinning keeps the lowest. What was thinned away
  // had higher ones than what was kept, so that the choice is the one it would be if all that ever
  // came were still here.
  std::vector<uint64_t> priorities;
  uint64_t piece_size = 0;  // that they belong to
};

struct PairSource {
  std::string name;
  std::vector<Pair> pairs;
  std::vector<uint32_t> order;  // of this walk
  size_t place = 0;             // in order
  uint64_t bytes = 0;
  bool is_new = false;
  std::vector<uint64_t> priorities;  // of the leading lines, as in a text
};

TextSource make_text(const std::string& name, bool is_new) {
  TextSource text;
  text.name = name;
  text.is_new = is_new;
  return text;
}

// A part of a source that came after reading had begun and has not been read yet.
struct Unread {
  bool is_text = true;
  size_t source = 0;
  uint64_t begin = 0, end = 0;  // bytes of a text, lines of a pair source
};

struct Cursor {
  size_t source = 0;
  uint64_t offset = 0;
};

// Reads a text window by window.
struct Walker {
  Cursor cursor;
  uint64_t windows_left = 0;  // of its part of a text that is read for the first time
};

constexpr uint32_t no_reader = UINT32_MAX;

uint64_t line_bytes(const Pair& pair) { return pair.prompt.size() + pair.answer.size() + 1; }

void shuffle(std::vector<uint32_t>& order, Rng& rng) {
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
}

// Writes lines one after another into a row of a batch.
class LineWriter {
 public:
  LineWriter(Batch& batch, uint32_t row) : batch_(batch), begin_(size_t{row} * batch.length) {
    put('\n', 0);
  }

  bool is_empty() const { return count_ == 1; }
  bool is_full() const { return count_ > batch_.length; }

  // False: the row ended before the line did.
  bool line(std::string_view prompt, std::string_view answer) {
    const size_t room = batch_.length;  // beside the opening newline
    const size_t rest = answer.size() + 1;
    const size_t prompt_least = std::min<size_t>(prompt.size(), batch_.length / 4);
    const size_t prompt_most = std::max(prompt_least, rest < room ? room - rest : 0);
    if (prompt.size() > prompt_most) prompt.remove_prefix(prompt.size() - prompt_most);
    for (const char byte : prompt) put(byte, 0);
    for (const char byte : answer) put(byte, 1);
    const bool is_whole = !is_full();
    put('\n', 1);
    return is_whole;
  }

 private:
  void put(char byte, float weight) {
    if (is_full()) return;
    const uint16_t symbol = static_cast<uint8_t>(byte);
    if (count_ < batch_.length) batch_.symbols[begin_ + count_] = symbol;
    if (count_ > 0) {
      batch_.targets[begin_ + count_ - 1] = symbol;
      batch_.weights[begin_ + count_ - 1] = weight;
    }
    ++count_;
  }

  Batch& batch_;  // outlives the writer
  size_t begin_;
  size_t count_ = 0;  // symbols put, of length + 1
};

}  // namespace

struct Batcher::Parts {
  Parts(const BatcherOptions& options_given, uint64_t seed)
      : options(options_given),
        rng(seed),
        ring_walkers(options.rows),
        unread_walkers(options.rows),
        reader_of_row(options.rows, no_reader) {}

  BatcherOptions options;
  Rng rng;
  std::vector<TextSource> texts;
  std::vector<PairSource> tables;
  std::deque<Unread> unread;           // the front is being read
  std::vector<Walker> ring_walkers;    // one for each row of a batch
  std::vector<Walker> unread_walkers;  // on the front of `unread` when that is a text
  // Whose place the trainer's state for a row belongs to: ring walker i is i, unread walker i is
  // rows + i.
  std::vector<uint32_t> reader_of_row;
  uint64_t lines_left = 0;  // of the front of `unread` when that is pairs
  bool is_reading_front = false;
  bool has_started = false;
  double table_credit = 0;  // fractions of rows that are owed to pairs
  double unread_credit = 0;
  uint64_t read_bytes = 0;
  uint32_t first_read_rows = 0;  // of the last batch

  uint64_t ring_size() const;
  uint64_t table_size() const;
  uint64_t held() const;
  bool is_fresh_source() const { return has_started && held() > 0; }
  void spread();
  Cursor place_on_ring(uint64_t offset) const;
  void step_over(Cursor& cursor) const;
  void forget_readers(uint32_t begin, uint32_t end);
  void read_window(uint32_t reader, uint32_t row, Batch& batch);
  const Pair& draw(PairSource& table);
  PairSource& choose_table();
  void fill_pairs(uint32_t row, PairSource* only, Batch& batch);
  void start_unread();
  void finish_unread();
  uint32_t share_of_unread(uint32_t rows) const;
  uint32_t rows_for_unread(uint32_t rows);
  void fill_unread(uint32_t begin, uint32_t end, Batch& batch);
  void compose(uint32_t rows, Batch& batch);
  void shape(Batch& batch) const;
  void thin();
  void thin_text(TextSource& text, uint64_t size_wanted);
  void thin_table(PairSource& table, uint64_t size_wanted);
  void forget_unread(bool is_text, size_t source, bool is_new, uint64_t size);
};

uint64_t Batcher::Parts::ring_size() const {
  uint64_t sum = 0;
  for (const TextSource& text : texts) sum += text.is_new ? 0 : text.bytes.size();
  return sum;
}

uint64_t Batcher::Parts::table_size() const {
  uint64_t sum = 0;
  for (const PairSource& table : tables) sum += table.is_new ? 0 : table.bytes;
  return sum;
}

uint64_t Batcher::Parts::held() const {
  uint64_t sum = 0;
  for (const TextSource& text : texts) sum += text.bytes.size();
  for (const PairSource& table : tables) sum += table.bytes;
  return sum;
}

Cursor Batcher::Parts::place_on_ring(uint64_t offset) const {
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].is_new) continue;
    if (offset < texts[i].bytes.size()) return {.source = i, .offset = offset};
    offset -= texts[i].bytes.size();
  }
  assert(false && "an offset beyond the ring");
  return {};
}

// Puts every text row on a new place, evenly spaced around the ring from a random start.
void Batcher::Parts::spread() {
  const uint64_t size = ring_size();
  if (size == 0) return;
  const uint64_t start = rng.below(size);
  for (size_t i = 0; i < ring_walkers.size(); ++i) {
    ring_walkers[i].cursor = place_on_ring((start + i * size / ring_walkers.size()) % size);
  }
  forget_readers(0, options.rows);
}

// The readers [begin, end) have jumped: their rows start fresh.
void Batcher::Parts::forget_readers(uint32_t begin, uint32_t end) {
  for (uint32_t& reader : reader_of_row) {
    if (reader >= begin && reader < end) reader = no_reader;
  }
}

// To the beginning of the next source of the ring (the same one when there is no other).
void Batcher::Parts::step_over(Cursor& cursor) const {
  do {
    cursor.source = (cursor.source + 1) % texts.size();
  } while (texts[cursor.source].is_new);
  cursor.offset = 0;
}

// The row's next `length` bytes. Off the ring, a text's end is followed by its beginning.
void Batcher::Parts::read_window(uint32_t reader, uint32_t row, Batch& batch) {
  const size_t begin = size_t{row} * batch.length;
  const bool is_on_ring = reader < options.rows;
  Cursor& cursor =
      (is_on_ring ? ring_walkers[reader] : unread_walkers[reader - options.rows]).cursor;
  for (uint32_t t = 0; t < batch.length; ++t) {
    const std::vector<uint8_t>& bytes = texts[cursor.source].bytes;
    batch.symbols[begin + t] = bytes[cursor.offset];
    ++cursor.offset;
    const bool is_border = cursor.offset == bytes.size();
    if (is_border && is_on_ring) step_over(cursor);
    if (is_border && !is_on_ring) cursor.offset = 0;
    batch.targets[begin + t] = texts[cursor.source].bytes[cursor.offset];
    // A text of one byte has nothing but borders; it still has to predict something.
    batch.weights[begin + t] = is_border && bytes.size() > 1 ? 0.0f : 1.0f;
  }
  batch.fresh[row] = reader_of_row[row] == reader ? 0 : 1;
  reader_of_row[row] = reader;
  read_bytes += batch.length;
}

const Pair& Batcher::Parts::draw(PairSource& table) {
  if (table.order.size() != table.pairs.size()) {
    table.order.resize(table.pairs.size());
    for (size_t i = 0; i < table.order.size(); ++i) table.order[i] = static_cast<uint32_t>(i);
    table.place = table.order.size();
  }
  if (table.place >= table.order.size()) {
    shuffle(table.order, rng);
    table.place = 0;
  }
  const Pair& pair = table.pairs[table.order[table.place++]];
  read_bytes += line_bytes(pair);
  return pair;
}

PairSource& Batcher::Parts::choose_table() {
  const auto weight = [](const PairSource& table) {
    return table.is_new ? 0 : std::min<uint64_t>(table.pairs.size(), source_weight_max);
  };
  uint64_t sum = 0;
  for (const PairSource& table : tables) sum += weight(table);
  uint64_t point = rng.below(sum);
  for (PairSource& table : tables) {
    if (point < weight(table)) return table;
    point -= weight(table);
  }
  assert(false && "no pair source to draw from");
  return tables.front();
}

void Batcher::Parts::fill_pairs(uint32_t row, PairSource* only, Batch& batch) {
  LineWriter writer(batch, row);
  while (!writer.is_full()) {
    const Pair& pair = draw(only != nullptr ? *only : choose_table());
    writer.line(pair.prompt, pair.answer);
  }
  batch.fresh[row] = 1;
  reader_of_row[row] = no_reader;
}

// What the front of `unread` should get of that many rows: at least one, or it would never be read.
uint32_t Batcher::Parts::share_of_unread(uint32_t rows) const {
  const long share = std::lround((1.0 - options.replay_fraction) * rows);
  return static_cast<uint32_t>(std::clamp(share, 1L, static_cast<long>(rows)));
}

// Rows of the coming batch that read the front of `unread`. A batch of one row alternates.
uint32_t Batcher::Parts::rows_for_unread(uint32_t rows) {
  if (unread.empty()) return 0;
  if (!is_reading_front) start_unread();
  if (rows == 1) {
    unread_credit += std::clamp(1.0 - options.replay_fraction, 1.0 / 16, 1.0);
    if (unread_credit < 1.0) return 0;
    unread_credit -= 1.0;
    return 1;
  }
  const uint32_t share = share_of_unread(rows);
  if (!unread.front().is_text) return share;
  const auto is_active = [](const Walker& walker) { return walker.windows_left > 0; };
  const auto active = std::count_if(unread_walkers.begin(), unread_walkers.end(), is_active);
  return std::min(share, static_cast<uint32_t>(active));
}

// Divides the front of `unread` among as many rows as have something to do on it.
void Batcher::Parts::start_unread() {
  const Unread& front = unread.front();
  const uint64_t size = front.end - front.begin;
  is_reading_front = true;
  lines_left = front.is_text ? 0 : size;
  for (Walker& walker : unread_walkers) walker.windows_left = 0;
  forget_readers(options.rows, 2 * options.rows);
  if (!front.is_text) return;
  const uint64_t windows = (size + options.length - 1) / options.length;
  const uint64_t parts = std::min<uint64_t>(share_of_unread(options.rows), windows);
  for (uint64_t i = 0; i < parts; ++i) {
    const uint64_t offset = front.begin + i * size / parts;
    unread_walkers[i] = {.cursor = {.source = front.source, .offset = offset},
                         .windows_left = (windows + parts - 1) / parts};
  }
}

void Batcher::Parts::finish_unread() {
  const Unread& front = unread.front();
  if (front.is_text) {
    texts[front.source].is_new = false;
  } else {
    tables[front.source].is_new = false;
  }
  unread.pop_front();
  is_reading_front = false;
  spread();
}

// Rows [begin, end) from the front of `unread`. Requires: that many walkers have windows left.
void Batcher::Parts::fill_unread(uint32_t begin, uint32_t end, Batch& batch) {
  const Unread front = unread.front();
  uint32_t walker = 0;
  for (uint32_t row = begin; row < end; ++row) {
    if (front.is_text) {
      while (unread_walkers[walker].windows_left == 0) ++walker;
      --unread_walkers[walker].windows_left;
      read_window(options.rows + walker++, row, batch);
      continue;
    }
    LineWriter writer(batch, row);
    const std::vector<Pair>& pairs = tables[front.source].pairs;
    while (!writer.is_full()) {
      // The lines in their order, then any of them until the row is full. A line that the row cut
      // off opens the next one, unless no row is long enough for it.
      const bool is_first_time = lines_left > 0;
      const uint64_t any = front.begin + (is_first_time ? 0 : rng.below(front.end - front.begin));
      const Pair& pair = pairs[is_first_time ? front.end - lines_left : any];
      read_bytes += line_bytes(pair);
      const bool is_only = writer.is_empty();
      if ((writer.line(pair.prompt, pair.answer) || is_only) && is_first_time) --lines_left;
    }
    batch.fresh[row] = 1;
    reader_of_row[row] = no_reader;
  }
  const auto is_done = [](const Walker& each) { return each.windows_left == 0; };
  if (lines_left == 0 && std::all_of(unread_walkers.begin(), unread_walkers.end(), is_done)) {
    finish_unread();
  }
}

// Rows [0, rows): text of the ring first, then pairs, then what is being read for the first time.
void Batcher::Parts::compose(uint32_t rows, Batch& batch) {
  first_read_rows = 0;
  if (rows == 0) return;
  const uint32_t fresh_rows = rows_for_unread(rows);
  const uint32_t known_rows = rows - fresh_rows;
  const double text_bytes = static_cast<double>(ring_size());
  const double table_bytes = static_cast<double>(table_size());
  uint32_t table_rows = 0;
  if (table_bytes > 0 && known_rows > 0) {
    table_credit += known_rows * table_bytes / (text_bytes + table_bytes);
    table_rows = static_cast<uint32_t>(std::min<double>(known_rows, std::floor(table_credit)));
    if (text_bytes == 0) table_rows = known_rows;
    table_credit = std::clamp(table_credit - table_rows, 0.0, 1.0);
  }
  for (uint32_t row = 0; row < known_rows; ++row) {
    if (row < known_rows - table_rows) {
      read_window(row, row, batch);
    } else {
      fill_pairs(row, nullptr, batch);
    }
  }
  if (fresh_rows > 0) fill_unread(known_rows, rows, batch);
  first_read_rows = fresh_rows;
}

void Batcher::Parts::shape(Batch& batch) const {
  batch.rows = options.rows;
  batch.length = options.length;
  const size_t positions = size_t{options.rows} * options.length;
  batch.symbols.resize(positions);
  batch.targets.resize(positions);
  batch.weights.resize(positions);
  batch.fresh.resize(options.rows);
}

// After a source has been thinned, offsets into it mean nothing any more: one that is new is read
// from the start, what had been added to a known one counts as read.
void Batcher::Parts::forget_unread(bool is_text, size_t source, bool is_new, uint64_t size) {
  std::erase_if(
      unread, [&](const Unread& part) { return part.is_text == is_text && part.source == source; });
  if (is_new) {
    unread.push_back({.is_text = is_text, .source = source, .begin = 0, .end = size});
  }
  is_reading_front = false;
}

void Batcher::Parts::thin_text(TextSource& text, uint64_t size_wanted) {
  const uint64_t piece = std::min(piece_size, size_wanted);
  const uint64_t pieces = text.bytes.size() / piece;
  std::vector<uint8_t> kept;
  kept.reserve(size_wanted);
  if (text.piece_size != piece) text.priorities.clear();
  text.piece_size = piece;
  keep_lowest(pieces, size_wanted / piece, text.priorities, rng, [&](uint64_t index) {
    const auto begin = text.bytes.begin() + static_cast<std::ptrdiff_t>(index * piece);
    kept.insert(kept.end(), begin, begin + static_cast<std::ptrdiff_t>(piece));
  });
  text.bytes = std::move(kept);
}

void Batcher::Parts::thin_table(PairSource& table, uint64_t size_wanted) {
  const uint64_t count = table.pairs.size();
  const double share = static_cast<double>(size_wanted) / static_cast<double>(table.bytes);
  const uint64_t wanted =
      std::max<uint64_t>(1, static_cast<uint64_t>(share * static_cast<double>(count)));
  std::vector<Pair> kept;
  kept.reserve(wanted);
  keep_lowest(count, wanted, table.priorities, rng,
              [&](uint64_t index) { kept.push_back(std::move(table.pairs[index])); });
  table.pairs = std::move(kept);
  table.order.clear();
  table.bytes = 0;
  for (const Pair& pair : table.pairs) table.bytes += line_bytes(pair);
}

// Brings the held bytes under the bound: sources above the fair size lose random pieces. A
// sixteenth of room is made besides, so that a stream of small additions does not thin at every one
// of them.
void Batcher::Parts::thin() {
  if (held() <= options.bytes_max) return;
  std::vector<uint64_t> sizes;
  for (const TextSource& text : texts) sizes.push_back(text.bytes.size());
  for (const PairSource& table : tables) sizes.push_back(table.bytes);
  const uint64_t fair = fair_size(std::move(sizes), options.bytes_max - options.bytes_max / 16);
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].bytes.size() <= fair) continue;
    thin_text(texts[i], fair);
    forget_unread(true, i, texts[i].is_new, texts[i].bytes.size());
  }
  for (size_t i = 0; i < tables.size(); ++i) {
    if (tables[i].bytes <= fair) continue;
    thin_table(tables[i], fair);
    forget_unread(false, i, tables[i].is_new, tables[i].pairs.size());
  }
  spread();
}

Batcher::Batcher(const BatcherOptions& options, uint64_t seed)
    : parts_(std::make_unique<Parts>(options, seed)) {
  assert(options.rows > 0 && options.length > 1 && options.bytes_max >= bytes_max_least);
  assert(options.replay_fraction >= 0 && options.replay_fraction <= 1);
}
Batcher::~Batcher() = default;
Batcher::Batcher(Batcher&&) noexcept = default;
Batcher& Batcher::operator=(Batcher&&) noexcept = default;

bool Batcher::add_text(const std::string& name, std::span<const uint8_t> text) {
  if (text.empty()) return false;
  Parts& parts = *parts_;
  const bool is_fresh = parts.is_fresh_source();
  const auto size = [](const TextSource& source) { return source.bytes.size(); };
  auto found = std::find_if(parts.texts.begin(), parts.texts.end(),
                            [&](const TextSource& source) { return source.name == name; });
  if (found == parts.texts.end() && parts.texts.size() >= sources_max) {
    found = std::min_element(parts.texts.begin(), parts.texts.end(),
                             [&](const auto& a, const auto& b) { return size(a) < size(b); });
  }
  if (found == parts.texts.end()) {
    found = parts.texts.insert(found, make_text(name, is_fresh));
  }
  const uint64_t begin = found->bytes.size();
  found->bytes.insert(found->bytes.end(), text.begin(), text.end());
  if (is_fresh) {
    const size_t index = static_cast<size_t>(found - parts.texts.begin());
    parts.unread.push_back(
        {.is_text = true, .source = index, .begin = begin, .end = found->bytes.size()});
  } else {
    parts.spread();
  }
  parts.thin();
  return true;
}

bool Batcher::add_pairs(const std::string& name, std::span<const Pair> pairs) {
  if (pairs.empty()) return false;
  Parts& parts = *parts_;
  const bool is_fresh = parts.is_fresh_source();
  auto found = std::find_if(parts.tables.begin(), parts.tables.end(),
                            [&](const PairSource& source) { return source.name == name; });
  if (found == parts.tables.end() && parts.tables.size() >= sources_max) {
    found = std::min_element(parts.tables.begin(), parts.tables.end(),
                             [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
  }
  if (found == parts.tables.end()) {
    PairSource table;
    table.name = name;
    table.is_new = is_fresh;
    found = parts.tables.insert(found, std::move(table));
  }
  const uint64_t begin = found->pairs.size();
  const size_t row_size = parts.options.length;
  for (const Pair& pair : pairs) {
    Pair kept = pair;  // no more of it than a row can show
    if (kept.prompt.size() > row_size) kept.prompt.erase(0, kept.prompt.size() - row_size);
    if (kept.answer.size() > row_size) kept.answer.resize(row_size);
    found->bytes += line_bytes(kept);
    found->pairs.push_back(std::move(kept));
  }
  if (is_fresh) {
    const size_t index = static_cast<size_t>(found - parts.tables.begin());
    parts.unread.push_back(
        {.is_text = false, .source = index, .begin = begin, .end = found->pairs.size()});
  }
  parts.thin();
  return true;
}

bool Batcher::is_empty() const { return parts_->texts.empty() && parts_->tables.empty(); }
uint64_t Batcher::bytes() const { return parts_->held(); }
uint64_t Batcher::sources() const { return parts_->texts.size() + parts_->tables.size(); }

bool Batcher::has_unread() const { return !parts_->unread.empty(); }
uint32_t Batcher::first_read_rows() const { return parts_->first_read_rows; }

uint64_t Batcher::passes() const {
  const uint64_t held = parts_->held();
  return held == 0 ? 0 : parts_->read_bytes / held;
}

void Batcher::next(Batch& batch) {
  assert(!is_empty());
  parts_->has_started = true;
  parts_->shape(batch);
  parts_->compose(batch.rows, batch);
}

void Batcher::next_with(std::span<const Pair> pairs, Batch& batch) {
  assert(!pairs.empty());
  parts_->has_started = true;
  parts_->shape(batch);
  const uint32_t replay_rows = is_empty() ? 0 : batch.rows / 2;
  parts_->compose(replay_rows, batch);
  for (uint32_t row = replay_rows; row < batch.rows; ++row) {
    LineWriter writer(batch, row);
    // Rows begin with different pairs, so that each is seen whole however long the others are.
    for (size_t i = row - replay_rows; !writer.is_full(); ++i) {
      writer.line(pairs[i % pairs.size()].prompt, pairs[i % pairs.size()].answer);
    }
    batch.fresh[row] = 1;
    parts_->reader_of_row[row] = no_reader;
  }
}

}  // namespace starling::model
