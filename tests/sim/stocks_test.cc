// What a scenario's files become: tasks, pieces, held-out questions, or a message.
#include "sim/stocks.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>

#include "sim/groups.h"
#include "sim/images.h"
#include "tests/sim/folder.h"

namespace starling::sim {
namespace {

std::string idx(const std::vector<uint32_t>& sizes, const std::string& values) {
  std::string bytes{0, 0, 8, static_cast<char>(sizes.size())};
  for (const uint32_t size : sizes) {
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(size >> shift & 0xff);
  }
  return bytes + values;
}

// `count` images of 8 x 8 pixels, image i as bright as its label, i modulo `labels`.
std::string images_of(uint32_t count, uint32_t labels) {
  std::string values;
  for (uint32_t i = 0; i < count; ++i) values.append(64, static_cast<char>(28 * (i % labels)));
  return idx({count, 8, 8}, values);
}
std::string labels_of(uint32_t count, uint32_t labels) {
  std::string values;
  for (uint32_t i = 0; i < count; ++i) values += static_cast<char>(i % labels);
  return idx({count}, values);
}

std::string gzipped(const Folder& folder, const std::string& name, const std::string& bytes) {
  const std::string path = folder / name;
  const gzFile file = gzopen(path.c_str(), "wb");
  REQUIRE(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())) > 0);
  REQUIRE(gzclose(file) == Z_OK);
  return path;
}

std::string trouble(const std::string& images, const std::string& labels) {
  const auto read = read_images(images, labels);
  if (read) return "";
  CHECK(read.error().code == ExitCode::bad_data);
  return read.error().message;
}

Scenario scenario_of(const std::string& kind) {
  Scenario scenario;
  scenario.learn.kind = kind;
  return scenario;
}

std::string lines(const std::string& start, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += start + " line " + std::to_string(i) + "\n";
  return text;
}

// Speeches of three speakers, of a hundred bytes and more; the last has too few.
std::string play() {
  std::string text = "A PLAY\n\nPersons: Anna, Bo.\n\n";
  for (int i = 0; i < 10; ++i) {
    text += "Bo:\nI say " + std::to_string(i) + lines(" and more", 5) + "\n";
    if (i < 6) text += "Anna:\r\nNo.\r\n\r\nNo, never: " + lines("this", 3) + "\n";
  }
  return text + "Cleo:\nOne speech alone.\n";
}

}  // namespace

TEST_CASE("images are read plain and gzipped, and come out as letters") {
  Folder folder;
  std::string pixels;
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 24; ++x) pixels += static_cast<char>(y < 2 ? 255 : x < 3 ? 56 : 0);
  }
  const std::string bytes = idx({1, 16, 24}, pixels), label = idx({1}, "\x07");
  for (const std::string& path :
       {folder.write("plain", bytes), gzipped(folder, "packed.gz", bytes)}) {
    const auto images = read_images(path, folder.write("labels", label));
    REQUIRE(images.has_value());
    CHECK(images->count() == 1);
    CHECK(images->height == 16);
    CHECK(images->width == 24);
    CHECK(images->labels[0] == 7);
    std::string expected = "hhhhhhhh";
    for (int row = 1; row < 8; ++row) expected += "caaaaaaa";
    CHECK(letters_of(*images, 0) == expected);
  }
}

TEST_CASE("image files that cannot be used are named with what is wrong and what to do") {
  Folder folder;
  const std::string good = folder.write("images", images_of(6, 2));
  const std::string labels = folder.write("labels", labels_of(6, 2));
  CHECK(trouble(good, labels).empty());
  CHECK(trouble(folder / "none", labels) ==
        "no such file: " + (folder / "none") + "; check learn.images and learn.labels");
  CHECK(trouble(labels, labels) == labels +
                                       " begins with 00 00 08 01 where idx images begin with 00 00 "
                                       "08 03; give the file as it was published");
  CHECK(trouble(good, folder.write("empty", "")).find("begins with  where") != std::string::npos);
  const std::string whole = images_of(6, 2);
  CHECK(trouble(folder.write("short", whole.substr(0, whole.size() - 1)), labels)
            .ends_with("says that it has 384 values but ends after 383; fetch it again"));
  CHECK(trouble(folder.write("long", whole + "x"), labels)
            .ends_with("goes on after the 384 values that it says it has; fetch it again"));
  CHECK(trouble(folder.write("header", whole.substr(0, 9)), labels)
            .ends_with("ends within its header; fetch it again"));
  CHECK(trouble(folder.write("huge", idx({0xffffffff, 0xffffffff, 2}, "")), labels)
            .find("more than 256 MiB") != std::string::npos);
  CHECK(trouble(folder.write("nothing", idx({0, 8, 8}, "")), labels).find("is empty") !=
        std::string::npos);
  CHECK(trouble(good, folder.write("fewer", labels_of(5, 2))).find("has 6 images but ") !=
        std::string::npos);
  CHECK(trouble(folder.write("small", idx({6, 8, 7}, std::string(6 * 56, 'x'))), labels)
            .find("images of 8 x 7 pixels; at least 8 x 8") != std::string::npos);
  std::string packed = read_file(gzipped(folder, "packed.gz", whole));
  packed[packed.size() - 6] ^= 1;  // of the checksum
  CHECK(trouble(folder.write("damaged.gz", packed), labels)
            .ends_with("is damaged: it cannot be unpacked; fetch it again"));
  CHECK(trouble(folder.write("cut.gz", packed.substr(0, packed.size() / 2)), labels)
            .ends_with("fetch it again"));
}

TEST_CASE("each label of images is a task, and the last sixth is asked and not taught") {
  Folder folder;
  Scenario scenario = scenario_of("images");
  scenario.learn.images = folder.write("images", images_of(60, 3));
  scenario.learn.labels = folder.write("labels", labels_of(60, 3));
  scenario.learn.questions = 2;
  const auto stocks = make_stocks(scenario, 1);
  REQUIRE(stocks.has_value());
  REQUIRE(stocks->size() == 3);
  size_t taught = 0;
  for (const Stock& stock : *stocks) {
    taught += stock.pairs.size();
    CHECK(stock.test.pairs.size() == 2);
    CHECK(stock.pairs[0].answer == stock.task);
  }
  CHECK(taught == 50);
  CHECK((*stocks)[2].task == "2");
  CHECK((*stocks)[2].pairs[0].prompt == std::string(64, 'c'));
  std::string sorted = labels_of(60, 3);
  std::sort(sorted.begin() + 8, sorted.end());
  scenario.learn.labels = folder.write("sorted", sorted);
  const auto refused = make_stocks(scenario, 1);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ExitCode::bad_data);
  CHECK(refused.error().message.find("label 0 only before the last sixth") != std::string::npos);
}

TEST_CASE("a folder of texts is a task for each file or folder in it, in order of their names") {
  Folder folder;
  std::filesystem::create_directories(folder / "texts/b");
  std::filesystem::create_directories(folder / "texts/pictures");
  folder.write("texts/c.txt", lines("sea", 200));
  folder.write("texts/a.md", lines("air", 200));
  folder.write("texts/a.txt", lines("ash", 200));
  folder.write("texts/b/2.txt", lines("bay", 100));
  folder.write("texts/b/1.txt", lines("bog", 100));
  folder.write("texts/.hidden", "x");
  folder.write("texts/pictures/p.png", std::string(2000, '\0'));
  folder.write("texts/image.png", std::string(2000, '\0'));
  Scenario scenario = scenario_of("text");
  scenario.learn.texts = {folder / "texts"};
  const auto stocks = make_stocks(scenario, 1);
  REQUIRE(stocks.has_value());
  std::vector<std::string> names;
  for (const Stock& stock : *stocks) names.push_back(stock.task);
  CHECK(names == std::vector<std::string>{"a", "a-2", "b", "c"});
  CHECK((*stocks)[2].texts[0].starts_with("bog line 0\n"));
  CHECK((*stocks)[2].test.text.ends_with("bay line 99\n"));
  scenario.learn.texts = {folder / "texts/pictures"};
  const auto none = make_stocks(scenario, 1);
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().code == ExitCode::bad_data);
  CHECK(none.error().message.find("pictures holds no text") != std::string::npos);
}

TEST_CASE("the files of a scenario count as memory before they are read") {
  Folder folder;
  std::filesystem::create_directories(folder / "texts/b");
  folder.write("texts/a.txt", std::string(1000, 'a'));
  folder.write("texts/b/c.txt", std::string(500, 'c'));
  Scenario scenario = scenario_of("text");
  scenario.learn.texts = {folder / "texts", folder / "missing"};
  CHECK(data_memory(scenario) == 4 * 1500);
  scenario = scenario_of("images");
  scenario.learn.images = folder.write("images.gz", std::string(100, 'i'));
  scenario.learn.labels = folder.write("labels", std::string(10, 'l'));
  CHECK(data_memory(scenario) == 12 * 100 + 4 * 10);
  CHECK(data_memory(scenario_of("skills")) == 0);
}

TEST_CASE("a play is dealt by speaker, the last fifth of each one's speeches is held out") {
  Folder folder;
  Scenario scenario = scenario_of("speakers");
  scenario.learn.texts = {folder.write("play.txt", play())};
  auto stocks = make_stocks(scenario, 1);
  REQUIRE(stocks.has_value());
  REQUIRE(stocks->size() == 2);
  const Stock &anna = (*stocks)[0], &bo = (*stocks)[1];
  CHECK(anna.task == "Anna");
  CHECK(anna.texts.size() == 5);
  CHECK(anna.texts[0].starts_with("Anna:\nNo.\n\nNo, never: this line 0\n"));
  CHECK(bo.texts.size() == 8);
  CHECK(bo.test.text.starts_with("Bo:\nI say 8 and more"));
  CHECK(bo.test.text.find("Bo:\nI say 9 and more") != std::string::npos);
  scenario.learn.groups_max = 1;
  stocks = make_stocks(scenario, 1);
  REQUIRE(stocks.has_value());
  REQUIRE(stocks->size() == 1);
  CHECK((*stocks)[0].task == "Bo");  // the largest
  scenario.learn.texts = {folder.write("prose.txt", lines("prose: without speakers", 50))};
  CHECK(make_stocks(scenario, 1).error().message.find("has no speeches") != std::string::npos);
}

TEST_CASE("a table is dealt by the values of a column") {
  Folder folder;
  std::string table = "id\tauthor\tpoem\r\n";
  for (int i = 0; i < 60; ++i) {
    table += std::to_string(i) + (i % 3 == 0 ? "\tLi Bai\t" : "\tDu Fu\t") +
             "a poem of some words " + std::to_string(i) + "\r\n";
  }
  table += "60\t\tby nobody\r\n\r\n";
  Scenario scenario = scenario_of("table");
  scenario.learn.table = folder.write("poems.tsv", table);
  scenario.learn.group_column = "author";
  scenario.learn.text_column = "poem";
  const auto stocks = make_stocks(scenario, 1);
  REQUIRE(stocks.has_value());
  REQUIRE(stocks->size() == 2);
  CHECK((*stocks)[0].task == "Du Fu");
  CHECK((*stocks)[1].texts.size() == 16);
  CHECK((*stocks)[1].texts[1] == "a poem of some words 3\n");
  CHECK((*stocks)[1].test.text.ends_with("a poem of some words 57\n"));
  scenario.learn.group_column = "poet";
  CHECK(make_stocks(scenario, 1).error().message ==
        scenario.learn.table +
            ":1: has no column \"poet\" but id, author, poem; set learn.group_column and "
            "learn.text_column to two of them");
  scenario.learn.group_column = "author";
  scenario.learn.table = folder.write("bad.tsv", table + "61\tDu Fu\ttab\tinside\n");
  const auto refused = make_stocks(scenario, 1);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ExitCode::bad_data);
  CHECK(refused.error().message.find("bad.tsv:64: has 4 fields where the header has 3") !=
        std::string::npos);
}

}  // namespace starling::sim
