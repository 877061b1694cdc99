#include "sim/compare.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "sim/drawing.h"
#include "sim/report.h"

namespace starling::sim {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Row = std::vector<std::string>;

constexpr uintmax_t file_size_max = 64u << 20;

Unexpected<Failure> fail(std::string message) {
  return Unexpected{Failure{ExitCode::bad_data, std::move(message)}};
}

Result<std::string, Failure> read(const fs::path& path) {
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  if (error) {
    return fail("cannot read " + path.string() + ": " + error.message() +
                "; give the report.json that starling sim run --out has left");
  }
  if (size > file_size_max)
    return fail(path.string() + " is larger than a report can be; give another");
  std::ifstream file(path, std::ios::binary);
  return std::string{std::istreambuf_iterator<char>(file), {}};
}

PastRun::Result result_of(const Json& json) {
  PastRun::Result result{.metric = json.at("metric").get<std::string>(),
                         .mean = json.at("mean").get<double>(),
                         .own = json.at("own").get<double>(),
                         .others = json.at("others").get<double>(),
                         .of_task = {}};
  const auto matrix = json.at("matrix").get<std::vector<std::vector<double>>>();
  for (const std::vector<double>& row : matrix) {
    result.of_task.resize(std::max(result.of_task.size(), row.size()), 0);
    for (size_t task = 0; task < row.size(); ++task)
      result.of_task[task] += row[task] / static_cast<double>(matrix.size());
  }
  return result;
}

PastRun past_run_of(const Json& json) {
  PastRun run;
  run.scenario = json.at("scenario").get<std::string>();
  run.trace = json.at("trace").get<std::string>();
  run.seed = json.at("seed").get<uint64_t>();
  run.nodes = json.at("nodes").get<uint64_t>();
  run.virtual_seconds = json.at("virtual_seconds").get<double>();
  run.wall_seconds = json.at("wall_seconds").get<double>();
  run.bytes_per_node = json.at("bytes_per_node").get<double>();
  run.tasks = json.at("tasks").get<std::vector<std::string>>();
  for (const auto& [name, result] : json.at("results").items())
    run.results.emplace_back(name, result_of(result));
  run.faults = json.at("faults").get<std::map<std::string, uint64_t>>();
  for (const auto& [name, check] : json.at("checkers").items())
    run.failures[name] = check.at("failures").get<uint64_t>();
  return run;
}

std::optional<double> number_of(const std::string& text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto got = std::from_chars(text.data(), end, value);
  if (got.ec != std::errc() || got.ptr != end) return std::nullopt;
  return value;
}

// Quality over steps of each series, from series.csv; rows without a quality have no point.
Result<std::vector<Curve>, Failure> curves_of(const fs::path& path) {
  const auto csv = read(path);
  if (!csv) return Unexpected{csv.error()};
  std::vector<Curve> curves;
  size_t number = 0;
  for (size_t at = 0; at < csv->size(); ++number) {
    const size_t end = std::min(csv->find('\n', at), csv->size());
    Row fields(1);
    for (const char letter : csv->substr(at, end - at)) {
      if (letter == ',') {
        fields.emplace_back();
      } else {
        fields.back() += letter;
      }
    }
    at = end + 1;
    if (number == 0) continue;  // names of the columns
    const auto steps = fields.size() > 4 ? number_of(fields[2]) : std::nullopt;
    if (!steps) {
      return fail(path.string() + ":" + std::to_string(number + 1) +
                  ": is no row of a series; take it away or run the scenario again");
    }
    const auto quality = number_of(fields[4]);
    if (!quality) continue;
    if (curves.empty() || curves.back().name != fields[0]) curves.push_back({fields[0], {}});
    curves.back().points.emplace_back(*steps, *quality);
  }
  return curves;
}

bool is_text(const PastRun& run) {
  return !run.results.empty() && run.results.front().second.metric == "bits_per_byte";
}

const PastRun::Result* result_named(const PastRun& run, const std::string& name) {
  const auto found = std::find_if(run.results.begin(), run.results.end(),
                                  [&](const auto& each) { return each.first == name; });
  return found == run.results.end() ? nullptr : &found->second;
}

std::string shown(double value, bool is_in_bits) {
  return is_in_bits ? fixed(value, 3) : fixed(100 * value, 1) + " %";
}

// A's value, B's and what B has more; "-" where one was not measured.
void add_cells(Row& row, double a, double b, bool is_in_bits) {
  row.push_back(a < 0 ? "-" : shown(a, is_in_bits));
  row.push_back(b < 0 ? "-" : shown(b, is_in_bits));
  row.push_back(a < 0 || b < 0 ? "-" : (b > a ? "+" : "") + shown(b - a, is_in_bits));
}

// The names in A's order, then those that only B has.
std::vector<std::string> all_names(const std::vector<std::string>& a,
                                   const std::vector<std::string>& b) {
  std::vector<std::string> names = a;
  for (const std::string& name : b) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::vector<std::string> result_names(const PastRun& run) {
  std::vector<std::string> names;
  for (const auto& [name, result] : run.results) names.push_back(name);
  return names;
}

std::vector<Row> quality_rows(const Comparison& both) {
  const bool is_in_bits = is_text(both.a) || is_text(both.b);
  std::vector<Row> rows = {
      {"", "A", "B", "B - A", "A own", "B own", "B - A", "A others", "B others", "B - A"}};
  for (const std::string& name : all_names(result_names(both.a), result_names(both.b))) {
    const PastRun::Result none, *a = result_named(both.a, name), *b = result_named(both.b, name);
    if (a == nullptr) a = &none;
    if (b == nullptr) b = &none;
    Row& row = rows.emplace_back(Row{name});
    add_cells(row, a->mean, b->mean, is_in_bits);
    add_cells(row, a->own, b->own, is_in_bits);
    add_cells(row, a->others, b->others, is_in_bits);
  }
  return rows;
}

double of_task(const PastRun& run, const std::string& task) {
  const auto place = std::find(run.tasks.begin(), run.tasks.end(), task);
  const PastRun::Result* swarm = result_named(run, "swarm");
  const auto index = static_cast<size_t>(place - run.tasks.begin());
  return swarm == nullptr || index >= swarm->of_task.size() ? -1 : swarm->of_task[index];
}

std::vector<Row> task_rows(const Comparison& both) {
  std::vector<Row> rows = {{"task", "A", "B", "B - A"}};
  for (const std::string& task : all_names(both.a.tasks, both.b.tasks)) {
    Row& row = rows.emplace_back(Row{task});
    add_cells(row, of_task(both.a, task), of_task(both.b, task),
              is_text(both.a) || is_text(both.b));
  }
  return rows;
}

std::string failed(const PastRun& run) {
  std::string names;
  for (const auto& [name, count] : run.failures)
    names += count == 0 ? "" : (names.empty() ? "" : ", ") + name;
  return names.empty() ? "none" : names;
}

std::vector<Row> run_rows(const Comparison& both) {
  const PastRun &a = both.a, &b = both.b;
  return {{"", "A", "B"},
          {"report", a.path, b.path},
          {"scenario", a.scenario, b.scenario},
          {"seed", std::to_string(a.seed), std::to_string(b.seed)},
          {"nodes", std::to_string(a.nodes), std::to_string(b.nodes)},
          {"virtual s", fixed(a.virtual_seconds, 1), fixed(b.virtual_seconds, 1)},
          {"wall s", fixed(a.wall_seconds, 1), fixed(b.wall_seconds, 1)},
          {"MB a node", fixed(a.bytes_per_node / 1e6, 3), fixed(b.bytes_per_node / 1e6, 3)},
          {"failed checks", failed(a), failed(b)},
          {"trace", a.trace, b.trace}};
}

std::vector<Row> fault_rows(const Comparison& both) {
  std::vector<Row> rows = {{"what happened", "A", "B"}};
  std::set<std::string> names;
  for (const PastRun* run : {&both.a, &both.b}) {
    for (const auto& [name, count] : run->faults) names.insert(name);
  }
  const auto count_of = [](const PastRun& run, const std::string& name) {
    const auto found = run.faults.find(name);
    return std::to_string(found == run.faults.end() ? 0 : found->second);
  };
  for (const std::string& name : names)
    rows.push_back({name, count_of(both.a, name), count_of(both.b, name)});
  return rows;
}

std::string lines_of(const std::vector<Row>& rows) {
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - row[i].size(), ' ');
      line += i == 0 ? row[i] + space : "  " + space + row[i];
    }
    text += line + "\n";
  }
  return text;
}

std::string table_of(const std::vector<Row>& rows) {
  std::string text = "<table>";
  for (size_t row = 0; row < rows.size(); ++row) {
    text += "<tr>";
    for (size_t i = 0; i < rows[row].size(); ++i) {
      const std::string kind = row == 0 || i == 0 ? "th" : "td";
      text += "<" + kind + ">" + escaped(rows[row][i]) + "</" + kind + ">";
    }
    text += "</tr>\n";
  }
  return text + "</table>\n";
}

std::string learning(const Comparison& both) {
  if (both.a.results.empty() && both.b.results.empty()) return "";
  const bool is_in_bits = is_text(both.a) || is_text(both.b);
  std::vector<Curve> curves;
  for (const auto& [name, run] : {std::pair{"A ", &both.a}, std::pair{"B ", &both.b}}) {
    for (const Curve& curve : run->curves) curves.push_back({name + curve.name, curve.points});
  }
  return "<h2>What was learned</h2>\n<p>" +
         std::string(is_in_bits ? "Bits per byte on held-out text: lower is better."
                                : "Share of held-out questions answered exactly.") +
         "</p>\n" + table_of(quality_rows(both)) + "<h2>Quality over steps</h2>\n" +
         chart({.label = "quality over steps", .x_unit = "steps", .y_max = is_in_bits ? 0.0 : 1.0},
               curves) +
         "<h2>The swarm, task by task</h2>\n<p class=\"faint\">Mean over all nodes.</p>\n" +
         table_of(task_rows(both));
}

}  // namespace

Result<PastRun, Failure> read_past_run(const std::string& path) {
  std::error_code error;
  fs::path file = path;
  if (fs::is_directory(file, error)) file /= "report.json";
  const auto text = read(file);
  if (!text) return Unexpected{text.error()};
  PastRun run;
  try {
    run = past_run_of(Json::parse(*text));
  } catch (const Json::exception& wrong) {
    return fail(file.string() + " is no report of starling sim run (" +
                std::string(wrong.what()).substr(0, 120) + "); give its DIR/report.json");
  }
  run.path = file.string();
  const fs::path series = fs::path(file).replace_filename("series.csv");
  if (fs::exists(series, error)) {
    auto curves = curves_of(series);
    if (!curves) return Unexpected{curves.error()};
    run.curves = std::move(*curves);
  }
  return run;
}

Result<Comparison, Failure> compare(PastRun a, PastRun b) {
  if (!a.results.empty() && !b.results.empty() && is_text(a) != is_text(b)) {
    return fail(a.path + " was measured by " + a.results.front().second.metric + " and " + b.path +
                " by " + b.results.front().second.metric + "; give two of one kind");
  }
  return Comparison{std::move(a), std::move(b)};
}

std::string to_text(const Comparison& comparison) {
  std::string text = lines_of(run_rows(comparison));
  const std::vector<Row> rows = quality_rows(comparison);
  return rows.size() > 1 ? text + "\n" + lines_of(rows) : text;
}

std::string to_html(const Comparison& comparison) {
  return page_start("Starling simulated: " + comparison.a.scenario + " and " +
                    comparison.b.scenario) +
         table_of(run_rows(comparison)) + learning(comparison) + "<h2>Faults and events</h2>\n" +
         table_of(fault_rows(comparison)) + "</body>\n</html>\n";
}

int run_compare(const CompareOptions& options) {
  const auto said = [](const Failure& failure) {
    std::fprintf(stderr, "starling sim: %s\n", failure.message.c_str());
    return static_cast<int>(failure.code);
  };
  auto a = read_past_run(options.a);
  if (!a) return said(a.error());
  auto b = read_past_run(options.b);
  if (!b) return said(b.error());
  const auto both = compare(std::move(*a), std::move(*b));
  if (!both) return said(both.error());
  std::printf("%s", to_text(*both).c_str());
  std::error_code error;
  fs::create_directories(options.directory, error);
  if (error) {
    return said({ExitCode::cannot_create, "cannot make " + options.directory + ": " +
                                              error.message() + "; choose another with --out"});
  }
  const std::string page = options.directory + "/compare.html";
  const auto written = write_whole(page, to_html(*both));
  if (!written) return said(written.error());
  std::printf("page: %s\n", page.c_str());
  return 0;
}

}  // namespace starling::sim
