#include "node/screen.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

namespace starling::node {

namespace {

// Another page than the one with the shell's history, no cursor, no wrapping of long lines.
constexpr const char* enter = "\x1b[?1049h\x1b[?25l\x1b[?7l";
constexpr const char* leave = "\x1b[?7h\x1b[?25h\x1b[?1049l";
constexpr const char* to_top = "\x1b[H";
constexpr const char* clear_line = "\x1b[K";
constexpr const char* clear_below = "\x1b[J";
constexpr size_t rows_guess = 24;  // of a terminal that does not say
constexpr char ctrl_c = 3;

size_t row_count() {
  winsize size{};
  const bool is_said = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0;
  return is_said ? size.ws_row : rows_guess;
}

}  // namespace

Screen::Screen(std::ostream& out, bool has_keys) : out_(out), has_keys_(has_keys) {
  sigemptyset(&signals_);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, number);
  pthread_sigmask(SIG_BLOCK, &signals_, &signals_before_);
  signalled_ = File(signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK));
  termios state{};
  if (has_keys_ && tcgetattr(STDIN_FILENO, &state) == 0) {
    before_ = state;
    // Keys come at once and unseen. Ctrl-C is one of them, so that Ctrl-Z, which would leave the
    // terminal as it is now, does nothing.
    state.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    state.c_cc[VMIN] = 0;
    state.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &state);
  }
  out_ << enter << std::flush;
}

Screen::~Screen() {
  // First the settings: whoever sees the old page has the old terminal.
  if (before_) tcsetattr(STDIN_FILENO, TCSANOW, &*before_);
  out_ << leave << std::flush;
  // A signal that has been heard must not end the process again when it is let through.
  signalfd_siginfo heard{};
  while (::read(signalled_.descriptor(), &heard, sizeof heard) > 0) continue;
  pthread_sigmask(SIG_SETMASK, &signals_before_, nullptr);
}

void Screen::show(const std::string& lines) {
  std::string picture = to_top;
  size_t rows = row_count();
  for (size_t at = 0; at < lines.size() && rows > 0; --rows) {
    const size_t end = std::min(lines.find('\n', at), lines.size());
    picture += lines.substr(at, end - at) + clear_line;
    at = end + 1;
    // No newline after the last row: it would scroll.
    if (at < lines.size() && rows > 1) picture += "\r\n";
  }
  out_ << picture << clear_below << std::flush;
}

bool Screen::is_end_typed() {
  char keys[64];
  const ssize_t count = ::read(STDIN_FILENO, keys, sizeof keys);
  if (count <= 0) has_keys_ = false;  // its other end is gone
  return std::any_of(keys, keys + std::max<ssize_t>(count, 0),
                     [](char key) { return key == 'q' || key == 'Q' || key == ctrl_c; });
}

bool Screen::wait_until(std::chrono::steady_clock::time_point time) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        std::max(time - std::chrono::steady_clock::now(), std::chrono::steady_clock::duration{}));
    pollfd polled[] = {{.fd = signalled_.descriptor(), .events = POLLIN, .revents = 0},
                       {.fd = has_keys_ ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}};
    if (::poll(polled, 2, static_cast<int>(left.count())) == 0) return true;
    if (polled[0].revents != 0) return false;
    if (polled[1].revents != 0 && is_end_typed()) return false;
  }
}

}  // namespace starling::node
