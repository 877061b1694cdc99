// Verbs at a real terminal: what they leave behind, and what its end means to them.
#include <doctest/doctest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "tests/node/small_swarm.h"

using namespace starling::testing;
using nlohmann::json;

namespace {

// `starling ARGUMENTS` at a terminal of its own.
class Terminal {
 public:
  explicit Terminal(const std::vector<std::string>& arguments) {
    const std::string binary = std::string(STARLING_BUILD_DIR) + "/bin/starling";
    winsize size{.ws_row = 30, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
    pid_ = forkpty(&fd_, nullptr, nullptr, &size);
    REQUIRE(pid_ >= 0);
    if (pid_ > 0) return;
    std::vector<char*> argv{const_cast<char*>(binary.c_str())};
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    execv(binary.c_str(), argv.data());
    _exit(127);
  }
  ~Terminal() {
    hang_up();
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  void type(char key) const { REQUIRE(write(fd_, &key, 1) == 1); }
  void hang_up() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  // Reads on until `words` were shown.
  bool shows(const std::string& words) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(patience_s);
    while (shown_.find(words) == std::string::npos) {
      if (std::chrono::steady_clock::now() >= deadline || !read_some()) return false;
    }
    return true;
  }
  // 1000 + n: ended by signal n; -1: it went on.
  int wait_exit() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(patience_s);
    int status = 0;
    while (waitpid(pid_, &status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() >= deadline) return -1;
      (void)read_some();
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  bool echoes() const {
    termios state{};
    REQUIRE(tcgetattr(fd_, &state) == 0);
    return (state.c_lflag & ECHO) != 0 && (state.c_lflag & ICANON) != 0;
  }
  const std::string& shown() const { return shown_; }

 private:
  // False: there will be no more.
  bool read_some() {
    pollfd polled{.fd = fd_, .events = POLLIN, .revents = 0};
    if (poll(&polled, 1, 50) == 0 || fd_ < 0) return true;
    char bytes[4096];
    const ssize_t count = read(fd_, bytes, sizeof bytes);
    if (count <= 0) return false;
    shown_.append(bytes, static_cast<size_t>(count));
    return true;
  }
  pid_t pid_ = -1;
  int fd_ = -1;
  std::string shown_;
};

struct Idle {
  Idle() {
    found(folder / "a", "anna");
    a.start();
    REQUIRE(a.wait_until(patience_s, [](const json& s) { return s["state"] == "idle"; }));
  }
  Folder folder;
  RealNode a{folder / "a"};
};

}  // namespace

TEST_CASE_FIXTURE(Idle, "top is renewed until q or Ctrl-C, and leaves the terminal as it was") {
  for (const char key : {'q', '\x03'}) {
    Terminal terminal({"top", "--no-color", "--interval", "0.2", "--dir", a.directory()});
    REQUIRE(terminal.shows("anna is idle"));
    CHECK(terminal.shows("\x1b[J\x1b[H"));  // a second picture over the first
    CHECK_FALSE(terminal.echoes());
    terminal.type('x');
    terminal.type(key);
    CHECK(terminal.shows("\x1b[?25h\x1b[?1049l"));
    CHECK(terminal.echoes());
    CHECK(terminal.wait_exit() == 0);
  }
}

TEST_CASE_FIXTURE(Idle, "top ends with its terminal, and with its node") {
  Terminal lost({"top", "--interval", "0.2", "--dir", a.directory()});
  REQUIRE(lost.shows("q ends"));
  lost.hang_up();
  CHECK(lost.wait_exit() == 0);
  Terminal orphan({"top", "--interval", "0.2", "--dir", a.directory()});
  REQUIRE(orphan.shows("q ends"));
  a.signal(SIGTERM);
  REQUIRE(a.wait_exit(patience_s) == 0);
  CHECK(orphan.shows("starling: "));  // why, behind the page that it left
  const size_t left = orphan.shown().rfind("\x1b[?1049l");
  CHECK(left < orphan.shown().rfind("starling: "));
  CHECK(orphan.wait_exit() > 0);
}

TEST_CASE("a node that was started at a terminal ends in order when that hangs up") {
  Folder folder;
  found(folder / "a", "anna");
  Terminal terminal({"run", "--dir", folder / "a"});
  REQUIRE(terminal.shows("running"));
  terminal.hang_up();
  CHECK(terminal.wait_exit() == 0);
}
