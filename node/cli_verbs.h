#pragma once
// The verbs, one function each, by file: cli_inspect.cc, cli_mind.cc, cli_admin.cc, cli_bundle.cc,
// cli_doctor.cc, cli_top.cc, cli_setup.cc.
// Each takes the options that all share and its own, prints, and returns the exit code. The JSON
// each prints is described in node/README.md.
#include <nlohmann/json.hpp>

#include "node/cli.h"
#include "node/local_client.h"

namespace starling::node {

struct Cli {
  CliOptions options;
  Console& console;
};

// ---- What the verbs share (cli.cc)
ExitCode fail(Cli& cli, const HomeError& error);  // "starling: MESSAGE" on err, the error's code
void say(Cli& cli, const std::string& message);   // a message on err, unless --quiet
void print_json(Cli& cli, const nlohmann::ordered_json& value);  // one line on out
std::string coloured(const Cli& cli, const std::string& text,
                     const char* code);  // ANSI code such as "32"
Answer<LocalClient> connect(const Cli& cli);
// Control characters would steer the reader's terminal: '?' for all but newline and tab, when a
// person reads.
std::string presentable(const Cli& cli, const std::string& bytes);

// ---- cli_inspect.cc
ExitCode status_verb(Cli& cli, bool is_check);
ExitCode members_verb(Cli& cli, bool is_with_influence);
ExitCode regions_verb(Cli& cli);
struct WatchArguments {
  uint64_t after_seq = 0;
  bool is_from_now = false;
  uint64_t count_max = 0;  // 0: endless
};
ExitCode watch_verb(Cli& cli, const WatchArguments& arguments);
ExitCode why_verb(Cli& cli, const std::string& region);
nlohmann::ordered_json json_of(const v1::GetStatusResponse& status);
nlohmann::ordered_json json_of(const v1::Member& member);
nlohmann::ordered_json json_of(const v1::Region& region);
nlohmann::ordered_json json_of(const v1::Provenance& row);
nlohmann::ordered_json json_of(const v1::WatchEventsResponse& event);
std::string event_line(const v1::WatchEventsResponse& event);  // time, name and fields, in one line

// ---- cli_mind.cc
struct AskArguments {
  std::string prompt;
  uint32_t bytes_max = 256;
  double temperature = 0;
  double top_p = 1;
  std::optional<uint64_t> seed;  // none: another one each time
  bool is_without_stop = false;
};
ExitCode ask_verb(Cli& cli, const AskArguments& arguments);
ExitCode chat_verb(Cli& cli, const AskArguments& arguments);
ExitCode teach_verb(Cli& cli, const std::string& prompt, const std::string& answer);
struct FeedArguments {
  std::vector<std::string> paths;
  std::string kind = "auto";  // auto, text, pairs
};
ExitCode learn_verb(Cli& cli, const FeedArguments& arguments);
ExitCode eval_verb(Cli& cli, const FeedArguments& arguments);

// ---- cli_admin.cc
ExitCode pause_verb(Cli& cli);
ExitCode resume_verb(Cli& cli);
ExitCode snapshot_verb(Cli& cli);
ExitCode rollback_verb(Cli& cli);
ExitCode leave_verb(Cli& cli);
struct RevokeArguments {
  std::string who;
  bool is_with_invited = false;
};
ExitCode pending_verb(Cli& cli);
ExitCode revoke_verb(Cli& cli, const RevokeArguments& arguments);
struct InviteArguments {
  std::string valid = "7d";
  uint32_t quota = 0;  // members that the bearer may invite
  bool may_delegate = false;
};
ExitCode invite_verb(Cli& cli, const InviteArguments& arguments);
// "30s", "15m", "12h", "7d", "forever" (0).
std::optional<int64_t> parse_duration_s(const std::string& text);

// ---- cli_doctor.cc
ExitCode doctor_verb(Cli& cli);

// ---- cli_top.cc
struct TopArguments {
  double interval_s = 2;
  uint64_t count_max = 0;  // 0: until it is ended
};
ExitCode top_verb(Cli& cli, const TopArguments& arguments);

// ---- cli_bundle.cc
struct ExportArguments {
  std::string file, since;  // since: another bundle, or none
  bool is_forced = false;
};
ExitCode export_verb(Cli& cli, const ExportArguments& arguments);
ExitCode import_verb(Cli& cli, const std::string& file);

// ---- cli_setup.cc
struct SetupArguments {
  std::string name, preset, listen;
  std::vector<std::string> advertise;
  std::vector<std::string> words;  // join: [DIR] TOKEN
};
ExitCode init_verb(Cli& cli, const SetupArguments& arguments);
ExitCode join_verb(Cli& cli, const SetupArguments& arguments);
ExitCode config_show_verb(Cli& cli, const std::string& file);
ExitCode config_check_verb(Cli& cli, const std::string& file);
ExitCode version_verb(Cli& cli);
std::string version_line();

}  // namespace starling::node
