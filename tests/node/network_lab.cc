#include "tests/node/network_lab.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/node/real_node.h"

namespace starling::testing {
namespace {

const std::string prefix = "starling-lab-";

// The exit code of a command found on PATH. Its words go where those of the test go, or into a
// file.
int run(const std::vector<std::string>& words, const std::string& out_path = "") {
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    if (!out_path.empty())
      dup2(open(out_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    std::vector<char*> argv;
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

void must(const std::vector<std::string>& words, const std::string& out_path = "") {
  std::string shown;
  for (const std::string& word : words) shown += word + " ";
  INFO(shown);
  REQUIRE(run(words, out_path) == 0);
}

std::vector<std::string> inside(const std::string& space, std::vector<std::string> words) {
  words.insert(words.begin(), {"ip", "netns", "exec", space});
  return words;
}

std::string port(size_t device) { return "port" + std::to_string(device); }

// "... (dropped 17, overlimits 40 requeues 0)"
uint64_t dropped(const std::vector<std::string>& statistics) {
  const Folder folder;
  must(statistics, folder / "said");
  std::ifstream said(folder / "said");
  const std::string text(std::istreambuf_iterator<char>(said), {});
  const std::string word = "(dropped ";
  const size_t at = text.find(word);
  INFO(text);
  REQUIRE(at != std::string::npos);
  return std::stoull(text.substr(at + word.size()));
}

// Labs whose test was killed.
void remove_stale() {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/run/netns", none)) {
    const std::string name = entry.path().filename();
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    const pid_t owner = std::stoi(name.substr(prefix.size()));
    if (kill(owner, 0) != 0 && errno == ESRCH) run({"ip", "netns", "del", name});
  }
}

}  // namespace

std::string NetworkLab::obstacle() {
  if (geteuid() != 0) return "network namespaces need root";
  const std::string probe = prefix + std::to_string(getpid()) + "-probe";
  if (run({"ip", "netns", "add", probe}) != 0) return "ip netns add fails here";
  const bool has_bridge =
      run(inside(probe, {"ip", "link", "add", "name", "probe", "type", "bridge"})) == 0;
  run({"ip", "netns", "del", probe});
  return has_bridge ? "" : "this kernel has no bridges";
}

std::string NetworkLab::address(size_t device) { return "10.77.0." + std::to_string(device + 1); }

NetworkLab::NetworkLab(size_t devices) {
  remove_stale();
  const std::string own = prefix + std::to_string(getpid()) + "-";
  hub_ = own + "hub";
  must({"ip", "netns", "add", hub_});
  for (const char* bridge : {"near", "far"}) {
    must(inside(hub_, {"ip", "link", "add", "name", bridge, "type", "bridge"}));
    must(inside(hub_, {"ip", "link", "set", bridge, "up"}));
  }
  for (size_t i = 0; i < devices; ++i) {
    const std::string space = own + std::to_string(i);
    must({"ip", "netns", "add", space});
    names_.push_back(space);
    must(inside(hub_, {"ip", "link", "add", "name", port(i), "type", "veth", "peer", "name", "eth0",
                       "netns", space}));
    must(inside(hub_, {"ip", "link", "set", port(i), "master", "near", "up"}));
    must(inside(space, {"ip", "link", "set", "lo", "up"}));
    must(inside(space, {"ip", "link", "set", "eth0", "up"}));
    must(inside(space, {"ip", "addr", "add", address(i) + "/24", "dev", "eth0"}));
  }
}

NetworkLab::~NetworkLab() {
  for (const std::string& space : names_) run({"ip", "netns", "del", space});
  run({"ip", "netns", "del", hub_});
}

void NetworkLab::part(const std::set<size_t>& far) {
  for (const size_t device : far)
    must(inside(hub_, {"ip", "link", "set", port(device), "master", "far"}));
}

void NetworkLab::heal() {
  for (size_t device = 0; device < names_.size(); ++device)
    must(inside(hub_, {"ip", "link", "set", port(device), "master", "near"}));
}

void NetworkLab::move(size_t device, const std::string& address) {
  must(inside(name(device), {"ip", "addr", "flush", "dev", "eth0"}));
  if (address.find(':') == std::string::npos) {
    must(inside(name(device), {"ip", "addr", "add", address + "/24", "dev", "eth0"}));
  } else {
    must(inside(name(device),
                {"ip", "addr", "add", address + "/64", "dev", "eth0", "nodad", "scope", "global"}));
  }
}

void NetworkLab::mute(size_t device) {
  must(inside(name(device), {"ip", "link", "set", "eth0", "multicast", "off"}));
}

void NetworkLab::unmute(size_t device) {
  must(inside(name(device), {"ip", "link", "set", "eth0", "multicast", "on"}));
}

void NetworkLab::limit(size_t device, int kbit_per_s) {
  const std::string rate = std::to_string(kbit_per_s) + "kbit";
  const auto queue = [&](const std::string& link) {
    return std::vector<std::string>{"tc",   "qdisc", "add",   "dev", link,      "root", "tbf",
                                    "rate", rate,    "burst", "16k", "latency", "100ms"};
  };
  must(inside(hub_, queue(port(device))));
  must(inside(name(device), queue("eth0")));
}

uint64_t NetworkLab::lost(size_t device) const {
  const auto statistics = [](const std::string& link) {
    return std::vector<std::string>{"tc", "-s", "qdisc", "show", "dev", link};
  };
  return dropped(inside(hub_, statistics(port(device)))) +
         dropped(inside(name(device), statistics("eth0")));
}

}  // namespace starling::testing
