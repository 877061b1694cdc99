#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "node/config.h"
#include "node/config_keys.h"
#include "node/footprint.h"
#include "node/nearest.h"
#include "node/text_check.h"
#include "tests/node/local_folder.h"

namespace starling::node {
namespace {

std::string error_of(const std::string& yaml) {
  const auto config = parse_config(yaml, "starling.yaml");
  return config ? "parsed" : config.error().message;
}

// Sets a variable for the length of a scope.
class Variable {
 public:
  Variable(std::string name, const std::string& value) : name_(std::move(name)) {
    setenv(name_.c_str(), value.c_str(), 1);
  }
  ~Variable() { unsetenv(name_.c_str()); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  std::string name_;
};

void write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// What is written, and what is said about it.
const struct {
  std::string yaml;
  std::string message;
} mistakes[] = {
    {"node:\n  nmae: a\n", "starling.yaml:2: node.nmae: unknown key; did you mean node.name?"},
    {"node:\n  name: a\n  prest: tiny\n",
     "starling.yaml:3: node.prest: unknown key; did you mean node.seeds?"},
    {"node:\n  threads: 2\n",
     "starling.yaml:2: node.threads: unknown key; did you mean model.threads?"},
    {"nod:\n  name: a\n", "starling.yaml:1: nod: unknown section; did you mean node?"},
    {"\n\nlearning_rate: 1\n",
     "starling.yaml:3: learning_rate: unknown section; did you mean learn.learning_rate?"},
    {"model:\n  threads: many\n",
     "starling.yaml:2: model.threads: must be a whole number but is \"many\""},
    {"model:\n  threads: \"2\"\n",
     "starling.yaml:2: model.threads: must be a whole number but is \"2\" in quotes"},
    {"model:\n  threads: 2.5\n",
     "starling.yaml:2: model.threads: must be a whole number but is \"2.5\""},
    {"learn:\n  rows: -3\n", "starling.yaml:2: learn.rows: must be from 1 to 1024 but is -3"},
    {"learn:\n  rows: 0\n", "starling.yaml:2: learn.rows: must be from 1 to 1024 but is 0"},
    {"learn:\n  rows: 99999999999999999999\n",
     "starling.yaml:2: learn.rows: must be from 1 to 1024 but is 99999999999999999999"},
    {"model:\n  threads: 0\n",
     "starling.yaml:2: model.threads: must be from 1 to 256 but is 0; this machine has " +
         std::to_string(core_count()) + " cores"},
    {"model:\n  threads:\n",
     "starling.yaml:2: model.threads: has no value; it must be a whole number"},
    {"model:\n  threads: [1]\n",
     "starling.yaml:2: model.threads: must be a whole number, not a list"},
    {"model:\n  threads: {a: 1}\n",
     "starling.yaml:2: model.threads: must be a whole number, not a section"},
    {"model:\n  preset: tinny\n",
     "starling.yaml:2: model.preset: must be one of demo, tiny, small, base but is \"tinny\"; "
     "did you mean tiny?"},
    {"model:\n  preset:\n",
     "starling.yaml:2: model.preset: must be one of demo, tiny, small, base but is \"\"; did you "
     "mean demo?"},
    {"learn:\n  replay_fraction: 1.5\n",
     "starling.yaml:2: learn.replay_fraction: must be from 0 to 1 but is 1.5"},
    {"learn:\n  replay_fraction: .nan\n",
     "starling.yaml:2: learn.replay_fraction: must be a number but is \".nan\""},
    {"learn:\n  replay_fraction: nan\n",
     "starling.yaml:2: learn.replay_fraction: must be from 0 to 1 but is nan"},
    {"learn:\n  minutes: 1e999\n",
     "starling.yaml:2: learn.minutes: must be from 0 to 10000000 but is 1e999"},
    {"learn:\n  sources: notes.txt\n",
     "starling.yaml:2: learn.sources: must be a list, such as [\"one\", \"two\"]"},
    {"learn:\n  sources: [[a]]\n", "starling.yaml:2: learn.sources: must be a list of texts"},
    {"learn:\n  sources: [a, \"\"]\n",
     "starling.yaml:2: learn.sources: must not have an empty entry"},
    {"learn:\n  rows: 1024\n  length: 65536\n",
     "starling.yaml:3: learn.length: times learn.rows is 67108864 bytes a step; at most 1048576 "
     "are possible"},
    {"swarm:\n  exchange: yes\n",
     "starling.yaml:2: swarm.exchange: must be true or false but is \"yes\""},
    {"node:\n  listen: here\n",
     "starling.yaml:2: node.listen: must be host:port or [IPv6]:port, such as 192.0.2.7:7411, "
     "but is \"here\""},
    {"node:\n  listen: 1.2.3.4:70000\n",
     "starling.yaml:2: node.listen: must be host:port or [IPv6]:port, such as 192.0.2.7:7411, "
     "but is \"1.2.3.4:70000\""},
    {"node:\n  seeds: [\"b:0\"]\n",
     "starling.yaml:2: node.seeds: needs a port from 1 to 65535 in \"b:0\""},
    {"node:\n  advertise: [a:1, a:2, a:3, a:4, a:5]\n",
     "starling.yaml:2: node.advertise: has 5 entries; at most 4 are possible"},
    {"node:\n  api: 0.0.0.0:7412\n",
     "starling.yaml:2: node.api: must be on the loopback, such as 127.0.0.1:7412, but is "
     "\"0.0.0.0:7412\"; leave it "
     "empty for the unix socket"},
    {"node:\n  api: 127.evil.example.org:7412\n",
     "starling.yaml:2: node.api: must be on the loopback, such as 127.0.0.1:7412, but is "
     "\"127.evil.example.org:7412\"; leave it empty for the unix socket"},
    {"node:\n  name: \"\"\n", "starling.yaml:2: node.name: must have 1 to 64 bytes"},
    {"node:\n  name: \"a\\nb\"\n", "starling.yaml:2: node.name: must not have control characters"},
    {"limits:\n  hours: 25:00-06:00\n",
     "starling.yaml:2: limits.hours: must be HH:MM-HH:MM, such as 22:00-06:00, but is "
     "\"25:00-06:00\""},
    {"limits:\n  hours: 22:00-22:00\n",
     "starling.yaml:2: limits.hours: must begin and end at different times"},
    {"node:\n  name: a\n  name: b\n", "starling.yaml:3: node.name: given twice; keep one"},
    {"node:\n  name: a\nlog:\nnode:\n", "starling.yaml:4: node: given twice; keep one"},
    {"node: a\n", "starling.yaml:1: node: must be a section with keys below it"},
    {"- node\n", "starling.yaml:1: must be sections such as \"node:\" with keys below"},
    {"node:\n  ? [a]\n  : b\n", "starling.yaml:2: node: has a key that is not a word"},
    {"node:\n  name: a\n---\nnode:\n  name: b\n",
     "starling.yaml:3: a second document begins, or a stray character; keep one document"},
    {"node:\n  name: a\n  seeds: [a:1\n",
     "starling.yaml:4: is not YAML: end of sequence flow not found"},
    {"node:\n name: a\n   listen: b\n", "starling.yaml:3: is not YAML: illegal map value"},
    {"node:\n  name: *a\n", "starling.yaml:2: is not YAML: the referenced anchor is not defined"},
    {"\n!, :?c\n",
     "starling.yaml:2: a second document begins, or a stray character; keep one document"},
    {"node:\n  name: &a x\n  listen: *a\n",
     "starling.yaml:3: aliases (*name) are not used here; write the value again"},
    {"node:\n  name: [[[[[[[[a]]]]]]]]\n", "starling.yaml:2: is nested too deeply"},
    {"node:\n  name: \xff\xfe\n",
     "starling.yaml:2: is not UTF-8 text here; save the file as UTF-8"},
    {"node:\n\n  name: a\x01\n", "starling.yaml:3: is not UTF-8 text here; save the file as UTF-8"},
};

TEST_CASE("a configuration that asks for more than the machine has names the key and what to do") {
  Config config;
  const auto shape = [&] { return *model::shape_of_preset(config.model.preset); };
  for (const char* preset : {"demo", "small", "base", "tiny"}) {
    CAPTURE(preset);
    config.model.preset = preset;
    CHECK(device_problem(shape(), config).empty());  // each starts as init writes it
  }
  config.model.threads = core_count() + 1;
  CHECK(device_problem(shape(), config) == "model.threads: " + std::to_string(core_count() + 1) +
                                               " is more than this machine's " +
                                               std::to_string(core_count()) + " cores");
  config.model.threads = 1;
  config.limits.memory_mib = 16;
  const std::string problem = device_problem(shape(), config);
  CHECK(problem.starts_with("limits.memory_mib: preset tiny needs up to "));
  CHECK(problem.find("the limit is 16; raise it, or lower model.preset") != std::string::npos);
  const auto needed = [&] { return memory_mib(memory_parts(shape(), config)); };
  config.limits.memory_mib = needed();
  CHECK(device_problem(shape(), config).empty());
  --config.limits.memory_mib;
  CHECK_FALSE(device_problem(shape(), config).empty());
  const uint64_t tiny = needed();
  config.learn.memory_mib += 100;
  CHECK(needed() == tiny + 100);
  config.model.preset = "base";
  CHECK(needed() > tiny + 300);
}

TEST_CASE("each mistake in starling.yaml is named with file, line, key and what would be right") {
  for (const auto& row : mistakes) CHECK(error_of(row.yaml) == row.message);
  CHECK(error_of(std::string(config_size_max + 1, '#')) ==
        "starling.yaml:1: is larger than 256 KiB; this is no starling.yaml");
  CHECK(error_of(std::string(config_size_max, '#')) == "parsed");
  CHECK(error_of(std::string(200000, '[')).starts_with("starling.yaml:1: is not YAML: "));
}

TEST_CASE("what a stranger wrote is cited without control characters and without end") {
  const std::string message = error_of("node:\n  \"a\\x1b[2J" + std::string(5000, 'x') + "\": 1\n");
  CHECK(message.size() < 200);
  CHECK(message.find('\x1b') == std::string::npos);
  CHECK(printable("a\xff\xc2\x9b m\xc3\xbc", 64) == "a?? m\xc3\xbc");
  CHECK(printable("\xc3\xbc\xc3\xbc", 3) == "\xc3\xbc");
}

TEST_CASE("an empty file, an empty section and an empty list mean the defaults") {
  for (const char* yaml :
       {"", "# nothing\n", "node:\nlog:\n", "node:\n  seeds:\n  advertise: []\n"}) {
    const auto config = parse_config(yaml, "starling.yaml");
    REQUIRE(config);
    CHECK(*config == Config{});
  }
}

TEST_CASE("default_yaml parses back to every value it was given") {
  Config config;
  CHECK(*parse_config(default_yaml(config), "x") == config);
  config.node = {.name =
                     "K\xc3\xbc"
                     "che \"#1\" \\ {x}: y",
                 .listen = "[::1]:0",
                 .advertise = {"[2001:db8::1]:7411", "a.example:1"},
                 .seeds = {"b:2"},
                 .api = "127.0.0.1:0"};
  config.model = {.preset = "base",
                  .threads = 3,
                  .private_regions = {"l0.", "x # y"},
                  .hosted_regions = {"null"}};
  config.learn.sources = {"/a b", "~", "true"};
  config.learn.replay_fraction = 0.1;
  config.learn.learning_rate = 1.0 / 3;
  config.learn.dropout = 0.25;
  config.learn.seed = ~uint64_t{0};
  config.learn.steps = 1000000000000;
  config.swarm.exchange = false;
  config.limits.hours = "22:00-06:00";
  config.log = {.level = "warning", .format = "json"};
  const auto parsed = parse_config(default_yaml(config), "x");
  REQUIRE(parsed);
  CHECK(*parsed == config);
}

TEST_CASE("deploy/config/starling.yaml shows every key with its default") {
  std::ifstream in(std::string(STARLING_SOURCE_DIR) + "/deploy/config/starling.yaml");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  CHECK(text == default_yaml(Config{}));
}

TEST_CASE("the keys are distinct, documented, and their defaults are possible values") {
  std::set<std::string> seen;
  for (const auto& key : config_keys()) {
    CHECK(seen.insert(dotted(key)).second);
    CHECK(std::string(key.doc).size() > 10);
  }
  CHECK(error_of(default_yaml(Config{})) == "parsed");
}

TEST_CASE(
    "the environment comes before the file, and the file before the default; config show says "
    "which") {
  const Folder folder;
  const std::string path = folder.path + "/starling.yaml";
  write(path, "node:\n  name: of-file\n  seeds: [\"a:1\"]\nmodel:\n  threads: 2\n");
  const Variable name("STARLING_NODE_NAME", "of-environment");
  const Variable seeds("STARLING_NODE_SEEDS", "b:2,c:3");
  const auto config = load_config(path);
  REQUIRE(config);
  CHECK(config->node.name == "of-environment");
  CHECK(config->node.seeds == std::vector<std::string>{"b:2", "c:3"});
  CHECK(config->model.threads == 2);
  CHECK(config->learn.rows == 8);

  const auto values = explain_config(path);
  REQUIRE(values);
  CHECK(values->size() == config_keys().size());
  const auto row = [&](const std::string& key) {
    for (const auto& value : *values) {
      if (value.key == key) return value.value + " from " + value.source;
    }
    return std::string("absent");
  };
  CHECK(row("node.name") == "\"of-environment\" from environment STARLING_NODE_NAME");
  CHECK(row("node.seeds") == "[\"b:2\", \"c:3\"] from environment STARLING_NODE_SEEDS");
  CHECK(row("model.threads") == "2 from " + path + ":5");
  CHECK(row("learn.rows") == "8 from default");
}

TEST_CASE("a wrong variable in the environment is refused by name") {
  const Folder folder;
  const std::string path = folder.path + "/starling.yaml";
  write(path, "");
  const auto error = [&] {
    return load_config(path) ? std::string("loaded") : load_config(path).error().message;
  };
  {
    const Variable variable("STARLING_NODE_NMAE", "x");
    CHECK(error() ==
          "environment: STARLING_NODE_NMAE: unknown variable; did you mean STARLING_NODE_NAME?");
  }
  {
    const Variable variable("STARLING_MODEL_THREADS", "0");
    CHECK(error() ==
          "environment: STARLING_MODEL_THREADS: must be from 1 to 256 but is 0; this "
          "machine has " +
              std::to_string(core_count()) + " cores");
  }
  {
    const Variable variable("STARLING_DIR", "/somewhere");  // no key: the CLI's own
    CHECK(error() == "loaded");
  }
}

TEST_CASE("a configuration that is missing, a folder or a device is refused with its path") {
  const Folder folder;
  CHECK(load_config(folder.path + "/none").error().message ==
        folder.path + "/none: there is no such file; `starling init` writes one");
  CHECK(load_config(folder.path).error().message ==
        folder.path + ": is not a file that can be read");
  CHECK(load_config("/dev/zero").error().message == "/dev/zero: is not a file that can be read");
}

TEST_CASE("the nearest word is found by keystrokes, swaps included") {
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("status", "statsu") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance(std::string(10000, 'a'), std::string(10000, 'b')) == 64);
  CHECK(nearest("memebrs", {"status", "members", "regions"}) == "members");
  CHECK(nearest("x", {}).empty());
}

TEST_CASE("text of any language is text, programs, pictures and UTF-16 are binary") {
  CHECK_FALSE(is_binary(""));
  CHECK_FALSE(is_binary("plain\ttext\r\n"));
  CHECK_FALSE(is_binary("\xe4\xb8\xad\xe6\x96\x87 \xd1\x80\xd1\x83\xd1\x81 \xf0\x9f\x90\xa6"));
  CHECK_FALSE(is_binary("M\xfcnchen, in Latin-1"));
  CHECK(is_binary(std::string("a\0b", 3)));
  CHECK(
      is_binary("\x7f"
                "ELF\x02\x01\x01\x03"));
  CHECK(is_binary("\x1f\x8b\x08\x04\x01\x02\x03\x05"));
  CHECK(utf8_prefix_size("a\xc3\xbc\xed\xa0\x80") == 3);  // a surrogate is no character
  CHECK(utf8_prefix_size("\xf4\x90\x80\x80") == 0);
  CHECK(utf8_prefix_size("\xc0\x80") == 0);
  CHECK(utf8_prefix_size("\xe4\xb8") == 0);
}

}  // namespace
}  // namespace starling::node
