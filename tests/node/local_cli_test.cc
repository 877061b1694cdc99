// Each verb of the command line against a real server: what it prints, the keys of its JSON, its
// exit code.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "tests/node/local_json.h"

namespace starling::node {
namespace {

void write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

TEST_CASE("status --json has the agreed keys and values") {
  const FakeNode node;
  const Ran ran = starling({"status", "--json", "--dir", node.directory});
  CHECK(ran.code == 0);
  const Json status = json_of(ran);
  CHECK(keys_of(status) ==
        "name id swarm_id state since reason next model swarm resources listen steps_planned "
        "finished paused");
  CHECK(keys_of(status["model"]) == "preset parameters step loss bits_per_byte fingerprint tokens");
  CHECK(keys_of(status["swarm"]) ==
        "members neighbours sent_bytes received_bytes accepted held refused base_hash deltas "
        "duplicates published "
        "refused_by_reason bits_per_parameter lateness budget");
  CHECK(keys_of(status["swarm"]["budget"]) ==
        "sent_today received_today sent_last_minute received_last_minute upload_bytes_per_s "
        "download_bytes_per_s daily_bytes quiet_hours upload_used download_used daily_used "
        "restraint upload_short download_short duplicates_ratio");
  CHECK(status["swarm"]["budget"]["sent_today"] == 3 << 20);
  CHECK(status["swarm"]["budget"]["daily_used"] == 0.5);
  CHECK(status["swarm"]["budget"]["upload_used"] == 0.25);
  CHECK(status["swarm"]["budget"]["download_used"].is_null());  // there is no limit
  CHECK(status["swarm"]["budget"]["restraint"] == "quiet_hours");
  CHECK(status["swarm"]["budget"]["duplicates_ratio"] == 2);
  CHECK(keys_of(status["resources"]) == "memory_bytes cpu_percent disk_bytes uptime_s");
  CHECK(status["name"] == "amsel");
  CHECK(status["swarm_id"] == "00112233445566778899aabbccddeeff");
  CHECK(status["since"] == 1700000000);
  CHECK(status["model"]["loss"] == 2.5);
  CHECK(status["model"]["bits_per_byte"].is_null());  // none yet is not zero
  CHECK(status["swarm"]["received_bytes"] == (1ull << 40));
  CHECK(status["swarm"]["refused_by_reason"] == Json{{"bad_signature", 2}, {"too_large", 1}});
}

TEST_CASE("status says the state in a word, since when, why and what comes next") {
  const FakeNode node;
  const Ran ran = starling({"status", "--dir", node.directory});
  CHECK(ran.code == 0);
  CHECK(ran.out.starts_with("amsel is learning since 2023-11-1"));
  CHECK(ran.out.find("why      there is data to read\n") != std::string::npos);
  CHECK(ran.out.find("next     publishes in 4 steps\n") != std::string::npos);
  CHECK(ran.out.find("step 1 200 of 2 000, loss 2.500 bits, - bits per byte\n") !=
        std::string::npos);
  CHECK(ran.out.find("received 1.0 TiB\n") != std::string::npos);
  CHECK(ran.out.find("refused 2: bad_signature\n") != std::string::npos);
  CHECK(
      ran.out.find("bytes    today 3.0 MiB sent, 1.0 MiB received; 50 % of 8.0 MiB a day; 25 % of "
                   "4.0 KiB/s up; quiet hours 08:00-18:00; 2.00 copies of a delta\n") !=
      std::string::npos);
  CHECK(std::count(ran.out.begin(), ran.out.end(), '\n') < 24);
  CHECK(ran.out.find('\x1b') == std::string::npos);
}

TEST_CASE("colours are for terminals, and NO_COLOR and --no-color end them") {
  const FakeNode node;
  const auto has_colour = [&](std::vector<std::string> more, bool is_terminal) {
    more.insert(more.end(), {"status", "--dir", node.directory});
    return starling(more, "", is_terminal).out.find('\x1b') != std::string::npos;
  };
  CHECK(has_colour({}, true));
  CHECK_FALSE(has_colour({}, false));
  CHECK_FALSE(has_colour({"--no-color"}, true));
  setenv("NO_COLOR", "1", 1);
  CHECK_FALSE(has_colour({}, true));
  unsetenv("NO_COLOR");
}

TEST_CASE("status --check answers by exit code: 0 healthy, 1 degraded, 69 down") {
  const Folder empty;
  CHECK(starling({"status", "--check", "--dir", empty.path}).code == 69);
  FakeNode node;
  CHECK(starling({"status", "--check", "--dir", node.directory}).code == 0);
  node.daemon.state = "degraded";
  CHECK(starling({"status", "--check", "--dir", node.directory}).code == 1);
  CHECK(starling({"status", "--dir", node.directory}).code == 0);
}

TEST_CASE("members and regions print the agreed tables") {
  const FakeNode node;
  const Ran members = starling({"members", "--dir", node.directory});
  CHECK(members.code == 0);
  std::istringstream lines(members.out);
  std::string head, self, other;
  std::getline(lines, head);
  std::getline(lines, self);
  std::getline(lines, other);
  std::istringstream words(head);
  std::string word, all;
  while (words >> word) all += word + " ";
  CHECK(all == "NAME ID ADDRESS STATE RTT SCORE VERSION STEP LAST-DELTA ");
  CHECK(self.starts_with("amsel (this)"));
  CHECK(other.find("192.0.2.7:7411  suspect  1.5 ms") != std::string::npos);
  CHECK(other.ends_with("3.0 s"));
  CHECK(members.err == "drossel: no link: no heartbeat for 8 s\n");

  const Json json = json_of(starling({"members", "--json", "--dir", node.directory}));
  CHECK(keys_of(json) == "members");
  CHECK(keys_of(json["members"][1]) ==
        "name id address state rtt_ms score version step last_delta_s self linked bits_per_byte "
        "deltas lost_reason "
        "base_hash base_deltas accused_by voices_against refused_by_reason");
  CHECK(json["members"][0]["refused_by_reason"] == Json::object());
  CHECK(json["members"][1]["refused_by_reason"] == Json{{"rate_limited", 70}, {"replayed", 3}});
  CHECK(json["members"][0]["rtt_ms"].is_null());
  CHECK(json["members"][1]["rtt_ms"] == 1.5);
  CHECK(json["members"][1]["last_delta_s"] == 3);

  CHECK_FALSE(json["members"][1].contains("influence"));

  const Ran regions = starling({"regions", "--dir", node.directory});
  CHECK(regions.out ==
        "REGION    LAYER  KIND  PARAMETERS  ACTIVE%  CHANGED  SENT  RECEIVED  HOSTS  PRIVATE\n"
        "l0.mlp.3      0  mlp         9216     12.5    1.500     4         6      2  yes\n");
  const Json region =
      json_of(starling({"regions", "--json", "--dir", node.directory}))["regions"][0];
  CHECK(keys_of(region) ==
        "region layer kind parameters active_percent changed sent received hosts private hosted");
  CHECK(region["private"] == true);
}

TEST_CASE("why says whose deltas made a region") {
  const FakeNode node;
  const Ran table = starling({"why", "l1.mlp.0", "--dir", node.directory});
  CHECK(table.out.starts_with("REGION    ORIGIN"));
  CHECK(table.out.find("l1.mlp.0") != std::string::npos);
  const Json row = json_of(starling({"why", "--json", "--dir", node.directory}))["provenance"][0];
  CHECK(keys_of(row) == "region origin name deltas norm last");
  const Ran unknown = starling({"why", "l9.mlp", "--json", "--dir", node.directory});
  CHECK(unknown.code == 1);
  CHECK(unknown.err == "starling: l9.mlp: there is no such region; see: starling regions\n");
}

TEST_CASE(
    "watch prints one JSON object a line, goes on after a sequence number, and ends when told") {
  const FakeNode node;
  const Ran both = starling({"watch", "--json", "--count", "2", "--dir", node.directory});
  CHECK(both.code == 0);
  CHECK(both.out ==
        R"({"seq":1,"time":1700000000.25,"event":"learned","bytes":"120","source":"notes.txt"})"
        "\n"
        R"({"seq":2,"time":1700000001.0,"event":"delta_held","reason":"far from the reference"})"
        "\n");
  const Ran second =
      starling({"watch", "--json", "--after", "1", "--timeout", "0.3", "--dir", node.directory});
  CHECK(second.code == 0);
  CHECK(Json::parse(second.out)["seq"] == 2);
  const Ran none = starling({"watch", "--new", "--timeout", "0.3", "--dir", node.directory});
  CHECK(none.code == 0);
  CHECK(none.out.empty());
  const Ran text = starling({"watch", "--count", "1", "--dir", node.directory});
  CHECK(text.out.find("  learned bytes=120 source=notes.txt\n") != std::string::npos);
}

TEST_CASE("ask streams the answer's bytes to stdout and passes its options on") {
  FakeNode node;
  const Ran ran = starling(
      {"ask", "roman 47>", "--dir", node.directory, "--bytes", "9", "--seed", "5", "--no-stop"});
  CHECK(ran.code == 0);
  CHECK(ran.out == "XLVII\n");
  CHECK(node.daemon.told().back() == "ask roman 47> bytes=9 stop=no seed=5");
  const Json json = json_of(starling({"ask", "--json", "status", "--dir", node.directory}));
  CHECK(json == Json{{"prompt", "status"}, {"answer", "XLVII\n"}});
  CHECK(starling({"ask", "x", "--temperature", "-1", "--dir", node.directory}).code == 2);
  CHECK(starling({"ask", "x", "--top-p", "1.1", "--dir", node.directory}).code == 2);

  node.daemon.pieces = {"no newline \xff"};
  CHECK(starling({"ask", "x", "--dir", node.directory}).out == "no newline \xff\n");
  CHECK(json_of(starling({"ask", "x", "--json", "--dir", node.directory}))["answer"] ==
        "no newline \xef\xbf\xbd");
  node.daemon.pieces = {"\x1b[2Jboo"};  // what the model says must not steer the terminal
  CHECK(starling({"ask", "x", "--dir", node.directory}, "", true).out == "?[2Jboo\n");
}

TEST_CASE("chat asks line by line and remembers what was said") {
  FakeNode node;
  const Ran ran =
      starling({"chat", "--seed", "1", "--dir", node.directory}, "roman 47>\nroman 48>\n");
  CHECK(ran.code == 0);
  CHECK(ran.out == "XLVII\nXLVII\n");
  const auto told = node.daemon.told();
  CHECK(told[0].starts_with("ask roman 47> "));
  CHECK(told[1].starts_with("ask roman 47>XLVII\nroman 48> "));
}

TEST_CASE("teach exits 0 when it was learned and 1 when it was not") {
  FakeNode node;
  const Ran learned = starling({"teach", "my cat is ", "Minka", "--json", "--dir", node.directory});
  CHECK(learned.code == 0);
  CHECK(json_of(learned) == Json{{"learned", true}, {"steps", 12}, {"answer", "Minka"}});
  CHECK(node.daemon.told().back() == "teach my cat is |Minka");
  node.daemon.is_learned = false;
  const Ran not_learned = starling({"teach", "--dir", node.directory, "--", "40-80=", "-40"});
  CHECK(not_learned.code == 1);
  CHECK(not_learned.out == "not learned after 12 steps; it answers: ?\n");
}

TEST_CASE("learn takes files and folders and says what was taken of each") {
  FakeNode node;
  const std::string folder = node.folder.path + "/texts";
  std::filesystem::create_directories(folder + "/deep");
  write(folder + "/a.txt", "some text");
  write(folder + "/deep/b.tsv", "q\ta\nr\tb\n");
  write(folder + "/deep/c.jpg", "not looked at");
  write(folder + "/big.txt", std::string(600000, 'x'));  // several chunks
  const Ran ran = starling({"learn", folder, "--dir", node.directory});
  CHECK(ran.code == 0);
  CHECK(ran.out == folder + "/a.txt: 9 B of text\n" + folder + "/big.txt: 586 KiB of text\n" +
                       folder + "/deep/b.tsv: 2 pairs\n");
  const Json json = json_of(
      starling({"learn", folder + "/a.txt", "--kind", "pairs", "--json", "--dir", node.directory}));
  CHECK(keys_of(json) == "files bytes pairs refused");
  CHECK(keys_of(json["files"][0]) == "file kind bytes pairs note");
  CHECK(node.daemon.told().back() == "learn a.txt 2 9");
}

TEST_CASE("learn refuses what is no text with exit 65 and a clear answer, and takes the rest") {
  FakeNode node;
  const std::string at = node.folder.path + "/";
  write(at + "empty.txt", "");
  write(at + "program", std::string("\x7f"
                                    "ELF\0\0",
                                    6));
  write(at + "good.txt", "M\xfcnchen");
  std::filesystem::create_directories(at + "hollow");
  const auto learn = [&](const std::string& path) {
    return starling({"learn", path, "--dir", node.directory});
  };
  CHECK(learn(at + "none.txt").err == "starling: " + at + "none.txt: there is no such file\n");
  CHECK(learn(at + "empty.txt").err == "starling: " + at + "empty.txt: is empty\n");
  CHECK(learn(at + "program").err.starts_with("starling: " + at + "program: is not text; "));
  CHECK(learn(at + "hollow").err ==
        "starling: " + at + "hollow: has no readable .txt, .md or .tsv files\n");
  CHECK(learn("/dev/zero").err == "starling: /dev/zero: is not a file that can be read\n");
  CHECK(node.daemon.told().empty());
  for (const char* name : {"none.txt", "empty.txt", "program", "hollow"})
    CHECK(learn(at + name).code == 65);

  const Ran mixed =
      starling({"learn", at + "empty.txt", at + "good.txt", "--json", "--dir", node.directory});
  CHECK(mixed.code == 65);
  const Json json = json_of(mixed);
  CHECK(json["bytes"] == 7);
  CHECK(json["refused"][0]["file"] == at + "empty.txt");
  CHECK(keys_of(json["refused"][0]) == "file reason");
  node.daemon.failure = Failure{FailureKind::bad_data, "good.txt: holds nothing"};
  CHECK(learn(at + "good.txt").err == "starling: " + at + "good.txt: holds nothing\n");
}

TEST_CASE("eval prints bits per byte of a text and accuracy of pairs") {
  const FakeNode node;
  const std::string path = node.folder.path + "/held-out.txt";
  write(path, "0123456789");
  CHECK(starling({"eval", path, "--dir", node.directory}).out ==
        "2.2500 bits per byte over 10 bytes\n");
  CHECK(json_of(starling({"eval", path, "--json", "--dir", node.directory})) ==
        Json{{"bits_per_byte", 2.25}, {"bytes", 10}});
  CHECK(json_of(starling({"eval", path, "--kind", "pairs", "--json", "--dir", node.directory})) ==
        Json{{"accuracy", 0.75}, {"examples", 4}});
  CHECK(starling({"eval", path + ".none", "--dir", node.directory}).code == 65);
}

TEST_CASE("the owner's commands reach the node") {
  FakeNode node;
  const std::string& dir = node.directory;
  CHECK(starling({"pause", "--dir", dir}).out ==
        "paused: it learns nothing, answers and exchanges; go on with: starling resume\n");
  CHECK(json_of(starling({"pause", "--json", "--dir", dir})) == Json{{"paused", true}});
  CHECK(json_of(starling({"resume", "--json", "--dir", dir})) == Json{{"paused", false}});
  CHECK(starling({"snapshot", "--dir", dir}).out == "wrote checkpoints/snapshot\n");
  CHECK(json_of(starling({"rollback", "--json", "--dir", dir})) ==
        Json{{"path", "checkpoints/rollback"}});
  CHECK(json_of(starling({"leave", "--json", "--dir", dir})) == Json{{"left", true}});
  const Ran invite = starling({"invite", "--valid", "12h", "--dir", dir});
  CHECK(invite.out == "starling1:token\n");
  CHECK(invite.err.find("starling join --dir DIR TOKEN") != std::string::npos);
  CHECK(json_of(starling({"invite", "--valid", "forever", "--json", "--dir", dir})) ==
        Json{{"token", "starling1:token"}, {"expires", nullptr}});
  CHECK(starling({"invite", "--valid", "soon", "--dir", dir}).code == 2);
  const Ran issuer = starling({"invite", "--may-invite", "5", "--may-delegate", "--dir", dir});
  CHECK(issuer.out == "starling1:token\n");
  CHECK(issuer.err.find("can join and invite 5 more until") != std::string::npos);
  CHECK(starling({"invite", "--may-invite", "257", "--dir", dir}).code == 2);
  CHECK(starling({"invite", "--may-delegate", "--dir", dir}).code == 2);
  const auto id =
      json_of(starling({"members", "--json", "--dir", dir}))["members"][1]["id"].get<std::string>();
  CHECK(starling({"revoke", "drossel", "--dir", dir}).out == "shut out of the swarm: " + id + "\n");
  CHECK(json_of(starling({"revoke", id.substr(0, 9), "--json", "--dir", dir})) ==
        Json{{"revoked", id}, {"everywhere", true}});
  node.daemon.foreign_id = id;
  const Ran local = starling({"revoke", "drossel", "--dir", dir});
  CHECK(local.out == "shut out of this node: " + id + "\n");
  CHECK(local.err.find("only the founder") != std::string::npos);
  CHECK(starling({"revoke", "drossel", "--with-invited", "--dir", dir}).code == 0);
  CHECK(node.daemon.told() ==
        std::vector<std::string>{"pause", "pause", "resume", "snapshot", "rollback", "leave",
                                 "invite 43200", "invite 0", "invite 604800 quota 5 delegate",
                                 "revoke " + id, "revoke " + id, "revoke " + id,
                                 "revoke " + id + " and below"});
}

TEST_CASE("export writes a new file whole, import hands it over and counts what came of it") {
  FakeNode node;
  const std::string file = node.folder.path + "/out.deltas";
  const Ran out = starling({"export", "--deltas", file, "--dir", node.directory});
  CHECK(out.out == "wrote " + file + ": 3 deltas of 2 members, 600000 bytes\n");
  CHECK(out.err.find("1 older delta") != std::string::npos);
  CHECK(std::filesystem::file_size(file) == node.daemon.bundle.size());
  const Ran again = starling({"export", "--deltas", file, "--dir", node.directory});
  CHECK(again.code == 73);
  CHECK(again.err.find("--force") != std::string::npos);
  node.daemon.bundle = "short";
  CHECK(json_of(
            starling({"export", "--deltas", file, "--force", "--json", "--dir", node.directory})) ==
        Json{{"file", file}, {"bytes", 5}, {"deltas", 3}, {"members", 2}, {"folded", 1}});
  const Ran in = starling({"import", file, "--dir", node.directory});
  CHECK(in.out == "2 new, 1 known, 4 refused\n");
  CHECK(in.err == "refused: revoked 4\n");
  CHECK(node.daemon.imported == "short");
  CHECK(json_of(starling({"import", file, "--json", "--dir", node.directory})) ==
        Json{{"new", 2}, {"known", 1}, {"refused", 4}, {"refused_by_reason", {{"revoked", 4}}}});
}

TEST_CASE("export and import say what is wrong with a file, and leave nothing behind") {
  FakeNode node;
  const std::string file = node.folder.path + "/out.deltas";
  const std::string foreign = node.folder.path + "/foreign";
  write(foreign, "no bundle at all");
  const Ran since =
      starling({"export", "--deltas", file, "--since", foreign, "--dir", node.directory});
  CHECK(since.code == 65);
  CHECK(since.err.find(foreign + ": this is no file that starling export wrote") !=
        std::string::npos);
  CHECK(starling({"import", file, "--dir", node.directory}).code == 65);  // there is none
  CHECK(starling({"export", "--dir", node.directory}).code == 2);
  CHECK(starling({"export", "--deltas", node.folder.path + "/none/out", "--dir", node.directory})
            .code == 73);
  node.daemon.failure = Failure{FailureKind::bad_data, "it is of another swarm"};
  CHECK(starling({"export", "--deltas", file, "--dir", node.directory}).code == 65);
  CHECK_FALSE(std::filesystem::exists(file));
  for (const auto& entry : std::filesystem::directory_iterator(node.folder.path))
    CHECK(entry.path().string().find(".tmp") == std::string::npos);
  const Ran refused = starling({"import", foreign, "--dir", node.directory});
  CHECK(refused.code == 65);
  CHECK(refused.err == "starling: " + foreign + ": it is of another swarm\n");
}

TEST_CASE("what the node refuses comes out as its sentence and the agreed exit code") {
  FakeNode node;
  const struct {
    FailureKind kind;
    int code;
  } rows[] = {{FailureKind::bad_data, 65},    {FailureKind::not_found, 1},
              {FailureKind::unavailable, 75}, {FailureKind::timeout, 75},
              {FailureKind::permission, 77},  {FailureKind::exhausted, 75},
              {FailureKind::internal, 70}};
  for (const auto& row : rows) {
    node.daemon.failure = Failure{row.kind, "that is why; do this"};
    const Ran ran = starling({"snapshot", "--dir", node.directory});
    CHECK(ran.code == row.code);
    CHECK(ran.err == "starling: that is why; do this\n");
    CHECK(ran.out.empty());
  }
}

TEST_CASE("where no node runs, the answer is 69 and how to start one") {
  const Folder folder;
  for (const char* verb :
       {"status", "members", "pending", "regions", "watch", "why", "pause", "snapshot", "leave"}) {
    const Ran ran = starling({verb, "--dir", folder.path});
    CHECK(ran.code == 69);
    CHECK(ran.err == "starling: no node is running in " + folder.path +
                         "; start it with: starling run --dir '" + folder.path + "'\n");
  }
  CHECK(starling({"status", "--dir", folder.path + "/none"}).code == 69);
  write(folder.path + "/api.sock", "");  // not even a socket
  CHECK(starling({"status", "--dir", folder.path}).code == 69);
}

TEST_CASE("a node that hangs is given up on when the timeout says so") {
  FakeNode node;
  node.daemon.is_hung = true;
  const auto begin = std::chrono::steady_clock::now();
  const Ran ran = starling({"status", "--timeout", "0.2", "--dir", node.directory});
  CHECK(ran.code == 75);
  CHECK(ran.err.find("did not answer in time") != std::string::npos);
  CHECK(starling({"teach", "a", "b", "--timeout", "0.2", "--dir", node.directory}).code == 75);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
  node.daemon.release();
}

TEST_CASE(
    "words that are no command, no option or too many are answered with the nearest and exit 2") {
  const struct {
    std::vector<std::string> arguments;
    std::string message;
  } rows[] = {
      {{"statsu"}, "unknown command \"statsu\"; did you mean status?"},
      {{"--json", "memebrs"}, "unknown command \"memebrs\"; did you mean members?"},
      {{"status", "--jsno"}, "unknown option --jsno; did you mean --json?"},
      {{"watch", "--aftr", "3"}, "unknown option --aftr; did you mean --after?"},
      {{"ask", "two", "words"}, "too many arguments: \"words\"; quote a text that has spaces"},
      {{"--json"}, "a command is missing"},
  };
  for (const auto& row : rows) {
    const Ran ran = starling(row.arguments);
    CHECK(ran.code == 2);
    CHECK(ran.err.starts_with("starling: " + row.message + "\nsee: starling "));
    CHECK(ran.out.empty());
  }
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"ask"},
                                             {"teach", "a"},
                                             {"learn"},
                                             {"eval"},
                                             {"eval", "a", "b"},
                                             {"join"},
                                             {"revoke"},
                                             {"config"},
                                             {"status", "--timeout", "0"},
                                             {"status", "--timeout", "soon"},
                                             {"ask", "a", "--bytes", "-1"},
                                             {"run", "--log-level", "loud"},
                                             {"learn", "a", "--kind", "pictures"}}) {
    const Ran ran = starling(arguments);
    CAPTURE(arguments[0]);
    CHECK(ran.code == 2);
    CHECK_FALSE(ran.err.empty());
  }
}

TEST_CASE(
    "no arguments give a short help with examples, and --help lists every command that is built") {
  const Ran bare = starling({});
  CHECK(bare.code == 0);
  CHECK(bare.out.find("starling init --name amsel") != std::string::npos);
  const Ran help = starling({"--help"});
  CHECK(help.code == 0);
  for (const char* verb :
       {"init",   "run",    "join",     "invite",   "status",  "members", "regions",
        "watch",  "learn",  "ask",      "chat",     "teach",   "eval",    "why",
        "pause",  "resume", "snapshot", "rollback", "leave",   "revoke",  "export",
        "import", "config", "version",  "sim",      "pending", "doctor",  "top"}) {
    CHECK(help.out.find(std::string("\n  ") + verb + " ") != std::string::npos);
    const Ran own = starling({verb, "--help"});
    if (std::string(verb) == "sim") continue;  // starling-sim has its own
    CHECK(own.code == 0);
    CHECK(own.out.find("starling " + std::string(verb)) != std::string::npos);
  }
}

TEST_CASE("version says version, commit, instruction set and protocol") {
  CHECK(starling({"--version"}).out == starling({"version"}).out);
  CHECK(starling({"version"}).out.starts_with("starling 0."));
  const Json json = json_of(starling({"version", "--json"}));
  CHECK(keys_of(json) == "version commit isa protocol_min protocol_max");
  CHECK_FALSE(json["commit"].get<std::string>().empty());
}

TEST_CASE("run and sim are passed what they need, and their exit codes come back") {
  CHECK(starling({"run", "--dir", "D", "-v"}).out == "run D debug ");
  CHECK(starling({"run", "--dir", "D", "-q", "--log-format", "json"}).out == "run D warning json");
  CHECK(starling({"--dir", "D", "run"}).code == 75);
  CHECK(starling({"sim", "local", "--nodes", "4", "--json"}).out ==
        "sim [local] [--nodes] [4] [--json]");
}

TEST_CASE("the directory is --dir, else STARLING_DIR, else the person's own") {
  setenv("STARLING_DIR", "/from-environment", 1);
  CHECK(starling({"run"}).out.starts_with("run /from-environment "));
  CHECK(starling({"run", "--dir", "D"}).out.starts_with("run D "));
  unsetenv("STARLING_DIR");
  setenv("XDG_STATE_HOME", "/state", 1);
  CHECK(default_directory() == "/state/starling");
  unsetenv("XDG_STATE_HOME");
}

TEST_CASE("config check and show name file, line and key, with exit 78") {
  const Folder folder;
  const auto config = [&](const char* what, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"config", what, "--dir", folder.path});
    return starling(more);
  };
  CHECK(config("check").code == 78);
  write(folder.path + "/starling.yaml", "node:\n  nmae: a\n");
  CHECK(config("check").code == 78);
  CHECK(config("show").err ==
        "starling: " + folder.path +
            "/starling.yaml:2: node.nmae: unknown key; did you mean node.name?\n");
  write(folder.path + "/starling.yaml", "node:\n  name: a\n");
  CHECK(config("check").out == folder.path + "/starling.yaml: ok\n");
  CHECK(config("show").out.find("node.name") != std::string::npos);
  const Json values = json_of(config("show", {"--json"}))["values"];
  CHECK(keys_of(values[0]) == "key value unit source");
  CHECK(values[0] == Json{{"key", "node.name"},
                          {"value", "a"},
                          {"unit", ""},
                          {"source", folder.path + "/starling.yaml:2"}});
  CHECK(values[2]["value"].is_array());
}

TEST_CASE(
    "init makes a node, invite works before it runs, and join makes another of the same swarm") {
  const Folder folder;
  const std::string a = folder.path + "/A";
  const std::string b = folder.path + "/B";
  const Ran init = starling({"init", "--dir", a, "--name", "amsel", "--preset", "demo", "--listen",
                             "127.0.0.1:7499", "--json"});
  CHECK(init.code == 0);
  const Json made = json_of(init);
  CHECK(keys_of(made) == "dir name id swarm_id preset memory_mib_max");
  CHECK(made["memory_mib_max"] > 40);
  CHECK(made["memory_mib_max"] < 200);
  CHECK(made["name"] == "amsel");
  CHECK(starling({"init", "--dir", a}).code != 0);
  const Ran invite = starling({"invite", "--dir", a});
  CAPTURE(invite.err);
  CHECK(invite.code == 0);
  const std::string token = invite.out.substr(0, invite.out.find('\n'));
  CHECK(token.starts_with("starling1:"));
  const Ran join = starling(
      {"join", "--dir", b, token, "--name", "drossel", "--listen", "127.0.0.1:0", "--json"});
  CAPTURE(join.err);
  CHECK(join.code == 0);
  CHECK(json_of(join)["swarm_id"] == made["swarm_id"]);
  CHECK(json_of(join)["preset"] == "demo");
  CHECK(json_of(join)["id"] != made["id"]);
  CHECK(starling({"invite", "--dir", b}).code == 77);  // not the founder
  CHECK(starling({"join", "--dir", folder.path + "/C", token.substr(0, token.size() - 3)}).code ==
        65);
  const Ran in_words = starling({"join", folder.path + "/D", token, "--listen", "127.0.0.1:0"});
  CHECK(in_words.out.starts_with("joined with " + folder.path + "/D\n"));
  CHECK(in_words.out.find("\n  memory up to ") != std::string::npos);
  CHECK(in_words.out.find(" MiB (learning ") != std::string::npos);
  CHECK(in_words.out.find("), limit 1280 MiB\n") != std::string::npos);
  const Ran unreadable = starling({"init", "--dir", folder.path + "/E", "--name", "a\nb"});
  CHECK(unreadable.code == 2);
  CHECK(unreadable.err == "starling: node.name: must not have control characters\n");
  const Ran wrong = starling({"init", "--dir", folder.path + "/E", "--preset", "smal"});
  CHECK(wrong.code == 2);
  CHECK(wrong.err ==
        "starling: model.preset: must be one of demo, tiny, small, base but is \"smal\"; did you "
        "mean "
        "small?\n");
}

}  // namespace
}  // namespace starling::node
