#pragma once
// Real `starling` processes for tests: a node in a folder of its own, its CLI, signals, and waiting
// for what its status says. The binary is the one of this build.
#include <sys/types.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace starling::testing {

struct CliResult {
  int exit_code = -1;
  std::string out, err;
};
// Runs the built `starling` with these arguments to its end, or kills it after `timeout_s`.
CliResult starling_cli(const std::vector<std::string>& arguments, int timeout_s = 120);

// A temporary folder that goes with its owner.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, const std::string& content) const;  // the path written

 private:
  std::string path_;
};

// `starling run` as a child; killed when it goes out of scope. The directory must have been
// initialised.
class RealNode {
 public:
  // `network`: the name of a network namespace to run in; "": that of the test.
  explicit RealNode(std::string directory, std::string network = "");
  ~RealNode();
  RealNode(const RealNode&) = delete;
  RealNode& operator=(const RealNode&) = delete;

  void start();
  void signal(int number) const;
  int wait_exit(
      int timeout_s);  // the exit code; -1: it had to be killed; 1000 + n: ended by signal n
  pid_t pid() const { return pid_; }
  nlohmann::json status() const;  // null while it does not answer
  // Polls the status until `is_so`; false after timeout_s.
  bool wait_until(int timeout_s, const std::function<bool(const nlohmann::json&)>& is_so) const;
  std::string output() const;  // its log so far
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_, network_;
  pid_t pid_ = -1;
};

// Changes `section: key: value` lines in a node's starling.yaml by rewriting them.
void configure(const std::string& directory,
               const std::vector<std::pair<std::string, std::string>>& values);

}  // namespace starling::testing
