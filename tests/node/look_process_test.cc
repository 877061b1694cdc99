// What the verbs that look into a node say of real ones.
#include <doctest/doctest.h>

#include <csignal>

#include "tests/node/small_swarm.h"

using namespace starling::testing;
using nlohmann::json;

namespace {

// Anna, who learns a text.
struct Learning {
  Learning() {
    found(folder / "a", "anna");
    a.start();
    REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
    const std::string text = folder.write("text.txt", sentences(0, 400));
    REQUIRE(starling_cli({"learn", "--dir", a.directory(), text}).exit_code == 0);
    REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["swarm"]["published"] >= 3; }));
  }
  Folder folder;
  RealNode a{folder / "a"};
};

json look(std::vector<std::string> arguments, const RealNode& node) {
  arguments.insert(arguments.end(), {"--json", "--dir", node.directory()});
  const CliResult done = starling_cli(arguments);
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  return json::parse(done.out);
}

}  // namespace

TEST_CASE_FIXTURE(Learning,
                  "members --influence tells the one that teaches from the one that does not") {
  RealNode b{folder / "b"};
  join(folder / "b", "ben", a);
  b.start();
  REQUIRE(b.wait_until(patience_s, [](const json& s) { return s["swarm"]["deltas"] >= 3; }));
  size_t seen = 0;
  const json members = look({"members", "--influence"}, b);
  for (const json& member : members["members"]) {
    CAPTURE(member.dump());
    const json& influence = member["influence"];
    if (member["self"] == true) {
      CHECK(influence.is_null());
      continue;
    }
    ++seen;
    CHECK(influence["deltas"] >= 3);
    CHECK(influence["norm"] > 0);
    CHECK(influence["share"] == 1);
    CHECK(influence["held"] == false);
    CHECK(influence["copies"] == 1);
    CHECK(influence["last_s"] > 1'600'000'000);
  }
  CHECK(seen == 1);
}

TEST_CASE_FIXTURE(Learning,
                  "doctor finds nothing wrong with a node that learns, and sees it stop") {
  const auto verdict = [&](const std::string& name) {
    const json found = look({"doctor"}, a);
    for (const json& check : found["checks"]) {
      if (check["check"] == name) return check["ok"].get<std::string>();
    }
    return std::string("none");
  };
  for (const std::string name : {"directory", "config", "identity", "clock", "node", "port",
                                 "seeds", "state", "links", "agreement", "refusals"}) {
    CAPTURE(name);
    CHECK(verdict(name) == "ok");
  }
  CHECK(look({"doctor"}, a)["failed"] == 0);
  a.signal(SIGTERM);
  REQUIRE(a.wait_exit(patience_s) == 0);
  CHECK(verdict("node") == "warning");
  CHECK(verdict("port") == "ok");
  CHECK(verdict("checkpoint") == "ok");
  CHECK(verdict("state") == "none");
}

TEST_CASE_FIXTURE(Learning,
                  "a paused node says what goes on, takes in, and is paused after a restart") {
  REQUIRE(starling_cli({"pause", "--dir", a.directory()}).exit_code == 0);
  REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "paused"; }));
  const json paused = a.status();
  CHECK(paused["paused"] == true);
  CHECK(paused["reason"].get<std::string>().find("answers and exchanges") != std::string::npos);
  CHECK(paused["next"].get<std::string>().starts_with("starling resume"));
  CHECK(starling_cli({"ask", "--dir", a.directory(), "The number "}).exit_code == 0);

  RealNode b{folder / "b"};
  join(folder / "b", "ben", a);
  b.start();
  REQUIRE(b.wait_until(patience_s, [](const json& s) { return s["swarm"]["neighbours"] == 1; }));
  const std::string text = folder.write("more.txt", sentences(400, 800));
  REQUIRE(starling_cli({"learn", "--dir", b.directory(), text}).exit_code == 0);
  CHECK(a.wait_until(patience_s, [](const json& s) { return s["swarm"]["accepted"] >= 2; }));
  CHECK(a.status()["model"]["step"] == paused["model"]["step"]);

  a.signal(SIGTERM);
  REQUIRE(a.wait_exit(patience_s) == 0);
  a.start();
  CHECK(a.wait_until(patience_s, [](const json& s) { return s["state"] == "paused"; }));
  REQUIRE(starling_cli({"resume", "--dir", a.directory()}).exit_code == 0);
  CHECK(a.wait_until(patience_s, [&](const json& s) {
    return s["state"] == "learning" && s["model"]["step"] > paused["model"]["step"];
  }));
}
