#include "tests/node/real_node.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace starling::testing {

namespace {

using std::chrono::steady_clock;

const std::string binary = std::string(STARLING_BUILD_DIR) + "/bin/starling";

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

pid_t spawn(const std::vector<std::string>& arguments, const std::string& out_path,
            const std::string& err_path, const std::string& network = "") {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid > 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);
  if (!network.empty()) {
    const int space = open(("/run/netns/" + network).c_str(), O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET) != 0) _exit(125);
  }
  const int null = open("/dev/null", O_RDONLY);
  const int out = open(out_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int err = open(err_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(null, 0);
  dup2(out, 1);
  dup2(err, 2);
  std::vector<char*> argv{const_cast<char*>(binary.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(binary.c_str(), argv.data());
  _exit(127);
}

// Waits with a deadline by polling a pid descriptor-free way: waitpid without hanging, then poll as
// a timer.
int wait_for(pid_t pid, int timeout_s) {
  const auto deadline = steady_clock::now() + std::chrono::seconds(timeout_s);
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (steady_clock::now() >= deadline) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      return -1;
    }
    poll(nullptr, 0, 10);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

}  // namespace

Folder::Folder() : path_(std::filesystem::temp_directory_path() / "starling-test-XXXXXX") {
  REQUIRE(mkdtemp(path_.data()) != nullptr);
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string Folder::write(const std::string& name, const std::string& content) const {
  const std::string path = *this / name;
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

CliResult starling_cli(const std::vector<std::string>& arguments, int timeout_s) {
  const Folder folder;
  const std::string out = folder / "out", err = folder / "err";
  CliResult result;
  result.exit_code = wait_for(spawn(arguments, out, err), timeout_s);
  result.out = read_file(out);
  result.err = read_file(err);
  return result;
}

RealNode::RealNode(std::string directory, std::string network)
    : directory_(std::move(directory)), network_(std::move(network)) {}

RealNode::~RealNode() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void RealNode::start() {
  REQUIRE(pid_ <= 0);
  const std::string log = directory_ + ".log";
  pid_ = spawn({"run", "--dir", directory_}, log, log, network_);
}

void RealNode::signal(int number) const {
  REQUIRE(pid_ > 0);
  kill(pid_, number);
}

int RealNode::wait_exit(int timeout_s) {
  REQUIRE(pid_ > 0);
  const int code = wait_for(pid_, timeout_s);
  pid_ = -1;
  return code;
}

nlohmann::json RealNode::status() const {
  const CliResult result = starling_cli({"status", "--dir", directory_, "--json"});
  return result.exit_code == 0 ? nlohmann::json::parse(result.out, nullptr, false)
                               : nlohmann::json();
}

bool RealNode::wait_until(int timeout_s,
                          const std::function<bool(const nlohmann::json&)>& is_so) const {
  const auto deadline = steady_clock::now() + std::chrono::seconds(timeout_s);
  while (steady_clock::now() < deadline) {
    const nlohmann::json now = status();
    if (now.is_object() && is_so(now)) return true;
    poll(nullptr, 0, 100);
  }
  return false;
}

std::string RealNode::output() const { return read_file(directory_ + ".log"); }

void configure(const std::string& directory,
               const std::vector<std::pair<std::string, std::string>>& values) {
  const std::string path = directory + "/starling.yaml";
  std::istringstream lines(read_file(path));
  std::string section, content;
  std::vector<bool> found(values.size(), false);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line[0] != ' ' && line[0] != '#') section = line.substr(0, line.find(':'));
    const size_t start = line.find_first_not_of(' ');
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t dot = values[i].first.find('.');
      const std::string key = values[i].first.substr(dot + 1) + ":";
      if (section != values[i].first.substr(0, dot) || start == std::string::npos || start == 0)
        continue;
      if (line.compare(start, key.size(), key) != 0) continue;
      line = line.substr(0, start) + key + " " + values[i].second;
      found[i] = true;
    }
    content += line + "\n";
  }
  for (size_t i = 0; i < values.size(); ++i) {
    INFO(values[i].first);
    REQUIRE(found[i]);
  }
  std::ofstream(path) << content;
}

}  // namespace starling::testing
