#pragma once
// A folder of its own for a test, gone afterwards; and small ways to look at and to damage files in
// it.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace starling::node {

class TestFolder {
 public:
  TestFolder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "starling-disk-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::vector<uint8_t> bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void put_bytes(const std::string& path, const std::vector<uint8_t>& bytes,
                      mode_t mode = 0600) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  file.close();
  ::chmod(path.c_str(), mode);
}

inline mode_t mode_of(const std::string& path) {
  struct stat facts {};
  return ::stat(path.c_str(), &facts) == 0 ? facts.st_mode & 07777 : 0;
}

inline std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    names.push_back(entry.path().filename());
  return names;
}

inline uint64_t file_bytes_in(const std::string& directory) {
  uint64_t total = 0;
  for (const auto& name : names_in(directory)) {
    total += std::filesystem::file_size(directory + "/" + name);
  }
  return total;
}

// Runs `work` in a child process whose files cannot grow beyond `size_max`, as on a full disk.
// True: it returned true.
template <typename Work>
bool holds_with_file_size_limit(rlim_t size_max, Work work) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{size_max, size_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    ::_exit(work() ? 0 : 1);
  }
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// A child that repeats `work` until it is killed -9: after `rounds` of it, and then some
// `microseconds`, so that the kill falls into the middle of a write. False: the child failed by
// itself.
template <typename Work>
bool kill_in_the_middle(int rounds, int microseconds, Work work) {
  int pipe_ends[2];
  if (::pipe(pipe_ends) != 0) return false;
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(pipe_ends[0]);
    while (work()) {
      if (::write(pipe_ends[1], "x", 1) != 1) break;
    }
    ::_exit(1);
  }
  ::close(pipe_ends[1]);
  char byte;
  for (int i = 0; i < rounds && ::read(pipe_ends[0], &byte, 1) == 1; ++i) {
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(microseconds);
  while (std::chrono::steady_clock::now() < end) {
  }
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(pipe_ends[0]);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

inline bool says(const std::string& message, const std::string& part) {
  return message.find(part) != std::string::npos;
}

}  // namespace starling::node
