#include "sim/stocks.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "sim/groups.h"
#include "sim/images.h"
#include "sim/skills.h"

namespace starling::sim {
namespace {

namespace fs = std::filesystem;

constexpr size_t piece_size = 1024;  // bytes of text
constexpr size_t test_text_max = 16 * 1024;

using Stocks = Result<std::vector<Stock>, Failure>;

Unexpected<Failure> fail(std::string message) {
  return Unexpected{Failure{ExitCode::bad_data, std::move(message)}};
}

std::vector<Stock> skill_stocks(const Scenario& scenario, uint64_t seed) {
  std::vector<Stock> stocks;
  for (const std::string_view name : skill_names()) {
    Skill skill = make_skill(name, seed);
    skill.test.resize(std::min<size_t>(skill.test.size(), scenario.learn.questions));
    stocks.push_back({.task = std::string(name),
                      .pairs = std::move(skill.training),
                      .texts = {},
                      .test = {std::move(skill.test), ""}});
  }
  return stocks;
}

// The text itself, or what a folder holds of texts, in order of the names.
Result<std::vector<std::string>, Failure> texts_of(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return std::vector<std::string>{path};
  std::set<std::string> found;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    if (!it->path().filename().string().starts_with('.')) found.insert(it->path().string());
  }
  if (error) return fail("cannot read the folder " + path + ": " + error.message());
  std::vector<std::string> texts;
  for (const std::string& each : found) {
    const auto has_text = holds_text(each);
    if (!has_text) return Unexpected{has_text.error()};
    if (*has_text) texts.push_back(each);
  }
  if (texts.empty()) return fail("the folder " + path + " holds no text; put one in");
  return texts;
}

// "novel" for novels/novel.txt; numbered where two texts share a name.
std::string task_name(const std::string& path, const std::vector<Stock>& stocks) {
  fs::path place = fs::path(path).lexically_normal();
  if (place.filename().empty()) place = place.parent_path();
  const std::string stem = place.stem().string();
  std::string name = stem;
  const auto is_taken = [&](const Stock& stock) { return stock.task == name; };
  for (int number = 2; std::any_of(stocks.begin(), stocks.end(), is_taken); ++number)
    name = stem + "-" + std::to_string(number);
  return name;
}

Stocks text_stocks(const Scenario& scenario) {
  std::vector<std::string> paths;
  for (const std::string& path : scenario.learn.texts) {
    const auto texts = texts_of(path);
    if (!texts) return Unexpected{texts.error()};
    paths.insert(paths.end(), texts->begin(), texts->end());
    if (paths.size() > tasks_max)
      return fail(path + " makes it more than " + std::to_string(tasks_max) +
                  " texts; join some of them in sub-folders");
  }
  std::vector<Stock> stocks;
  for (const std::string& path : paths) {
    const auto text = read_text(path);
    if (!text) return Unexpected{text.error()};
    const size_t cut = utf8_boundary(*text, text->size() / 10 * 9);
    Stock stock;
    for (size_t at = 0; at < cut; at += piece_size)
      stock.texts.push_back(text->substr(at, std::min(piece_size, cut - at)));
    stock.task = task_name(path, stocks);
    stock.test.text = text->substr(cut, test_text_max);
    stocks.push_back(std::move(stock));
  }
  return stocks;
}

Stocks image_stocks(const Scenario& scenario) {
  const auto images = read_images(scenario.learn.images, scenario.learn.labels);
  if (!images) return Unexpected{images.error()};
  const size_t taught = images->count() - images->count() / 6;
  std::map<uint8_t, Stock> by_label;
  for (size_t i = 0; i < images->count(); ++i) {
    Stock& stock = by_label[images->labels[i]];
    stock.task = std::to_string(images->labels[i]);
    if (i < taught) {
      stock.pairs.push_back({letters_of(*images, i), stock.task});
    } else if (stock.test.pairs.size() < scenario.learn.questions) {
      stock.test.pairs.push_back({letters_of(*images, i), stock.task});
    }
  }
  std::vector<Stock> stocks;
  for (auto& [label, stock] : by_label) {
    if (stock.pairs.empty() || stock.test.pairs.empty()) {
      return fail(scenario.learn.labels + " has label " + stock.task + " only " +
                  (stock.pairs.empty() ? "in" : "before") +
                  " the last sixth, which is held out; shuffle the images or give more");
    }
    stocks.push_back(std::move(stock));
  }
  return stocks;
}

Stocks group_stocks(const Scenario& scenario) {
  const Scenario::Learn& learn = scenario.learn;
  const bool is_table = learn.kind == "table";
  auto groups = is_table ? read_table({.path = learn.table,
                                       .group_column = learn.group_column,
                                       .text_column = learn.text_column})
                         : read_speeches(learn.texts.front());
  if (!groups) return Unexpected{groups.error()};
  std::erase_if(*groups, [](const Group& group) { return group.pieces.size() < group_pieces_min; });
  if (groups->empty()) {
    return fail((is_table ? learn.table : learn.texts.front()) + " has nobody with at least " +
                std::to_string(group_pieces_min) + (is_table ? " rows" : " speeches") +
                "; give more");
  }
  std::vector<Stock> stocks;
  for (Group& group : largest(std::move(*groups), learn.groups_max)) {
    Stock stock{.task = group.name, .pairs = {}, .texts = std::move(group.pieces), .test = {}};
    const size_t taught = stock.texts.size() - stock.texts.size() / 5;
    for (size_t i = taught; i < stock.texts.size(); ++i) stock.test.text += stock.texts[i];
    stock.test.text.resize(utf8_boundary(stock.test.text, test_text_max));
    stock.texts.resize(taught);
    stocks.push_back(std::move(stock));
  }
  return stocks;
}

// Of a file, or of all files of a folder.
uint64_t size_of(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    const uintmax_t size = fs::file_size(path, error);
    return error ? 0 : size;
  }
  uint64_t sum = 0;
  for (fs::recursive_directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code other;  // such as a socket's, which has no size
    const uintmax_t size = it->is_regular_file(other) ? it->file_size(other) : 0;
    if (!other) sum += size;
  }
  return sum;
}

}  // namespace

uint64_t data_memory(const Scenario& scenario) {
  constexpr uint64_t copies = 4, unpacked = 3;
  const Scenario::Learn& learn = scenario.learn;
  uint64_t sum = 0;
  for (const std::string& text : learn.texts) sum += copies * size_of(text);
  for (const std::string& path : {learn.images, learn.labels, learn.table}) {
    if (!path.empty()) sum += (path.ends_with(".gz") ? copies * unpacked : copies) * size_of(path);
  }
  return sum;
}

Stocks make_stocks(const Scenario& scenario, uint64_t seed) {
  const std::string& kind = scenario.learn.kind;
  assert(kind != "synthetic");
  if (kind == "text") return text_stocks(scenario);
  if (kind == "images") return image_stocks(scenario);
  if (kind == "table" || kind == "speakers") return group_stocks(scenario);
  return skill_stocks(scenario, seed);
}

}  // namespace starling::sim
