// The verbs with their options, help texts and examples.
#include "node/cli_parsed.h"
#include "swarm/admission.h"

namespace starling::node {

namespace {

constexpr const char* shared_note =
    "Every command takes --dir, --json, --quiet, --verbose, --no-color and --timeout; see starling "
    "--help.";

CLI::App* add_verb(CLI::App& app, const char* name, const char* summary, Parsed& parsed,
                   Chosen chosen, const std::string& examples) {
  auto* verb = app.add_subcommand(name, summary);
  verb->footer("Examples:\n" + examples + "\n" + shared_note);
  verb->callback([&parsed, chosen = std::move(chosen)] { parsed.chosen = chosen; });
  return verb;
}

}  // namespace

void add_setup_verbs(CLI::App& app, Parsed& parsed) {
  auto* init = add_verb(
      app, "init", "Make a node, and a swarm of its own", parsed,
      [&parsed](Cli& cli) { return init_verb(cli, parsed.setup); },
      "  starling init --name amsel\n  starling init --dir A --preset demo --listen 127.0.0.1:0\n");
  auto* join = add_verb(
      app, "join", "Make a node that joins a swarm by an invite", parsed,
      [&parsed](Cli& cli) { return join_verb(cli, parsed.setup); },
      "  starling join --dir B starling1:...\n");
  join->add_option("token", parsed.setup.words,
                   "[DIR] TOKEN: the line that starling invite printed")
      ->required()
      ->expected(1, 2);
  for (auto* verb : {init, join}) {
    verb->add_option("--name", parsed.setup.name, "What people call this node");
    verb->add_option("--listen", parsed.setup.listen,
                     "host:port for peers; port 0: any (default 0.0.0.0:7411)");
    verb->add_option("--advertise", parsed.setup.advertise,
                     "host:port at which others reach it, at most 4");
  }
  init->add_option("--preset", parsed.setup.preset,
                   "Size of the model: demo, tiny (default), small, base");

  auto* run = add_verb(
      app, "run", "Run the node, in the foreground, until Ctrl-C", parsed,
      [&parsed](Cli& cli) {
        parsed.run.directory = cli.options.directory;
        if (parsed.run.log_level.empty() && cli.options.is_verbose) parsed.run.log_level = "debug";
        if (parsed.run.log_level.empty() && cli.options.is_quiet) parsed.run.log_level = "warning";
        return cli.console.run(parsed.run);
      },
      "  starling run\n  starling run --dir A --log-format json\n");
  run->add_option("--log-level", parsed.run.log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  run->add_option("--log-format", parsed.run.log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}));

  auto* config = app.add_subcommand("config", "Look at starling.yaml");
  config->require_subcommand(1);
  config->footer(shared_note);
  for (auto* verb : {add_verb(
                         *config, "show", "Every key, its value, and where that comes from", parsed,
                         [&parsed](Cli& cli) { return config_show_verb(cli, parsed.file); },
                         "  starling config show --json\n"),
                     add_verb(
                         *config, "check", "Say what is wrong with it, or ok", parsed,
                         [&parsed](Cli& cli) { return config_check_verb(cli, parsed.file); },
                         "  starling config check --file starling.yaml\n")}) {
    verb->add_option("--file", parsed.file, "Another file than the one in the node's directory");
  }
  add_verb(app, "version", "Version, commit, protocol", parsed, version_verb,
           "  starling version --json\n");
  add_verb(
      app, "sim", "Simulate swarms, or run one on this machine (starling-sim)", parsed,
      [](Cli& cli) { return cli.console.sim({}); }, "  starling sim local --nodes 4 --minutes 5\n");
}

void add_inspect_verbs(CLI::App& app, Parsed& parsed) {
  auto* status = add_verb(
      app, "status", "What the node does, since when, why, and what comes next", parsed,
      [&parsed](Cli& cli) { return status_verb(cli, parsed.is_check); },
      "  starling status\n  starling status --check && echo healthy\n");
  status->add_flag("--check", parsed.is_check, "Exit 0 healthy, 1 degraded, 69 down");
  auto* members = add_verb(
      app, "members", "Who is in the swarm", parsed,
      [&parsed](Cli& cli) { return members_verb(cli, parsed.is_with_influence); },
      "  starling members\n  starling members --influence\n");
  members->add_flag("--influence", parsed.is_with_influence,
                    "How much each has moved the shared model, and how it is judged");
  add_verb(app, "doctor", "What is wrong here, and what to do; also where no node runs", parsed,
           doctor_verb, "  starling doctor\n  starling doctor --json\n");
  add_verb(app, "regions", "What the model is made of", parsed, regions_verb,
           "  starling regions --json\n");
  auto* watch = add_verb(
      app, "watch", "Events as they happen, after those that are still remembered", parsed,
      [&parsed](Cli& cli) { return watch_verb(cli, parsed.watch); },
      "  starling watch --json\n  starling watch --new --count 10\n");
  watch->add_option("--after", parsed.watch.after_seq, "Go on after this sequence number");
  watch->add_flag("--new", parsed.watch.is_from_now, "Only what happens from now on");
  watch->add_option("--count", parsed.watch.count_max, "End after that many events");
  auto* top = add_verb(
      app, "top", "A running node at a glance, again and again; q ends it", parsed,
      [&parsed](Cli& cli) { return top_verb(cli, parsed.top); },
      "  starling top\n  starling top --interval 10 --count 6 --json\n");
  top->add_option("--interval", parsed.top.interval_s, "Seconds from one look to the next (2)")
      ->check(CLI::Range(0.1, 86400.0));
  top->add_option("--count", parsed.top.count_max, "End after that many looks");
  auto* why = add_verb(
      app, "why", "Where a region comes from: whose deltas, how many, how much", parsed,
      [&parsed](Cli& cli) { return why_verb(cli, parsed.region); },
      "  starling why\n  starling why REGION   (a name from starling regions)\n");
  why->add_option("region", parsed.region, "A region's name; none: all");
}

void add_mind_verbs(CLI::App& app, Parsed& parsed) {
  auto* learn = add_verb(
      app, "learn", "Give the node files or folders to learn from", parsed,
      [&parsed](Cli& cli) { return learn_verb(cli, parsed.files); },
      "  starling learn notes.txt\n  starling learn ~/texts\n  starling learn pairs.tsv\n");
  learn->add_option("paths", parsed.files.paths, "Files, or folders with .txt, .md and .tsv files")
      ->required();
  auto* eval = add_verb(
      app, "eval", "How well the model knows a file", parsed,
      [&parsed](Cli& cli) { return eval_verb(cli, parsed.files); },
      "  starling eval held-out.txt\n  starling eval questions.tsv --json\n");
  eval->add_option("file", parsed.files.paths, "A text, or PROMPT<TAB>ANSWER lines")
      ->required()
      ->expected(1);
  for (auto* verb : {learn, eval}) {
    verb->add_option("--kind", parsed.files.kind,
                     "auto (default), text, or pairs: PROMPT<TAB>ANSWER lines")
        ->check(CLI::IsMember({"auto", "text", "pairs"}));
  }
  auto* ask = add_verb(
      app, "ask", "Let the model go on from a prompt", parsed,
      [&parsed](Cli& cli) { return ask_verb(cli, parsed.ask); },
      "  starling ask 'roman 47>'\n  starling ask --temperature 0.7 --no-stop 'Once '\n");
  ask->add_option("prompt", parsed.ask.prompt, "What it goes on from")->required();
  auto* chat = add_verb(
      app, "chat", "Ask line by line, in one conversation", parsed,
      [&parsed](Cli& cli) { return chat_verb(cli, parsed.ask); }, "  starling chat\n");
  for (auto* verb : {ask, chat}) {
    verb->add_option("--bytes", parsed.ask.bytes_max, "Longest answer (default 256)")
        ->check(CLI::Range(1u, 1u << 20));
    verb->add_option("--temperature", parsed.ask.temperature,
                     "0 (default): always the likeliest byte")
        ->check(CLI::Range(0.0, 100.0));
    verb->add_option("--top-p", parsed.ask.top_p,
                     "Draw from the likeliest bytes of this share (default 1)")
        ->check(CLI::Range(0.0, 1.0));
    verb->add_option("--seed", parsed.seed, "Draw the same again");
    verb->add_flag("--no-stop", parsed.ask.is_without_stop, "Go on after the end of the line");
  }
  auto* teach = add_verb(
      app, "teach", "Practise one answer until the model gives it", parsed,
      [&parsed](Cli& cli) { return teach_verb(cli, parsed.prompt, parsed.answer); },
      "  starling teach 'my cat is called ' 'Minka'\n");
  teach->add_option("prompt", parsed.prompt, "The question")->required();
  teach->add_option("answer", parsed.answer, "The answer")->required();
}

void add_admin_verbs(CLI::App& app, Parsed& parsed) {
  auto* invite = add_verb(
      app, "invite", "Print one line: whoever has it can join, so pass it on with care", parsed,
      [&parsed](Cli& cli) { return invite_verb(cli, parsed.invite); },
      "  starling invite\n  starling invite --valid 12h\n");
  invite->add_option("--valid", parsed.invite.valid, "How long: 30m, 12h, 7d (default), forever");
  invite->add_option("--may-invite", parsed.invite.quota, "Let it invite so many others in turn")
      ->check(CLI::Range(1u, swarm::quota_max));
  invite->add_flag("--may-delegate", parsed.invite.may_delegate,
                   "With --may-invite: also others that may invite");
  add_verb(app, "pause", "Stop learning; answering and exchanging go on", parsed, pause_verb,
           "  starling pause\n");
  add_verb(app, "resume", "Learn again", parsed, resume_verb, "  starling resume\n");
  add_verb(app, "snapshot", "Write a checkpoint now", parsed, snapshot_verb,
           "  starling snapshot\n");
  add_verb(app, "rollback", "Go back to the checkpoint before", parsed, rollback_verb,
           "  starling rollback\n");
  add_verb(app, "leave", "Say goodbye to the swarm and stop the node", parsed, leave_verb,
           "  starling leave\n");
  add_verb(app, "pending", "Who tried to connect and is no member", parsed, pending_verb,
           "  starling pending\n  starling pending --json\n");
  auto* revoke = add_verb(
      app, "revoke", "Shut a member out, and take out what it taught", parsed,
      [&parsed](Cli& cli) { return revoke_verb(cli, parsed.revoke); }, "  starling revoke amsel\n");
  revoke->add_option("member", parsed.revoke.who, "Its id, the beginning of its id, or its name")
      ->required();
  revoke->add_flag("--with-invited", parsed.revoke.is_with_invited, "And whomever it invited");
}

void add_bundle_verbs(CLI::App& app, Parsed& parsed) {
  auto* out = add_verb(
      app, "export", "Write what the swarm has taught this node to a file, for one without a link",
      parsed, [&parsed](Cli& cli) { return export_verb(cli, parsed.exported); },
      "  starling export --deltas stick/swarm.deltas\n"
      "  starling export --deltas new.deltas --since theirs.deltas\n");
  out->add_option("--deltas", parsed.exported.file, "The file to write")->required();
  out->add_option("--since", parsed.exported.since,
                  "A file that the receiver exported: what it had is left out");
  out->add_flag("--force", parsed.exported.is_forced, "Replace the file if it is there");
  auto* in = add_verb(
      app, "import", "Take in what starling export wrote at another member", parsed,
      [&parsed](Cli& cli) { return import_verb(cli, parsed.file); },
      "  starling import stick/swarm.deltas\n");
  in->add_option("file", parsed.file, "The file that starling export wrote")->required();
}

}  // namespace starling::node
