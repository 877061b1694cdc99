#include "sim/sweep.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sim/drawing.h"
#include "sim/report.h"
#include "sim/simulate.h"
#include "sim/sources.h"

namespace starling::sim {
namespace {

using Json = nlohmann::ordered_json;

int fail(ExitCode code, const std::string& message) {
  std::fprintf(stderr, "starling sim: %s\n", message.c_str());
  return static_cast<int>(code);
}

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == by)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

std::optional<uint64_t> number_of(const std::string& text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

std::string shown(const Sweep& sweep, const std::string& name, double value) {
  if (name == "virtual s") return fixed(value, 0);
  if (name == "MB a node") return fixed(value, 3);
  if (name == exchanges_figure) return fixed(value, 1);
  return sweep.is_text ? fixed(value, 3) : fixed(100 * value, 1);
}

std::string cell_of(const Sweep& sweep, const std::string& name, const Spread& spread) {
  if (spread.count == 0) return "-";
  if (spread.never == spread.count) return "never";
  std::string cell = shown(sweep, name, spread.mean);
  if (spread.count > 1) cell += " +- " + shown(sweep, name, spread.deviation);
  if (spread.never > 0)
    cell += ", never in " + std::to_string(spread.never) + " of " + std::to_string(spread.count);
  return cell;
}

std::string padded(const std::string& text, size_t width) {
  return std::string(width > text.size() ? width - text.size() : 0, ' ') + text;
}

// One run; its figures go into the row. False: stopped.
bool add_run(const Case& each, const RunOptions& options, const Lessons& lessons, Watch& watch,
             SweepRow& row) {
  const Outcome outcome = simulate(each.scenario, lessons, options, watch);
  if (watch.is_stopped()) return false;
  ++row.runs;
  if (!outcome.is_complete || !failed_checks(outcome).empty()) {
    ++row.failed;
    watch.settle();
    std::string line;
    for (const std::string& name : failed_checks(outcome)) line += " " + name;
    std::fprintf(stderr, "seed %llu: failed%s\n", static_cast<unsigned long long>(options.seed),
                 line.empty() ? ": cut short" : (":" + line).c_str());
  }
  for (const auto& [name, value] : figures_of(outcome)) row.figures[name].push_back(value);
  return true;
}

// Where there are too few pieces for all, that is said before anything runs.
std::optional<Failure> lack_of_pieces(const std::vector<Case>& cases, uint64_t seed) {
  for (const Case& each : cases) {
    if (each.scenario.deal.pieces_max == 0) continue;
    const auto lessons = deal_lessons(each.scenario, seed);
    if (!lessons) return lessons.error();
  }
  return std::nullopt;
}

std::optional<Failure> run_cases(const std::vector<Case>& cases, uint32_t threads, Watch& watch,
                                 Sweep& sweep) {
  const size_t all = cases.size() * sweep.seeds.size();
  size_t number = 0;
  for (const Case& each : cases) {
    SweepRow& row = sweep.rows.emplace_back(SweepRow{.setting = each.setting, .figures = {}});
    if (auto lack = lack_of_memory(each.scenario, threads)) return lack;
    for (const uint64_t seed : sweep.seeds) {
      auto lessons = deal_lessons(each.scenario, seed);
      if (!lessons) return lessons.error();
      sweep.is_text = lessons->is_text;
      watch.set_prefix("run " + std::to_string(++number) + " of " + std::to_string(all) + ": ");
      if (!add_run(each, {.seed = seed, .threads = threads}, *lessons, watch, row))
        return std::nullopt;
    }
  }
  return std::nullopt;
}

std::optional<Failure> write_sweep(const Sweep& sweep, const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error)
    return Failure{ExitCode::cannot_create, "cannot make " + directory + ": " + error.message()};
  for (const auto& [name, content] :
       {std::pair("/sweep.json", to_json(sweep)), std::pair("/sweep.html", to_html(sweep))}) {
    const auto written = write_whole(directory + name, content);
    if (!written) return written.error();
  }
  return std::nullopt;
}

}  // namespace

std::optional<Variation> variation_of(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) return std::nullopt;
  return Variation{text.substr(0, equals), split(text.substr(equals + 1), ',')};
}

std::optional<std::vector<uint64_t>> seeds_of(const std::string& text) {
  std::vector<uint64_t> seeds;
  if (const size_t dots = text.find(".."); dots != std::string::npos) {
    const auto first = number_of(text.substr(0, dots)), last = number_of(text.substr(dots + 2));
    if (!first || !last || *last < *first || *last - *first >= seeds_max) return std::nullopt;
    for (uint64_t seed = *first; seeds.size() <= *last - *first; ++seed) seeds.push_back(seed);
    return seeds;
  }
  for (const std::string& word : split(text, ',')) {
    const auto seed = number_of(word);
    if (!seed || seeds.size() == seeds_max) return std::nullopt;
    seeds.push_back(*seed);
  }
  return seeds;
}

Result<std::vector<Case>, std::string> cases_of(const Scenario& scenario,
                                                const std::vector<Variation>& variations) {
  std::vector<Case> cases{{{}, scenario}};
  for (const Variation& variation : variations) {
    std::vector<Case> more;
    for (const Case& each : cases) {
      for (const std::string& value : variation.values) {
        Case& made = more.emplace_back(each);
        made.setting.push_back(value);
        if (std::string problem = set_key(made.scenario, variation.key, value); !problem.empty())
          return Unexpected{problem};
        if (more.size() > sweep_runs_max)
          return Unexpected{"more than " + std::to_string(sweep_runs_max) + " combinations"};
      }
    }
    cases = std::move(more);
  }
  for (const Case& each : cases) {
    if (std::string problem = contradiction(each.scenario); !problem.empty())
      return Unexpected{problem};
    if (const auto wrong = wrong_file(each.scenario))
      return Unexpected{wrong->key + ": " + wrong->problem};
  }
  return cases;
}

Figures figures_of(const Outcome& outcome) {
  Figures figures{{"MB a node", outcome.sent_bytes_per_node / 1e6},
                  {"virtual s", outcome.virtual_seconds}};
  for (const auto& [name, quality] : outcome.qualities) {
    if (quality.mean >= 0) figures[name] = quality.mean;
  }
  for (const Standing& standing : outcome.standings) {
    if (standing.backdoor_success >= 0)
      figures[standing.name + " backdoor"] = standing.backdoor_success;
  }
  if (const auto swarm = outcome.qualities.find("swarm"); swarm != outcome.qualities.end()) {
    if (swarm->second.own >= 0) figures["swarm own"] = swarm->second.own;
    if (swarm->second.others >= 0) figures["swarm others"] = swarm->second.others;
  }
  if (const auto exchanges = exchanges_to_fedavg(outcome)) figures[exchanges_figure] = *exchanges;
  return figures;
}

bool is_quality(const std::string& figure) {
  return figure != "MB a node" && figure != "virtual s" && figure != exchanges_figure;
}

std::optional<double> exchanges_to_fedavg(const Outcome& outcome) {
  const auto points_of = [&](std::string_view name) -> const std::vector<Standing::Point>* {
    for (const Standing& standing : outcome.standings) {
      if (standing.name == name && !standing.points.empty()) return &standing.points;
    }
    return nullptr;
  };
  const auto* const swarm = points_of("swarm");
  const auto* const fedavg = points_of("fedavg");
  if (swarm == nullptr || fedavg == nullptr || fedavg->back().quality <= 0) return std::nullopt;
  const double end = fedavg->back().quality;
  // How far beyond what is wanted a point is: better is more, in bits as in answers.
  const auto beyond = [&](const Standing::Point& point) {
    return outcome.is_text ? 1.05 * end - point.quality : point.quality - 0.95 * end;
  };
  for (size_t i = 0; i < swarm->size(); ++i) {
    const Standing::Point& point = (*swarm)[i];
    if (beyond(point) < 0) continue;
    double steps = point.steps;
    if (i > 0) {
      const Standing::Point& before = (*swarm)[i - 1];
      const double part = beyond(before) / (beyond(before) - beyond(point));
      steps = before.steps + part * (point.steps - before.steps);
    }
    return steps / outcome.steps_per_exchange;
  }
  return not_reached;
}

Spread spread_of(const std::vector<double>& values) {
  Spread spread{.count = values.size()};
  std::vector<double> reached;
  for (const double value : values) {
    if (value < not_reached) reached.push_back(value);
  }
  spread.never = values.size() - reached.size();
  const auto count = static_cast<double>(reached.size());
  for (const double value : reached) spread.mean += value / count;
  if (reached.size() < 2) return spread;
  double squares = 0;
  for (const double value : reached) squares += (value - spread.mean) * (value - spread.mean);
  spread.deviation = std::sqrt(squares / (count - 1));
  return spread;
}

std::vector<std::string> columns_of(const Sweep& sweep) {
  std::vector<std::string> columns;
  for (const char* name :
       {"swarm", "swarm own", "swarm others", "swarm_judging", "swarm_believing", "swarm backdoor",
        "swarm_judging backdoor", "swarm_believing backdoor", "alone", "fedavg", "fedavg_momentum",
        "dpsgd", "centralised", exchanges_figure, "MB a node", "virtual s"}) {
    const bool is_there = std::any_of(sweep.rows.begin(), sweep.rows.end(),
                                      [&](const auto& row) { return row.figures.contains(name); });
    if (is_there) columns.emplace_back(name);
  }
  return columns;
}

std::vector<std::vector<std::string>> table_of(const Sweep& sweep) {
  const std::vector<std::string> columns = columns_of(sweep);
  std::vector<std::vector<std::string>> cells(1);
  for (const Variation& variation : sweep.variations) cells[0].push_back(variation.key);
  for (const std::string& name : columns)
    cells[0].push_back(!sweep.is_text && is_quality(name) ? name + " %" : name);
  cells[0].emplace_back("failed");
  for (const SweepRow& row : sweep.rows) {
    std::vector<std::string>& line = cells.emplace_back(row.setting);
    for (const std::string& name : columns) {
      const auto found = row.figures.find(name);
      const Spread spread = found == row.figures.end() ? Spread{} : spread_of(found->second);
      line.push_back(cell_of(sweep, name, spread));
    }
    line.push_back(std::to_string(row.failed) + " of " + std::to_string(row.runs));
  }
  return cells;
}

std::string to_text(const Sweep& sweep) {
  const auto cells = table_of(sweep);
  std::string text;
  for (const auto& line : cells) {
    for (size_t column = 0; column < line.size(); ++column) {
      size_t width = 0;
      for (const auto& other : cells) width = std::max(width, other[column].size());
      text += (column == 0 ? "" : "  ") + padded(line[column], width);
    }
    text += "\n";
  }
  return text;
}

std::string to_json(const Sweep& sweep) {
  Json rows = Json::array();
  for (const SweepRow& row : sweep.rows) {
    Json setting = Json::object(), figures = Json::object();
    for (size_t i = 0; i < row.setting.size(); ++i)
      setting[sweep.variations[i].key] = row.setting[i];
    for (const auto& [name, values] : row.figures) {
      const Spread spread = spread_of(values);
      figures[name] = {{"mean", spread.mean}, {"deviation", spread.deviation}, {"values", values}};
      if (spread.never == 0) continue;
      figures[name]["never"] = spread.never;  // among the values these are null
      if (spread.never == spread.count) figures[name]["mean"] = nullptr;
    }
    rows.push_back(
        {{"setting", setting}, {"figures", figures}, {"runs", row.runs}, {"failed", row.failed}});
  }
  const Json json = {{"scenario", sweep.scenario},
                     {"metric", sweep.is_text ? "bits_per_byte" : "exact_match"},
                     {"seeds", sweep.seeds},
                     {"rows", rows}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

int run_sweep(const SweepOptions& options, Signals& signals) {
  auto scenario = load_scenario(options.scenario, options.nodes);
  if (!scenario) return fail(ExitCode::config, scenario.error().message);
  Sweep sweep;
  sweep.scenario = scenario->name;
  for (const std::string& text : options.vary) {
    const auto variation = variation_of(text);
    if (!variation)
      return fail(ExitCode::usage, "--vary " + text +
                                       ": must be key=value,value such as "
                                       "network.loss=0,0.01,0.1");
    sweep.variations.push_back(*variation);
  }
  const auto seeds = seeds_of(options.seeds);
  if (!seeds)
    return fail(ExitCode::usage, "--seeds " + options.seeds +
                                     ": must be a range such as 1..5 or a "
                                     "list such as 1,4,9, of at most " +
                                     std::to_string(seeds_max));
  sweep.seeds = *seeds;
  const auto cases = cases_of(*scenario, sweep.variations);
  if (!cases) return fail(ExitCode::config, cases.error());
  if (const auto lack = lack_of_pieces(*cases, sweep.seeds.front()))
    return fail(lack->code, lack->message);
  std::printf("%s: %zu combinations with %zu seeds each\n", scenario->name.c_str(), cases->size(),
              sweep.seeds.size());
  std::fflush(stdout);
  Watch watch(signals);
  const auto failure = run_cases(*cases, options.threads, watch, sweep);
  watch.settle();
  std::printf("%s", to_text(sweep).c_str());
  if (failure) return fail(failure->code, failure->message);
  if (!options.directory.empty()) {
    if (const auto wrong = write_sweep(sweep, options.directory))
      return fail(wrong->code, wrong->message);
    std::printf("report: %s/sweep.json, sweep.html\n", options.directory.c_str());
  }
  if (signals.stop_signal() != 0) return 128 + signals.stop_signal();
  const bool is_good = std::all_of(sweep.rows.begin(), sweep.rows.end(),
                                   [](const SweepRow& row) { return row.failed == 0; });
  return static_cast<int>(is_good ? ExitCode::ok : ExitCode::failed);
}

}  // namespace starling::sim
