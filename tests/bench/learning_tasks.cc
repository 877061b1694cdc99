#include "tests/bench/learning_tasks.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <numbers>
#include <sstream>

#include "model/rng.h"
#include "sim/images.h"

namespace starling::bench {
namespace {

constexpr size_t exam_bytes = 24u << 10;
constexpr size_t exam_digits = 600;
constexpr size_t digits_max = 12000;
constexpr size_t held_out_from = 50000;  // as MNIST's users are used to

double normal(Rng& rng) {
  const double radius = std::sqrt(-2 * std::log(1 - rng.unit()));
  return radius * std::cos(2 * std::numbers::pi * rng.unit());
}

// Marsaglia and Tsang (2000); shapes below 1 by the power of a uniform number.
double gamma(Rng& rng, double shape) {
  if (shape < 1) return gamma(rng, shape + 1) * std::pow(1 - rng.unit(), 1 / shape);
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = normal(rng), v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    if (std::log(1 - rng.unit()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

}  // namespace

double Task::score(const model::Snapshot& snapshot) const {
  if (is_text) return model::score_text(snapshot, exam.text).bits_per_byte;
  return 100 * model::score_pairs(snapshot, exam.pairs).exact_match;
}

std::optional<Task> text_task(const std::string& folder, size_t nodes) {
  std::ifstream input(folder + "/input.txt", std::ios::binary);
  std::ifstream speeches(folder + "/speeches.tsv");
  if (!input || !speeches) return std::nullopt;
  std::stringstream whole;
  whole << input.rdbuf();
  const std::string text = whole.str();
  Task task;
  task.is_text = true;
  task.lessons.resize(nodes);
  size_t tests = 0;
  std::map<std::string, std::string> by_role;
  std::string exam, line;
  std::getline(speeches, line);
  while (std::getline(speeches, line)) {
    std::istringstream fields(line);
    std::string role, split;
    size_t begin = 0, end = 0;
    std::getline(fields, role, '\t');
    fields >> begin >> end >> split;
    if (end > text.size() || begin > end) return std::nullopt;
    const std::string speech = text.substr(begin, end - begin) + "\n";
    if (split == "train") by_role[role] += speech;
    if (split == "test" && tests++ % 8 == 0) exam += speech;
  }
  std::vector<std::string> roles;
  for (auto& [role, said] : by_role) roles.push_back(std::move(said));
  std::stable_sort(roles.begin(), roles.end(),
                   [](const auto& a, const auto& b) { return a.size() > b.size(); });
  for (const std::string& said : roles) {
    const auto least = std::min_element(
        task.lessons.begin(), task.lessons.end(),
        [](const Lesson& a, const Lesson& b) { return a.text.size() < b.text.size(); });
    least->text.insert(least->text.end(), said.begin(), said.end());
  }
  exam.resize(std::min(exam.size(), exam_bytes));
  task.exam.text.assign(exam.begin(), exam.end());
  return task;
}

std::optional<Task> folder_task(const std::string& folder, size_t nodes) {
  std::vector<std::string> paths;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing))
    if (entry.is_regular_file()) paths.push_back(entry.path().string());
  if (paths.empty() || nodes < paths.size()) return std::nullopt;
  std::sort(paths.begin(), paths.end());
  Task task;
  task.is_text = true;
  task.lessons.resize(nodes);
  const size_t held_out = exam_bytes / paths.size();
  for (size_t file = 0; file < paths.size(); ++file) {
    std::ifstream input(paths[file], std::ios::binary);
    const std::vector<char> text{std::istreambuf_iterator<char>(input), {}};
    if (text.size() < 10 * held_out) return std::nullopt;
    const auto end = text.end() - static_cast<std::ptrdiff_t>(held_out);
    task.exam.text.insert(task.exam.text.end(), end, text.end());
    const size_t sharers = (nodes - file + paths.size() - 1) / paths.size();
    const auto part = (end - text.begin()) / static_cast<std::ptrdiff_t>(sharers);
    for (size_t i = 0; i < sharers; ++i) {
      const auto begin = text.begin() + static_cast<std::ptrdiff_t>(i) * part;
      task.lessons[file + i * paths.size()].text.assign(begin, begin + part);
    }
  }
  return task;
}

std::optional<Task> digits_task(const std::string& folder, size_t nodes, double alpha,
                                uint64_t seed) {
  const auto images = sim::read_images(folder + "/train-images-idx3-ubyte.gz",
                                       folder + "/train-labels-idx1-ubyte.gz");
  if (!images || images->count() < held_out_from + exam_digits) return std::nullopt;
  Task task;
  task.lessons.resize(nodes);
  task.length = 272;
  const auto digit = [&](size_t i) {
    return model::Pair{sim::letters_of(*images, i),
                       std::string(1, static_cast<char>('0' + images->labels[i]))};
  };
  Rng rng(seed);
  std::vector<std::vector<double>> shares(10, std::vector<double>(nodes));  // up to each node
  for (auto& of_label : shares) {
    double sum = 0;
    for (double& share : of_label) share = sum += gamma(rng, alpha) + 1e-12;
    for (double& share : of_label) share /= sum;
  }
  for (size_t i = 0; i < digits_max; ++i) {
    const auto& of_label = shares[images->labels[i]];
    const auto at = std::upper_bound(of_label.begin(), of_label.end(), rng.unit());
    const auto node = std::min<size_t>(nodes - 1, static_cast<size_t>(at - of_label.begin()));
    task.lessons[node].pairs.push_back(digit(i));
  }
  for (size_t i = 0; i < nodes; ++i) {  // nobody is left without anything
    if (task.lessons[i].pairs.empty()) task.lessons[i].pairs.push_back(digit(digits_max + i));
  }
  for (size_t i = held_out_from; i < held_out_from + exam_digits; ++i)
    task.exam.pairs.push_back(digit(i));
  return task;
}

}  // namespace starling::bench
