// The program `starling`: the command line, and `starling run`, the node itself.
#include <sodium.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "node/cli.h"

namespace {

using starling::node::Console;
using starling::node::ExitCode;

// Becomes starling-sim: the one beside this program, else the one in PATH.
ExitCode become_sim(const std::vector<std::string>& arguments) {
  std::string name = "starling-sim";
  std::vector<std::string> owned = arguments;
  std::vector<char*> argv = {name.data()};
  for (auto& argument : owned) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::error_code ignored;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  execv((self.parent_path() / name).c_str(), argv.data());
  execvp(name.c_str(), argv.data());
  std::cerr << "starling: starling-sim is neither beside " << self.string()
            << " nor in PATH; is it installed?" << std::endl;
  return ExitCode::failed;
}

}  // namespace

int main(int argc, char** argv) {
  // gRPC's own lines on stderr are for its authors; ours say what happened.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  if (sodium_init() < 0) {
    std::cerr << "starling: no source of random numbers on this system" << std::endl;
    return static_cast<int>(ExitCode::internal);
  }
  const bool is_out_terminal = isatty(STDOUT_FILENO) == 1;
  Console console{std::cin,
                  std::cout,
                  std::cerr,
                  isatty(STDIN_FILENO) == 1,
                  is_out_terminal,
                  is_out_terminal,
                  starling::node::run_node,
                  become_sim};
  return static_cast<int>(starling::node::run_cli({argv + 1, argv + argc}, console));
}
