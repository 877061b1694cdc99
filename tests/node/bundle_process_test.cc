// Deltas carried in a file between real nodes that no link joins.
#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "swarm/bundle.h"
#include "tests/node/small_swarm.h"

using namespace starling::testing;
using nlohmann::json;
namespace swarm = starling::swarm;

namespace {

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The same bundle, with the chain of hashes made anew over what `change` left of each part.
std::string remade(const std::string& bundle,
                   const std::function<void(swarm::BundleHead&)>& change_head,
                   const std::function<void(swarm::BundlePart&)>& change_part) {
  swarm::BundleReader reader;
  const auto parts = reader.take(std::vector<uint8_t>(bundle.begin(), bundle.end()));
  REQUIRE(parts);
  swarm::BundleWriter writer;
  swarm::BundleHead head = *reader.head();
  change_head(head);
  std::string out;
  const auto add = [&out](const swarm::Bytes& bytes) { out.append(bytes.begin(), bytes.end()); };
  add(writer.head(head));
  for (swarm::BundlePart part : *parts) {
    change_part(part);
    add(writer.part(part.kind, part.bytes));
  }
  add(writer.end());
  return out;
}

json run_json(std::vector<std::string> arguments, const std::string& directory) {
  arguments.insert(arguments.end(), {"--json", "--dir", directory});
  const CliResult done = starling_cli(arguments);
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  return json::parse(done.out);
}

// Anna has learned something and rests; Ben was invited. Both tell the other an address where
// nobody listens.
struct Apart {
  Apart() {
    found(folder / "a", "anna");
    hide(a);
    a.start();
    REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
    join(folder / "b", "ben", a);
    hide(b);
    b.start();
    teach(a, sentences(0, 200));
    REQUIRE(b.wait_until(patience_s, [](const json& s) { return s.is_object(); }));
  }
  static void hide(const RealNode& node) {
    configure(node.directory(), {{"node.advertise", "[\"127.0.0.1:1\"]"}});
  }
  // Learns a text, publishes, and rests.
  void teach(const RealNode& node, const std::string& text) const {
    const std::string path = folder.write("text.txt", text);
    REQUIRE(node.wait_until(patience_s, [](const json& s) { return s.is_object(); }));
    REQUIRE(starling_cli({"learn", "--dir", node.directory(), path}).exit_code == 0);
    REQUIRE(node.wait_until(patience_s,
                            [](const json& s) { return s["swarm"]["published"].get<int>() >= 2; }));
    REQUIRE(starling_cli({"pause", "--dir", node.directory()}).exit_code == 0);
  }

  Folder folder;
  RealNode a{folder / "a"}, b{folder / "b"};
};

}  // namespace

TEST_CASE_FIXTURE(Apart, "two nodes that no link joins come to the same base by files alone") {
  const std::string there = folder / "there", back = folder / "back";
  const json out = run_json({"export", "--deltas", there}, a.directory());
  CHECK(a.wait_until(patience_s,
                     [&](const json& s) { return s["swarm"]["deltas"] == out["deltas"]; }));
  CHECK(out["folded"] == 0);
  CHECK(b.status()["swarm"]["deltas"] == 0);
  const json in = run_json({"import", there}, b.directory());
  CHECK(in["new"] == out["deltas"]);
  CHECK(in["refused"] == 0);
  CHECK(b.wait_until(patience_s, [this](const json&) { return are_equal(a, b); }));
  const json again = run_json({"import", there}, b.directory());
  CHECK(again["new"] == 0);
  CHECK(again["known"] == out["deltas"]);
  CHECK(run_json({"members"}, b.directory())["members"].size() == 2);

  teach(b, sentences(400, 600));
  const json more = run_json({"export", "--deltas", back, "--since", there}, b.directory());
  CHECK(more["deltas"] == b.status()["swarm"]["published"]);
  const json taken = run_json({"import", back}, a.directory());
  INFO(taken.dump());
  CHECK(taken["new"] == more["deltas"]);
  CHECK(a.wait_until(patience_s, [this](const json&) { return are_equal(a, b); }));
}

TEST_CASE_FIXTURE(Apart, "nothing is taken from a bundle that is forged, cut off or foreign") {
  const std::string path = folder / "good";
  run_json({"export", "--deltas", path}, a.directory());
  const std::string good = content_of(path);
  const json before = b.status()["swarm"];
  const auto keep_head = [](swarm::BundleHead&) {};
  const auto keep_part = [](swarm::BundlePart&) {};
  const auto last_byte = [](swarm::BundlePartKind kind) {
    return [kind](swarm::BundlePart& part) {
      if (part.kind == kind) part.bytes.back() ^= 1;
    };
  };
  std::string damaged = good;
  damaged[good.size() / 2] = static_cast<char>(damaged[good.size() / 2] ^ 1);
  const struct {
    std::string content, said;
  } rows[] = {
      {good.substr(0, good.size() - 1), "cut off"},
      {damaged, "damaged"},
      {"text", "no file that starling export wrote"},
      {remade(
           good, [](swarm::BundleHead& head) { head.swarm.fill(1); }, keep_part),
       "of another swarm"},
      {remade(
           good, [](swarm::BundleHead& head) { head.fingerprint.fill(1); }, keep_part),
       "for another model"},
      {remade(good, keep_head, last_byte(swarm::BundlePartKind::delta)), "not sound"},
      {remade(good, keep_head, last_byte(swarm::BundlePartKind::message)), "forged"},
  };
  for (const auto& row : rows) {
    const CliResult refused =
        starling_cli({"import", folder.write("bad", row.content), "--dir", b.directory()});
    INFO(refused.err);
    CHECK(refused.exit_code == 65);
    CHECK(refused.err.find(row.said) != std::string::npos);
  }
  const json after = b.status()["swarm"];
  CHECK(after["deltas"] == before["deltas"]);
  CHECK(after["base_hash"] == before["base_hash"]);
  CHECK(after["members"] == before["members"]);
  for (const auto& entry : std::filesystem::directory_iterator(b.directory()))
    CHECK(entry.path().filename().string().find("spool") == std::string::npos);
}
