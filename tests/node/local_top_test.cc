// `starling top`: plain blocks, lines of JSON, and a terminal left as it was.
#include "tests/node/local_json.h"

namespace starling::node {
namespace {

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST_CASE("top repeats plain blocks where no person looks at a terminal") {
  FakeNode node;
  node.daemon.is_linked = true;
  const Ran ran = starling({"top", "--interval", "0.1", "--count", "2", "--dir", node.directory});
  CHECK(ran.code == 0);
  CHECK(count_of(ran.out, "amsel is learning for ") == 2);
  CHECK(count_of(ran.out, "tiny, step 1 200, loss 2.500 bits, - bits per byte, ") == 2);
  CHECK(ran.out.find(", - tokens/s\n") != std::string::npos);  // one look has no rate
  CHECK(ran.out.find(" tokens/s\n  traffic  up 0 B/s (2.0 KiB), down 0 B/s (1.0 TiB)\n") !=
        std::string::npos);
  CHECK(count_of(ran.out, "drossel  192.0.2.7:7411  suspect  1.5 ms") == 2);
  CHECK(count_of(ran.out, "  learned bytes=120 source=notes.txt\n") == 2);
  CHECK(ran.out.find('\x1b') == std::string::npos);
}

TEST_CASE("top --json is a line of status with rates for each look") {
  const FakeNode node;
  const Ran ran =
      starling({"top", "--json", "--interval", "0.1", "--count", "2", "--dir", node.directory});
  CHECK(ran.code == 0);
  std::istringstream lines(ran.out);
  std::string line;
  REQUIRE(std::getline(lines, line));
  const Json first = Json::parse(line);
  CHECK(keys_of(first) ==
        "name id swarm_id state since reason next model swarm resources listen steps_planned "
        "finished paused time tokens_per_s sent_bytes_per_s received_bytes_per_s");
  CHECK(first["tokens_per_s"].is_null());
  REQUIRE(std::getline(lines, line));
  CHECK(Json::parse(line)["sent_bytes_per_s"] == 0);
  CHECK(Json::parse(line)["tokens_per_s"] > 0);
  CHECK_FALSE(std::getline(lines, line));
}

TEST_CASE("top on a terminal draws on a page of its own and leaves it") {
  const FakeNode node;
  const Ran ran =
      starling({"top", "--interval", "0.1", "--count", "2", "--dir", node.directory}, "", true);
  CHECK(ran.code == 0);
  CHECK(ran.out.starts_with("\x1b[?1049h\x1b[?25l"));
  CHECK(ran.out.ends_with("\x1b[?25h\x1b[?1049l"));
  CHECK(count_of(ran.out, "\x1b[H") == 2);
}

TEST_CASE("top says when no node runs or the node goes, outside of its page") {
  const Folder folder;
  const Ran none = starling({"top", "--dir", folder.path}, "", true);
  CHECK(none.code == 69);
  CHECK(none.out.ends_with("\x1b[?1049l"));
  CHECK(none.err.find("no node is running") != std::string::npos);
  FakeNode node;
  node.daemon.is_hung = true;
  CHECK(starling({"top", "--timeout", "0.2", "--dir", node.directory}).code == 75);
  node.daemon.release();
  for (const char* interval : {"0", "-1", "soon"})
    CHECK(starling({"top", "--interval", interval, "--dir", folder.path}).code == 2);
}

}  // namespace
}  // namespace starling::node
