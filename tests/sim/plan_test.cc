#include "sim/plan.h"

#include <doctest/doctest.h>

#include <set>

#include "sim/phase.h"
#include "tests/sim/folder.h"

using namespace starling::sim;

namespace {

std::string lines(const std::string& word, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += word + " " + std::to_string(i) + "\n";
  return text;
}

ExitCode code_of(const LocalOptions& options) {
  const auto plan = make_plan(options);
  return plan ? ExitCode::ok : plan.error().code;
}

}  // namespace

TEST_CASE("the eight skills are dealt so that each is taught and each node teaches") {
  for (uint32_t nodes = 1; nodes <= nodes_max; ++nodes) {
    const auto plan = make_plan({.nodes = nodes});
    REQUIRE(plan.has_value());
    CAPTURE(nodes);
    CHECK(plan->nodes.size() == nodes);
    CHECK(plan->tasks.size() == 8);
    std::set<size_t> taught;
    for (const NodePlan& node : plan->nodes) {
      CHECK_FALSE(node.own.empty());
      CHECK(node.own.size() == node.learns.size());
      taught.insert(node.own.begin(), node.own.end());
    }
    CHECK(taught.size() == 8);
  }
  const auto four = make_plan({.nodes = 4});
  for (size_t i = 0; i < 4; ++i) CHECK(four->nodes[i].own == std::vector<size_t>{2 * i, 2 * i + 1});
}

TEST_CASE("the last tenth of a text is held out and no node learns it") {
  const Folder folder;
  const std::string text = lines("grün", 2000);
  const auto plan = make_plan({.nodes = 1, .texts = {folder.write("a.txt", text)}});
  REQUIRE(plan.has_value());
  REQUIRE(plan->tasks.size() == 1);
  const std::string& learned = plan->nodes[0].learns[0].bytes;
  CHECK(learned + plan->tasks[0].bytes == text);
  CHECK(plan->tasks[0].bytes.size() >= text.size() / 10 - 4);
  CHECK(plan->tasks[0].bytes.size() <= text.size() / 10 + 4);
  CHECK(plan->tasks[0].name == "a");
  CHECK(plan->minutes == 10);
}

TEST_CASE("texts are dealt to nodes: more texts than nodes, fewer, and as many") {
  const Folder folder;
  const std::string a = folder.write("a.txt", lines("a", 1000)),
                    b = folder.write("b.txt", lines("b", 1000));
  const std::string c = folder.write("c.txt", lines("c", 1000));
  const auto many = make_plan({.nodes = 2, .texts = {a, b, c}});
  REQUIRE(many.has_value());
  CHECK(many->nodes[0].own == std::vector<size_t>{0, 2});
  CHECK(many->nodes[1].own == std::vector<size_t>{1});
  const auto few = make_plan({.nodes = 3, .texts = {a, b}});
  REQUIRE(few.has_value());
  CHECK(few->tasks.size() == 2);
  CHECK(few->nodes[0].own == std::vector<size_t>{0});
  CHECK(few->nodes[2].own == std::vector<size_t>{0});
  CHECK(few->nodes[1].own == std::vector<size_t>{1});
  const std::string whole = read_file(a);
  const std::string parts = few->nodes[0].learns[0].bytes + few->nodes[2].learns[0].bytes;
  CHECK(whole.starts_with(parts));
  CHECK(parts + few->tasks[0].bytes == whole);
}

TEST_CASE("a folder is read in order of its paths, without hidden and binary files") {
  const Folder folder;
  std::filesystem::create_directories(folder / "books/.hidden");
  folder.write("books/2.txt", lines("second", 100));
  folder.write("books/1.txt", lines("first", 100));
  folder.write("books/.hidden/3.txt", lines("never", 100));
  folder.write("books/picture.bin", std::string("\0\1\2", 3));
  const auto text = read_text(folder / "books");
  REQUIRE(text.has_value());
  CHECK(*text == lines("first", 100) + lines("second", 100));
}

TEST_CASE("two texts of one name stay two tasks") {
  const Folder folder;
  std::filesystem::create_directories(folder / "x");
  const std::string one = folder.write("a b.txt", lines("a", 1000));
  const std::string two = folder.write("x/a b.txt", lines("b", 1000));
  const auto plan = make_plan({.nodes = 2, .texts = {one, two}});
  REQUIRE(plan.has_value());
  CHECK(plan->tasks[0].name == "a-b");
  CHECK(plan->tasks[1].name == "a-b-2");
}

TEST_CASE("texts that cannot be learned are refused as bad input") {
  const Folder folder;
  CHECK(code_of({.texts = {folder / "missing.txt"}}) == ExitCode::bad_data);
  CHECK(code_of({.texts = {folder.write("empty.txt", "")}}) == ExitCode::bad_data);
  CHECK(code_of({.texts = {folder.write("short.txt", "too short")}}) == ExitCode::bad_data);
  CHECK(code_of({.texts = {folder.write("binary", std::string(5000, '\0'))}}) ==
        ExitCode::bad_data);
  std::filesystem::create_directories(folder / "nothing");
  CHECK(code_of({.texts = {folder / "nothing"}}) == ExitCode::bad_data);
}

TEST_CASE("no cut goes through a character") {
  const std::string text = "aé漢😀b";
  for (size_t at = 0; at <= text.size(); ++at) {
    const size_t cut = utf8_boundary(text, at);
    CHECK(cut <= at);
    CHECK((cut == text.size() || (static_cast<uint8_t>(text[cut]) & 0xc0) != 0x80));
  }
  const std::string noise(10, '\x80');
  CHECK(utf8_boundary(noise, 5) == 2);
}

TEST_CASE("a folder that no run made is not touched") {
  const Folder folder;
  const auto plan = make_plan({.nodes = 2});
  std::filesystem::create_directories(folder / "nodes");
  folder.write("nodes/precious", "do not delete");
  const auto written = write_plan(*plan, Places(folder.path()));
  REQUIRE_FALSE(written.has_value());
  CHECK(written.error().code == ExitCode::cannot_create);
  CHECK(read_file(folder / "nodes/precious") == "do not delete");
}

TEST_CASE("a plan is written over an earlier one and can be removed, logs aside") {
  const Folder folder;
  const Places places(folder / "out");
  const auto plan = make_plan({.nodes = 2});
  REQUIRE(write_plan(*plan, places).has_value());
  std::ofstream(places.log(plan->nodes[0])) << "first\n";
  REQUIRE(write_plan(*plan, places).has_value());
  CHECK_FALSE(std::filesystem::exists(places.log(plan->nodes[0])));
  CHECK(read_file(places.test(plan->tasks[0])) == plan->tasks[0].bytes);
  CHECK(read_file(places.node(plan->nodes[1]) + "/data/roman.tsv").starts_with("roman 1>\tI\n"));
  std::ofstream(places.log(plan->nodes[0])) << "second\n";
  remove_nodes(*plan, places);
  CHECK_FALSE(std::filesystem::exists(places.tests));
  CHECK_FALSE(std::filesystem::exists(places.node(plan->nodes[1]) + "/data"));
  CHECK(read_file(places.log(plan->nodes[0])) == "second\n");
}

TEST_CASE("a place where nothing can be created, or too deep for a socket, is refused") {
  const Folder folder;
  folder.write("file", "");
  const auto plan = make_plan({.nodes = 1});
  const auto blocked = write_plan(*plan, Places(folder / "file/out"));
  REQUIRE_FALSE(blocked.has_value());
  CHECK(blocked.error().code == ExitCode::cannot_create);
  const auto deep = write_plan(*plan, Places(folder / std::string(100, 'd')));
  REQUIRE_FALSE(deep.has_value());
  CHECK(deep.error().code == ExitCode::cannot_create);
  CHECK(deep.error().message.find("--out") != std::string::npos);
}

TEST_CASE("both phases of a node differ in the exchange and in nothing that it learns") {
  const Places places("/x");
  const auto plan = make_plan({.nodes = 4});
  NodeSettings settings{.phase = "alone", .port = 5000, .seed_ports = {}, .steps = 900, .seed = 3};
  const std::string alone = node_yaml(*plan, 1, settings, places);
  settings.phase = "swarm";
  settings.seed_ports = {5001, 5002};
  const std::string swarm = node_yaml(*plan, 1, settings, places);
  CHECK(alone.find("exchange: false") != std::string::npos);
  CHECK(alone.find("wait_for_members: 1\n") != std::string::npos);
  CHECK(swarm.find("exchange: true") != std::string::npos);
  CHECK(swarm.find("wait_for_members: 4\n") != std::string::npos);
  CHECK(swarm.find("seeds: [\"127.0.0.1:5001\", \"127.0.0.1:5002\"]") != std::string::npos);
  const auto learn_part = [](const std::string& yaml) {
    return yaml.substr(yaml.find("model:"), yaml.find("swarm:") - yaml.find("model:"));
  };
  CHECK(learn_part(alone) == learn_part(swarm));
  CHECK(learn_part(alone).find("/x/nodes/node-2/data/es.tsv") != std::string::npos);
}

TEST_CASE("free ports are free and distinct") {
  const std::vector<uint16_t> ports = free_ports(16);
  CHECK(std::set<uint16_t>(ports.begin(), ports.end()).size() == 16);
}
