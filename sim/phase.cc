#include "sim/phase.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <csignal>
#include <deque>
#include <fstream>

namespace starling::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds command_timeout = seconds(30);
constexpr milliseconds status_timeout = seconds(10);
constexpr milliseconds evaluation_timeout = seconds(300);
constexpr milliseconds stop_grace = seconds(10);  // a node drains and writes its checkpoint
constexpr seconds start_bound{60};                // until a started node answers
constexpr seconds stall_bound{180};  // without any change in a node that has not finished
constexpr seconds poll_interval{1};  // of one node; longer with many of them
constexpr milliseconds poll_interval_per_node{350};
constexpr seconds restart_delay{2};
constexpr double chaos_checkpoint_interval_s = 10;
constexpr size_t log_lines_shown = 12;

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

milliseconds duration_of(double length_s) {
  return milliseconds(static_cast<int64_t>(length_s * 1000));
}

size_t processors() { return static_cast<size_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN))); }

}  // namespace

std::vector<uint16_t> free_ports(size_t count) {
  std::vector<uint16_t> ports;
  std::vector<int> sockets;  // all open until the last is found, so that no port comes twice
  for (size_t i = 0; i < count; ++i) {
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) break;
    sockets.push_back(descriptor);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(descriptor, generic, size) != 0 || getsockname(descriptor, generic, &size) != 0) break;
    ports.push_back(ntohs(address.sin_port));
  }
  for (const int descriptor : sockets) close(descriptor);
  if (ports.size() < count) ports.clear();
  return ports;
}

std::string last_lines(const std::string& path, size_t lines) {
  std::ifstream file(path);
  std::deque<std::string> last;
  for (std::string line; std::getline(file, line);) {
    last.push_back(line);
    if (last.size() > lines) last.pop_front();
  }
  std::string text;
  for (const std::string& line : last) text += "  " + line + "\n";
  return text;
}

Phase::Phase(const Plan& plan, const Places& places, PhaseOptions options, Signals& signals,
             Table& table)
    : plan_(plan),
      places_(places),
      options_(std::move(options)),
      signals_(signals),
      table_(table),
      nodes_(plan.nodes.size()),
      started_at_(Clock::now()),
      chaos_rng_(options_.seed) {
  assert(options_.steps.size() == nodes_.size());
  for (size_t i = 0; i < nodes_.size(); ++i) {
    nodes_[i].series.phase = options_.name;
    nodes_[i].series.node = plan_.nodes[i].name;
  }
}

Phase::~Phase() = default;  // a Child that still runs is killed by its own destructor

std::string Phase::home(size_t node) const {
  return places_.home(plan_.nodes[node], options_.name);
}

std::vector<std::string> Phase::command(size_t node, const std::vector<std::string>& words) const {
  std::vector<std::string> all{options_.program};
  all.insert(all.end(), words.begin(), words.end());
  all.insert(all.end(), {"--dir", home(node)});
  return all;
}

// init or join, with what the invite and the certificate are made of.
std::vector<std::string> Phase::making(size_t node, std::vector<std::string> words) const {
  const std::string address = "127.0.0.1:" + std::to_string(nodes_[node].port);
  words.insert(words.end(), {"--name", plan_.nodes[node].name, "--listen", address});
  return command(node, words);
}

Failure Phase::command_failure(const std::string& what, const Output& output) const {
  std::string why = output.is_timed_out ? "it took too long" : describe(output.exit);
  if (!output.errors.empty()) why += "\n" + output.errors.substr(0, 2000);
  return {.code = ExitCode::failed, .message = what + " failed: " + why};
}

// One command for each node from `first` on, side by side.
Result<Done, Failure> Phase::run_for_all(size_t first, const std::string& what,
                                         const std::vector<std::vector<std::string>>& commands) {
  const std::vector<Output> outputs = run_all(commands, processors(), command_timeout, signals_);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].exit.is_success() && !outputs[i].is_interrupted) continue;
    return Unexpected{command_failure(what + " of " + plan_.nodes[first + i].name, outputs[i])};
  }
  return Done{};
}

Result<Done, Failure> Phase::write_config(size_t node) const {
  NodeSettings settings{
      .phase = options_.name,
      .port = nodes_[node].port,
      .seed_ports = {},
      .steps = options_.steps[node],
      .minutes = options_.steps[node] > 0 ? 0 : options_.minutes,
      .checkpoint_interval_s = options_.kill_interval_s > 0 ? chaos_checkpoint_interval_s : 300,
      .seed = options_.seed};
  if (options_.is_swarm() && node > 0) settings.seed_ports = {nodes_[0].port};
  // The founder may be away under chaos; then it finds back through the second.
  if (options_.is_swarm() && node == 0 && nodes_.size() > 1) settings.seed_ports = {nodes_[1].port};
  const std::string path = home(node) + "/starling.yaml";
  std::ofstream file(path, std::ios::trunc);
  file << node_yaml(plan_, node, settings, places_);
  file.close();
  if (file) return Done{};
  return Unexpected{Failure{ExitCode::cannot_create, "cannot write " + path}};
}

Result<Done, Failure> Phase::launch(size_t node) {
  auto child = Child::start(command(node, {"run"}), places_.log(plan_.nodes[node]));
  if (!child) return Unexpected{Failure{ExitCode::failed, child.error()}};
  Node& started = nodes_[node];
  started.child = std::move(*child);
  started.is_heard = false;
  started.moved_at = Clock::now();
  started.polled_at = {};
  started.restart_at.reset();
  return Done{};
}

Result<Done, Failure> Phase::start() {
  const std::vector<uint16_t> ports = free_ports(nodes_.size());
  if (ports.empty()) {
    return Unexpected{
        Failure{ExitCode::failed, "no free port on 127.0.0.1; close what holds them"}};
  }
  for (size_t i = 0; i < nodes_.size(); ++i) nodes_[i].port = ports[i];
  if (options_.is_swarm()) {
    auto founded = found_swarm();
    if (!founded) return founded;
  } else {
    std::vector<std::vector<std::string>> commands;
    for (size_t i = 0; i < nodes_.size(); ++i)
      commands.push_back(making(i, {"init", "--preset", plan_.preset}));
    auto made = run_for_all(0, "starling init", commands);
    for (size_t i = 0; made && i < nodes_.size(); ++i) made = write_config(i);
    for (size_t i = 0; made && i < nodes_.size(); ++i) made = launch(i);
    if (!made) return made;
  }
  started_at_ = Clock::now();
  next_kill_at_ = started_at_ + duration_of(options_.kill_interval_s);
  return Done{};
}

// The first node founds the swarm and invites the others, each with a token of its own.
Result<Done, Failure> Phase::found_swarm() {
  auto made = run_for_all(0, "starling init", {making(0, {"init", "--preset", plan_.preset})});
  if (made) made = write_config(0);
  if (made) made = launch(0);
  if (made) made = wait_for_first_status(0);
  if (!made) return made;
  std::vector<std::vector<std::string>> joins;
  for (size_t i = 1; i < nodes_.size(); ++i) {
    const Output invite = run(command(0, {"invite"}), command_timeout, signals_);
    const std::string token = first_line(invite.text);
    if (!invite.exit.is_success() || token.empty()) {
      return Unexpected{command_failure("starling invite", invite)};
    }
    joins.push_back(making(i, {"join", token}));
  }
  made = run_for_all(1, "starling join", joins);
  for (size_t i = 1; made && i < nodes_.size(); ++i) made = write_config(i);
  for (size_t i = 1; made && i < nodes_.size(); ++i) made = launch(i);
  return made;
}

Result<Done, Failure> Phase::wait_for_first_status(size_t node) {
  const Clock::time_point deadline = Clock::now() + start_bound;
  while (!nodes_[node].is_heard) {
    auto checked = check_children();
    if (!checked) return checked;
    if (Clock::now() > deadline || signals_.stop_signal() != 0) {
      return Unexpected{Failure{ExitCode::failed,
                                plan_.nodes[node].name + " does not answer; its log ends with\n" +
                                    last_lines(places_.log(plan_.nodes[node]), log_lines_shown)}};
    }
    poll(node);
    if (!nodes_[node].is_heard) signals_.wait(Clock::now() + milliseconds(300));
  }
  return Done{};
}

void Phase::poll(size_t node) {
  Node& polled = nodes_[node];
  polled.polled_at = Clock::now();
  if (!polled.child.is_running()) return;
  const Output output = run(command(node, {"status", "--json"}), status_timeout, signals_);
  if (!output.exit.is_success()) return;
  auto status = parse_status(output.text);
  if (!status) return;
  // A restarted process counts from zero again.
  status->sent_bytes += polled.sent_before;
  status->received_bytes += polled.received_before;
  polled.status = *status;
  polled.is_heard = true;
  const std::string version = status->state + " " + std::to_string(status->step) + " " +
                              std::to_string(status->deltas) + " " +
                              std::to_string(status->members);
  if (version != polled.version) {
    polled.version = version;
    polled.moved_at = Clock::now();
  }
  polled.series.add(seconds(), status->step, status->loss, status->sent_bytes);
}

Failure Phase::death_report(size_t node, const ExitStatus& exit) const {
  return {.code = ExitCode::failed,
          .message = plan_.nodes[node].name + " has ended unexpectedly with " + describe(exit) +
                     "; its log, " + places_.log(plan_.nodes[node]) + ", ends with\n" +
                     last_lines(places_.log(plan_.nodes[node]), log_lines_shown)};
}

// Nodes that have died, and nodes that live without doing anything.
Result<Done, Failure> Phase::check_children() {
  for (size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    if (!node.child.is_running()) continue;
    if (const auto exit = node.child.take_exit()) return Unexpected{death_report(i, *exit)};
    const auto silent = Clock::now() - node.moved_at;
    const bool is_late =
        node.is_heard ? !node.status.is_finished && silent > stall_bound : silent > start_bound;
    if (is_late) {
      return Unexpected{Failure{ExitCode::failed,
                                plan_.nodes[i].name +
                                    (node.is_heard ? " makes no progress" : " does not answer") +
                                    "; its log, " + places_.log(plan_.nodes[i]) + ", ends with\n" +
                                    last_lines(places_.log(plan_.nodes[i]), log_lines_shown)}};
    }
  }
  return Done{};
}

// Kills a node that has not finished, at most one at a time, and starts it again a little later.
Result<Done, Failure> Phase::play_chaos() {
  const Clock::time_point now = Clock::now();
  bool is_someone_away = false;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (!nodes_[i].restart_at) continue;
    is_someone_away = true;
    if (now < *nodes_[i].restart_at) continue;
    auto launched = launch(i);
    if (!launched) return launched;
    table_.note("chaos: started " + plan_.nodes[i].name + " again");
  }
  if (now < next_kill_at_ || is_someone_away) return Done{};
  next_kill_at_ = now + duration_of(options_.kill_interval_s);
  std::vector<size_t> candidates;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].is_heard && !nodes_[i].status.is_finished) candidates.push_back(i);
  }
  if (candidates.empty()) return Done{};
  const size_t victim = candidates[chaos_rng_.below(candidates.size())];
  Node& node = nodes_[victim];
  poll(victim);  // so that its byte counts are as new as can be
  if (node.status.is_finished) return Done{};
  node.sent_before = node.status.sent_bytes;
  node.received_before = node.status.received_bytes;
  node.child = Child();  // its destructor kills with -9 and waits
  node.restart_at = Clock::now() + restart_delay;
  table_.note("chaos: killed " + plan_.nodes[victim].name + " at step " +
              std::to_string(node.status.step));
  return Done{};
}

bool Phase::is_all_finished() const {
  return std::all_of(nodes_.begin(), nodes_.end(), [](const Node& node) {
    return node.child.is_running() && node.is_heard && node.status.is_finished;
  });
}

bool Phase::is_agreed() const {
  const NodeStatus& first = nodes_.front().status;
  return !first.base_hash.empty() &&
         std::all_of(nodes_.begin(), nodes_.end(), [&](const Node& node) {
           return node.status.base_hash == first.base_hash && node.status.deltas == first.deltas;
         });
}

Result<Done, Failure> Phase::watch() {
  const milliseconds interval = std::max<milliseconds>(
      poll_interval, poll_interval_per_node * static_cast<int>(nodes_.size()));
  std::optional<Clock::time_point> finished_at;
  while (true) {
    signals_.collect();
    if (signals_.stop_signal() != 0)
      return Unexpected{Failure{ExitCode::failed, "stopped by a signal"}};
    auto checked = check_children();
    if (checked && options_.kill_interval_s > 0) checked = play_chaos();
    if (!checked) return checked;
    const auto oldest =
        std::min_element(nodes_.begin(), nodes_.end(),
                         [](const Node& a, const Node& b) { return a.polled_at < b.polled_at; });
    if (Clock::now() - oldest->polled_at >= interval)
      poll(static_cast<size_t>(oldest - nodes_.begin()));
    show();
    if (is_all_finished()) {
      if (!options_.is_swarm() || is_agreed()) break;
      if (!finished_at) finished_at = Clock::now();
      if (Clock::now() - *finished_at > duration_of(options_.agreement_bound_s)) break;
    }
    // Polls are spread over the interval, so that the launcher never takes a burst of processor
    // time.
    signals_.wait(Clock::now() + interval / static_cast<int>(nodes_.size()));
  }
  table_.settle();
  return Done{};
}

Result<std::vector<std::vector<double>>, Failure> Phase::evaluate() {
  const bool is_text = plan_.kind == Kind::text;
  std::vector<std::vector<std::string>> commands;
  for (const Task& task : plan_.tasks) {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      commands.push_back(
          command(i, {"eval", places_.test(task), "--kind", is_text ? "text" : "pairs", "--json"}));
    }
  }
  const std::vector<Output> outputs = run_all(commands, processors(), evaluation_timeout, signals_);
  if (signals_.stop_signal() != 0)
    return Unexpected{Failure{ExitCode::failed, "stopped by a signal"}};
  std::vector<std::vector<double>> matrix(nodes_.size(), std::vector<double>(plan_.tasks.size()));
  for (size_t i = 0; i < outputs.size(); ++i) {
    const size_t node = i % nodes_.size(), task = i / nodes_.size();
    const auto value = parse_number(outputs[i].text, is_text ? "bits_per_byte" : "accuracy");
    if (!outputs[i].exit.is_success() || !value) {
      return Unexpected{command_failure(
          "starling eval of " + plan_.nodes[node].name + " on " + plan_.tasks[task].name,
          outputs[i])};
    }
    matrix[node][task] = *value;
  }
  return matrix;
}

void Phase::stop() {
  std::vector<Child> children;
  for (Node& node : nodes_) children.push_back(std::move(node.child));
  stop_all(children, stop_grace, signals_);
}

std::vector<NodeStatus> Phase::statuses() const {
  std::vector<NodeStatus> all;
  for (const Node& node : nodes_) all.push_back(node.status);
  return all;
}

std::vector<Series> Phase::series() const {
  std::vector<Series> all;
  for (const Node& node : nodes_) all.push_back(node.series);
  return all;
}

double Phase::seconds() const {
  return std::chrono::duration<double>(Clock::now() - started_at_).count();
}

// By the slowest node's rate so far, or by the clock.
double Phase::seconds_left() const {
  const double passed = seconds();
  double left = -1;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const uint64_t planned = options_.steps[i];
    const double done = static_cast<double>(nodes_[i].status.step);
    if (planned == 0) left = std::max(left, options_.minutes * 60 - passed);
    if (planned == 0 || nodes_[i].status.is_finished) continue;
    if (done < 1) return -1;
    left = std::max(left, passed * (static_cast<double>(planned) - done) / done);
  }
  return left;
}

void Phase::show() {
  TableView view{
      .phase = options_.title, .seconds = seconds(), .seconds_left = seconds_left(), .rows = {}};
  for (size_t i = 0; i < nodes_.size(); ++i) {
    std::string tasks;
    for (const size_t task : plan_.nodes[i].own)
      tasks += (tasks.empty() ? "" : " ") + plan_.tasks[task].name;
    view.rows.push_back({.node = plan_.nodes[i].name,
                         .tasks = tasks,
                         .status = nodes_[i].status,
                         .is_running = nodes_[i].child.is_running()});
  }
  table_.show(view);
}

}  // namespace starling::sim
