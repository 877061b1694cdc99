#include "node/cli.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "node/cli_parsed.h"
#include "node/nearest.h"
#include "node/text_check.h"

namespace starling::node {

// ---- What the verbs share ----

ExitCode fail(Cli& cli, const HomeError& error) {
  cli.console.err << "starling: " << error.message << std::endl;
  return error.code;
}

void say(Cli& cli, const std::string& message) {
  if (!cli.options.is_quiet) cli.console.err << message << std::endl;
}

void print_json(Cli& cli, const nlohmann::ordered_json& value) {
  cli.console.out << value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                  << std::endl;
}

std::string coloured(const Cli& cli, const std::string& text, const char* code) {
  return cli.options.is_coloured ? std::string("\x1b[") + code + "m" + text + "\x1b[0m" : text;
}

Answer<LocalClient> connect(const Cli& cli) {
  return LocalClient::connect(cli.options.directory, cli.options.timeout_s);
}

std::string presentable(const Cli& cli, const std::string& bytes) {
  if (!cli.console.is_out_terminal) return bytes;
  std::string out = bytes;
  for (size_t i = 0; i < out.size(); ++i) {
    const auto byte = static_cast<unsigned char>(out[i]);
    const bool is_c1 =
        i > 0 && static_cast<unsigned char>(out[i - 1]) == 0xc2 && byte >= 0x80 && byte < 0xa0;
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f || is_c1) out[i] = '?';
  }
  return out;
}

std::string default_directory() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (auto directory = variable("STARLING_DIR"); !directory.empty()) return directory;
  if (auto state = variable("XDG_STATE_HOME"); state.starts_with('/')) return state + "/starling";
  if (auto home = variable("HOME"); !home.empty()) return home + "/.local/state/starling";
  return "starling";
}

// ---- The parser ----

namespace {

constexpr const char* short_help =
    "starling: a model that learns on this device and shares what it learns with a swarm, without "
    "a server\n"
    "\n"
    "  starling init --name amsel        make a node and a swarm of its own\n"
    "  starling run                      run it, in the foreground\n"
    "  starling learn notes.txt          give it something to learn\n"
    "  starling ask \"What is \"           ask it\n"
    "  starling status                   what it does, and why\n"
    "  starling doctor                   what is wrong, and what to do\n"
    "  starling invite                   one line that admits another device\n"
    "  starling join --dir B TOKEN       on the other device\n"
    "\n"
    "All commands: starling --help. The node's directory: --dir DIR or STARLING_DIR.\n";

constexpr const char* exit_note =
    "Exit codes: 0 done, 1 failed, 2 usage, 65 bad data, 69 no node is running, 70 internal, 73 "
    "cannot create,\n"
    "75 try again (locked, busy, out of time), 77 not allowed, 78 configuration.";

void add_shared_options(CLI::App& app, Parsed& parsed) {
  app.fallthrough();
  app.add_option("--dir", parsed.options.directory,
                 "The node's directory (default: $STARLING_DIR, else " +
                     std::string("~/.local/state/starling)"));
  app.add_flag("--json", parsed.options.is_json, "One JSON object on stdout (streams: one a line)");
  app.add_flag("-q,--quiet", parsed.options.is_quiet, "No messages on stderr but errors");
  app.add_flag("-v,--verbose", parsed.options.is_verbose, "More messages (run: log level debug)");
  app.add_flag("--no-color", parsed.is_without_colour, "No colours; NO_COLOR does the same");
  app.add_option("--timeout", parsed.timeout_s, "Seconds to wait for the node")
      ->check(CLI::Range(0.001, 1e6));
  app.add_flag("--version", parsed.is_version, "Version, commit, protocol");
}

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* verb : app.get_subcommands({})) names.push_back(verb->get_name());
  return names;
}

// What to say about the first thing that the parser did not expect.
std::string unexpected(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  const auto words = app.remaining(true);
  const std::string word = words.empty() ? "" : words[0];
  if (chosen.empty() && !word.starts_with('-')) {
    return "unknown command \"" + printable(word) + "\"; did you mean " +
           nearest(word, verb_names(app)) + "?";
  }
  if (!word.starts_with('-'))
    return "too many arguments: \"" + printable(word) + "\"; quote a text that has spaces";
  std::vector<std::string> names;
  std::vector<const CLI::App*> apps(chosen.begin(), chosen.end());
  apps.push_back(&app);
  for (const auto* each : apps) {
    for (const auto* option : each->get_options()) {
      for (const auto& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return "unknown option " + printable(word) + "; did you mean " + nearest(word, names) + "?";
}

ExitCode usage(Console& console, const CLI::App& app, const std::string& message) {
  const auto chosen = app.get_subcommands();
  console.err << "starling: " << message << "\nsee: starling "
              << (chosen.empty() ? "" : chosen[0]->get_name() + " ") << "--help" << std::endl;
  return ExitCode::usage;
}

// The chosen verb in parsed.chosen, or the exit code when there is nothing more to do.
std::optional<ExitCode> parse(CLI::App& app, const std::vector<std::string>& arguments,
                              Console& console) {
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(),
                                       arguments.rend()));  // CLI11 wants the last first
  } catch (const CLI::CallForHelp&) {
    console.out << app.help();
    return ExitCode::ok;
  } catch (const CLI::ExtrasError&) {
    return usage(console, app, unexpected(app));
  } catch (const CLI::ParseError& error) {
    return usage(console, app, printable(error.what(), 400));
  }
  return std::nullopt;
}

}  // namespace

ExitCode run_cli(const std::vector<std::string>& arguments, Console& console) {
  if (arguments.empty()) {
    console.out << short_help;
    return ExitCode::ok;
  }
  if (arguments[0] == "sim") return console.sim({arguments.begin() + 1, arguments.end()});

  Parsed parsed;
  CLI::App app(
      "A model that learns on this device and shares what it learns with a swarm, without a "
      "server.",
      "starling");
  app.require_subcommand(0, 1);  // one at most, so that `ask status` asks about status
  app.footer(exit_note);
  add_shared_options(app, parsed);
  add_setup_verbs(app, parsed);
  add_inspect_verbs(app, parsed);
  add_mind_verbs(app, parsed);
  add_admin_verbs(app, parsed);
  add_bundle_verbs(app, parsed);
  if (const auto code = parse(app, arguments, console)) return *code;

  if (parsed.options.directory.empty()) parsed.options.directory = default_directory();
  if (parsed.timeout_s > 0) parsed.options.timeout_s = parsed.timeout_s;
  for (const char* verb : {"ask", "chat"}) {
    if (app.get_subcommand(verb)->count("--seed") > 0) parsed.ask.seed = parsed.seed;
  }
  const char* no_colour = std::getenv("NO_COLOR");
  parsed.options.is_coloured =
      console.is_coloured && !parsed.is_without_colour && (!no_colour || *no_colour == '\0');
  Cli cli{parsed.options, console};
  if (parsed.is_version) return version_verb(cli);
  if (!parsed.chosen) return usage(console, app, "a command is missing");
  return parsed.chosen(cli);
}

}  // namespace starling::node
