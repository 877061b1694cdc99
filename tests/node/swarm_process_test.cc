// A swarm of real processes: made, joined, taught, killed, restarted, damaged, stopped, as a user
// would.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/node/small_swarm.h"

using namespace starling::testing;
using nlohmann::json;

namespace {

// Anna founds the swarm, Ben joins it; each learns a text of its own until each has taken in some
// of the other's.
struct Pair {
  Pair() {
    found(folder / "a", "anna");
    a.start();
    REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
    join(folder / "b", "ben", a);
    b.start();
    REQUIRE(is_linked(b));
    learn(a, sentences(0, 400));
    learn(b, sentences(400, 800));
    for (const RealNode* node : {&a, &b}) {
      REQUIRE(
          node->wait_until(patience_s, [](const json& s) { return s["swarm"]["accepted"] >= 3; }));
    }
  }

  static bool is_linked(const RealNode& node) {
    return node.wait_until(patience_s, [](const json& s) { return s["swarm"]["neighbours"] == 1; });
  }
  void learn(const RealNode& node, const std::string& text) {
    const std::string path = folder.write("text" + std::to_string(node.pid()) + ".txt", text);
    const CliResult learned = starling_cli({"learn", "--dir", node.directory(), path});
    INFO(learned.err);
    REQUIRE(learned.exit_code == 0);
  }
  // Stops learning on both sides; true when their bases come to the same bits within the time.
  bool come_together(int timeout_s) {
    for (const RealNode* node : {&a, &b}) {
      REQUIRE(starling_cli({"pause", "--dir", node->directory()}).exit_code == 0);
    }
    return a.wait_until(timeout_s, [this](const json&) { return are_equal(a, b); });
  }

  Folder folder;
  RealNode a{folder / "a"}, b{folder / "b"};
};

// Anna alone, with a place for one question at a time and a text that takes it for long.
struct Busy {
  Busy() {
    found(folder / "a", "anna");
    configure(folder / "a", {{"serve.requests_max", "1"}});
    a.start();
    REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
  }
  int evaluate(int timeout_s) const {
    return starling_cli({"eval", "--dir", a.directory(), text}, timeout_s).exit_code;
  }
  int ask() const { return starling_cli({"ask", "--dir", a.directory(), "x"}).exit_code; }

  Folder folder;
  std::string text = folder.write("long.txt", std::string(60u << 20, 'a'));
  RealNode a{folder / "a"};
};

}  // namespace

TEST_CASE_FIXTURE(
    Pair, "two nodes learn from each other, show it, come to the same base and stop in order") {
  const json members = json::parse(starling_cli({"members", "--dir", a.directory(), "--json"}).out);
  CHECK(members["members"].size() == 2);
  const json regions = json::parse(starling_cli({"regions", "--dir", a.directory(), "--json"}).out);
  double changed = 0;
  for (const json& region : regions["regions"]) changed += region["changed"].get<double>();
  CHECK(changed > 0);
  CHECK(come_together(patience_s));
  a.signal(SIGTERM);
  b.signal(SIGTERM);
  CHECK(a.wait_exit(10) == 0);
  CHECK(b.wait_exit(10) == 0);
}

TEST_CASE("what a short text taught reaches the others, although it ends between two exchanges") {
  Folder folder;
  RealNode a{folder / "a"}, b{folder / "b"};
  found(folder / "a", "anna");
  configure(folder / "a", {{"swarm.steps_per_exchange", "1000"}});
  a.start();
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
  join(folder / "b", "ben", a);
  b.start();
  REQUIRE(Pair::is_linked(b));
  REQUIRE(
      starling_cli({"learn", "--dir", a.directory(), folder.write("short.txt", sentences(0, 40))})
          .exit_code == 0);
  CHECK(b.wait_until(patience_s, [](const json& s) { return s["swarm"]["accepted"] == 1; }));
  const json now = a.status();
  CHECK(now["state"] == "serving");
  CHECK(now["model"]["step"] < 1000);
}

TEST_CASE_FIXTURE(
    Pair, "a killed node does not stop the other, and catches up from its checkpoint and the log") {
  b.signal(SIGKILL);
  REQUIRE(b.wait_exit(10) == 1000 + SIGKILL);
  const auto before = a.status()["model"]["step"].get<uint64_t>();
  REQUIRE(
      a.wait_until(patience_s, [&](const json& s) { return s["model"]["step"] > before + 10; }));
  b.start();
  REQUIRE(is_linked(b));
  CHECK(come_together(15));
}

TEST_CASE_FIXTURE(
    Pair, "a node that lost its log and its checkpoints gets everything back from the other") {
  b.signal(SIGTERM);
  REQUIRE(b.wait_exit(10) == 0);
  std::filesystem::remove_all(b.directory() + "/log");
  std::filesystem::remove_all(b.directory() + "/checkpoints");
  b.start();
  REQUIRE(is_linked(b));
  CHECK(come_together(patience_s));
}

TEST_CASE_FIXTURE(
    Pair,
    "a node restored from an older copy of its directory goes on, and is taken for no fraud") {
  const auto accepts_more = [this] {
    return a.wait_until(patience_s, [before = accepted(a)](const json& s) {
      return s["swarm"]["accepted"] > before + 1;
    });
  };
  b.signal(SIGTERM);
  REQUIRE(b.wait_exit(10) == 0);
  std::filesystem::copy(b.directory(), folder / "copy", std::filesystem::copy_options::recursive);
  b.start();
  REQUIRE(is_linked(b));
  REQUIRE(accepts_more());
  b.signal(SIGKILL);
  REQUIRE(b.wait_exit(10) == 1000 + SIGKILL);
  std::filesystem::remove_all(b.directory());
  std::filesystem::rename(folder / "copy", b.directory());
  b.start();
  REQUIRE(is_linked(b));
  CHECK(accepts_more());
  CHECK(come_together(patience_s));
  for (const RealNode* node : {&a, &b}) {
    const CliResult watch =
        starling_cli({"watch", "--dir", node->directory(), "--json", "--timeout", "1"});
    CHECK(watch.out.find("equivocation") == std::string::npos);
    CHECK(watch.out.find("\"event\":\"revoked\"") == std::string::npos);
  }
}

TEST_CASE_FIXTURE(
    Pair, "who is revoked is cut and forgotten by everyone, and refused after a restart too") {
  join(folder / "c", "carl", a);
  RealNode c{folder / "c"};
  c.start();
  REQUIRE(c.wait_until(patience_s, [](const json& s) { return s["swarm"]["neighbours"] == 2; }));
  learn(c, sentences(800, 1200));
  const auto influence = [&](const RealNode& node) {
    const json rows =
        json::parse(starling_cli({"why", "--dir", node.directory(), "--json"}).out)["provenance"];
    return std::count_if(rows.begin(), rows.end(),
                         [](const json& row) { return row["name"] == "carl"; });
  };
  for (const RealNode* node : {&a, &b})
    REQUIRE(node->wait_until(patience_s, [&](const json&) { return influence(*node) > 0; }));
  const std::string id = c.status()["id"];
  const CliResult revoked = starling_cli({"revoke", "--dir", a.directory(), "--json", "carl"});
  INFO(revoked.out, revoked.err);
  REQUIRE(revoked.exit_code == 0);
  CHECK(json::parse(revoked.out) == json{{"revoked", id}, {"everywhere", true}});
  CHECK(is_linked(a));
  CHECK(is_linked(b));
  CHECK(c.wait_until(patience_s, [](const json& s) { return s["swarm"]["neighbours"] == 0; }));
  for (const RealNode* node : {&a, &b}) {
    const json members =
        json::parse(starling_cli({"members", "--dir", node->directory(), "--json"}).out)["members"];
    const auto row = std::find_if(members.begin(), members.end(),
                                  [&](const json& member) { return member["id"] == id; });
    REQUIRE(row != members.end());
    CHECK((*row)["state"] == "revoked");
    const CliResult watch =
        starling_cli({"watch", "--dir", node->directory(), "--json", "--timeout", "1"});
    CHECK(watch.out.find("\"event\":\"revoked\"") != std::string::npos);
    CHECK(watch.out.find("\"event\":\"deltas_withdrawn\"") != std::string::npos);
  }
  for (const RealNode* node : {&a, &b})
    REQUIRE(starling_cli({"pause", "--dir", node->directory()}).exit_code == 0);
  const auto base = [](const RealNode& node) {
    const json status = node.status();
    return status.is_object() ? status["swarm"]["base_hash"] : json();
  };
  CHECK(a.wait_until(patience_s, [&](const json&) { return base(a) == base(b); }));
  CHECK(influence(a) == 0);
  CHECK(influence(b) == 0);
  // Where carl will look for it again.
  configure(b.directory(),
            {{"node.listen", "\"" + b.status()["listen"].get<std::string>() + "\""}});
  b.signal(SIGTERM);
  REQUIRE(b.wait_exit(10) == 0);
  b.start();
  CHECK(is_linked(b));
  REQUIRE(starling_cli({"pause", "--dir", b.directory()}).exit_code == 0);
  const auto is_refused = [](const json& s) {
    return s["swarm"]["refused_by_reason"].value("handshake_revoked", 0) > 0;
  };
  CHECK(b.wait_until(patience_s, is_refused));  // it goes on dialling
  CHECK(c.status()["swarm"]["neighbours"] == 0);
  CHECK(b.wait_until(patience_s, [&](const json&) { return base(a) == base(b); }));
  const CliResult foreign = starling_cli({"revoke", "--dir", c.directory(), "--json", "ben"});
  INFO(foreign.out, foreign.err);
  CHECK(json::parse(foreign.out)["everywhere"] == false);  // carl is neither founder nor issuer
}

TEST_CASE_FIXTURE(Pair, "a damaged checkpoint is refused and the one before is used") {
  REQUIRE(starling_cli({"snapshot", "--dir", b.directory()}).exit_code == 0);
  b.signal(SIGTERM);
  REQUIRE(b.wait_exit(10) == 0);
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(b.directory() + "/checkpoints")) {
    files.push_back(entry.path());
  }
  REQUIRE(files.size() >= 2);
  const std::string newest = *std::max_element(files.begin(), files.end());
  std::fstream(newest, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(5000)
      .write("damaged", 7);
  b.start();
  REQUIRE(is_linked(b));
  CHECK(b.output().find("checkpoint refused") != std::string::npos);
  CHECK(b.status()["model"]["step"] > 0);
  // With the next whole checkpoint the trouble is over.
  CHECK(b.wait_until(patience_s, [](const json& s) { return s["state"] == "learning"; }));
  CHECK(come_together(patience_s));
}

TEST_CASE(
    "a node that would not fit the machine or its limit is refused before it takes anything") {
  const Folder folder;
  const std::string directory = folder / "a";
  found(directory, "a");
  configure(directory, {{"model.preset", "base"}, {"limits.memory_mib", "100"}});
  const CliResult small = starling_cli({"run", "--dir", directory});
  CHECK(small.exit_code == 78);
  CHECK(small.err.find("starling.yaml: limits.memory_mib: preset base needs up to ") !=
        std::string::npos);
  CHECK(small.err.find("the limit is 100; raise it, or lower") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(directory + "/state.db"));
  configure(directory, {{"model.preset", "demo"}, {"model.threads", "255"}});
  const CliResult wide = starling_cli({"run", "--dir", directory});
  CHECK(wide.exit_code == 78);
  CHECK(wide.err.find("model.threads: 255 is more than this machine's ") != std::string::npos);
  CHECK(wide.err.find(" cores") != std::string::npos);
}

TEST_CASE("what is taught is answered, and evaluation tells how well the model knows a text") {
  const Folder folder;
  found(folder / "a", "anna");
  RealNode a(folder / "a");
  a.start();
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
  const CliResult taught =
      starling_cli({"teach", "--dir", a.directory(), "--json", "The cat is called", " Minka"});
  INFO(taught.err);
  REQUIRE(taught.exit_code == 0);
  CHECK(json::parse(taught.out)["learned"] == true);
  const CliResult asked = starling_cli({"ask", "--dir", a.directory(), "The cat is called"});
  CHECK(asked.out.find("Minka") != std::string::npos);
  const CliResult evaluated = starling_cli(
      {"eval", "--dir", a.directory(), "--json", folder.write("t.txt", sentences(0, 50))});
  REQUIRE(evaluated.exit_code == 0);
  CHECK(json::parse(evaluated.out)["bits_per_byte"] > 0);
  CHECK(json::parse(evaluated.out)["bytes"] == sentences(0, 50).size());
}

TEST_CASE("a directory serves one node at a time, and a restart goes on where it stopped") {
  const Folder folder;
  found(folder / "a", "anna");
  configure(folder / "a",
            {{"learn.sources", "[" + folder.write("t.txt", sentences(0, 300)) + "]"}});
  RealNode a(folder / "a");
  a.start();
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["model"]["step"] > 20; }));
  const CliResult second = starling_cli({"run", "--dir", a.directory()});
  CHECK(second.exit_code == 75);
  CHECK(second.err.find(std::to_string(a.pid())) != std::string::npos);
  a.signal(SIGINT);
  REQUIRE(a.wait_exit(10) == 0);
  configure(a.directory(), {{"swarm.steps_per_exchange", "1000000"}});
  a.start();
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "learning"; }));
  CHECK(a.status()["model"]["step"] > 20);
  // It says what its base is before it has published anew.
  CHECK(a.wait_until(patience_s, [](const json& s) { return s["swarm"]["deltas"] > 0; }));
  CHECK(a.status()["swarm"]["base_hash"].get<std::string>().find_first_not_of('0') !=
        std::string::npos);
}

TEST_CASE_FIXTURE(Busy,
                  "a node stops in time, in order, even while it evaluates a very long text") {
  std::atomic<bool> is_over = false;
  std::jthread evaluation([&] {
    int code = 0;  // 75: a question had the place
    do {
      code = evaluate(120);
    } while (code == 75 && !is_over);
    CHECK(code > 0);
  });
  REQUIRE(a.wait_until(patience_s, [&](const json&) { return ask() == 75; }));
  is_over = true;
  a.signal(SIGTERM);
  CHECK(a.wait_exit(10) == 0);
  CHECK_FALSE(std::filesystem::exists(a.directory() + "/api.sock"));
}

TEST_CASE_FIXTURE(
    Busy, "whoever hangs up while a very long text is evaluated frees the place for the next") {
  {
    std::jthread evaluation([&] {
      int code = 0;
      do {
        code = evaluate(5);
      } while (code == 75);
      CHECK(code == -1);
    });
    REQUIRE(a.wait_until(5, [&](const json&) { return ask() == 75; }));
  }
  CHECK(a.wait_until(10, [&](const json&) { return ask() == 0; }));
}

TEST_CASE("kept data that was lost is said and left out, and the node comes up all the same") {
  const Folder folder;
  found(folder / "a", "anna");
  RealNode a(folder / "a");
  a.start();
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
  const std::string path = folder.write("t.txt", sentences(0, 50));
  REQUIRE(starling_cli({"learn", "--dir", a.directory(), path}).exit_code == 0);
  a.signal(SIGTERM);
  REQUIRE(a.wait_exit(10) == 0);
  for (const auto& entry : std::filesystem::directory_iterator(a.directory() + "/data"))
    std::ofstream(entry.path()).close();  // what a power cut makes of a file that was not synced
  a.start();
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
  CHECK(a.output().find("kept data not learned") != std::string::npos);
}

TEST_CASE(
    "a port in use, a damaged configuration and a bad identity end the start with their code and "
    "the fix") {
  const Folder folder;
  found(folder / "a", "anna");
  RealNode a(folder / "a");
  a.start();
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
  const std::string listen = a.status()["listen"];

  found(folder / "b", "ben");
  configure(folder / "b", {{"node.listen", "\"" + listen + "\""}});
  const CliResult in_use = starling_cli({"run", "--dir", folder / "b"});
  CHECK(in_use.exit_code == 69);
  CHECK(in_use.err.find(listen) != std::string::npos);

  found(folder / "c", "carl");
  std::ofstream(folder / "c/starling.yaml", std::ios::app) << "lern:\n  rows: 4\n";
  const CliResult damaged = starling_cli({"run", "--dir", folder / "c"});
  CHECK(damaged.exit_code == 78);
  CHECK(damaged.err.find("starling.yaml:") != std::string::npos);
  CHECK(damaged.err.find("learn") != std::string::npos);

  found(folder / "d", "dora");
  REQUIRE(chmod((folder / "d/identity.key").c_str(), 0644) == 0);
  const CliResult open_key = starling_cli({"run", "--dir", folder / "d"});
  CHECK(open_key.exit_code == 78);
  CHECK(open_key.err.find("chmod 600") != std::string::npos);
  std::filesystem::remove(folder / "d/identity.key");
  CHECK(starling_cli({"run", "--dir", folder / "d"}).exit_code == 78);
  CHECK(!std::filesystem::exists(folder / "d/identity.key"));
}

TEST_CASE("what cannot be learned gets a clear answer and the node goes on") {
  const Folder folder;
  found(folder / "a", "anna");
  RealNode a(folder / "a");
  a.start();
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
  for (const std::string& path :
       {folder.write("empty.txt", ""), folder.write("binary.txt", std::string(100, '\0')),
        folder / "missing.txt"}) {
    const CliResult refused = starling_cli({"learn", "--dir", a.directory(), path});
    INFO(path, refused.err);
    CHECK(refused.exit_code == 65);
    CHECK(refused.err.find(path) != std::string::npos);
  }
  CHECK(a.status()["state"] == "idle");
}
