// init, join, config, version: what needs no running node.
#include <cassert>
#include <ctime>
#include <iostream>

#include "model/kernels.h"
#include "node/cli_verbs.h"
#include "node/footprint.h"
#include "node/table.h"
#include "node/version.h"
#include "swarm/message.h"

namespace starling::node {

namespace {

using Json = nlohmann::ordered_json;

// The configuration that the arguments ask for, checked as a file would be.
Answer<Config> config_of(const SetupArguments& arguments) {
  Config config;
  if (!arguments.name.empty()) config.node.name = arguments.name;
  if (!arguments.preset.empty()) config.model.preset = arguments.preset;
  if (!arguments.listen.empty()) config.node.listen = arguments.listen;
  config.node.advertise = arguments.advertise;
  auto checked = parse_config(default_yaml(config), "starling.yaml");
  if (checked) return *checked;
  // The line of a file that is not written yet helps nobody: begin with the key.
  const std::string& message = checked.error().message;
  return Unexpected{HomeError{
      ExitCode::usage, message.substr(std::min(message.find(": "), message.size() - 2) + 2)}};
}

std::string hex_of(const swarm::SwarmId& id) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : id) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

// Shows what has been made, as it will be found.
ExitCode present(Cli& cli, const char* deed) {
  const auto home = open_home(cli.options.directory);
  if (!home) return fail(cli, home.error());
  const std::string id = swarm::to_string(home->identity.id());
  const Config& config = home->config;
  const auto shape = model::shape_of_preset(config.model.preset);
  assert(shape.has_value());  // load_config knows the presets
  const std::vector<MemoryPart> parts = memory_parts(*shape, config);
  if (cli.options.is_json) {
    print_json(cli, {{"dir", cli.options.directory},
                     {"name", config.node.name},
                     {"id", id},
                     {"swarm_id", hex_of(home->swarm)},
                     {"preset", config.model.preset},
                     {"memory_mib_max", memory_mib(parts)}});
    return ExitCode::ok;
  }
  cli.console.out << deed << " " << cli.options.directory << "\n"
                  << "  name   " << presentable(cli, config.node.name) << "\n"
                  << "  id     " << id << "\n"
                  << "  swarm  " << hex_of(home->swarm) << "\n"
                  << "  model  " << config.model.preset << "\n"
                  << "  memory up to " << memory_mib(parts) << " MiB (" << memory_text(parts)
                  << "), limit " << config.limits.memory_mib << " MiB\n";
  if (const std::string problem = device_problem(*shape, config); !problem.empty())
    say(cli, "it will not start: " + problem);
  say(cli, "start it with: starling run --dir '" + cli.options.directory + "'");
  return ExitCode::ok;
}

std::string config_path(const Cli& cli, const std::string& file) {
  return file.empty() ? HomePaths(cli.options.directory).config : file;
}

}  // namespace

ExitCode init_verb(Cli& cli, const SetupArguments& arguments) {
  const auto config = config_of(arguments);
  if (!config) return fail(cli, config.error());
  const auto done = create_home(cli.options.directory, *config);
  if (!done) return fail(cli, done.error());
  return present(cli, "made");
}

ExitCode join_verb(Cli& cli, const SetupArguments& arguments) {
  const auto config = config_of(arguments);
  if (!config) return fail(cli, config.error());
  if (arguments.words.size() == 2) cli.options.directory = arguments.words[0];
  const auto done =
      join_swarm(cli.options.directory, *config, arguments.words.back(), std::time(nullptr));
  if (!done) return fail(cli, done.error());
  return present(cli, "joined with");
}

ExitCode config_show_verb(Cli& cli, const std::string& file) {
  const auto values = explain_config(config_path(cli, file));
  if (!values) return fail(cli, {ExitCode::config, values.error().message});
  if (cli.options.is_json) {
    Json rows = Json::array();
    for (const auto& value : *values) {
      // Our YAML scalars and flow lists are JSON too.
      Json parsed = Json::parse(value.value, nullptr, false);
      rows.push_back({{"key", value.key},
                      {"value", parsed.is_discarded() ? Json(value.value) : parsed},
                      {"unit", value.unit},
                      {"source", value.source}});
    }
    print_json(cli, {{"values", rows}});
    return ExitCode::ok;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& value : *values)
    rows.push_back({value.key, value.value, value.unit, value.source});
  cli.console.out << render_table({"KEY", "VALUE", "UNIT", "FROM"}, rows);
  return ExitCode::ok;
}

ExitCode config_check_verb(Cli& cli, const std::string& file) {
  const std::string path = config_path(cli, file);
  const auto config = load_config(path);
  if (!config) return fail(cli, {ExitCode::config, config.error().message});
  if (cli.options.is_json) {
    print_json(cli, {{"ok", true}, {"file", path}});
  } else {
    cli.console.out << path << ": ok\n";
  }
  return ExitCode::ok;
}

std::string version_line() {
  return "starling " + version() + " (commit " + commit() + ", protocol " +
         std::to_string(swarm::protocol_version_min) + " to " +
         std::to_string(swarm::protocol_version_max) + ", " + std::string(model::kernels::isa()) +
         ")";
}

ExitCode version_verb(Cli& cli) {
  if (cli.options.is_json) {
    print_json(cli, {{"version", version()},
                     {"commit", commit()},
                     {"isa", model::kernels::isa()},
                     {"protocol_min", swarm::protocol_version_min},
                     {"protocol_max", swarm::protocol_version_max}});
  } else {
    cli.console.out << version_line() << "\n";
  }
  return ExitCode::ok;
}

}  // namespace starling::node
