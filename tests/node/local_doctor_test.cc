// `starling doctor`: what is wrong is found, named, and comes with something to do.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include <filesystem>
#include <fstream>

#include "node/doctor.h"
#include "node/home.h"
#include "tests/node/local_json.h"

namespace starling::node {
namespace {

// A node that was made and does not run, with what is changed of its configuration.
struct Made {
  explicit Made(const std::string& changes = "") {
    const Ran init = starling({"init", "--dir", directory, "--name", "amsel", "--preset", "demo",
                               "--listen", "127.0.0.1:0"});
    REQUIRE(init.code == 0);
    if (!changes.empty()) std::ofstream(directory + "/starling.yaml") << changes;
  }
  Folder folder;
  std::string directory = folder.path + "/A";
};

struct Doctor {
  explicit Doctor(const std::string& directory, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"doctor", "--json", "--dir", directory};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Ran ran = starling(arguments);
    code = ran.code;
    json = json_of(ran);
  }
  std::string names() const {
    std::string all;
    for (const Json& check : json["checks"])
      all += (all.empty() ? "" : " ") + check["check"].get<std::string>();
    return all;
  }
  Json check(const std::string& name) const {
    for (const Json& each : json["checks"]) {
      if (each["check"] == name) return each;
    }
    FAIL("no such check: " << name);
    return {};
  }
  std::string verdict(const std::string& name) const { return check(name)["ok"]; }
  bool says(const std::string& name, const std::string& part) const {
    return check(name)["detail"].get<std::string>().find(part) != std::string::npos;
  }
  bool advises(const std::string& name, const std::string& part) const {
    return check(name)["advice"].get<std::string>().find(part) != std::string::npos;
  }
  int code = 0;
  Json json;
};

// A port of this machine that is taken (listening), or that nobody has (not listening, but kept).
struct Taken {
  explicit Taken(bool is_listening) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* general = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(fd, general, size) == 0);
    if (is_listening) REQUIRE(::listen(fd, 4) == 0);
    REQUIRE(::getsockname(fd, general, &size) == 0);
    at = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~Taken() { ::close(fd); }
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string at;
};

TEST_CASE("a node that is whole and does not run gets a warning for that and nothing else") {
  const Made made;
  const Doctor doctor(made.directory);
  CHECK(doctor.code == 0);
  CHECK(keys_of(doctor.json) == "checks failed warnings");
  CHECK(keys_of(doctor.json["checks"][0]) == "check ok detail advice");
  CHECK(doctor.names() == "directory config identity disk memory checkpoint clock node port seeds");
  CHECK(doctor.json["failed"] == 0);
  CHECK(doctor.verdict("node") == "warning");
  CHECK(doctor.advises("node", "starling run --dir"));
  for (const char* name : {"directory", "config", "identity", "checkpoint", "clock", "port"})
    CHECK(doctor.verdict(name) == "ok");

  const Ran text = starling({"doctor", "--dir", made.directory});
  CHECK(text.code == 0);
  CHECK(text.out.find("warning  node        no node is running in " + made.directory +
                      "\n                     -> start it with: starling run --dir '") !=
        std::string::npos);
}

TEST_CASE("doctor names a directory that is missing or that others can write to") {
  const Folder folder;
  const Doctor missing(folder.path + "/none");
  CHECK(missing.code == 1);
  CHECK(missing.verdict("directory") == "failed");
  CHECK(missing.advises("directory", "starling init --dir"));
  const Made made;
  REQUIRE(::chmod(made.directory.c_str(), 0755) == 0);
  const Doctor readable(made.directory);
  CHECK(readable.code == 0);
  CHECK(readable.verdict("directory") == "warning");
  CHECK(readable.advises("directory", "chmod 700"));
  REQUIRE(::chmod(made.directory.c_str(), 0777) == 0);
  const Doctor writable(made.directory);
  CHECK(writable.code == 1);
  CHECK(writable.verdict("directory") == "failed");
}

TEST_CASE("doctor names the line of a wrong configuration and a memory limit that is too low") {
  const Doctor wrong(Made("node:\n  nmae: a\n").directory);
  CHECK(wrong.code == 1);
  CHECK(wrong.verdict("config") == "failed");
  CHECK(wrong.says("config", "starling.yaml:2: node.nmae: unknown key"));
  const Doctor small(Made("model:\n  preset: base\nlimits:\n  memory_mib: 64\n").directory);
  CHECK(small.code == 1);
  CHECK(small.verdict("config") == "ok");
  CHECK(small.says("memory", "limits.memory_mib: preset base needs up to "));
  CHECK(small.advises("memory", "raise it"));
}

TEST_CASE("doctor names an identity that is missing, open to others, or of no member") {
  const Made made;
  const HomePaths paths(made.directory);
  REQUIRE(::chmod(paths.identity.c_str(), 0644) == 0);
  CHECK(Doctor(made.directory).verdict("identity") == "failed");
  REQUIRE(::chmod(paths.identity.c_str(), 0600) == 0);
  CHECK(Doctor(made.directory).verdict("identity") == "ok");
  std::filesystem::remove(paths.membership);
  const Doctor outside(made.directory);
  CHECK(outside.code == 1);
  CHECK(outside.advises("identity", "starling join --dir"));
}

TEST_CASE("doctor tells a port that another program has") {
  const Taken taken(true);
  const Made made("node:\n  listen: " + taken.at + "\n");
  const Doctor doctor(made.directory);
  CHECK(doctor.code == 1);
  CHECK(doctor.verdict("port") == "failed");
  CHECK(doctor.says("port", "address in use: " + taken.at));
  CHECK(doctor.advises("port", "node.listen"));
}

TEST_CASE("doctor dials the seeds: all, some or none of them answer") {
  const Taken there(true), nobody(false);
  const auto seeds = [](const std::string& list) {
    return Doctor(Made("node:\n  listen: 127.0.0.1:0\n  seeds: [" + list + "]\n").directory);
  };
  const Doctor all = seeds("\"" + there.at + "\"");
  CHECK(all.verdict("seeds") == "ok");
  CHECK(all.says("seeds", "1 of 1 answer"));
  const Doctor some = seeds("\"" + there.at + "\", \"" + nobody.at + "\"");
  CHECK(some.code == 0);
  CHECK(some.verdict("seeds") == "warning");
  CHECK(some.says("seeds", "1 of 2 answer; " + nobody.at + ": Connection refused"));
  const Doctor none = seeds("\"" + nobody.at + "\"");
  CHECK(none.code == 1);
  CHECK(none.verdict("seeds") == "failed");
  CHECK(none.advises("seeds", "firewall"));
}

TEST_CASE("doctor doubts a clock before 2024 and one that is behind the node's own files") {
  const Made made;
  CHECK(examine_clock(made.directory, 86400).verdict == Check::Verdict::failed);
  const std::string db = HomePaths(made.directory).state_db;
  std::ofstream(db) << "x";
  constexpr int64_t now_s = 1'800'000'000;
  const auto written_at = [&](int64_t time_s) {
    const utimbuf times{time_s, time_s};
    REQUIRE(::utime(db.c_str(), &times) == 0);
    return examine_clock(made.directory, now_s);
  };
  CHECK(written_at(now_s + 60).verdict == Check::Verdict::ok);
  const Check behind = written_at(now_s + 3600);
  CHECK(behind.verdict == Check::Verdict::warning);
  CHECK(behind.detail.find(db) != std::string::npos);
}

TEST_CASE("doctor tells a learning node whose last checkpoint is old") {
  const Made made;
  const std::string file = HomePaths(made.directory).checkpoints + "/1.ckpt";
  std::ofstream(file) << "x";
  constexpr int64_t now_s = 1'800'000'000;
  const utimbuf times{now_s - 7200, now_s - 7200};
  REQUIRE(::utime(file.c_str(), &times) == 0);
  Running running{.listen = "127.0.0.1:1", .state = "learning", .uptime_s = 7200, .linked = {}};
  const auto last = [&] { return examine_home(made.directory, running, now_s).checks.back(); };
  CHECK(last().name == "checkpoint");
  CHECK(last().verdict == Check::Verdict::warning);
  CHECK(last().detail == "the last one is 2 h old");
  running.uptime_s = 60;
  CHECK(last().verdict == Check::Verdict::ok);
  running = {.listen = "127.0.0.1:1", .state = "idle", .uptime_s = 7200, .linked = {}};
  CHECK(last().verdict == Check::Verdict::ok);
}

TEST_CASE("doctor passes on what a running node says of itself") {
  FakeNode node("A");
  REQUIRE(::chmod(node.directory.c_str(), 0700) == 0);
  REQUIRE(starling({"init", "--dir", node.directory, "--listen", "127.0.0.1:0"}).code == 0);
  const Doctor well(node.directory);
  CHECK(well.code == 0);
  CHECK(well.names() ==
        "directory config identity disk memory checkpoint clock node port seeds state links "
        "agreement refusals");
  CHECK(well.verdict("node") == "ok");
  CHECK(well.verdict("state") == "ok");
  CHECK(well.verdict("port") == "warning");  // the fake listens nowhere
  CHECK(well.verdict("refusals") == "warning");
  CHECK(well.says("refusals", "0 deltas held, 3 refused: bad_signature 2, too_large 1"));

  node.daemon.neighbours = 0;
  const Doctor alone(node.directory);
  CHECK(alone.verdict("links") == "warning");
  CHECK(alone.says("links", "no link to any of 1 other member: drossel: no heartbeat for 8 s"));

  node.daemon.state = "degraded";
  const Doctor degraded(node.directory);
  CHECK(degraded.code == 1);
  CHECK(degraded.verdict("state") == "failed");
  CHECK(degraded.says("state", "degraded: there is data to read"));

  node.daemon.is_hung = true;
  const Doctor hung(node.directory, {"--timeout", "0.2"});
  CHECK(hung.code == 1);
  CHECK(hung.verdict("node") == "failed");
  node.daemon.release();
}

}  // namespace
}  // namespace starling::node
