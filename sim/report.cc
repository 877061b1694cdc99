#include "sim/report.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sim/drawing.h"
#include "sim/page.h"

namespace starling::sim {
namespace {

std::string cell(Kind kind, double value) {
  return kind == Kind::skills ? fixed(100 * value, 0) + " %" : fixed(value, 3);
}

std::string padded(const std::string& text, size_t width) {
  return text.size() >= width ? text : std::string(width - text.size(), ' ') + text;
}

bool is_own(const Report& report, size_t node, size_t task) {
  const std::vector<size_t>& own = report.own[node];
  return std::find(own.begin(), own.end(), task) != own.end();
}

std::string matrix_text(const Report& report, const std::vector<std::vector<double>>& matrix) {
  size_t first = 4;
  for (const std::string& node : report.nodes) first = std::max(first, node.size());
  std::vector<size_t> widths;
  for (const std::string& task : report.tasks)
    widths.push_back(std::max<size_t>(8, task.size() + 1));
  std::string text = padded("node", first);
  for (size_t task = 0; task < report.tasks.size(); ++task)
    text += padded(report.tasks[task], widths[task] + 1);
  text += '\n';
  for (size_t node = 0; node < report.nodes.size(); ++node) {
    text += padded(report.nodes[node], first);
    for (size_t task = 0; task < report.tasks.size(); ++task) {
      const std::string mark = is_own(report, node, task) ? "*" : " ";
      text += padded(cell(report.kind, matrix[node][task]) + mark, widths[task] + 1);
    }
    text += '\n';
  }
  return text;
}

std::string means_text(const Report& report, const std::vector<std::vector<double>>& matrix) {
  const Means mean = means(report, matrix);
  const auto shown = [&](double value) { return value < 0 ? "-" : cell(report.kind, value); };
  return "mean: all " + shown(mean.all) + ", own " + shown(mean.own) + ", others' " +
         shown(mean.others) + '\n';
}

std::string bytes_text(uint64_t bytes) {
  return fixed(static_cast<double>(bytes) / 1e6, 2) + " MB";
}

}  // namespace

Result<Done, Failure> write_whole(const std::string& path, const std::string& bytes) {
  const std::string fresh = path + ".new";
  std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(fresh, path, error);
  if (file && !error) return Done{};
  const std::string why = error ? error.message() : std::strerror(errno);
  return Unexpected{Failure{ExitCode::cannot_create, "cannot write " + path + ": " + why}};
}

void Series::add(double second, uint64_t step, double loss_value, uint64_t sent) {
  if (!seconds.empty() && second < seconds.back() + spacing_s_) return;
  if (seconds.size() >= points_max) {
    const auto halve = [](auto& values) {
      for (size_t i = 0; 2 * i < values.size(); ++i) values[i] = values[2 * i];
      values.resize((values.size() + 1) / 2);
    };
    halve(seconds);
    halve(steps);
    halve(loss);
    halve(sent_bytes);
    spacing_s_ *= 2;
  }
  seconds.push_back(second);
  steps.push_back(step);
  loss.push_back(loss_value);
  sent_bytes.push_back(sent);
}

bool Report::is_agreed() const {
  if (base_hashes.empty() || base_hashes.front().empty()) return false;
  return std::all_of(base_hashes.begin(), base_hashes.end(),
                     [&](const std::string& hash) { return hash == base_hashes.front(); });
}

const char* metric_name(Kind kind) {
  return kind == Kind::skills ? "exact_match" : "bits_per_byte";
}

Means means(const Report& report, const std::vector<std::vector<double>>& matrix) {
  double own_sum = 0, other_sum = 0;
  size_t own_count = 0, other_count = 0;
  for (size_t node = 0; node < matrix.size(); ++node) {
    for (size_t task = 0; task < matrix[node].size(); ++task) {
      const bool mine = is_own(report, node, task);
      (mine ? own_sum : other_sum) += matrix[node][task];
      (mine ? own_count : other_count) += 1;
    }
  }
  const auto mean = [](double sum, size_t count) {
    return count == 0 ? -1 : sum / static_cast<double>(count);
  };
  return {.all = mean(own_sum + other_sum, own_count + other_count),
          .own = mean(own_sum, own_count),
          .others = mean(other_sum, other_count)};
}

std::string to_json(const Report& report) {
  using Json = nlohmann::ordered_json;
  Json series = Json::array();
  for (const Series& curve : report.series) {
    series.push_back({{"phase", curve.phase},
                      {"node", curve.node},
                      {"seconds", curve.seconds},
                      {"steps", curve.steps},
                      {"loss", curve.loss},
                      {"sent_bytes", curve.sent_bytes}});
  }
  const Json json = {{"kind", report.kind == Kind::skills ? "skills" : "text"},
                     {"metric", metric_name(report.kind)},
                     {"nodes", report.nodes},
                     {"tasks", report.tasks},
                     {"own", report.own},
                     {"alone", report.alone},
                     {"swarm", report.swarm},
                     {"parameters", report.parameters},
                     {"seconds", report.seconds},
                     {"sent_bytes", report.sent_bytes},
                     {"received_bytes", report.received_bytes},
                     {"bits_per_parameter", report.bits_per_parameter},
                     {"base_hashes", report.base_hashes},
                     {"seed", report.seed},
                     {"steps", report.steps},
                     {"series", series}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_text(const Report& report) {
  const bool is_skills = report.kind == Kind::skills;
  std::string text = is_skills
                         ? "Share of held-out questions answered exactly (* taught to this node)\n"
                         : "Bits per byte on held-out text, lower is better (* this node's own)\n";
  text += "\nalone: the same steps on the same data, no exchange\n" +
          matrix_text(report, report.alone) + means_text(report, report.alone);
  text += "\nin the swarm\n" + matrix_text(report, report.swarm) + means_text(report, report.swarm);
  text += '\n';
  uint64_t sent = 0, received = 0;
  for (size_t node = 0; node < report.nodes.size(); ++node) {
    text += report.nodes[node] + ": " + std::to_string(report.steps[node]) + " steps, sent " +
            bytes_text(report.sent_bytes[node]) + ", received " +
            bytes_text(report.received_bytes[node]) + ", base " +
            report.base_hashes[node].substr(0, 16) + '\n';
    sent += report.sent_bytes[node];
    received += report.received_bytes[node];
  }
  text += "all: sent " + bytes_text(sent) + ", received " + bytes_text(received) + "; " +
          fixed(report.bits_per_parameter, 3) + " bits a parameter in a delta, " +
          std::to_string(report.parameters) + " parameters; " + fixed(report.seconds, 0) + " s\n";
  text += report.is_agreed() ? "base hashes: all equal\n" : "base hashes: NOT equal\n";
  return text;
}

Result<Done, Failure> write_report(const Report& report, const std::string& directory) {
  auto written = write_whole(directory + "/report.json", to_json(report));
  if (!written) return written;
  return write_whole(directory + "/report.html", to_html(report));
}

}  // namespace starling::sim
